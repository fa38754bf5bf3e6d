/// What a client did that ends its WebSocket: RFC 6455 was broken, or a limit was passed.
enum WebSocketViolation: Error, Equatable, CaseIterable {
    case reservedBits
    case reservedOpcode
    case unmasked
    case fragmentedControlFrame
    case oversizedControlFrame
    case nonMinimalLength
    /// A continuation where no message is begun.
    case unexpectedContinuation
    /// A new message inside one that is not finished.
    case unfinishedMessage
    case messageTooLarge
    case tooManyFragments
    case invalidText
    /// A close frame of one byte: half a code.
    case truncatedCloseCode
    case invalidCloseCode
    case invalidCloseReason

    /// The code of the close frame that answers it (RFC 6455 section 7.4.1).
    var closeCode: UInt16 {
        switch self {
        case .reservedBits, .reservedOpcode, .unmasked, .fragmentedControlFrame, .oversizedControlFrame,
            .nonMinimalLength, .unexpectedContinuation, .unfinishedMessage, .truncatedCloseCode, .invalidCloseCode:
            1002
        case .invalidText, .invalidCloseReason: 1007
        // No rule of the protocol is broken by them, only ours.
        case .tooManyFragments: 1008
        case .messageTooLarge: 1009
        }
    }

    /// The reason in that close frame: at most 123 bytes, and nothing of what the client sent.
    var reason: String {
        switch self {
        case .reservedBits: "a reserved bit is set, and no extension was agreed"
        case .reservedOpcode: "the opcode is reserved"
        case .unmasked: "frames of a client must be masked"
        case .fragmentedControlFrame: "control frames must not be fragmented"
        case .oversizedControlFrame: "control frames carry at most 125 bytes"
        case .nonMinimalLength: "a length must be written in as few bytes as it needs"
        case .unexpectedContinuation: "there is no message to continue"
        case .unfinishedMessage: "the message before is not finished"
        case .messageTooLarge: "the message is too large"
        case .tooManyFragments: "the message has too many fragments"
        case .invalidText: "a text message must be UTF-8"
        case .truncatedCloseCode: "a close code has two bytes"
        case .invalidCloseCode: "the close code must not be sent"
        case .invalidCloseReason: "the reason of a close must be UTF-8"
        }
    }
}
