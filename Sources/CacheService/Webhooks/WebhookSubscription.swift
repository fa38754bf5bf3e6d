import Admission
import Catalog
import Delivery
import Tenancy
import Topics

/// A webhook as the subscriber of its topic. Belongs to its lane.
final class WebhookSubscription: TopicSubscriber {
    /// As the catalog has it now.
    private(set) var record: WebhookRecord
    /// Nil when what the catalog holds is no URL.
    private(set) var url: OutboundURL?
    let tenant: TenantID
    let cacheName: CacheName
    let rate = RateLimiter(rate: UInt64(WebhookLimits.deliveriesPerSecond))
    private unowned let dispatcher: WebhookDispatcher
    var registration: TopicSubscription?

    init(_ record: WebhookRecord, of cache: CacheRecord, _ dispatcher: WebhookDispatcher) {
        self.record = record
        url = try? OutboundURL(record.url)
        tenant = cache.tenant
        cacheName = cache.name
        self.dispatcher = dispatcher
    }

    /// Goes on under what was changed: all but the topic.
    func adopt(_ changed: WebhookRecord) {
        guard changed != record else { return }
        if changed.url != record.url { url = try? OutboundURL(changed.url) }
        record = changed
    }

    /// A receiver is never waited for: what it does not take in time is lost.
    var isReady: Bool { true }

    func receive(_ batch: TopicBatch) {
        for message in batch.messages { dispatcher.send(message, to: self) }
    }

    /// The whole lane was late; what it missed is gone.
    func receive(_ discontinuity: TopicDiscontinuity) {
        dispatcher.missed(discontinuity.newSequence &- discontinuity.lastSequence)
    }

    func heartbeat() {}
}
