import Tenancy
import Topics

/// What one event loop keeps for its subscriptions. Belongs to its lane.
struct LaneTopics {
    let lane: TopicLane
    var subscriptions: [CacheSubscription] = []
    var clocks: [CacheID: [Door: SubscriptionClock]] = [:]
    /// The catalog version under which all subscriptions were last looked at.
    var sweptVersion: UInt64 = 0
    /// The longest message that each tenant may publish in any of its caches, under one version of the catalog.
    var messageBytes: (version: UInt64, byTenant: [TenantID: Int]) = (0, [:])
    /// The earliest end of a credential that a subscription goes on.
    private(set) var nextExpiry: Timestamp?

    init(lane: TopicLane) {
        self.lane = lane
    }

    mutating func expires(at time: Timestamp?) {
        guard let time else { return }
        if nextExpiry.map({ time < $0 }) ?? true { nextExpiry = time }
    }

    /// The earliest expiry is to be found anew.
    mutating func forgetExpiry() {
        nextExpiry = nil
    }
}
