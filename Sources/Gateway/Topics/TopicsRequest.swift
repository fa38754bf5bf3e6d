import CacheService
import Tenancy
import Topics

/// What the topics' door found in a request, beside what it keeps in ``RESTRequest``.
struct TopicsRequest {
    /// Where the topic's name lies in the request's arena, decoded.
    var topic = ByteRange()
    /// The next message wanted.
    var position = TopicPosition.fresh
    /// The request wants to leave HTTP for a WebSocket.
    var isWebSocket = false
    /// What its handshake says, unless that is at fault.
    var handshake: WebSocketHandshake?

    init() {}
}

extension TopicsRequest {
    /// Reads `/topics/{cache}/{topic}[?query]` from a request target, and notes in `rest` what is wrong with the
    /// parameters. Returns nil for any other path.
    init?(_ head: RequestHead, _ rest: inout RESTRequest) {
        let (path, query) = head.splitTarget()
        let prefix = 8  // "/topics/"
        guard path.count > prefix else { return nil }
        let start = path.range.lowerBound + prefix
        let end = path.range.upperBound
        guard let slash = head.arena[start..<end].firstIndex(of: 0x2F),
            !head.arena[(slash + 1)..<end].contains(0x2F)
        else { return nil }
        if let name = Percent.decode(ByteRange(start, slash), in: head) {
            rest.cacheName = name
        } else {
            rest.fail("cache", "is not properly percent-encoded")
        }
        if let name = Percent.decode(ByteRange(slash + 1, end), in: head) {
            topic = name
        } else {
            rest.fail("topic", "is not properly percent-encoded")
        }
        if let query { parseQuery(query, head, &rest) }
    }

    private mutating func parseQuery(_ query: ByteRange, _ head: RequestHead, _ rest: inout RESTRequest) {
        var scanner = QueryScanner(query)
        var hasSequence = false
        var hasPage = false
        while let (name, value) = scanner.next(in: head) {
            head.withQueryText(name, value) { name, text in
                if name.matches("sequence_number") {
                    if hasSequence { rest.fail("sequence_number", "must stand once") }
                    hasSequence = true
                    position.sequence = rest.number(text, "sequence_number")
                } else if name.matches("sequence_page") {
                    if hasPage { rest.fail("sequence_page", "must stand once") }
                    hasPage = true
                    position.page = rest.number(text, "sequence_page")
                }
            }
            rest.takeToken(name, value, head)
        }
    }

    /// The position that an event stream's `Last-Event-ID: PAGE:SEQUENCE` names: behind that event.
    static func position(ofLastEvent text: UnsafeRawBufferPointer) throws(MartletError) -> TopicPosition {
        guard let colon = text.firstIndex(of: 0x3A), let page = text.slice(0..<colon).decimal,
            let sequence = text.slice((colon + 1)..<text.count).decimal
        else { throw .invalidArgument(field: "last-event-id", reason: "must be PAGE:SEQUENCE") }
        return TopicPosition(sequence: sequence + 1, page: page)
    }
}

extension RequestHead {
    fileprivate func withQueryText(
        _ name: ByteRange, _ value: ByteRange, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void
    ) {
        withArena { bytes in body(bytes.slice(name.range), bytes.slice(value.range)) }
    }
}

extension RESTRequest {
    /// Notes the first thing that is wrong.
    mutating func fail(_ field: String, _ reason: String) {
        if fault == nil { fault = .invalidArgument(field: field, reason: reason) }
    }

    fileprivate mutating func number(_ text: UnsafeRawBufferPointer, _ field: String) -> UInt64 {
        guard let number = text.decimal else {
            fail(field, "must be a whole number that is not negative")
            return 0
        }
        return number
    }

    /// Takes the parameter `token`, where it is that.
    mutating func takeToken(_ name: ByteRange, _ value: ByteRange, _ head: RequestHead) {
        guard head.withArena({ $0.slice(name.range).matches("token") }) else { return }
        guard token == nil, let decoded = Percent.decode(value, in: head) else {
            fail("token", "must stand once and be properly percent-encoded")
            return
        }
        token = decoded
    }
}
