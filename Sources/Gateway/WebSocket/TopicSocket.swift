import Access
import CacheService
import NIOCore
import Tenancy
import Topics

/// A WebSocket for one topic, under the topic's own URL: its messages come, and messages to it may go.
final class TopicSocket: WebSocketApplication, TopicSink {
    private let lane: GatewayLane
    private let grant: CacheGrant
    private let topic: TopicName
    private var caller: LaneCaller
    private var subscription: CacheSubscription?
    private var session: WebSocketSession?

    init(_ lane: GatewayLane, _ grant: CacheGrant, _ caller: LaneCaller, _ topic: TopicName) {
        self.lane = lane
        self.grant = grant
        self.caller = caller
        self.topic = topic
    }

    /// Subscribes, before the handshake is answered: a refusal is an HTTP response.
    func subscribe(from position: TopicPosition) throws(MartletError) {
        subscription = try lane.service.subscribe(
            grant, .webSocket, caller, topic: topic, from: position, sink: self)
    }

    // MARK: WebSocketApplication

    func begin(_ session: WebSocketSession) {
        self.session = session
        session.send(json: ServerFrame.heartbeat)
        subscription?.resume()
    }

    var messageBytesLimit: Int {
        WebSocketSession.frameBytes(forMessagesOf: lane.service.messageBytes(of: grant))
    }

    func receive(_ text: UnsafeRawBufferPointer) {
        if let fault = lane.service.fault(of: caller) {
            session?.end(fault)
            return
        }
        do throws(MartletError) {
            switch try ClientFrame(text, namesTopics: false) {
            case .publish(let message): try publish(message)
            case .authenticate(let token): authenticate(token)
            case .subscribe, .unsubscribe: break  // not among the frames of this socket
            }
        } catch {
            session?.refuse(error)
        }
    }

    private func publish(_ message: ClientFrame.Publish) throws(MartletError) {
        let position = try lane.publish(
            caller, cacheName: grant.cacheName, topic: topic, message, session?.peer, asIn: grant)
        session?.send(json: ServerFrame.published(position))
    }

    private func authenticate(_ token: String) {
        session?.authenticate(token) { [self] result in
            do throws(MartletError) {
                let renewed = try result.get()
                try subscription?.renew(renewed)
                caller = renewed
                session?.send(json: ServerFrame.authenticated(expiresAt: renewed.caller.expiresAt))
            } catch {
                session?.send(error: error)
            }
        }
    }

    func sessionIsReady() {
        subscription?.resume()
    }

    func tick(now: Timestamp) {}

    func sessionEnded() {
        subscription?.cancel()
        subscription = nil
        session = nil
    }

    // MARK: TopicSink

    var isReady: Bool {
        session?.isReady ?? false
    }

    func send(_ batch: TopicBatch, of subscription: CacheSubscription) {
        session?.send(frames: EncodedBatch.of(batch).frames)
    }

    func send(_ discontinuity: TopicDiscontinuity, of subscription: CacheSubscription) {
        session?.send(json: ServerFrame.discontinuity(discontinuity))
    }

    func sendHeartbeat(of subscription: CacheSubscription) {
        session?.send(frames: Self.heartbeat)
    }

    private static let heartbeat: ByteBuffer = {
        var buffer = ByteBuffer()
        WebSocketEncoder.writeTextHead(payloadBytes: ServerFrame.heartbeat.count, to: &buffer)
        buffer.writeBytes(ServerFrame.heartbeat)
        return buffer
    }()

    func end(_ subscription: CacheSubscription, _ error: MartletError) {
        self.subscription = nil
        session?.end(error)
    }
}
