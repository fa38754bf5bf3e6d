import Access
import Tenancy
import Topics

/// What a tenant is told when a limit is nearly or wholly used up.
struct LimitEvent: Sendable {
    /// The topic on which it is told, in the cache that the limit is of.
    static let topic = "__martlet:limits"

    let crossing: LimitCrossing
    let tenant: TenantName
    /// Nil for a limit of the tenant.
    let cache: CacheName?
    let at: Timestamp

    var payload: [UInt8] {
        let sample = crossing.sample
        return JSONValue.members([
            "event": .string(crossing.threshold == .near ? "limit_near" : "limit_reached"),
            "scope": .string(cache == nil ? "tenant" : "cache"),
            "cache": cache.map { .string($0.text) } ?? .null,
            "tenant": .string(tenant.text),
            "limit": .string(sample.limit.rawValue),
            "value": .number(String(sample.value)),
            "used": .number(String(sample.used)),
            "percent": .number(String(sample.percent)),
            "at": .integer(at.seconds),
        ]).encoded()
    }
}

extension SharedCache {
    /// Publishes a message of the server's own. It is admitted against no limit, so that one that is used up cannot keep it
    /// back, and billed to nobody; deliveries are those of any message.
    ///
    /// Where nobody listens and the topic does not exist, nothing happens: a tenant is not charged for a topic that it never
    /// asked for. Any thread. Cost: as of publishing.
    func tell(_ payload: [UInt8], on topic: TopicName, now: Timestamp) {
        let audience = channels.audience(of: topic, .topic)
        guard audience != nil || topics.hasTopic(topic) else { return }
        payload.withUnsafeBytes { bytes in
            // A cache that is being deleted, or has no room for a topic more, is told nothing.
            _ = try? topics.publish(
                bytes, .text, publisherID: [], to: topic, now: now,
                alongside: audience.map { audience in { audience.post($0) } })
        }
        audience?.wake()
    }
}
