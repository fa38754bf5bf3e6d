import Access
import Foundation
import Tenancy
import Testing

@testable import Gateway

/// One thing that a subscriber was told: a frame, an event, or an entry of a long poll's list.
struct Told: Equatable {
    /// `item`, `heartbeat`, `discontinuity`, `error`, `published` and so on; `close` and `pong` for those frames.
    var name: String
    /// The subscription's id, or the id of the event.
    var id: String?
    var body: JSONValue = .null
    /// The code of a close frame, where it has one.
    var code: UInt16?

    var text: String? { body["value"]?["text"]?.string }
    var sequence: UInt64? { body["topic_sequence_number"]?.unsignedInteger }
    var errorCode: String? { name == "error" ? body["code"]?.string : nil }
}

/// A subscriber of some form over some version of HTTP, as its client sees it.
final class Subscriber {
    enum Form: CaseIterable { case webSocket, stream, events, poll }
    enum Version: CaseIterable { case http1, http2 }

    let form: Form
    let version: Version
    let stage: TopicStage
    let connection: TestConnection
    private let pair: HTTP2Pair?
    private(set) var stream: Int32 = 0
    /// HTTP/1.1: everything that came, the body or the frames of it, and where what is not among them yet begins.
    private var bytes: [UInt8] = []
    private var content: [UInt8] = []
    private var contentEnd = 0
    /// What was read of the content.
    private var read: [Told] = []
    private var toldEnd = 0
    private var takenCount = 0

    /// Connects and subscribes; of a ``Form/stream``, to the one topic under the id `a`.
    ///
    /// - Parameters:
    ///   - pair: An HTTP/2 connection to share with others.
    ///   - credential: The root key where none is given; an empty one is left out.
    init(
        _ stage: TopicStage, _ form: Form, _ version: Version, on pair: HTTP2Pair? = nil, topic: String = "news",
        cache: String = "shop", query: String = "", fields: [(name: String, value: String)] = [],
        credential: String? = nil
    ) throws {
        self.stage = stage
        self.form = form
        self.version = version
        let path = (form == .stream ? "/v1/stream" : "/topics/\(cache)/\(topic)") + query
        let shown = credential ?? stage.fixture.rootKey
        let all = (shown.isEmpty ? [] : [(name: "authorization", value: shown)]) + fields
        switch version {
        case .http1:
            self.pair = nil
            connection = try TestConnection(stage.fixture)
            connection.send(Self.head(form, path, all))
        case .http2:
            let pair = try pair ?? HTTP2Pair(stage.fixture)
            self.pair = pair
            connection = pair.connection
            switch form {
            case .webSocket, .stream:
                stream = pair.client.request(
                    "CONNECT", path, [(":protocol", "websocket")] + all, body: [], isComplete: false)
            case .events: stream = pair.client.request("GET", path, all + [("accept", "text/event-stream")])
            case .poll: stream = pair.client.request("GET", path, all)
            }
        }
        pump()
        if form == .stream, status == 101 || status == 200 {
            send("{\"subscribe\":{\"id\":\"a\",\"cache\":\"\(cache)\",\"topic\":\"\(topic)\"}}")
        }
    }

    static func head(_ form: Form, _ path: String, _ fields: [(name: String, value: String)]) -> String {
        var lines = fields.map { "\($0.name): \($0.value)" }
        switch form {
        case .webSocket, .stream:
            lines += [
                "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            ]
        case .events: lines.append("Accept: text/event-stream")
        case .poll: break
        }
        return HTTP1Text.request("GET", path, lines)
    }

    // MARK: Out

    /// Sends a text frame.
    func send(_ text: String) {
        send(clientText(text))
    }

    /// Sends bytes of a WebSocket.
    func send(_ frames: [UInt8]) {
        if let pair {
            pair.client.upload(frames, on: stream, isLast: false)
        } else {
            connection.send(frames)
        }
        pump()
    }

    func sendClose(_ code: UInt16 = 1000) {
        send(clientFrame(8, bigEndian(UInt64(code)).suffix(2)))
    }

    /// The client goes away without a word.
    func vanish() {
        if let pair {
            pair.client.reset(stream)
        } else {
            connection.abort()
        }
        pump()
    }

    /// Carries bytes until nothing moves.
    func pump() {
        if let pair {
            pair.exchange()
            stage.settle()
            pair.exchange()
        } else {
            connection.deliver()
            stage.settle()
            bytes += connection.receive()
            takeContent()
        }
        takeTold()
    }

    // MARK: In

    var status: Int {
        pump()
        return headStatus
    }

    private var headStatus: Int {
        if let pair { return pair.response(stream).status }
        let text = String(decoding: bytes.prefix(12), as: UTF8.self)
        return Int(text.suffix(3)) ?? 0
    }

    /// What has come of the body, or of the frames.
    var body: [UInt8] {
        pump()
        return pair?.response(stream).body ?? content
    }

    /// Takes apart what came on a connection of HTTP/1.1.
    private func takeContent() {
        if contentEnd == 0 {
            guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound else { return }
            contentEnd = end
        }
        guard form == .events, bytes.starts(with: Array("HTTP/1.1 200".utf8)) else {
            content += bytes[contentEnd...]
            contentEnd = bytes.count
            return
        }
        while let line = bytes[contentEnd...].firstRange(of: [13, 10]),
            let count = Int(String(decoding: bytes[contentEnd..<line.lowerBound], as: UTF8.self), radix: 16),
            bytes.count >= line.upperBound + count + 2
        {
            content += bytes[line.upperBound..<line.upperBound + count]
            contentEnd = line.upperBound + count + 2
        }
    }

    /// Whether the response, or the WebSocket with what carried it, is over.
    var isEnded: Bool {
        pump()
        if let pair { return pair.response(stream).closeCode != nil || !pair.connection.isOpen }
        switch form {
        case .webSocket, .stream: return !connection.isOpen
        case .events: return bytes.suffix(5) == Array("0\r\n\r\n".utf8)[...] || !connection.isOpen
        case .poll: return !HTTP1Reply.all(in: bytes, isClosed: !connection.isOpen).replies.isEmpty
        }
    }

    /// The code with which the HTTP/2 stream was closed.
    var streamCode: UInt32? { pair?.response(stream).closeCode }

    /// What came since the last call.
    func take() -> [Told] {
        pump()
        defer { takenCount = read.count }
        return Array(read.dropFirst(takenCount))
    }

    /// All that came.
    var told: [Told] {
        pump()
        return read
    }

    private func takeTold() {
        let all = pair?.response(stream).body ?? content
        guard all.count > toldEnd else { return }
        switch form {
        case .webSocket, .stream:
            guard headStatus == 101 || headStatus == 200 else { return }
            let (frames, count) = Self.readFrames(all[toldEnd...])
            read += frames
            toldEnd += count
        case .events:
            guard headStatus == 200, let end = all[toldEnd...].lastRange(of: [10, 10])?.upperBound else { return }
            read += Self.events(all[toldEnd..<end])
            toldEnd = end
        case .poll:
            read = Self.entries(all)
        }
    }

    /// The texts of all messages that came.
    var texts: [String] { told.compactMap(\.text) }

    private static func object(_ bytes: some Sequence<UInt8>) -> JSONValue {
        let bytes = Data(bytes)
        // The library's, which is quick in a build without optimisation too.
        let value = try? JSONDecoder().decode(AnyJSON.self, from: bytes).value
        return value ?? .string("not JSON: \(String(decoding: bytes, as: UTF8.self))")
    }

    static func frames(_ bytes: [UInt8]) -> [Told] {
        readFrames(bytes[...]).told
    }

    /// The whole frames at the beginning of `bytes`, and how many bytes they have.
    private static func readFrames(_ bytes: ArraySlice<UInt8>) -> (told: [Told], count: Int) {
        var told: [Told] = []
        var rest = bytes
        while rest.count >= 2 {
            let opcode = rest[rest.startIndex]
            var count = Int(rest[rest.startIndex + 1])
            var head = 2
            if count >= 126 {
                head = count == 126 ? 4 : 10
                guard rest.count >= head else { break }
                count = rest.prefix(head).dropFirst(2).reduce(0) { $0 << 8 | Int($1) }
            }
            guard rest.count >= head + count else { break }
            told.append(frame(opcode, rest.dropFirst(head).prefix(count)))
            rest = rest.dropFirst(head + count)
        }
        return (told, bytes.count - rest.count)
    }

    private static func frame(_ opcode: UInt8, _ payload: ArraySlice<UInt8>) -> Told {
        switch opcode {
        case 0x81: return frame(object(payload))
        case 0x88:
            let code = payload.count >= 2 ? payload.prefix(2).reduce(0) { $0 << 8 | UInt16($1) } : nil
            return Told(name: "close", body: .string(String(decoding: payload.dropFirst(2), as: UTF8.self)), code: code)
        case 0x8A: return Told(name: "pong", body: .string(String(decoding: payload, as: UTF8.self)))
        default: return Told(name: "opcode \(opcode)")
        }
    }

    private static func frame(_ value: JSONValue) -> Told {
        guard let members = value.object else { return Told(name: "no object", body: value) }
        let others = members.filter { $0.name != "id" }
        guard others.count == 1 else { return Told(name: "\(others.count) members", body: value) }
        return Told(name: others[0].name, id: value["id"]?.string, body: others[0].value)
    }

    private static func events(_ bytes: ArraySlice<UInt8>) -> [Told] {
        var told: [Told] = []
        let blocks = String(decoding: bytes, as: UTF8.self).split(separator: "\n\n")
        for block in blocks {
            var event = Told(name: "")
            for line in block.split(separator: "\n", omittingEmptySubsequences: false) {
                let parts = line.split(separator: ": ", maxSplits: 1)
                guard parts.count == 2 else { return told + [Told(name: "a line \(line)")] }
                switch parts[0] {
                case "event": event.name = String(parts[1])
                case "id": event.id = String(parts[1])
                default: event.body = object(parts[1].utf8)
                }
            }
            told.append(event)
        }
        return told
    }

    private static func entries(_ bytes: [UInt8]) -> [Told] {
        guard !bytes.isEmpty else { return [] }
        let value = object(bytes)
        guard let items = value["items"]?.array else { return [Told(name: "error", body: value)] }
        return items.map(frame)
    }
}

extension Subscriber: CustomReflectable {
    var customMirror: Mirror { Mirror(self, children: []) }
}

/// Any JSON value as Foundation reads it.
private struct AnyJSON: Decodable {
    let value: JSONValue

    private struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    init(from decoder: any Decoder) throws {
        if let members = try? decoder.container(keyedBy: Name.self) {
            value = .object(
                try members.allKeys.map { .init($0.stringValue, try members.decode(AnyJSON.self, forKey: $0).value) })
        } else if var elements = try? decoder.unkeyedContainer() {
            var array: [JSONValue] = []
            while !elements.isAtEnd { array.append(try elements.decode(AnyJSON.self).value) }
            value = .array(array)
        } else {
            let single = try decoder.singleValueContainer()
            if single.decodeNil() {
                value = .null
            } else if let text = try? single.decode(String.self) {
                value = .string(text)
            } else if let number = try? single.decode(UInt64.self) {
                value = .number(String(number))
            } else {
                value = .boolean(try single.decode(Bool.self))
            }
        }
    }
}
