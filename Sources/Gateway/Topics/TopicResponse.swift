import CacheService
import NIOCore
import Tenancy

/// A response that carries a topic: a subscription, and the exchange that is its way out. They end together. What messages
/// look like on the wire is the subclasses' matter.
class TopicResponse: HTTPDoor, LaneStream {
    final var streamSlot = -1
    final var isTouched = false
    final var isReaderBack = false
    final let lane: GatewayLane
    final let ticket: ExchangeTicket
    final private(set) var subscription: CacheSubscription?
    /// Why the service has ended the subscription.
    final private(set) var failure: MartletError?

    init(_ exchange: Exchange) {
        lane = exchange.lane
        ticket = ExchangeTicket(exchange)
    }

    /// Takes the exchange over, for a subscription of which this is the sink.
    final func adopt(_ exchange: Exchange, _ subscription: CacheSubscription) {
        self.subscription = subscription
        exchange.door = self
        exchange.endsWithInput = true
        // Whoever waits for messages does not wait for a body that came with a GET, and must not be made to keep one.
        lane.bodyIsUsedUp(exchange)
        lane.add(self)
    }

    /// Ends the subscription. Returns the exchange, which is to be answered, the first time.
    final func leave() -> Exchange? {
        guard streamSlot >= 0 else { return nil }
        lane.remove(self)
        subscription?.cancel()
        subscription = nil
        return ticket.live
    }

    /// The service has ended the subscription (``TopicSink/end(_:_:)``).
    final func end(_ subscription: CacheSubscription, _ error: MartletError) {
        self.subscription = nil
        failure = error
        // Not here: the connection's next request may be one that subscribes, and the hub is at work.
        lane.touch(self)
    }

    // MARK: LaneStream

    func tick(now: Timestamp) {}
    func flushTouched() {}
    func readerIsBack() {}
    func drain() {}

    // MARK: HTTPDoor

    final func receiveHead(_ exchange: Exchange) {}
    final func receiveEnd(_ exchange: Exchange) {}

    final func responseDrained(_ exchange: Exchange) {
        lane.queueReader(of: self)
    }

    final func abandon(_ exchange: Exchange) {
        _ = leave()
    }
}
