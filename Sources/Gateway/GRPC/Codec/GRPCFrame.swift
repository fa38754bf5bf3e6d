import Tenancy

/// The message of a call whose body holds exactly one, as every call does but those that stream.
///
/// Source: gRPC over HTTP/2, "Length-Prefixed-Message". Each message of a body stands in a frame:
///
/// ```
/// byte 0              bytes 1-4
/// 1: compressed, 0: not │ length, big-endian │ message
/// ```
enum GRPCFrame {
    /// The flag and the length.
    static let headBytes = 5

    /// Where in a complete body the one message lies, and whether it says that it is compressed. In which coding the
    /// request tells elsewhere: see ``GRPCEncoding``. Cost: a few nanoseconds; nothing is copied.
    ///
    /// - Throws: ``MartletError/malformed(_:)`` for a body that is anything but one whole frame.
    static func single(_ body: UnsafeRawBufferPointer) throws(MartletError) -> (message: Range<Int>, isCompressed: Bool)
    {
        guard body.count >= headBytes else {
            throw .malformed(body.isEmpty ? "the request has no message" : "the head of the message is cut off")
        }
        let head = try head(body.slice(0..<headBytes))
        let available = body.count - headBytes
        guard head.length >= available else {
            throw .malformed(
                "the request must be one message, and \(available - head.length) bytes follow the first")
        }
        guard head.length == available else {
            throw .malformed("the message announces \(head.length) bytes, and \(available) follow")
        }
        return (headBytes..<body.count, head.isCompressed)
    }

    /// - Parameter bytes: The five bytes of a head.
    static func head(_ bytes: UnsafeRawBufferPointer) throws(MartletError) -> (length: Int, isCompressed: Bool) {
        let flag = bytes[0]
        // The other bits are nobody's yet; the topmost is gRPC-web's, for trailers, which a client does not send.
        guard flag <= 1 else { throw .malformed("the message begins with a flag that has no meaning") }
        let length = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 1, as: UInt32.self))
        return (Int(length), flag == 1)
    }
}
