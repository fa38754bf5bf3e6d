import Synchronization
import Tenancy

extension EngineCache {
    /// Copies the value of a live scalar out and says what it is.
    ///
    /// The hot read: no allocation, one lock, one copy; a sealed value is opened in the copy, and its hash computed from
    /// it, after the lock is given back. Nothing may be added under the lock.
    ///
    /// - Parameters:
    ///   - now: an item with `expiresAt` at or before this is a miss.
    ///   - accepted: ``AcceptedEncoding/zstd`` takes a value that is stored as one zstd frame as it lies.
    ///   - reserve: gives memory of exactly the size it is asked for. Called at most once, only on a hit, and possibly
    ///     under the stripe's lock: it must not call the engine. The engine does not keep the memory.
    /// - Returns: nil for a miss, and for every key of a closed cache.
    /// - Throws: ``MartletError/wrongType`` for a collection; ``MartletError/internalFailure(_:)`` when what is stored is
    ///   not authentic, after `reserve` was called.
    package func get(
        _ key: UnsafeRawBufferPointer, now: Timestamp, accepting accepted: AcceptedEncoding = .identity,
        into reserve: (Int) -> UnsafeMutableRawBufferPointer
    ) throws(MartletError) -> ItemFacts? {
        let hash = hash(of: key)
        let stripe = lockStripe(of: hash)
        guard let record = stripe.contents.pointee.index.find(key, hash: hash), !record.isExpired(at: now) else {
            stripe.unlock()
            return nil
        }
        guard record.isScalar else {
            let isGone = record.isGone(at: now)
            stripe.unlock()
            guard isGone else { throw .wrongType }
            return nil
        }
        record.markUsed()
        let expiresAt = record.expiresAt
        let sealer = stripe.contents.pointee.sealer
        let form = StoredForm(of: record, isSealed: sealer != nil)
        let storedHash = record.storedHash(form)
        guard form.encoding == .identity else {
            var payload = ScratchBytes(capacity: form.payloadBytes)
            let copy = copyPayload(of: record, form, into: payload.extend(by: form.payloadBytes))
            // The item, and with it the dictionary, may go while the copy is worked on.
            let compressor = compressor
            compressor?.retain(version: form.version)
            stripe.unlock()
            defer { compressor?.release(version: form.version) }
            if let sealer, let copy {
                guard copy.open(payload.mutableBytes, key: key, lane: Self.lane(hash), with: sealer) else {
                    throw Self.unreadable
                }
            }
            return try handOut(payload.bytes, form, storedHash, expiresAt, accepted, reserve)
        }
        let target = reserve(form.payloadBytes)
        precondition(target.count == form.payloadBytes, "memory of another size than was asked for")
        let copy = copyPayload(of: record, form, into: target)
        stripe.unlock()
        if let sealer, let copy, !copy.open(target, key: key, lane: Self.lane(hash), with: sealer) {
            throw Self.unreadable
        }
        return ItemFacts(
            byteCount: target.count, valueHash: storedHash ?? core.valueHash(of: UnsafeRawBufferPointer(target)),
            expiresAt: expiresAt)
    }

    /// As ``get(_:now:accepting:into:)``, for whoever wants nothing but the value: no hash is computed.
    /// - Returns: its length; nil for a miss.
    package func read(
        _ key: UnsafeRawBufferPointer, now: Timestamp, into reserve: (Int) -> UnsafeMutableRawBufferPointer
    ) throws(MartletError) -> Int? {
        let hash = hash(of: key)
        let stripe = lockStripe(of: hash)
        guard let record = stripe.contents.pointee.index.find(key, hash: hash), !record.isExpired(at: now) else {
            stripe.unlock()
            return nil
        }
        guard record.isScalar else {
            let isGone = record.isGone(at: now)
            stripe.unlock()
            guard isGone else { throw .wrongType }
            return nil
        }
        let sealer = stripe.contents.pointee.sealer
        let form = StoredForm(of: record, isSealed: sealer != nil)
        guard form.encoding == .identity else {
            stripe.unlock()
            return try get(key, now: now, into: reserve)?.byteCount
        }
        record.markUsed()
        let target = reserve(form.payloadBytes)
        precondition(target.count == form.payloadBytes, "memory of another size than was asked for")
        let copy = copyPayload(of: record, form, into: target)
        stripe.unlock()
        if let sealer, let copy, !copy.open(target, key: key, lane: Self.lane(hash), with: sealer) {
            throw Self.unreadable
        }
        return form.payloadBytes
    }

    /// Copies what lies in a record, still sealed.
    @inline(__always)
    private func copyPayload(of record: Record, _ form: StoredForm, into target: UnsafeMutableRawBufferPointer)
        -> SealedCopy?
    {
        let sealed = record.sealed(form)
        if form.isSealed { return SealedCopy(sealed, ciphertextInto: target) }
        target.copyMemory(from: UnsafeRawBufferPointer(sealed))
        return nil
    }

    /// Hands a compressed value out, as it is or decompressed.
    private func handOut(
        _ payload: UnsafeRawBufferPointer, _ form: StoredForm, _ storedHash: ValueHash?, _ expiresAt: Timestamp?,
        _ accepted: AcceptedEncoding, _ reserve: (Int) -> UnsafeMutableRawBufferPointer
    ) throws(MartletError) -> ItemFacts {
        guard let compressor, let count = CacheCompressor.plainSize(payload, form.encoding),
            count <= Record.largestValue
        else { throw Self.unreadable }
        if accepted == .zstd, form.encoding == .zstd {
            let hash: ValueHash
            if let storedHash {
                hash = storedHash
            } else {
                let plain = try decompressed(payload, form)
                hash = plain.withBytes { core.valueHash(of: $0) }
            }
            reserve(payload.count).copyMemory(from: payload)
            return ItemFacts(
                byteCount: count, valueHash: hash, expiresAt: expiresAt, storedEncoding: .zstd,
                handedOutByteCount: payload.count)
        }
        let target = reserve(count)
        guard compressor.decompress(payload, form.encoding, version: form.version, into: target) else {
            throw Self.unreadable
        }
        return ItemFacts(
            byteCount: count, valueHash: storedHash ?? core.valueHash(of: UnsafeRawBufferPointer(target)),
            expiresAt: expiresAt)
    }

    /// What is known of a live scalar, and what ``get(_:now:accepting:into:)`` would hand out, without its bytes. Does not
    /// count as a use of the item.
    /// Cost: as a read for a value below 2 KiB, whose hash is not kept; else a look.
    package func facts(
        _ key: UnsafeRawBufferPointer, now: Timestamp, accepting accepted: AcceptedEncoding = .identity
    ) throws(MartletError) -> ItemFacts? {
        let hash = hash(of: key)
        let stripe = lockStripe(of: hash)
        defer { stripe.unlock() }
        guard let record = stripe.contents.pointee.index.find(key, hash: hash), !record.isExpired(at: now) else {
            return nil
        }
        guard record.isScalar else {
            guard record.isGone(at: now) else { throw .wrongType }
            return nil
        }
        let sealer = stripe.contents.pointee.sealer
        let form = StoredForm(of: record, isSealed: sealer != nil)
        if form.encoding == .identity, let storedHash = record.storedHash(form) {
            return ItemFacts(byteCount: form.payloadBytes, valueHash: storedHash, expiresAt: record.expiresAt)
        }
        let (count, valueHash) = try withPlain(of: record, key: key, hash: hash, sealer: sealer) {
            plain throws(MartletError) in (plain.count, core.valueHash(of: plain))
        }
        let isFrame = accepted == .zstd && form.encoding == .zstd
        return ItemFacts(
            byteCount: count, valueHash: valueHash, expiresAt: record.expiresAt,
            storedEncoding: isFrame ? .zstd : .identity, handedOutByteCount: isFrame ? form.payloadBytes : count)
    }

    /// About how many bytes the value of a key takes, as it is stored; nil when there is none, 0 for a large collection.
    /// Cost: a look.
    package func storedBytes(_ key: UnsafeRawBufferPointer, now: Timestamp) -> Int? {
        let hash = hash(of: key)
        let stripe = lockStripe(of: hash)
        defer { stripe.unlock() }
        guard let record = stripe.contents.pointee.index.find(key, hash: hash), !record.isExpired(at: now) else {
            return nil
        }
        return record.isLarge ? 0 : record.storedLength
    }
}
