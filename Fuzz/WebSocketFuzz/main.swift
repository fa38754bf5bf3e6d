import NIOCore

@testable import Gateway

/// Whatever a socket can carry as frames of a WebSocket client, and as the fields of its handshake.
///
/// The first byte chooses the limit, the second where the input is cut. Besides not trapping: bytes in one piece, bytes
/// in pieces, and bytes of which one event at a time is read give the same; what is handed out keeps to its kind and
/// limit; memory is bounded, and given back at the end of a message.
@_cdecl("LLVMFuzzerTestOneInput")
package func fuzzWebSocket(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    guard count >= 2 else { return 0 }
    let limit = [0, 1, 125, 1000, 70_000][Int(input[0]) % 5]
    let stream = input.slice(2..<count)

    var whole = Reading(limit: limit, eventsAtOnce: .max)
    whole.feed(stream)
    var pieces = Reading(limit: limit, eventsAtOnce: .max)
    var oneByOne = Reading(limit: limit, eventsAtOnce: 1)
    let size = Int(input[1]) % 67 + 1
    for place in stride(from: 0, to: stream.count, by: size) {
        let piece = stream.slice(place..<min(stream.count, place + size))
        pieces.feed(piece)
        precondition(pieces.decoder.bufferedBytes <= 2 * limit + 512)
        oneByOne.feed(piece)
    }
    while oneByOne.decoder.hasUnread { oneByOne.feed(UnsafeRawBufferPointer(start: nil, count: 0)) }
    precondition(whole.events == pieces.events && whole.events == oneByOne.events)
    precondition(whole.decoder.isInsideMessage == pieces.decoder.isInsideMessage)
    precondition(whole.decoder.isInsideMessage || whole.decoder.bufferedBytes == 0)

    // The same bytes as lines of fields, a name and a value each.
    let head = RequestHead()
    if input[0] & 1 == 0 { Array("websocket".utf8).withUnsafeBytes { head.setProtocol($0) } }
    for line in stream.split(separator: 0x0A) {
        let parts = line.split(separator: 0x3A, maxSplits: 1)
        if let name = parts.first {
            head.add(
                name: UnsafeRawBufferPointer(rebasing: name),
                value: UnsafeRawBufferPointer(rebasing: parts.count > 1 ? parts[1] : name.prefix(0)), limit: 4096)
        }
    }
    _ = WebSocketHandshake.isUpgrade(head)
    if let handshake = try? WebSocketHandshake(head) {
        precondition((handshake.accept == nil) == head.isWebSocketConnect)
        if let credential = handshake.credential {
            precondition(handshake.protocolToEcho != nil && !credential.isEmpty)
            precondition(head.arena[credential.range].allSatisfy(\.isTokenCharacter))
        }
    }

    var close = ByteBuffer()
    WebSocketEncoder.writeClose(1008, reason: String(decoding: stream, as: UTF8.self), to: &close)
    precondition(close.readableBytes <= 127)
    let reason = close.readableBytesView.dropFirst(4)
    precondition(String(validating: reason, as: UTF8.self) != nil)
    return 0
}

/// One decoder, and what it gave.
private struct Reading {
    var decoder: WebSocketDecoder
    var events: [String] = []
    let eventsAtOnce: Int

    init(limit: Int, eventsAtOnce: Int) {
        decoder = WebSocketDecoder(messageBytesLimit: limit)
        self.eventsAtOnce = eventsAtOnce
    }

    mutating func feed(_ bytes: UnsafeRawBufferPointer) {
        if events.last?.hasPrefix("violation") == true { return }
        let limit = decoder.messageBytesLimit
        var seen: [String] = []
        do {
            try decoder.feed(bytes) { event in
                switch event {
                case .text(let text):
                    precondition(text.count <= limit)
                    precondition(String(validating: text, as: UTF8.self) != nil)
                    seen.append("text \(Array(text))")
                case .binary(let bytes):
                    precondition(bytes.count <= limit)
                    seen.append("binary \(Array(bytes))")
                case .ping(let bytes):
                    precondition(bytes.count <= WebSocketFrameHead.controlBytesLimit)
                    seen.append("ping \(Array(bytes))")
                case .pong: seen.append("pong")
                case .close(let code, let reason):
                    if let code { precondition(WebSocketEvent.isSendable(code)) }
                    precondition(reason.count <= WebSocketEncoder.reasonBytesLimit)
                    precondition(String(validating: reason, as: UTF8.self) != nil)
                    seen.append("close \(String(describing: code)) \(Array(reason))")
                }
                return seen.count < eventsAtOnce
            }
        } catch {
            precondition(decoder.bufferedBytes == 0 && !decoder.isInsideMessage)
            seen.append("violation \(error)")
        }
        events += seen
    }
}
