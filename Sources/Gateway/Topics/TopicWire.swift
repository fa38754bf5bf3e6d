import Access
import NIOCore
import Tenancy
import Topics

/// The JSON of topics, the same on every HTTP door: what stands in a long poll's list, in an event and in a frame.
enum TopicWire {
    /// `{"topic_sequence_number":…,"sequence_page":…,"value":{…}}`, with `publisher_id` where the publisher has one.
    static func writeItem(_ message: TopicMessage, to buffer: inout ByteBuffer) {
        buffer.writeStaticString("{\"topic_sequence_number\":")
        buffer.writeDecimal(message.sequence)
        buffer.writeStaticString(",\"sequence_page\":")
        buffer.writeDecimal(message.page)
        switch message.kind {
        case .text:
            buffer.writeStaticString(",\"value\":{\"text\":")
            message.withBytes { buffer.writeQuoted($0) }
        case .binary:
            buffer.writeStaticString(",\"value\":{\"binary\":\"")
            message.withBytes { _ = buffer.writeString(Base64.encode($0, .standard)) }
            buffer.writeStaticString("\"")
        }
        if message.publisherID.isEmpty {
            buffer.writeStaticString("}}")
        } else {
            buffer.writeStaticString("},\"publisher_id\":")
            message.publisherID.withUnsafeBytes { buffer.writeQuoted($0) }
            buffer.writeStaticString("}")
        }
    }

    static func writeDiscontinuity(_ discontinuity: TopicDiscontinuity, to buffer: inout ByteBuffer) {
        buffer.writeStaticString("{\"last_topic_sequence\":")
        buffer.writeDecimal(discontinuity.lastSequence)
        buffer.writeStaticString(",\"new_topic_sequence\":")
        buffer.writeDecimal(discontinuity.newSequence)
        buffer.writeStaticString(",\"new_sequence_page\":")
        buffer.writeDecimal(discontinuity.page)
        buffer.writeStaticString("}")
    }
}

extension ByteBuffer {
    mutating func writeDecimal(_ number: UInt64) {
        guard number >= 10 else {
            writeInteger(UInt8(truncatingIfNeeded: 0x30 + number))
            return
        }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var rest = number
            var start = 20
            while rest > 0 {
                start -= 1
                digits[start] = UInt8(truncatingIfNeeded: 0x30 + rest % 10)
                rest /= 10
            }
            writeBytes(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(digits)[start..<20]))
        }
    }

    /// Writes a JSON string (RFC 8259 section 7) of bytes that are UTF-8. Runs without an escape are copied whole.
    mutating func writeQuoted(_ bytes: UnsafeRawBufferPointer) {
        reserveCapacity(minimumWritableBytes: bytes.count + 2)
        writeInteger(UInt8(ascii: "\""))
        var start = 0
        for (index, byte) in bytes.enumerated() where byte < 0x20 || byte == 0x22 || byte == 0x5C {
            writeBytes(bytes.slice(start..<index))
            start = index + 1
            switch byte {
            case 0x22, 0x5C: writeMultipleIntegers(UInt8(ascii: "\\"), byte)
            case 0x0A: writeStaticString("\\n")
            default:
                writeStaticString("\\u00")
                writeMultipleIntegers(Self.hexadecimal[Int(byte >> 4)], Self.hexadecimal[Int(byte & 15)])
            }
        }
        writeBytes(bytes.slice(start..<bytes.count))
        writeInteger(UInt8(ascii: "\""))
    }

    private static let hexadecimal = Array("0123456789abcdef".utf8)
}
