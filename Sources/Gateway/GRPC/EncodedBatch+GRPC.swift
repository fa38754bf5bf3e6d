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

    /// The number of the oneof's member.
    private var kindField: Int { message.kind == .text ? 1 : 2 }

    init(_ message: TopicMessage) {
        self.message = message
        // The oneof is written whatever it holds: an empty text is a text.
        valueBytes = ProtobufWriter.size(field: 1, length: message.byteCount)
        itemBytes =
            ProtobufWriter.size(field: 1, number: message.sequence) + ProtobufWriter.size(field: 2, length: valueBytes)
            + ProtobufWriter.size(field: 3, singularLength: message.publisherID.count)
            + ProtobufWriter.size(field: 4, number: message.page)
    }

    func write(to buffer: inout ByteBuffer) {
        let count = ProtobufWriter.size(field: 1, length: itemBytes)
        buffer.writeInteger(0 as UInt8)
        buffer.writeInteger(UInt32(truncatingIfNeeded: count))
        buffer.writeProtobuf(count: count) { writer in
            writer.writeHead(field: 1, length: itemBytes)
            writer.writeNumber(field: 1, message.sequence)
            writer.writeHead(field: 2, length: valueBytes)
            message.withBytes { writer.writeBytes(field: kindField, $0) }
            message.publisherID.withUnsafeBytes { writer.writeSingularBytes(field: 3, $0) }
            writer.writeNumber(field: 4, message.page)
        }
    }
}
