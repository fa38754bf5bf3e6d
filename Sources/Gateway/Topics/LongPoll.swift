import CacheService
import NIOCore
import Tenancy
import Topics

/// A GET that waits for the next messages of a topic and answers with them.
///
/// It is a subscription that takes what is there, or the first that comes, and ends.
final class LongPoll: HTTPDoor, TopicSink, LaneStream {
    var streamSlot = -1
    var isTouched = false
    var isReaderBack = false
    private let lane: GatewayLane
    private let ticket: ExchangeTicket
    /// On the lane's ``GatewayLane/uptimeMilliseconds``.
    private let deadline: Int64
    private let allowsAnyOrigin: Bool
    private var subscription: CacheSubscription?
    private var items = ByteBuffer()
    private var itemCount = 0
    private var failure: MartletError?

    private static let mostMilliseconds: Int64 = 30_000
    /// A batch that is begun is taken whole: so an answer has 1,000 items at most.
    private static let mostItemsBeforeBatch = 1000 - TopicBatch.mostMessages
    private static let mostBytes = 1 << 20

    init(_ exchange: Exchange) {
        lane = exchange.lane
        ticket = ExchangeTicket(exchange)
        deadline = exchange.lane.uptimeMilliseconds + Self.mostMilliseconds
        allowsAnyOrigin = exchange.rest.allowsAnyOrigin
    }

    func begin(_ exchange: Exchange, _ subscription: CacheSubscription) {
        self.subscription = subscription
        exchange.door = self
        exchange.endsWithInput = true
        exchange.dropBody()
        lane.add(self)
        subscription.resume()
        if itemCount > 0 { answer() }
    }

    // MARK: TopicSink

    var isReady: Bool {
        itemCount <= Self.mostItemsBeforeBatch && items.readableBytes < Self.mostBytes
    }

    func send(_ batch: TopicBatch, of subscription: CacheSubscription) {
        EncodedBatch.of(batch).forEachItem { _, item in
            beginItem("item")
            items.writeBytes(item)
            items.writeStaticString("}")
        }
        lane.touch(self)
    }

    func send(_ discontinuity: TopicDiscontinuity, of subscription: CacheSubscription) {
        beginItem("discontinuity")
        TopicWire.writeDiscontinuity(discontinuity, to: &items)
        items.writeStaticString("}")
        lane.touch(self)
    }

    private func beginItem(_ name: StaticString) {
        items.writeStaticString(itemCount == 0 ? "{\"" : ",{\"")
        items.writeStaticString(name)
        items.writeStaticString("\":")
        itemCount += 1
    }

    func sendHeartbeat(of subscription: CacheSubscription) {}

    func end(_ subscription: CacheSubscription, _ error: MartletError) {
        self.subscription = nil
        failure = error
        // Not here: the connection's next request may be one that subscribes, and the hub is at work.
        lane.touch(self)
    }

    // MARK: LaneStream

    func tick(now: Timestamp) {
        if lane.uptimeMilliseconds >= deadline { answer() }
    }

    func readerIsBack() {}

    func flushTouched() {
        // What was counted as delivered is; the next poll is told the failure.
        if itemCount > 0 {
            answer()
        } else if let failure {
            // The call was counted when it subscribed.
            leave()?.respond(error: failure)
        }
    }

    func drain() {
        answer()
    }

    // MARK: Answer

    private func answer() {
        guard let exchange = leave() else { return }
        var head = ResponseHead(status: 200)
        head.contentType = .json
        head.allowsAnyOrigin = allowsAnyOrigin
        head.extra.append(("cache-control", "no-store"))
        exchange.responseBody.clear()
        exchange.responseBody.writeStaticString("{\"items\":[")
        exchange.responseBody.writeImmutableBuffer(items)
        exchange.responseBody.writeStaticString("]}\n")
        head.contentLength = exchange.responseBody.readableBytes
        exchange.respond(head)
    }

    /// Ends the subscription. Returns the exchange, which is to be answered, the first time.
    private func leave() -> Exchange? {
        guard streamSlot >= 0 else { return nil }
        lane.remove(self)
        subscription?.cancel()
        subscription = nil
        return ticket.live
    }

    // MARK: HTTPDoor

    func receiveHead(_ exchange: Exchange) {}
    func receiveEnd(_ exchange: Exchange) {}

    func abandon(_ exchange: Exchange) {
        _ = leave()
    }
}
