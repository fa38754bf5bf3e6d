/// One thing that a client sent: a whole message or a control frame.
///
/// The bytes are the decoder's and live until the closure that was given them returns. Text and reasons are checked
/// UTF-8. An empty payload may have no address.
enum WebSocketEvent {
    case text(UnsafeRawBufferPointer)
    case binary(UnsafeRawBufferPointer)
    /// To be answered with a pong of the same bytes, at most 125.
    case ping(UnsafeRawBufferPointer)
    /// An answer to a ping, or none: unasked pongs are legal. What it carries is left out.
    case pong
    /// The last event of a connection. The code is nil where none was sent, otherwise one that may be sent.
    case close(code: UInt16?, reason: UnsafeRawBufferPointer)

    /// - Throws: ``WebSocketViolation`` when the payload is not what its kind demands.
    init(_ opcode: WebSocketOpcode, _ payload: UnsafeRawBufferPointer) throws(WebSocketViolation) {
        switch opcode {
        case .text:
            guard payload.isUTF8 else { throw .invalidText }
            self = .text(payload)
        case .binary: self = .binary(payload)
        case .ping: self = .ping(payload)
        case .pong: self = .pong
        case .close: self = try Self.close(payload)
        // A whole message has the kind of its first frame.
        case .continuation: throw .unexpectedContinuation
        }
    }

    private static func close(_ payload: UnsafeRawBufferPointer) throws(WebSocketViolation) -> WebSocketEvent {
        guard payload.count != 1 else { throw .truncatedCloseCode }
        guard payload.count > 0 else { return .close(code: nil, reason: payload) }
        let code = UInt16(payload[0]) << 8 | UInt16(payload[1])
        guard isSendable(code) else { throw .invalidCloseCode }
        let reason = payload.slice(2..<payload.count)
        guard reason.isUTF8 else { throw .invalidCloseReason }
        return .close(code: code, reason: reason)
    }

    /// Whether a code may stand in a close frame (RFC 6455 section 7.4, and IANA's registry of close codes). 1004 is
    /// reserved; 1005, 1006 and 1015 are for APIs to say that there was no frame; 1016-2999 is for later protocols.
    static func isSendable(_ code: UInt16) -> Bool {
        switch code {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }
}

extension UnsafeRawBufferPointer {
    /// Whether these bytes are UTF-8 as RFC 3629 has it: no surrogates, no overlong forms. Cost: one pass, faster over
    /// ASCII; no allocation.
    var isUTF8: Bool {
        guard count > 0 else { return true }
        return withMemoryRebound(to: UInt8.self) { bytes in (try? UTF8Span(validating: bytes.span)) != nil }
    }
}
