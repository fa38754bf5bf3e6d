#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif
import Synchronization
import Tenancy

// From a value to its stored form and back:
//
//     value --> compressed, if that is worth it --> sealed, if sealing is on --> + hash of the value, if large
//
// See Record.swift for the bytes.

/// How a value will lie in its record.
struct StoredForm {
    var encoding: StoredEncoding = .identity
    /// The dictionary's version, where `encoding` is that of a dictionary.
    var version: UInt8 = 0
    /// What is sealed or copied: the value, or its compressed form.
    let payloadBytes: Int
    let isSealed: Bool

    private var versionBytes: Int { encoding == .zstdDictionary ? 1 : 0 }
    var keepsHash: Bool { payloadBytes >= Record.storedHashThreshold }

    /// Where the payload begins, nonce included.
    var sealedStart: Int { versionBytes }
    var sealedBytes: Int { payloadBytes + (isSealed ? CacheSealer.overhead : 0) }
    var storedBytes: Int { versionBytes + sealedBytes + (keepsHash ? Record.hashBytes : 0) }

    init(payloadBytes: Int, encoding: StoredEncoding = .identity, version: UInt8 = 0, isSealed: Bool) {
        self.payloadBytes = payloadBytes
        self.encoding = encoding
        self.version = version
        self.isSealed = isSealed
    }

    /// The form in which a record's value lies.
    @inline(__always)
    init(of record: Record, isSealed: Bool) {
        self.isSealed = isSealed
        encoding = record.encoding
        let stored = record.storedLength
        var payload = stored - (isSealed ? CacheSealer.overhead : 0)
        if encoding == .zstdDictionary {
            version = record.stored.first ?? 0
            payload -= 1
        }
        // From the threshold on the hash is there too; lengths between are not written.
        payloadBytes = payload >= Record.storedHashThreshold ? payload - Record.hashBytes : payload
    }
}

extension Record {
    /// The hash that is kept with the value, where one is.
    func storedHash(_ form: StoredForm) -> ValueHash? {
        guard form.keepsHash else { return nil }
        let offset = form.storedBytes - Record.hashBytes
        let stored = UnsafeRawBufferPointer(stored)
        return ValueHash(
            low: stored.loadUnaligned(fromByteOffset: offset, as: UInt64.self),
            high: stored.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
    }

    /// Writes what lies around the payload.
    func fillFrame(_ form: StoredForm, hash: ValueHash?) {
        if form.encoding == .zstdDictionary { stored[0] = form.version }
        guard let hash else { return }
        let offset = form.storedBytes - Record.hashBytes
        stored.storeBytes(of: hash.low, toByteOffset: offset, as: UInt64.self)
        stored.storeBytes(of: hash.high, toByteOffset: offset + 8, as: UInt64.self)
    }

    /// The payload, or where it goes, with nonce and tag around it if it is sealed.
    func sealed(_ form: StoredForm) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: stored[form.sealedStart..<form.sealedStart + form.sealedBytes])
    }
}

/// A payload that is sealed, and what opens it: carried out of the stripe's lock.
struct SealedCopy {
    let nonce: UInt64
    let tag: (UInt64, UInt64)

    /// Splits the sealed bytes of a record: the ciphertext goes to `target`, the rest stays here.
    @inline(__always)
    init(_ sealed: UnsafeMutableRawBufferPointer, ciphertextInto target: UnsafeMutableRawBufferPointer) {
        let bytes = UnsafeRawBufferPointer(sealed)
        nonce = bytes.loadUnaligned(as: UInt64.self)
        let end = bytes.count - 16
        tag = (
            bytes.loadUnaligned(fromByteOffset: end, as: UInt64.self),
            bytes.loadUnaligned(fromByteOffset: end + 8, as: UInt64.self)
        )
        target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[8..<end]))
    }

    /// Opens the ciphertext in place.
    @inline(__always)
    func open(
        _ bytes: UnsafeMutableRawBufferPointer, key: UnsafeRawBufferPointer, lane: Int, with sealer: CacheSealer
    ) -> Bool {
        withUnsafeBytes(of: tag) { tag in
            sealer.open(
                nonce: nonce, tag: tag, ciphertext: UnsafeRawBufferPointer(bytes), key: key,
                context: UnsafeRawBufferPointer(start: nil, count: 0), lane: lane, into: bytes)
        }
    }
}

extension EngineCache {
    /// The lane in which a key's values are sealed: threads at different keys seldom meet.
    @inline(__always)
    static func lane(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash & 15) }

    /// Opens a record's payload and undoes its compression. Called under the lock of its stripe, or on a copy.
    ///
    /// - Parameter body: Gets the plain value.
    /// - Throws: ``MartletError/internalFailure(_:)`` when the bytes are not those that were stored, and what `body`
    ///   throws.
    func withPlain<Result>(
        of record: Record, key: UnsafeRawBufferPointer, hash: UInt64, sealer: CacheSealer?,
        _ body: (UnsafeRawBufferPointer) throws(MartletError) -> Result
    ) throws(MartletError) -> Result {
        let form = StoredForm(of: record, isSealed: sealer != nil)
        let sealed = record.sealed(form)
        guard let sealer else {
            return try withDecompressed(UnsafeRawBufferPointer(sealed), form, body)
        }
        var payload = ScratchBytes(capacity: form.payloadBytes)
        let target = payload.extend(by: form.payloadBytes)
        let copy = SealedCopy(sealed, ciphertextInto: target)
        guard copy.open(target, key: key, lane: Self.lane(hash), with: sealer) else { throw Self.unreadable }
        return try payload.withBytes { bytes throws(MartletError) in try withDecompressed(bytes, form, body) }
    }

    static let unsealable = MartletError.internalFailure("a value cannot be sealed")
    static let unreadable = MartletError.internalFailure("a stored value is damaged")

    private func withDecompressed<Result>(
        _ payload: UnsafeRawBufferPointer, _ form: StoredForm,
        _ body: (UnsafeRawBufferPointer) throws(MartletError) -> Result
    ) throws(MartletError) -> Result {
        guard form.encoding != .identity else { return try body(payload) }
        let plain = try decompressed(payload, form)
        return try plain.withBytes(body)
    }

    /// The plain form of a compressed payload.
    func decompressed(_ payload: UnsafeRawBufferPointer, _ form: StoredForm) throws(MartletError) -> ScratchBytes {
        guard let compressor, let count = CacheCompressor.plainSize(payload, form.encoding),
            count <= Record.largestValue
        else { throw Self.unreadable }
        var plain = ScratchBytes(capacity: count)
        let target = plain.extend(by: count)
        guard compressor.decompress(payload, form.encoding, version: form.version, into: target) else {
            throw Self.unreadable
        }
        return plain
    }

    /// Compresses a value, if the cache does that and it is worth it, into `scratch`.
    func compress(_ value: UnsafeRawBufferPointer, into scratch: inout ScratchBytes)
        -> (encoding: StoredEncoding, version: UInt8)?
    {
        guard compresses.load(ordering: .relaxed), value.count >= CacheCompressor.threshold else { return nil }
        return compressor?.compress(value, into: &scratch)
    }
}
