import Admission
import Catalog
import Delivery
import Metering
import Tenancy
import Topics

/// Posts what is published to the webhooks of its topic.
///
/// ```
/// publish, any door ─▶ TopicHub ─▶ this lane ─▶ WebhookSubscription ─▶ rate ─▶ OutboundCaller ─▶ the receiver
///                                     ▲                                                  │
/// catalog ── snapshot, each tick ─────┘          counters, meters, limits ◀── its answer ┘
/// ```
///
/// A webhook is a subscriber on a lane of its own, beside those of the doors, so that publishers pay for one lane more
/// and wait for nothing. It begins with what is published after it was found in the catalog. Each message is tried once
/// and at once; messages overtake each other on their way. Nothing is kept for a receiver that is slow or away: what
/// exceeds the webhook's rate or the client's bounds is dropped and counted.
///
/// A delivery is metered, and charged to the limits of its cache, when the receiver has acknowledged it. It needs no
/// permission but that the webhook exists, which only the tenant's administrator can bring about.
///
/// Belongs to its lane, whose thread calls everything here.
package final class WebhookDispatcher {
    /// How often ``tick()`` is to be called: within that time a change is in force.
    package static let tickMilliseconds: Int64 = 250
    /// How much is handed on before others of the thread have their turn.
    private static let deliveriesOfDrain = 256

    private let lane: ServiceLane
    private let caller: any OutboundCaller
    private let userAgent: String
    private var subscriptions: [WebhookID: WebhookSubscription] = [:]
    /// The catalog version up to which everything was taken in; 0 when something is still to be.
    private var version: UInt64 = 0
    private var underWay = 0
    private var onIdle: (() -> Void)?

    private var counters: WebhookCounters { lane.service.webhookCounters }

    /// - Parameters:
    ///   - lane: No other than this uses it.
    ///   - userAgent: What receivers are told of who calls.
    package init(lane: ServiceLane, caller: any OutboundCaller, userAgent: String) {
        self.lane = lane
        self.caller = caller
        self.userAgent = userAgent
        lane.onTopicsReady = { [weak self] in self?.drain() }
    }

    /// The webhooks that are subscribed.
    package var count: Int { subscriptions.count }

    /// Takes in what has changed.
    package func tick() {
        begin()
        lane.tickTopics()
    }

    /// Sends what was published so far, as far as the rates let it, then no more.
    ///
    /// - Parameter done: Called when the last answer is there or will not come.
    package func stop(_ done: @escaping () -> Void) {
        begin()
        _ = lane.drainTopics(atMost: 64 * Self.deliveriesOfDrain)
        for id in Array(subscriptions.keys) { cancel(id) }
        lane.onTopicsReady = {}
        onIdle = done
        finishIfIdle()
    }

    private var isStopping: Bool { onIdle != nil }

    // MARK: Catalog

    private func begin() {
        lane.beginTick()
        // In the same step: the counters of caches that are gone have just been given back.
        if lane.snapshot.version != version, !isStopping { reconcile() }
    }

    /// Cost: O(webhooks).
    private func reconcile() {
        let snapshot = lane.snapshot
        version = snapshot.version
        var gone = Set(subscriptions.keys)
        for record in snapshot.webhooks {
            if let known = subscriptions[record.id], known.record.topic == record.topic {
                known.adopt(record)
                gone.remove(record.id)
            }
        }
        for id in gone { cancel(id) }
        for record in snapshot.webhooks where subscriptions[record.id] == nil {
            guard let cache = snapshot.cache(record.cache) else { continue }
            // A cache that has no room for another topic may have some later.
            if !subscribe(record, of: cache) { version = 0 }
        }
    }

    private func subscribe(_ record: WebhookRecord, of cache: CacheRecord) -> Bool {
        guard let topics = lane.laneCache(cache)?.shared.topics else { return false }
        let subscription = WebhookSubscription(record, of: cache, self)
        let registration = try? lane.topics.lane.subscribe(
            to: record.topic, in: topics, from: .fresh, now: lane.now, as: subscription)
        guard let registration else { return false }
        // What is retained was published before the webhook, or was posted before a restart.
        registration.skipNewest()
        subscription.registration = registration
        subscriptions[record.id] = subscription
        lane.topics.lane.resume(registration, now: lane.now)
        return true
    }

    private func cancel(_ id: WebhookID) {
        guard let registration = subscriptions.removeValue(forKey: id)?.registration else { return }
        lane.topics.lane.cancel(registration)
    }

    // MARK: Deliver

    private func drain() {
        begin()
        guard lane.drainTopics(atMost: Self.deliveriesOfDrain) else { return }
        let this = LaneBound(self)
        lane.schedule { this.value.drain() }
    }

    func send(_ message: TopicMessage, to webhook: WebhookSubscription) {
        guard webhook.rate.take(1, nowNanoseconds: lane.nowNanoseconds) == nil else { return counters.add(1, .dropped) }
        guard let url = webhook.url,
            let call = WebhookMessage.call(
                url,
                body: WebhookMessage.body(
                    message, cache: webhook.cacheName, topic: webhook.record.topic, now: lane.now),
                secret: webhook.record.secret, userAgent: userAgent, payer: webhook.tenant)
        else { return counters.add(1, .failed) }
        underWay += 1
        let this = LaneBound(self)
        let (cache, byteCount, schedule) = (webhook.record.cache, message.byteCount, lane.schedule)
        caller.start(call) { outcome in
            schedule { this.value.finished(outcome, cache, byteCount: byteCount) }
        }
    }

    func missed(_ count: UInt64) {
        counters.add(count, .dropped)
    }

    private func finished(_ outcome: OutboundOutcome, _ id: CacheID, byteCount: Int) {
        begin()
        let fate = WebhookFate(outcome)
        counters.add(1, fate)
        if fate == .delivered { meter(id, byteCount: byteCount) }
        underWay -= 1
        finishIfIdle()
    }

    /// Not when the cache is gone: then so are its counters.
    private func meter(_ id: CacheID, byteCount: Int) {
        guard let record = lane.snapshot.cache(id), let cache = lane.laneCache(record) else { return }
        let chunks = BillingPolicy.message(byteCount: byteCount)
        try? lane.row(cache, .webhook).recordDeliveries(messages: 1, chunks: chunks, messageBytes: byteCount)
        cache.shared.admission.settle(
            extraOperations: chunks, bytesOut: UInt64(byteCount), nowNanoseconds: lane.nowNanoseconds)
    }

    private func finishIfIdle() {
        guard underWay == 0, let done = onIdle else { return }
        onIdle = {}
        done()
    }
}

extension WebhookFate {
    init(_ outcome: OutboundOutcome) {
        switch outcome {
        case .answered(200..<300): self = .delivered
        case .answered: self = .rejected
        case .refused: self = .refused
        case .crowded: self = .dropped
        case .timedOut: self = .timedOut
        case .failed: self = .failed
        }
    }
}
