/// The kinds of frames (RFC 6455 section 5.2).
enum WebSocketOpcode: UInt8 {
    case continuation = 0x0
    case text = 0x1
    case binary = 0x2
    case close = 0x8
    case ping = 0x9
    case pong = 0xA

    @inline(__always)
    var isControl: Bool { rawValue & 0x8 != 0 }
}

/// The head of one client frame, taken byte by byte, so that it does not matter where reads cut it.
///
/// ```
/// byte 0              byte 1                 0, 2 or 8 bytes            4 bytes
/// FIN RSV RSV RSV ○○○○ │ MASK length or 126, 127 │ length, big-endian │ masking key
/// ```
///
/// What can be wrong with a frame by itself is found here, and at the first byte that shows it. What depends on the
/// frames before it, or on a limit, is the decoder's.
struct WebSocketFrameHead {
    /// A control frame's payload is at most so long (RFC 6455 section 5.5).
    static let controlBytesLimit = 125

    private(set) var opcode = WebSocketOpcode.continuation
    private(set) var isFinal = false
    private(set) var length: UInt64 = 0
    private(set) var mask = WebSocketMask()
    private(set) var received: UInt8 = 0
    /// All bytes of the head; the second byte tells.
    private var size: UInt8 = 14

    @inline(__always)
    var isComplete: Bool { received == size }

    /// Exactly once in every head, with the byte that completes ``length``.
    @inline(__always)
    var hasJustLearntLength: Bool { received > 1 && received == size - 4 }

    /// Takes the next byte; not to be called once ``isComplete``. Cost: about a nanosecond.
    @inline(__always)
    mutating func take(_ byte: UInt8) throws(WebSocketViolation) {
        switch received {
        case 0: try takeFirst(byte)
        case 1: try takeSecond(byte)
        case ..<(size - 4):
            length = length << 8 | UInt64(byte)
            // "The minimal number of bytes MUST be used": otherwise one frame would have several spellings.
            if received == size - 5, length < (size == 8 ? 126 : 65_536) { throw .nonMinimalLength }
        default:
            mask.setByte(Int(received - (size - 4)), byte)
        }
        received += 1
    }

    @inline(__always)
    private mutating func takeFirst(_ byte: UInt8) throws(WebSocketViolation) {
        // The reserved bits belong to extensions, and none is ever agreed.
        guard byte & 0x70 == 0 else { throw .reservedBits }
        guard let opcode = WebSocketOpcode(rawValue: byte & 0x0F) else { throw .reservedOpcode }
        self.opcode = opcode
        isFinal = byte & 0x80 != 0
        guard isFinal || !opcode.isControl else { throw .fragmentedControlFrame }
    }

    @inline(__always)
    private mutating func takeSecond(_ byte: UInt8) throws(WebSocketViolation) {
        guard byte & 0x80 != 0 else { throw .unmasked }
        let short = byte & 0x7F
        guard short <= Self.controlBytesLimit || !opcode.isControl else { throw .oversizedControlFrame }
        switch short {
        case 126: size = 8
        case 127: size = 14
        default:
            size = 6
            length = UInt64(short)
        }
    }
}
