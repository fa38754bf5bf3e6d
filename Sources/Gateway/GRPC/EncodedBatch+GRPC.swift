import NIOCore
import Topics

extension EncodedBatch {
    /// `_SubscriptionItem{item}` in a frame, for each message.
    static func makeMessages(_ batch: [TopicMessage]) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.reserveCapacity(batch.reduce(0) { $0 + $1.byteCount + $1.publisherID.count + 64 })
        for message in batch { SubscriptionItem(message).write(to: &buffer) }
        return buffer
    }
}

/// One message of a topic as it stands in a stream, its lengths worked out from the inside.
///
/// ```
/// frame │ 0 │ length │ item = 1 │ length │ sequence = 1 │ value = 2 │ publisher_id = 3 │ sequence_page = 4 │
/// ```
private struct SubscriptionItem {
    private let message: TopicMessage
    private let valueBytes: Int
    private let itemBytes: Int

    init(_ message: TopicMessage) {
        self.message = message
        // The oneof is written whatever it holds: an empty text is a text.
        valueBytes = 1 + Self.lengthBytes(message.byteCount) + message.byteCount
        var bytes = 1 + Self.lengthBytes(valueBytes) + valueBytes
        if message.sequence > 0 { bytes += 1 + Self.varintBytes(message.sequence) }
        if !message.publisherID.isEmpty {
            bytes += 1 + Self.lengthBytes(message.publisherID.count) + message.publisherID.count
        }
        if message.page > 0 { bytes += 1 + Self.varintBytes(message.page) }
        itemBytes = bytes
    }

    func write(to buffer: inout ByteBuffer) {
        buffer.writeInteger(0 as UInt8)
        buffer.writeInteger(UInt32(1 + Self.lengthBytes(itemBytes) + itemBytes))
        buffer.writeInteger(0x0A as UInt8)
        Self.writeVarint(UInt64(itemBytes), to: &buffer)
        if message.sequence > 0 {
            buffer.writeInteger(0x08 as UInt8)
            Self.writeVarint(message.sequence, to: &buffer)
        }
        buffer.writeInteger(0x12 as UInt8)
        Self.writeVarint(UInt64(valueBytes), to: &buffer)
        buffer.writeInteger(message.kind == .text ? 0x0A : 0x12 as UInt8)
        Self.writeVarint(UInt64(message.byteCount), to: &buffer)
        message.withBytes { _ = buffer.writeBytes($0) }
        if !message.publisherID.isEmpty {
            buffer.writeInteger(0x1A as UInt8)
            Self.writeVarint(UInt64(message.publisherID.count), to: &buffer)
            buffer.writeBytes(message.publisherID)
        }
        if message.page > 0 {
            buffer.writeInteger(0x20 as UInt8)
            Self.writeVarint(message.page, to: &buffer)
        }
    }

    private static func lengthBytes(_ length: Int) -> Int { varintBytes(UInt64(length)) }

    private static func varintBytes(_ number: UInt64) -> Int {
        max(1, (UInt64.bitWidth - number.leadingZeroBitCount + 6) / 7)
    }

    private static func writeVarint(_ number: UInt64, to buffer: inout ByteBuffer) {
        var rest = number
        while rest >= 0x80 {
            buffer.writeInteger(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        buffer.writeInteger(UInt8(truncatingIfNeeded: rest))
    }
}
