import Tenancy

/// What the topics of one cache, or of one tenant over all its caches, may use beside the rates of every call.
package struct TopicAdmission: ~Copyable, Sendable {
    /// Subscriptions that are open, on whatever door.
    package let subscriptions = CountLimit()
    /// Messages published a second, whatever their size.
    package let publishes = RateLimiter()

    package init(_ limits: Limits = Limits()) {
        set(limits, nowNanoseconds: 0)
    }

    /// Takes up changed limits, in force for the next call on every event loop.
    package borrowing func set(_ limits: Limits, nowNanoseconds: UInt64) {
        subscriptions.setCeiling(limits[.maxSubscriptions])
        publishes.setRate(limits[.maxPublishPerSecond], nowNanoseconds: nowNanoseconds)
    }

    borrowing func takeSubscription() throws(MartletError) {
        guard subscriptions.take() else {
            throw .countLimited(limit: .maxSubscriptions, value: subscriptions.ceiling ?? 0)
        }
    }

    @inlinable
    borrowing func takePublish(nowNanoseconds now: UInt64) throws(MartletError) {
        if let delay = publishes.take(1, nowNanoseconds: now) {
            throw .rateLimited(
                limit: .maxPublishPerSecond, value: publishes.rate ?? 0,
                retryAfterMilliseconds: RetryDelay.rounded(delay))
        }
    }
}
