import NIOCore
import NIOEmbedded
import NIOWebSocket
import Testing

@testable import Gateway

private func written(_ write: (inout ByteBuffer) -> Void) -> [UInt8] {
    var buffer = ByteBuffer()
    write(&buffer)
    return Array(buffer.readableBytesView)
}

private func text(_ text: String) -> [UInt8] {
    written { buffer in Array(text.utf8).withUnsafeBytes { WebSocketEncoder.writeText($0, to: &buffer) } }
}

private func close(_ code: UInt16?, _ reason: String = "") -> [UInt8] {
    written { WebSocketEncoder.writeClose(code, reason: reason, to: &$0) }
}

/// A server's frames as a client would have sent them: with a masking key.
private func masked(_ frame: [UInt8], payloadBytes: Int) -> [UInt8] {
    let headBytes = frame.count - payloadBytes
    let mask: [UInt8] = [1, 2, 3, 4]
    var result = Array(frame[..<headBytes])
    result[1] |= 0x80
    return result + mask + frame[headBytes...].enumerated().map { $1 ^ mask[$0 % 4] }
}

@Suite struct WebSocketEncoderTests {
    /// RFC 6455 section 5.7.
    @Test func writesTheExamplesOfTheRFC() {
        #expect(text("Hello") == [0x81, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F])
        #expect(
            written { buffer in
                Array("Hello".utf8).withUnsafeBytes { WebSocketEncoder.writePong($0, to: &buffer) }
            } == [0x8A, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F])
    }

    @Test(
        arguments: [
            (0, [0x81, 0x00]), (125, [0x81, 0x7D]), (126, [0x81, 0x7E, 0x00, 0x7E]), (256, [0x81, 0x7E, 0x01, 0x00]),
            (65_535, [0x81, 0x7E, 0xFF, 0xFF]), (65_536, [0x81, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]),
            (1 << 40, [0x81, 0x7F, 0, 0, 1, 0, 0, 0, 0, 0]),
        ] as [(Int, [UInt8])])
    func aHeadIsAsShortAsItsLengthAllows(payloadBytes: Int, head: [UInt8]) {
        #expect(written { WebSocketEncoder.writeTextHead(payloadBytes: payloadBytes, to: &$0) } == head)
        #expect(WebSocketEncoder.headBytes(payloadBytes: payloadBytes) == head.count)
    }

    @Test(arguments: [0, 1, 124, 125, 126, 127, 65_534, 65_535, 65_536, 100_000])
    func whatIsWrittenIsReadBack(length: Int) throws {
        let payload = String(repeating: "x", count: length)
        let frame = text(payload)
        var decoder = WebSocketDecoder(messageBytesLimit: 1 << 20)
        #expect(decoder.read(masked(frame, payloadBytes: length)) == [.text(payload)])
        let theirs = try #require(try nioFrame(frame))
        #expect(theirs.fin && theirs.opcode == .text && theirs.maskKey == nil)
        #expect(Array(theirs.data.readableBytesView) == Array(payload.utf8))
    }

    @Test func aPongHasAtMostTheBytesOfAPing() {
        for length in [0, 125, 126, 1000] {
            let payload = [UInt8](repeating: 7, count: length)
            let frame = written { buffer in payload.withUnsafeBytes { WebSocketEncoder.writePong($0, to: &buffer) } }
            let kept = min(length, 125)
            #expect(frame == [0x8A, UInt8(kept)] + payload.prefix(kept))
        }
    }

    @Test func aCloseHasItsCodeAndReason() throws {
        #expect(close(nil) == [0x88, 0])
        #expect(close(nil, "left out") == [0x88, 0])
        #expect(close(1001) == [0x88, 2, 0x03, 0xE9])
        #expect(close(4401, "expired") == [0x88, 9, 0x11, 0x31] + Array("expired".utf8))
        var theirs = try #require(try nioFrame(close(4401, "expired"))).data
        #expect(theirs.readWebSocketErrorCode() == .unknown(4401))
        #expect(String(buffer: theirs) == "expired")
    }

    @Test func aReasonIsCutAfterAWholeScalar() {
        // One to four bytes a scalar, and an emoji of several scalars, at every distance from the limit.
        for scalar in ["x", "é", "€", "😀", "👩‍👩‍👧‍👦"] {
            for lead in 115...125 {
                let reason = String(repeating: "a", count: lead) + String(repeating: scalar, count: 40)
                let frame = close(1008, reason)
                let kept = frame.dropFirst(4)
                #expect(frame.count <= 127)
                #expect(Int(frame[1]) == frame.count - 2)
                #expect(reason.utf8.starts(with: kept))
                // No more than the rest of one scalar is given up.
                #expect(kept.count > WebSocketEncoder.reasonBytesLimit - 4)
                var decoder = WebSocketDecoder(messageBytesLimit: 0)
                #expect(
                    decoder.read(masked(frame, payloadBytes: frame.count - 2)) == [.close(1008, Array(kept))])
            }
        }
        let most = String(repeating: "m", count: 123)
        #expect(close(1000, most).count == 127)
        #expect(close(1000, most + "m") == close(1000, most))
    }

    private func nioFrame(_ bytes: [UInt8]) throws -> WebSocketFrame? {
        let channel = EmbeddedChannel(handler: ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: 1 << 20)))
        try channel.writeInbound(ByteBuffer(bytes: bytes))
        let frame = try channel.readInbound(as: WebSocketFrame.self)
        #expect(try channel.finish().isClean)
        return frame
    }
}
