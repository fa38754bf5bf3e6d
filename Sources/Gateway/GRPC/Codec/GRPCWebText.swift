import NIOCore

/// The text mode of gRPC-web: frames as base64 (RFC 4648 section 4), for clients that cannot read bytes.
enum GRPCWebText {
    private static let letters: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    /// The length of the text of so many bytes.
    static func encodedCount(_ count: Int) -> Int { (count + 2) / 3 * 4 }

    /// Appends the text of `bytes`, padded: each piece that is flushed is whole by itself. Cost: O(bytes), one growth of
    /// the buffer.
    static func encode(_ bytes: UnsafeRawBufferPointer, into buffer: inout ByteBuffer) {
        guard !bytes.isEmpty else { return }
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: encodedCount(bytes.count)) { text in
            let letter = letters.utf8Start
            var place = 0
            var index = 0
            while index < bytes.count {
                let count = min(3, bytes.count - index)
                let first = UInt32(bytes[index]) << 16
                let second = count > 1 ? UInt32(bytes[index + 1]) << 8 : 0
                let bits = first | second | (count > 2 ? UInt32(bytes[index + 2]) : 0)
                text[place] = letter[Int(bits >> 18)]
                text[place + 1] = letter[Int(bits >> 12 & 63)]
                text[place + 2] = count > 1 ? letter[Int(bits >> 6 & 63)] : UInt8(ascii: "=")
                text[place + 3] = count > 2 ? letter[Int(bits & 63)] : UInt8(ascii: "=")
                place += 4
                index += 3
            }
            return place
        }
    }
}
