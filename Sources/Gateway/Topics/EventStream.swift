import CacheService
import NIOCore
import Tenancy
import Topics

/// A topic as server-sent events (HTML standard, section 9.2).
final class EventStream: HTTPDoor, TopicSink, LaneStream {
    var streamSlot = -1
    var isTouched = false
    var isReaderBack = false
    private let lane: GatewayLane
    private let ticket: ExchangeTicket
    private var subscription: CacheSubscription?
    private var failure: MartletError?

    init(_ exchange: Exchange) {
        lane = exchange.lane
        ticket = ExchangeTicket(exchange)
    }

    func begin(_ exchange: Exchange, _ subscription: CacheSubscription) {
        self.subscription = subscription
        exchange.door = self
        exchange.endsWithInput = true
        exchange.dropBody()
        lane.add(self)
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

    func end(_ subscription: CacheSubscription, _ error: MartletError) {
        self.subscription = nil
        failure = error
        // Not here: the connection's next request may be one that subscribes, and the hub is at work.
        lane.touch(self)
    }

    private func write(_ events: ByteBuffer) {
        ticket.live?.write(sharing: events)
    }

    // MARK: LaneStream

    func tick(now: Timestamp) {}

    func readerIsBack() {
        subscription?.resume()
    }

    func flushTouched() {
        if let failure { finish(failure) }
    }

    func drain() {
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

    func responseDrained(_ exchange: Exchange) {
        lane.queueReader(of: self)
    }

    func abandon(_ exchange: Exchange) {
        _ = leave()
    }
}

extension Exchange {
    /// Lets go of a body that came with a GET: whoever waits for messages does not wait for it, and must not be made to
    /// keep it.
    func dropBody() {
        guard !isRequestEnded else { return }
        bodyMode = .discarding
        requestBody.clear()
    }
}
