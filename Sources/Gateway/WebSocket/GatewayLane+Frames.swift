import Access
import CacheService
import Tenancy
import Topics

extension GatewayLane {
    /// Whether a caller may do something with the topic that a frame names.
    ///
    /// - Parameter peer: On whose connection the frame came.
    func permit(
        _ caller: LaneCaller, cacheName: [UInt8], topic: String, _ operation: CacheOperation, _ peer: Peer?
    ) throws(MartletError) -> CacheGrant {
        if let fault = service.fault(of: caller) { throw fault }
        return try service.permit(caller, cacheName: cacheName, topic: topic, operation, .webSocket, on: peer?.claims)
    }

    /// Publishes what a frame holds.
    ///
    /// - Parameter opened: what the socket was opened for, where that was one cache.
    func publish(
        _ caller: LaneCaller, cacheName: [UInt8], topic: TopicName, _ message: ClientFrame.Publish,
        _ peer: Peer?, asIn opened: CacheGrant? = nil
    ) throws(MartletError) -> TopicPosition {
        let grant = try permit(caller, cacheName: cacheName, topic: topic.text, .publish, peer)
        // One that was deleted and made again under its name is another.
        if let opened, !grant.isForSameCache(as: opened) { throw .cacheNotFound }
        return try message.bytes.withUnsafeBufferPointer { (bytes) throws(MartletError) -> TopicPosition in
            try service.publish(
                grant, .webSocket, caller, topic: topic, kind: message.kind, bytes: UnsafeRawBufferPointer(bytes))
        }
    }
}

extension WebSocketSession {
    /// Finds out who is behind a credential that the client sent. What it sends meanwhile waits, since it may depend on
    /// the answer.
    func authenticate(_ token: String, _ proceed: @escaping (Result<LaneCaller, MartletError>) -> Void) {
        guard let peer else { return }
        countControlFrame()
        var token = token
        wait {
            token.withUTF8 { bytes in
                lane.identify(UnsafeRawBufferPointer(bytes), peer: peer) { result in
                    guard self.isOpen else { return }
                    proceed(result)
                    self.goOn()
                }
            }
        }
    }
}
