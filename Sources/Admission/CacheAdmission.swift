import Tenancy

/// What a tenant may use over all its caches. One for each tenant, shared by every event loop.
package final class TenantAdmission: Sendable {
    package let rates: RateLimits
    package let topics: TopicAdmission
    /// Connections on which a caller of the tenant was identified.
    package let connections = CountLimit()
    /// Tokens minted a second.
    package let tokens = RateLimiter()
    private let share: TenantShare
    /// How long its requests took, over all event loops.
    package let latency = LatencyHistogram()
    /// Bytes of requests that are being received or answered, within those of the process.
    package let bytesInFlight: SharedByteBudget

    /// - Parameters:
    ///   - bytesInFlight: this tenant's budget; nil for one that only the process bounds.
    ///   - process: the budget of all tenants together.
    package init(limits: Limits = Limits(), bytesInFlight: Int? = nil, process: SharedByteBudget? = nil) {
        rates = RateLimits(limits)
        topics = TopicAdmission(limits)
        share = TenantShare(limits)
        connections.setCeiling(limits[.maxConnections])
        tokens.setRate(limits[.maxTokensPerSecond], nowNanoseconds: 0)
        self.bytesInFlight = SharedByteBudget(limit: bytesInFlight ?? .max, parent: process)
    }

    /// Its part of a machine that has more to do than it can.
    package var weight: UInt64 { share.weight }

    /// Whether one more operation is within what is reserved for the tenant.
    package func hasReservation(nowNanoseconds: UInt64) -> Bool {
        share.hasReservation(nowNanoseconds: nowNanoseconds)
    }

    /// Takes operations from what is reserved, as far as they are within it.
    @inline(__always)
    func takeReservation(_ operations: UInt64, nowNanoseconds: UInt64) {
        share.take(operations, nowNanoseconds: nowNanoseconds)
    }

    /// Takes up changed limits, in force for the next call on every event loop.
    ///
    /// - Parameter reservedByCaches: What the tenant's caches have reserved together, in operations a second.
    package func update(limits: Limits, reservedByCaches: UInt64 = 0, nowNanoseconds: UInt64) {
        rates.set(limits, nowNanoseconds: nowNanoseconds)
        topics.set(limits, nowNanoseconds: nowNanoseconds)
        share.set(
            limits, reservedOperations: max(limits[.reservedOperationsPerSecond] ?? 0, reservedByCaches),
            nowNanoseconds: nowNanoseconds)
        connections.setCeiling(limits[.maxConnections])
        tokens.setRate(limits[.maxTokensPerSecond], nowNanoseconds: nowNanoseconds)
    }

    /// Admits the minting of one token.
    /// - Throws: ``MartletError/rateLimited(limit:value:retryAfterMilliseconds:)``.
    package func admitToken(nowNanoseconds: UInt64) throws(MartletError) {
        if let delay = tokens.take(1, nowNanoseconds: nowNanoseconds) {
            throw .rateLimited(
                limit: .maxTokensPerSecond, value: tokens.rate ?? 0, retryAfterMilliseconds: RetryDelay.rounded(delay))
        }
    }
}

/// What the calls on a cache may use: the cache's own limits, within its tenant's. One for each cache, shared by every
/// event loop.
package final class CacheAdmission: Sendable {
    package let tenant: TenantAdmission
    package let rates: RateLimits
    package let topics: TopicAdmission
    /// Connections that have used the cache.
    package let connections = CountLimit()

    package init(tenant: TenantAdmission, limits: Limits = Limits()) {
        self.tenant = tenant
        rates = RateLimits(limits)
        topics = TopicAdmission(limits)
        connections.setCeiling(limits[.maxConnections])
    }

    /// Takes up the cache's changed limits, in force for the next call on every event loop.
    package func update(limits: Limits, nowNanoseconds: UInt64) {
        rates.set(limits, nowNanoseconds: nowNanoseconds)
        topics.set(limits, nowNanoseconds: nowNanoseconds)
        connections.setCeiling(limits[.maxConnections])
    }

    /// Admits a call, or refuses it at no cost to the limits.
    ///
    /// - Parameters:
    ///   - operations: as the billing policy counts what is known of the call; at least 1.
    ///   - bytesIn: key and value.
    ///   - nowNanoseconds: the monotonic clock, read once per event-loop tick.
    /// - Throws: ``MartletError/rateLimited(limit:value:retryAfterMilliseconds:)`` with the first limit that is met, the
    ///   cache's before the tenant's.
    /// - Complexity: one load for each limit that is not set, one compare-and-exchange for each that is. No allocation.
    @inlinable
    package func admit(operations: UInt64, bytesIn: UInt64, nowNanoseconds: UInt64) throws(MartletError) {
        try rates.take(operations: operations, bytesIn: bytesIn, nowNanoseconds: nowNanoseconds)
        do {
            try tenant.rates.take(operations: operations, bytesIn: bytesIn, nowNanoseconds: nowNanoseconds)
        } catch {
            rates.giveBack(operations: operations, bytesIn: bytesIn)
            throw error
        }
        tenant.takeReservation(operations, nowNanoseconds: nowNanoseconds)
    }

    /// Charges what an admitted call turned out to cost beyond what it was admitted for: a value read, and the operations
    /// that its size adds. It is never refused; a debt holds back the calls that follow.
    @inlinable
    package func settle(extraOperations: UInt64, bytesOut: UInt64, nowNanoseconds: UInt64) {
        rates.charge(operations: extraOperations, bytesOut: bytesOut, nowNanoseconds: nowNanoseconds)
        tenant.rates.charge(operations: extraOperations, bytesOut: bytesOut, nowNanoseconds: nowNanoseconds)
    }

    /// Admits one message to be published, or refuses it at no cost to the limits. What its size costs is admitted apart,
    /// by ``admit(operations:bytesIn:nowNanoseconds:)``.
    ///
    /// - Throws: ``MartletError/rateLimited(limit:value:retryAfterMilliseconds:)``, the cache's limit before the tenant's.
    /// - Complexity: as of ``admit(operations:bytesIn:nowNanoseconds:)``.
    @inlinable
    package func admitPublish(nowNanoseconds: UInt64) throws(MartletError) {
        try topics.takePublish(nowNanoseconds: nowNanoseconds)
        do {
            try tenant.topics.takePublish(nowNanoseconds: nowNanoseconds)
        } catch {
            topics.publishes.giveBack(1)
            throw error
        }
    }

    /// Gives back what ``admitPublish(nowNanoseconds:)`` took, because another limit refused the call.
    package func giveBackPublish() {
        topics.publishes.giveBack(1)
        tenant.topics.publishes.giveBack(1)
    }

    /// Admits one more open subscription. Whoever was admitted calls ``releaseSubscription()`` when it ends.
    ///
    /// - Throws: ``MartletError/countLimited(limit:value:)``, the cache's limit before the tenant's.
    package func admitSubscription() throws(MartletError) {
        try topics.takeSubscription()
        do {
            try tenant.topics.takeSubscription()
        } catch {
            topics.subscriptions.release()
            throw error
        }
    }

    /// A subscription that was admitted has ended.
    package func releaseSubscription() {
        topics.subscriptions.release()
        tenant.topics.subscriptions.release()
    }
}

extension TenantAdmission {
    /// What is used now of the limits a second, in units of a second's allowance. For reports.
    package func usedRates(_ nowNanoseconds: UInt64) -> [LimitName: UInt64] {
        used(rates, topics, nowNanoseconds)
    }
}

extension CacheAdmission {
    /// As of the tenant.
    package func usedRates(_ nowNanoseconds: UInt64) -> [LimitName: UInt64] {
        used(rates, topics, nowNanoseconds)
    }
}

private func used(
    _ rates: borrowing RateLimits, _ topics: borrowing TopicAdmission, _ nowNanoseconds: UInt64
) -> [LimitName: UInt64] {
    [
        .maxOperationsPerSecond: rates.operations.used(nowNanoseconds: nowNanoseconds),
        .maxBytesInPerSecond: rates.bytesIn.used(nowNanoseconds: nowNanoseconds),
        .maxBytesOutPerSecond: rates.bytesOut.used(nowNanoseconds: nowNanoseconds),
        .maxPublishPerSecond: topics.publishes.used(nowNanoseconds: nowNanoseconds),
    ]
}
