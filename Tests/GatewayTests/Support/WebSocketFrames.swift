@testable import Gateway

/// What a decoder gave, to be kept and compared.
enum SeenEvent: Equatable {
    case text([UInt8])
    case binary([UInt8])
    case ping([UInt8])
    case pong
    case close(UInt16?, [UInt8])
    case violation(WebSocketViolation)

    init(_ event: WebSocketEvent) {
        switch event {
        case .text(let bytes): self = .text(Array(bytes))
        case .binary(let bytes): self = .binary(Array(bytes))
        case .ping(let bytes): self = .ping(Array(bytes))
        case .pong: self = .pong
        case .close(let code, let reason): self = .close(code, Array(reason))
        }
    }

    static func text(_ text: String) -> SeenEvent { .text(Array(text.utf8)) }
    static func close(_ code: UInt16?, _ reason: String) -> SeenEvent { .close(code, Array(reason.utf8)) }
}

extension WebSocketDecoder {
    /// Feeds bytes and gives what came of them, a violation last.
    mutating func read(_ bytes: some Sequence<UInt8>, upTo count: Int = .max) -> [SeenEvent] {
        var seen: [SeenEvent] = []
        do throws(WebSocketViolation) {
            try Array(bytes).withUnsafeBufferPointer { bytes throws(WebSocketViolation) in
                try feed(UnsafeRawBufferPointer(bytes)) { event in
                    seen.append(SeenEvent(event))
                    return seen.count < count
                }
            }
        } catch {
            seen.append(.violation(error))
        }
        return seen
    }

    /// The same, in pieces.
    mutating func read(pieces: [[UInt8]]) -> [SeenEvent] {
        var seen: [SeenEvent] = []
        for piece in pieces {
            seen += read(piece)
            if case .violation? = seen.last { break }
        }
        return seen
    }
}

/// A frame as a client sends it.
func clientFrame(
    _ opcode: UInt8, _ payload: some Sequence<UInt8>, final: Bool = true, mask: [UInt8] = [0x37, 0xFA, 0x21, 0x3D]
) -> [UInt8] {
    let payload = Array(payload)
    var frame = [(final ? 0x80 : 0) | opcode]
    switch payload.count {
    case ...125: frame.append(0x80 | UInt8(payload.count))
    case ...65_535: frame += [0xFE] + bigEndian(UInt64(payload.count)).suffix(2)
    default: frame += [0xFF] + bigEndian(UInt64(payload.count))
    }
    frame += mask
    return frame + payload.enumerated().map { $1 ^ mask[$0 % 4] }
}

func clientText(_ text: String, final: Bool = true) -> [UInt8] { clientFrame(1, text.utf8, final: final) }

func bigEndian(_ number: UInt64) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { Array($0) }
}
