import NIOCore
import Tenancy
import Topics

/// The frames of the server that are not messages: one JSON object each, with the id of the subscription where a socket
/// carries many.
enum ServerFrame {
    static let heartbeat = json("heartbeat")

    /// `{"NAME":{}}`, with `"id"` before it.
    static func json(_ name: StaticString, id: [UInt8]? = nil) -> [UInt8] {
        prefix(name, id: id) + Array("{}}".utf8)
    }

    /// `{"NAME":`, with `"id"` before it: what stands before the object of a frame.
    static func prefix(_ name: StaticString, id: [UInt8]? = nil) -> [UInt8] {
        var text = Array("{".utf8)
        if let id {
            text += "\"id\":".utf8
            text += id
            text += ",".utf8
        }
        text += "\"\(name)\":".utf8
        return text
    }

    static func published(_ position: TopicPosition, id: [UInt8]? = nil) -> [UInt8] {
        prefix("published", id: id)
            + Array(
                "{\"topic_sequence_number\":\(position.sequence),\"sequence_page\":\(position.page)}}".utf8)
    }

    static func authenticated(expiresAt: Timestamp?) -> [UInt8] {
        prefix("authenticated") + Array("{\"expires_at\":\(expiresAt.map { String($0.seconds) } ?? "null")}}".utf8)
    }

    static func discontinuity(_ discontinuity: TopicDiscontinuity, id: [UInt8]? = nil) -> [UInt8] {
        var buffer = ByteBuffer(bytes: prefix("discontinuity", id: id))
        TopicWire.writeDiscontinuity(discontinuity, to: &buffer)
        buffer.writeStaticString("}")
        return Array(buffer.readableBytesView)
    }

    /// A text as a JSON string.
    static func quoted(_ text: String) -> [UInt8] {
        var buffer = ByteBuffer()
        var text = text
        text.withUTF8 { buffer.writeQuoted(UnsafeRawBufferPointer($0)) }
        return Array(buffer.readableBytesView)
    }
}
