import Admission
import Catalog
import Engine
import Metering
import Tenancy

/// Bodies that come compressed. Limits and prices are those of what they hold; only the bytes that are counted as received
/// are those that came.
extension ServiceLane {
    /// The message that came in a body. Unpacking takes no more memory than a message may have.
    ///
    /// - Throws: ``MartletError/tooLarge(limit:value:)`` where it would be larger, ``MartletError/malformed(_:)`` where the
    ///   body is not what it says it is; written down.
    package func unpackMessage(
        _ grant: CacheGrant, _ door: Door, _ body: UnsafeRawBufferPointer
    ) throws(MartletError) -> [UInt8] {
        guard let cache = grant.cache else { throw .cacheNotFound }
        let limit = cache.sizes.messageBytes
        do throws(MartletError) {
            return try ZstdFrame.decompress(body, limit: limit)
        } catch {
            guard case .tooLarge = error else { throw refused(grant, door, error) }
            throw refused(grant, door, .tooLarge(limit: .maxMessageBytes, value: UInt64(limit)))
        }
    }

    /// The value that came in a body, in a call that was admitted for what the body announced: what it holds beyond that is
    /// charged now. Throws as ``unpackMessage(_:_:_:)``, and writes nothing down.
    func unpackValue(
        _ cache: LaneCache, keyBytes: Int, _ body: UnsafeRawBufferPointer, admitted: UInt64, isConditional: Bool
    ) throws(MartletError) -> ReceivedValue {
        let limit = cache.sizes.valueBytes(besideKeyOf: keyBytes)
        let received: ReceivedValue
        do throws(MartletError) {
            if cache.record.compression == .zstd, service.lateEngine == nil {
                received = ReceivedValue(try ZstdFrame.receive(body, limit: limit))
            } else {
                received = ReceivedValue(plain: try ZstdFrame.decompress(body, limit: limit))
            }
        } catch {
            guard case .tooLarge = error else { throw error }
            throw .tooLarge(limit: .maxItemBytes, value: UInt64(cache.sizes.itemBytes))
        }
        let valueBytes = received.plain.count
        let operations = Self.operations(ofWriting: valueBytes, keyBytes: keyBytes, isConditional: isConditional)
        if operations > admitted {
            cache.shared.admission.settle(
                extraOperations: operations - admitted, bytesOut: 0, nowNanoseconds: nowNanoseconds)
        }
        return received
    }

    /// What a write costs, as far as its body tells before it is unpacked.
    func operationsAnnounced(
        _ grant: CacheGrant, keyBytes: Int, _ body: UnsafeRawBufferPointer, _ coding: ContentCoding, isConditional: Bool
    ) -> UInt64 {
        var valueBytes = body.count
        if coding == .zstd, let announced = ZstdFrame.contentSize(body) {
            // More than it may hold is refused, whatever it says.
            valueBytes = min(announced, grant.cache?.sizes.itemBytes ?? 0)
        }
        return Self.operations(ofWriting: valueBytes, keyBytes: keyBytes, isConditional: isConditional)
    }

    private static func operations(ofWriting valueBytes: Int, keyBytes: Int, isConditional: Bool) -> UInt64 {
        BillingPolicy.write(keyBytes: keyBytes, valueBytes: valueBytes, isConditional: isConditional).operations
    }
}

/// A value that came compressed.
struct ReceivedValue {
    let plain: [UInt8]
    private let form: ZstdFrame.Form

    init(_ received: ZstdFrame.Received) {
        plain = received.plain
        form = received.form
    }

    init(plain: [UInt8]) {
        self.plain = plain
        form = .notWorthwhile
    }

    /// - Parameter action: Is lent the value, and the one frame in which it may be kept and sent on, where there is one.
    func withBytes<R>(
        body: UnsafeRawBufferPointer,
        _ action: (UnsafeRawBufferPointer, _ frame: UnsafeRawBufferPointer?) throws(MartletError) -> R
    ) throws(MartletError) -> R {
        try plain.withUnsafeBufferPointer { (plain) throws(MartletError) in
            let plain = UnsafeRawBufferPointer(plain)
            switch form {
            case .asReceived: return try action(plain, body)
            case .recompressed(let frame):
                return try frame.withUnsafeBufferPointer { (frame) throws(MartletError) in
                    try action(plain, UnsafeRawBufferPointer(frame))
                }
            case .notWorthwhile: return try action(plain, nil)
            }
        }
    }
}
