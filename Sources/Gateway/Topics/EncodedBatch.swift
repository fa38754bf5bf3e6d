import NIOCore
import Topics

/// What a batch of messages looks like on the wire, made once however many subscribers of the event loop it goes to: the
/// JSON of each message, and whole frames or events where they are the same for every subscriber.
final class EncodedBatch {
    /// Not the batch, which holds this.
    private let batch: [TopicMessage]
    private let payloadBytes: Int

    /// The encodings of a batch, made when they are first asked for.
    static func of(_ batch: TopicBatch) -> EncodedBatch {
        // Nobody else sets it.
        if let made = batch.encoding { return unsafeDowncast(made, to: EncodedBatch.self) }
        let made = EncodedBatch(batch)
        batch.encoding = made
        return made
    }

    private init(_ batch: TopicBatch) {
        self.batch = batch.messages
        payloadBytes = batch.payloadBytes
    }

    /// The JSON of each message, and behind it where it ends.
    private lazy var items = makeItems()

    private func makeItems() -> (bytes: ByteBuffer, ends: [Int]) {
        var bytes = ByteBuffer()
        var ends: [Int] = []
        bytes.reserveCapacity(payloadBytes + 128 * batch.count)
        ends.reserveCapacity(batch.count)
        for message in batch {
            TopicWire.writeItem(message, to: &bytes)
            ends.append(bytes.writerIndex)
        }
        return (bytes, ends)
    }

    /// A gRPC message in its frame for each message.
    private(set) lazy var messages = Self.makeMessages(batch)
    /// A WebSocket frame `{"item":{…}}` for each message.
    private(set) lazy var frames = makeFrames(prefix: Array("{\"item\":".utf8))
    /// An event `item` for each message.
    private(set) lazy var events = makeEvents()

    /// A WebSocket frame for each message, with `prefix` before the item and a brace behind it.
    func makeFrames(prefix: [UInt8]) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.reserveCapacity(items.bytes.readableBytes + (prefix.count + 11) * batch.count)
        writeFrames(prefix: prefix, to: &buffer)
        return buffer
    }

    func writeFrames(prefix: [UInt8], to buffer: inout ByteBuffer) {
        forEachItem { _, item in
            WebSocketEncoder.writeTextHead(payloadBytes: prefix.count + item.count + 1, to: &buffer)
            buffer.writeBytes(prefix)
            buffer.writeBytes(item)
            buffer.writeInteger(UInt8(ascii: "}"))
        }
    }

    private func makeEvents() -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.reserveCapacity(items.bytes.readableBytes + 80 * batch.count)
        forEachItem { message, item in
            buffer.writeStaticString("event: item\nid: ")
            buffer.writeDecimal(message.page)
            buffer.writeStaticString(":")
            buffer.writeDecimal(message.sequence)
            buffer.writeStaticString("\ndata: ")
            buffer.writeBytes(item)
            buffer.writeStaticString("\n\n")
        }
        return buffer
    }

    /// The JSON object of each message.
    func forEachItem(_ body: (TopicMessage, UnsafeRawBufferPointer) -> Void) {
        items.bytes.withUnsafeReadableBytes { bytes in
            var start = 0
            for (message, end) in zip(batch, items.ends) {
                body(message, bytes.slice(start..<end))
                start = end
            }
        }
    }
}
