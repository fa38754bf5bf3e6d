import CacheService
import NIOCore
import Tenancy
import Topics

/// A GET that waits for the next messages of a topic and answers with them.
///
/// It is a subscription that takes what is there, or the first that comes, and ends.
final class LongPoll: TopicResponse, TopicSink {
    /// On the lane's ``GatewayLane/uptimeMilliseconds``.
    private let deadline: Int64
    private let allowsAnyOrigin: Bool
    private var items = ByteBuffer()
    private var itemCount = 0

    private static let mostMilliseconds: Int64 = 30_000
    /// A batch that is begun is taken whole: so an answer has 1,000 items at most.
    private static let mostItemsBeforeBatch = 1000 - TopicBatch.mostMessages
    private static let mostBytes = 1 << 20

    override init(_ exchange: Exchange) {
        deadline = exchange.lane.uptimeMilliseconds + Self.mostMilliseconds
        allowsAnyOrigin = exchange.rest.allowsAnyOrigin
        super.init(exchange)
    }

    func begin(_ exchange: Exchange, _ subscription: CacheSubscription) {
        adopt(exchange, subscription)
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

    // MARK: LaneStream

    override func tick(now: Timestamp) {
        if lane.uptimeMilliseconds >= deadline { answer() }
    }

    override func flushTouched() {
        // What was counted as delivered is; the next poll is told the failure.
        if itemCount > 0 {
            answer()
        } else if let failure {
            // The call was counted when it subscribed.
            leave()?.respond(error: failure)
        }
    }

    override func drain() {
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
}
