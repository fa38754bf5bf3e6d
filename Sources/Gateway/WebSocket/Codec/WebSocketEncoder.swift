import NIOCore

/// Writes the frames of a server (RFC 6455 section 5): never masked, never fragmented, no extensions.
enum WebSocketEncoder {
    /// The most bytes of a close frame's reason: a control frame's 125 without the code.
    static let reasonBytesLimit = WebSocketFrameHead.controlBytesLimit - 2

    private static let final: UInt8 = 0x80

    /// The bytes of a frame before its payload: 2, 4 or 10.
    static func headBytes(payloadBytes: Int) -> Int {
        switch payloadBytes {
        case ...125: 2
        case ...0xFFFF: 4
        default: 10
        }
    }

    /// The head of a text frame; exactly `payloadBytes` of UTF-8 must follow.
    static func writeTextHead(payloadBytes: Int, to buffer: inout ByteBuffer) {
        writeHead(.text, payloadBytes: payloadBytes, to: &buffer)
    }

    /// A whole text frame. `text` must be UTF-8. Cost: one copy.
    static func writeText(_ text: UnsafeRawBufferPointer, to buffer: inout ByteBuffer) {
        buffer.reserveCapacity(minimumWritableBytes: headBytes(payloadBytes: text.count) + text.count)
        writeHead(.text, payloadBytes: text.count, to: &buffer)
        buffer.writeBytes(text)
    }

    /// The answer to a ping (section 5.5.3): the same bytes, of which a ping has at most 125.
    static func writePong(_ payload: UnsafeRawBufferPointer, to buffer: inout ByteBuffer) {
        let kept = payload.prefix(WebSocketFrameHead.controlBytesLimit)
        writeHead(.pong, payloadBytes: kept.count, to: &buffer)
        buffer.writeBytes(kept)
    }

    /// A close frame.
    ///
    /// - Parameters:
    ///   - code: one that may be sent (``WebSocketEvent/isSendable(_:)``); nil: a frame without code and reason, which
    ///     answers one that had none.
    ///   - reason: cut after the last whole character within ``reasonBytesLimit``. Left out without a code.
    static func writeClose(_ code: UInt16?, reason: String = "", to buffer: inout ByteBuffer) {
        guard let code else {
            writeHead(.close, payloadBytes: 0, to: &buffer)
            return
        }
        assert(WebSocketEvent.isSendable(code))
        let kept = cut(reason)
        writeHead(.close, payloadBytes: 2 + kept.utf8.count, to: &buffer)
        buffer.writeInteger(code)
        buffer.writeSubstring(kept)
    }

    /// The longest beginning of `reason` that fits and ends with a whole scalar.
    private static func cut(_ reason: String) -> Substring {
        let bytes = reason.utf8
        guard var end = bytes.index(bytes.startIndex, offsetBy: reasonBytesLimit, limitedBy: bytes.endIndex) else {
            return reason[...]
        }
        while end.samePosition(in: reason.unicodeScalars) == nil { bytes.formIndex(before: &end) }
        return reason[..<end]
    }

    private static func writeHead(_ opcode: WebSocketOpcode, payloadBytes: Int, to buffer: inout ByteBuffer) {
        let first = final | opcode.rawValue
        switch headBytes(payloadBytes: payloadBytes) {
        case 2: buffer.writeMultipleIntegers(first, UInt8(payloadBytes))
        case 4: buffer.writeMultipleIntegers(first, UInt8(126), UInt16(payloadBytes))
        default: buffer.writeMultipleIntegers(first, UInt8(127), UInt64(payloadBytes))
        }
    }
}
