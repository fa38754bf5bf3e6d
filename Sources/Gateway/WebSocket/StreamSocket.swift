import Access
import CacheService
import NIOCore
import Tenancy
import Topics

/// A WebSocket for many topics of many caches, under `/v1/stream`: each subscription has an id of the client's choice,
/// which stands in every frame about it.
final class StreamSocket: WebSocketApplication {
    /// Subscriptions of one socket.
    static let mostSubscriptions = 4096

    let lane: GatewayLane
    private var caller: LaneCaller
    private(set) var session: WebSocketSession?
    /// By the bytes of their ids: texts that are only equal in the eyes of Unicode are different ids.
    private var subscriptions: [[UInt8]: StreamSubscription] = [:]
    /// Those that had to wait while the client took nothing, in the order in which they go on: a topic that never
    /// stops does not keep the others from their turn.
    private var waiting: [StreamSubscription] = []
    /// On the lane's ``GatewayLane/uptimeMilliseconds``.
    private var heartbeatAt: Int64

    init(_ lane: GatewayLane, _ caller: LaneCaller) {
        self.lane = lane
        self.caller = caller
        heartbeatAt = lane.uptimeMilliseconds
    }

    // MARK: WebSocketApplication

    func begin(_ session: WebSocketSession) {
        self.session = session
        session.send(json: ServerFrame.heartbeat)
    }

    /// The longest that any cache of the tenant takes: which cache a message is for stands in it.
    var messageBytesLimit: Int {
        WebSocketSession.frameBytes(forMessagesOf: lane.service.messageBytesDefault(for: caller))
    }

    func receive(_ text: UnsafeRawBufferPointer) {
        var id: String?
        do throws(MartletError) {
            if let fault = lane.service.fault(of: caller) {
                session?.end(fault)
                return
            }
            switch try ClientFrame(text, namesTopics: true) {
            case .subscribe(let name, let cache, let topic, let position):
                id = name
                try subscribe(name, cache, topic, position)
            case .unsubscribe(let name):
                id = name
                try unsubscribe(name)
            case .publish(let message):
                id = message.id
                try publish(message)
            case .authenticate(let token):
                authenticate(token)
            }
        } catch {
            session?.refuse(error, id: id.map(ServerFrame.quoted))
        }
    }

    private func subscribe(
        _ id: String, _ cache: String, _ topic: String, _ position: TopicPosition
    ) throws(MartletError) {
        let grant = try lane.permit(caller, cacheName: Array(cache.utf8), topic: topic, .subscribe, session?.peer)
        let subscription = StreamSubscription(self, id)
        do throws(MartletError) {
            guard subscriptions[subscription.key] == nil else { throw .alreadyExists("Subscription '\(id)'") }
            guard subscriptions.count < Self.mostSubscriptions else {
                throw .countLimited(limit: .maxSubscriptions, value: UInt64(Self.mostSubscriptions))
            }
            guard !lane.isDraining else { throw .unavailable("the server is being stopped") }
            subscription.name = try TopicName(topic)
        } catch {
            throw lane.service.refused(grant, .webSocket, error)
        }
        guard let name = subscription.name else { return }
        let opened = try lane.service.subscribe(
            grant, .webSocket, caller, topic: name, from: position, sink: subscription)
        subscription.subscription = opened
        subscriptions[subscription.key] = subscription
        session?.send(json: ServerFrame.json("subscribed", id: subscription.id))
        opened.resume()
    }

    private func unsubscribe(_ id: String) throws(MartletError) {
        guard let subscription = subscriptions.removeValue(forKey: Array(id.utf8)) else {
            throw .notFound("Subscription '\(id)'")
        }
        subscription.subscription?.cancel()
        session?.send(json: ServerFrame.json("unsubscribed", id: subscription.id))
    }

    private func publish(_ message: ClientFrame.Publish) throws(MartletError) {
        let subscription = message.id.flatMap { subscriptions[Array($0.utf8)]?.subscription }
        let cache: [UInt8]
        let name: TopicName
        switch (message.cache, message.topic) {
        case (let given?, let topic?):
            cache = Array(given.utf8)
            // Whoever may not publish there is told that first.
            _ = try lane.permit(caller, cacheName: cache, topic: topic, .publish, session?.peer)
            name = try TopicName(topic)
        case (nil, nil):
            guard let subscription else {
                throw .invalidArgument(field: "cache", reason: "is required where id names no subscription")
            }
            cache = subscription.cacheName
            name = subscription.topic
        case (nil, .some):
            throw .invalidArgument(field: "cache", reason: "is required beside topic")
        case (.some, nil):
            throw .invalidArgument(field: "topic", reason: "is required beside cache")
        }
        let position = try lane.publish(caller, cacheName: cache, topic: name, message, session?.peer)
        session?.send(json: ServerFrame.published(position, id: message.id.map(ServerFrame.quoted)))
    }

    private func authenticate(_ token: String) {
        session?.authenticate(token) { [self] result in
            do throws(MartletError) {
                let renewed = try result.get()
                guard renewed.caller.tenant == caller.caller.tenant else {
                    throw .permissionDenied("a stream goes on under its own tenant only")
                }
                caller = renewed
                session?.send(json: ServerFrame.authenticated(expiresAt: renewed.caller.expiresAt))
                for subscription in subscriptions.values { renew(subscription, renewed) }
            } catch {
                session?.send(error: error)
            }
        }
    }

    private func renew(_ subscription: StreamSubscription, _ renewed: LaneCaller) {
        do throws(MartletError) {
            try subscription.subscription?.renew(renewed)
        } catch {
            subscription.subscription?.cancel()
            ended(subscription, error)
        }
    }

    func sessionIsReady() {
        var turns: [StreamSubscription] = []
        swap(&turns, &waiting)
        var index = 0
        while index < turns.count, session?.isReady ?? false {
            turns[index].isWaiting = false
            turns[index].subscription?.resume()
            index += 1
        }
        // Behind them stands who has to wait anew.
        waiting = turns[index...] + waiting
    }

    fileprivate func isReady(for subscription: StreamSubscription) -> Bool {
        guard let session else { return false }
        if session.isReady { return true }
        if !subscription.isWaiting {
            subscription.isWaiting = true
            waiting.append(subscription)
        }
        return false
    }

    func tick(now: Timestamp) {
        if let fault = lane.service.fault(of: caller) {
            session?.end(fault)
            return
        }
        // Where there are subscriptions, their heartbeats are the socket's.
        if !subscriptions.isEmpty {
            heartbeatAt = lane.uptimeMilliseconds
        } else if lane.uptimeMilliseconds - heartbeatAt >= lane.service.heartbeatMilliseconds * 9 / 10 {
            // A tenth early, as those of subscriptions: a tick that comes late is not too late.
            heartbeatAt = lane.uptimeMilliseconds
            if session?.isReady ?? false { session?.send(json: ServerFrame.heartbeat) }
        }
    }

    func sessionEnded() {
        session = nil
        for subscription in subscriptions.values { subscription.subscription?.cancel() }
        subscriptions.removeAll()
        waiting.removeAll()
    }

    // MARK: Subscriptions

    /// A subscription was ended by the service.
    fileprivate func ended(_ subscription: StreamSubscription, _ error: MartletError) {
        subscriptions[subscription.key] = nil
        subscription.subscription = nil
        // A credential that is no good any more ends all that went on under it.
        if let fault = lane.service.fault(of: caller) {
            session?.end(fault)
        } else {
            session?.send(error: error, id: subscription.id)
        }
    }
}

/// One of the subscriptions of a ``StreamSocket``.
private final class StreamSubscription: TopicSink {
    let key: [UInt8]
    /// The id as a JSON string.
    let id: [UInt8]
    var name: TopicName?
    var subscription: CacheSubscription?
    /// Whether it is among those that go on when the client takes more.
    var isWaiting = false
    private unowned let socket: StreamSocket
    /// What stands before each message.
    private let itemPrefix: [UInt8]

    init(_ socket: StreamSocket, _ key: String) {
        self.socket = socket
        self.key = Array(key.utf8)
        id = ServerFrame.quoted(key)
        itemPrefix = ServerFrame.prefix("item", id: id)
    }

    var isReady: Bool {
        socket.isReady(for: self)
    }

    func send(_ batch: TopicBatch, of subscription: CacheSubscription) {
        socket.session?.append { EncodedBatch.of(batch).writeFrames(prefix: itemPrefix, to: &$0) }
    }

    func send(_ discontinuity: TopicDiscontinuity, of subscription: CacheSubscription) {
        socket.session?.send(json: ServerFrame.discontinuity(discontinuity, id: id))
    }

    func sendHeartbeat(of subscription: CacheSubscription) {
        socket.session?.send(json: ServerFrame.json("heartbeat", id: id))
    }

    func end(_ subscription: CacheSubscription, _ error: MartletError) {
        socket.ended(self, error)
    }
}
