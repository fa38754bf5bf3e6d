import Access
import CacheService
import NIOCore
import Tenancy
import Topics

/// The topics of caches, under `/topics/{cache}/{topic}`: POST publishes, GET subscribes, in the form that the request
/// asks for.
///
/// ```
/// GET  Upgrade: websocket, or extended CONNECT   a WebSocket   (``TopicSocket``)
///      Accept: text/event-stream                 events        (``EventStream``)
///      else                                      a long poll   (``LongPoll``)
/// ```
///
/// The order of refusals is that of the REST door: identify (401), permit (403), cache exists (404), parameters (400),
/// limits (413, 429).
final class TopicsDoor: HTTPDoor {
    static let prefix: StaticString = "/topics/"
    private static let methods = "GET, POST, OPTIONS"

    func receiveHead(_ exchange: Exchange) {
        exchange.rest.allowsAnyOrigin = exchange.request.has(.origin)
        guard let topics = TopicsRequest(exchange.request, &exchange.rest) else {
            exchange.respond(error: .notFound("Path"))
            return
        }
        exchange.topics = topics
        switch exchange.request.method {
        case .options:
            preflight(exchange)
        case .connect where exchange.request.isWebSocketConnect:
            identify(exchange, carried: exchange.readHandshake())
        case .get where WebSocketHandshake.isUpgrade(exchange.request):
            identify(exchange, carried: exchange.readHandshake())
        case .get, .post:
            identify(exchange, carried: nil)
        default:
            exchange.respond(error: .methodNotAllowed(allowed: Self.methods))
        }
    }

    func resume(_ exchange: Exchange) {
        exchange.rest.reset()
        receiveHead(exchange)
    }

    func receiveEnd(_ exchange: Exchange) {
        guard let caller = exchange.rest.caller, let opened = exchange.rest.opened else { return }
        // A body may have taken its time: who was let in then may be shut out now.
        if let fault = exchange.lane.service.fault(of: caller) {
            exchange.refuse(fault)
            return
        }
        do throws(MartletError) {
            let grant = try permit(exchange, caller, .publish, .rest)
            guard grant.isForSameCache(as: opened) else { throw .cacheNotFound }
            try publish(exchange, grant, caller)
        } catch {
            exchange.respond(error: error)
        }
    }

    /// - Parameter carried: the credential of a WebSocket's handshake, where it has one.
    private func identify(_ exchange: Exchange, carried: ByteRange?) {
        guard let credential = exchange.presentedCredential(alternative: carried) else { return }
        exchange.lane.identify(exchange, credential) { exchange, caller in self.open(exchange, caller) }
    }

    // MARK: Permit

    private func open(_ exchange: Exchange, _ caller: LaneCaller) {
        exchange.rest.caller = caller
        do throws(MartletError) {
            let isPublishing = exchange.request.method == .post
            let door: Door = exchange.topics?.isWebSocket ?? false ? .webSocket : .rest
            let grant = try permit(exchange, caller, isPublishing ? .publish : .subscribe, door)
            exchange.rest.opened = grant
            let name: TopicName
            do throws(MartletError) {
                if let fault = exchange.rest.fault { throw fault }
                name = try topicName(exchange)
            } catch {
                throw exchange.lane.service.refused(grant, door, error)
            }
            if isPublishing {
                try admitBody(exchange, grant)
            } else {
                try subscribe(exchange, grant, caller, name, door)
            }
        } catch {
            exchange.respond(error: error)
        }
    }

    private func permit(
        _ exchange: Exchange, _ caller: LaneCaller, _ operation: CacheOperation, _ door: Door
    ) throws(MartletError) -> CacheGrant {
        let cacheName = exchange.rest.cacheName.range
        let topic = exchange.topics?.topic.range ?? 0..<0
        return try exchange.request.withArena { bytes throws(MartletError) in
            try exchange.lane.service.permit(
                caller, cacheName: bytes.slice(cacheName), operation: operation,
                key: bytes.slice(topic), door: door, on: exchange.transport.peer.claims)
        }
    }

    private func topicName(_ exchange: Exchange) throws(MartletError) -> TopicName {
        let range = exchange.topics?.topic.range ?? 0..<0
        let text = exchange.request.withArena { String(validating: $0.slice(range), as: UTF8.self) }
        guard let text else { throw .invalidArgument(field: "topic", reason: "must be UTF-8") }
        return try TopicName(text)
    }

    // MARK: Publish

    private func admitBody(_ exchange: Exchange, _ grant: CacheGrant) throws(MartletError) {
        let service = exchange.lane.service
        let length = exchange.request.withValue(.contentLength) { $0.decimal } ?? nil
        let coding: ContentCoding
        do throws(MartletError) {
            coding = try exchange.request.contentCoding()
        } catch {
            throw service.refused(grant, .rest, error)
        }
        let limit = try service.messageLimit(
            grant, .rest, declared: length.map(Int.init(clamping:)), coding: coding)
        exchange.rest.sizeLimit = (.maxMessageBytes, UInt64(limit.messageBytes))
        exchange.collectBody(limit: limit.bodyBytes)
    }

    private func publish(_ exchange: Exchange, _ grant: CacheGrant, _ caller: LaneCaller) throws(MartletError) {
        let service = exchange.lane.service
        let coding = try exchange.request.contentCoding()
        let result = exchange.requestBody.withUnsafeReadableBytes { body in
            Result { () throws(MartletError) in
                switch coding {
                case .identity:
                    try publish(exchange, grant, caller, body, bodyBytes: body.count)
                case .zstd:
                    let message = try service.unpackMessage(grant, .rest, body)
                    try message.withUnsafeBufferPointer { (message) throws(MartletError) in
                        try publish(
                            exchange, grant, caller, UnsafeRawBufferPointer(message), bodyBytes: body.count)
                    }
                }
            }
        }
        try result.get()
        var head = ResponseHead(status: 204)
        head.allowsAnyOrigin = exchange.rest.allowsAnyOrigin
        exchange.respond(head)
    }

    /// - Parameter bodyBytes: the length of the form in which the message came.
    private func publish(
        _ exchange: Exchange, _ grant: CacheGrant, _ caller: LaneCaller, _ message: UnsafeRawBufferPointer,
        bodyBytes: Int
    ) throws(MartletError) {
        let kind = exchange.request.withValue(.contentType, Self.kind(of:)) ?? .text
        let service = exchange.lane.service
        if kind == .text, !message.isUTF8 {
            throw service.refused(grant, .rest, .malformed("a message of a text type must be UTF-8"))
        }
        _ = try service.publish(
            grant, .rest, caller, topic: try topicName(exchange), kind: kind, bytes: message, bodyBytes: bodyBytes)
    }

    /// Text, and what command lines send without being asked, is text; everything else is binary.
    private static func kind(of contentType: UnsafeRawBufferPointer) -> TopicValueKind {
        let type = contentType.prefix { $0 != 0x3B && $0 != 0x20 }
        let bytes = UnsafeRawBufferPointer(rebasing: type)
        let isText =
            (bytes.count >= 5 && bytes.slice(0..<5).matchesIgnoringCase("text/"))
            || bytes.matchesIgnoringCase("application/x-www-form-urlencoded")
            || bytes.matchesIgnoringCase("application/json") || bytes.isEmpty
        return isText ? .text : .binary
    }

    // MARK: Subscribe

    private func subscribe(
        _ exchange: Exchange, _ grant: CacheGrant, _ caller: LaneCaller, _ name: TopicName, _ door: Door
    ) throws(MartletError) {
        guard let topics = exchange.topics else { return }
        let service = exchange.lane.service
        guard !exchange.lane.isDraining else {
            throw service.refused(grant, door, .unavailable("the server is being stopped"))
        }
        if let handshake = topics.handshake {
            let socket = TopicSocket(exchange.lane, grant, caller, name)
            try socket.subscribe(from: topics.position)
            exchange.upgrade(handshake, socket)
        } else if exchange.request.withValue(.accept, { $0.lists("text/event-stream") }) ?? false {
            let stream = EventStream(exchange)
            let position = try lastEvent(exchange, grant) ?? topics.position
            let subscription = try service.subscribe(grant, .rest, caller, topic: name, from: position, sink: stream)
            stream.begin(exchange, subscription)
        } else if exchange.transport.isCrowded {
            // Its answer may be a large one.
            exchange.transport.park(exchange)
        } else {
            let poll = LongPoll(exchange)
            let subscription = try service.subscribe(
                grant, .rest, caller, topic: name, from: topics.position, sink: poll)
            poll.begin(exchange, subscription)
        }
    }

    private func lastEvent(_ exchange: Exchange, _ grant: CacheGrant) throws(MartletError) -> TopicPosition? {
        do throws(MartletError) {
            guard let range = try exchange.request.single("last-event-id"), !range.isEmpty else { return nil }
            return try exchange.request.withArena { (bytes) throws(MartletError) in
                try TopicsRequest.position(ofLastEvent: bytes.slice(range.range))
            }
        } catch {
            throw exchange.lane.service.refused(grant, .rest, error)
        }
    }

    // MARK: CORS

    private func preflight(_ exchange: Exchange) {
        var head = ResponseHead(status: 204)
        head.allowsAnyOrigin = true
        head.extra = [
            ("allow", Self.methods),
            ("access-control-allow-methods", Self.methods),
            ("access-control-allow-headers", "authorization, content-encoding, content-type, last-event-id"),
            ("access-control-max-age", "86400"),
        ]
        exchange.respond(head)
    }
}

extension UnsafeRawBufferPointer {
    /// Whether a media type stands in this `accept` field, whatever its parameters.
    func lists(_ mediaType: StaticString) -> Bool {
        split(separator: 0x2C).contains { member in
            let type = member.drop { $0 == 0x20 || $0 == 0x09 }.prefix { $0 != 0x3B && $0 != 0x20 && $0 != 0x09 }
            return UnsafeRawBufferPointer(rebasing: type).matchesIgnoringCase(mediaType)
        }
    }
}
