import CacheService
import Tenancy

extension Exchange {
    /// Reads the handshake of a request that wants a WebSocket into ``Exchange/topics``, and notes what is wrong with it:
    /// it is told once the caller is known and permitted, in the order of all refusals.
    ///
    /// - Returns: Where the credential lies that the handshake carries, if it does.
    func readHandshake() -> ByteRange? {
        var topics = topics ?? TopicsRequest()
        topics.isWebSocket = true
        defer { self.topics = topics }
        do throws(MartletError) {
            let credential = try WebSocketHandshake.credential(in: request)
            topics.handshake = try WebSocketHandshake(request)
            return credential
        } catch {
            if rest.fault == nil { rest.fault = error }
            // One that is there is shown all the same, so that the caller is told what is wrong, and not that it is unknown.
            return (try? WebSocketHandshake.credential(in: request)) ?? nil
        }
    }

    /// Leaves HTTP for a WebSocket.
    func upgrade(_ handshake: WebSocketHandshake, _ application: any WebSocketApplication) {
        guard let caller = rest.caller else { return }
        transport.upgrade(
            self, handshake,
            WebSocketSession(lane, application, budget: lane.service.byteBudget(of: caller)))
    }
}

extension WebSocketSession {
    /// How long a frame may be whose message may have so many bytes: as JSON a byte of text takes six at most.
    static func frameBytes(forMessagesOf count: Int) -> Int {
        let (bytes, overflow) = count.multipliedReportingOverflow(by: 6)
        return overflow ? .max : max(bytes, bytes &+ 4096)
    }
}
