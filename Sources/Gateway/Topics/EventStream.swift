import CacheService
import NIOCore
import Tenancy
import Topics

/// A topic as server-sent events (HTML standard, section 9.2).
final class EventStream: TopicResponse, TopicSink {
    func begin(_ exchange: Exchange, _ subscription: CacheSubscription) {
        adopt(exchange, subscription)
        var head = ResponseHead(status: 200)
        head.contentType = .eventStream
        head.allowsAnyOrigin = exchange.rest.allowsAnyOrigin
        // The second is for proxies of the kind that gather an answer before they pass it on.
        head.extra = [("cache-control", "no-store"), ("x-accel-buffering", "no")]
        exchange.beginResponse(head)
        exchange.transport.dropHead(of: exchange)
        sendHeartbeat(of: subscription)
        subscription.resume()
    }

    // MARK: TopicSink

    var isReady: Bool {
        ticket.live?.isReady ?? false
    }

    func send(_ batch: TopicBatch, of subscription: CacheSubscription) {
        write(EncodedBatch.of(batch).events)
    }

    func send(_ discontinuity: TopicDiscontinuity, of subscription: CacheSubscription) {
        var event = ByteBuffer()
        event.writeStaticString("event: discontinuity\nid: ")
        event.writeDecimal(discontinuity.page)
        event.writeStaticString(":")
        event.writeDecimal(discontinuity.newSequence)
        event.writeStaticString("\ndata: ")
        TopicWire.writeDiscontinuity(discontinuity, to: &event)
        event.writeStaticString("\n\n")
        write(event)
    }

    func sendHeartbeat(of subscription: CacheSubscription) {
        write(Self.heartbeat)
    }

    private static let heartbeat = ByteBuffer(staticString: "event: heartbeat\ndata: {}\n\n")

    private func write(_ events: ByteBuffer) {
        ticket.live?.write(sharing: events)
    }

    // MARK: LaneStream

    override func readerIsBack() {
        subscription?.resume()
    }

    override func flushTouched() {
        if let failure { finish(failure) }
    }

    override func drain() {
        finish(.unavailable("the server is being stopped: connect again and resume"))
    }

    private func finish(_ error: MartletError) {
        guard let exchange = leave() else { return }
        var event = ByteBuffer()
        event.writeStaticString("event: error\ndata: ")
        event.writeBytes(error.json.dropLast())  // its line break would end the event's line
        event.writeStaticString("\n\n")
        event.withUnsafeReadableBytes { exchange.write($0) }
        exchange.finish()
    }
}
