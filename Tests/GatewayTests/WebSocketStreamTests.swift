import NIOCore
import NIOEmbedded
import NIOWebSocket
import Testing

@testable import Gateway

/// Streams of frames from a seeded generator, and what becomes of them.
@Suite struct WebSocketStreamTests {
    @Test func mutatedStreamsNeverTrapAndAnyCutReadsThemAlike() {
        for seed in 0..<500 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            var bytes = generator.clientStream()
            for _ in 0..<Int.random(in: 0...4, using: &generator) where !bytes.isEmpty {
                let place = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                case 1: bytes.remove(at: place)
                default: bytes.insert(.random(in: 0...255, using: &generator), at: place)
                }
            }
            var whole = WebSocketDecoder(messageBytesLimit: 3000)
            var cut = WebSocketDecoder(messageBytesLimit: 3000)
            #expect(whole.read(bytes) == cut.read(pieces: generator.pieces(of: bytes)), "seed \(seed)")
            #expect(whole.isInsideMessage == cut.isInsideMessage, "seed \(seed)")
            #expect(cut.bufferedBytes <= 6200, "seed \(seed)")
        }
    }

    /// swift-nio's decoder reads frames and checks less, so that it goes on where ours has stopped.
    @Test func whatIsReadIsWhatSwiftNIOReads() throws {
        for seed in 0..<500 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            var bytes = generator.clientStream()
            let isMutated = seed % 3 == 0 && !bytes.isEmpty
            if isMutated {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] ^=
                    1 << UInt8.random(in: 0..<8, using: &generator)
            }
            var decoder = WebSocketDecoder(messageBytesLimit: 1 << 20)
            var ours = decoder.read(pieces: generator.pieces(of: bytes))
            let theirs = try nioEvents(pieces: generator.pieces(of: bytes))
            if isMutated {
                if case .violation? = ours.last { ours.removeLast() }
                #expect(theirs.starts(with: ours), "seed \(seed)")
            } else {
                #expect(ours == theirs, "seed \(seed)")
                #expect(!ours.isEmpty, "seed \(seed)")
            }
        }
    }

    /// What swift-nio's frames make together.
    private func nioEvents(pieces: [[UInt8]]) throws -> [SeenEvent] {
        let channel = EmbeddedChannel(
            handler: ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: Int(UInt32.max))))
        for piece in pieces {
            do { try channel.writeInbound(ByteBuffer(bytes: piece)) } catch { break }
        }
        var events: [SeenEvent] = []
        var kind = NIOWebSocket.WebSocketOpcode.text
        var message: [UInt8] = []
        while let frame = try channel.readInbound(as: WebSocketFrame.self) {
            let payload = Array(frame.unmaskedData.readableBytesView)
            switch frame.opcode {
            case .ping: events.append(.ping(payload))
            case .pong: events.append(.pong)
            case .connectionClose:
                let code = payload.count >= 2 ? UInt16(payload[0]) << 8 | UInt16(payload[1]) : nil
                events.append(.close(code, Array(payload.dropFirst(2))))
            default:
                if frame.opcode != .continuation { kind = frame.opcode }
                message += payload
                if frame.fin {
                    events.append(kind == .text ? .text(message) : .binary(message))
                    message = []
                }
            }
        }
        _ = try? channel.finish()
        return events
    }
}

extension SeededGenerator {
    /// Some valid frames of a client: messages in fragments, control frames anywhere, sometimes a close at the end.
    fileprivate mutating func clientStream() -> [UInt8] {
        var stream: [UInt8] = []
        for _ in 0..<Int.random(in: 1...8, using: &self) {
            let isText = Bool.random(using: &self)
            let length = [0, 1, 5, 60, 125, 126, 700].randomElement(using: &self) ?? 0
            let payload =
                isText
                ? Array(String((0..<length / 4).map { _ in "aZ\0é€😀".randomElement(using: &self) ?? "a" }).utf8)
                : bytes(length)
            var rest = payload[...]
            var opcode: UInt8 = isText ? 1 : 2
            for _ in 0..<Int.random(in: 0...3, using: &self) {
                let part = rest.prefix(Int.random(in: 0...rest.count, using: &self))
                rest = rest.dropFirst(part.count)
                stream += clientFrame(opcode, part, final: false, mask: bytes(4)) + control()
                opcode = 0
            }
            stream += clientFrame(opcode, rest, mask: bytes(4)) + control()
        }
        if Bool.random(using: &self) { stream += clientFrame(8, [0x03, 0xE9] + Array("é".utf8), mask: bytes(4)) }
        return stream
    }

    private mutating func control() -> [UInt8] {
        guard Int.random(in: 0..<4, using: &self) == 0 else { return [] }
        let payload = bytes(Int.random(in: 0...125, using: &self))
        return clientFrame(Bool.random(using: &self) ? 9 : 10, payload, mask: bytes(4))
    }

    fileprivate mutating func pieces(of bytes: [UInt8]) -> [[UInt8]] {
        var pieces: [[UInt8]] = []
        var rest = bytes[...]
        let most = [1, 8, 100, 10_000].randomElement(using: &self) ?? 1
        while !rest.isEmpty {
            let piece = rest.prefix(Int.random(in: 0...most, using: &self))
            rest = rest.dropFirst(piece.count)
            pieces.append(Array(piece))
        }
        return pieces
    }
}
