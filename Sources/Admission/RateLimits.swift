import Tenancy

/// The limits a second of one cache, or of one tenant over all its caches.
package struct RateLimits: ~Copyable, Sendable {
    package let operations = RateLimiter()
    package let bytesIn = RateLimiter()
    package let bytesOut = RateLimiter()

    package init(_ limits: Limits = Limits()) {
        set(limits, nowNanoseconds: 0)
    }

    /// Takes up changed limits, in force for the next call on every event loop.
    package borrowing func set(_ limits: Limits, nowNanoseconds: UInt64) {
        operations.setRate(
            limits[.maxOperationsPerSecond], burst: limits[.burstOperations], nowNanoseconds: nowNanoseconds)
        bytesIn.setRate(
            limits[.maxBytesInPerSecond], burst: limits[.burstBytesIn], nowNanoseconds: nowNanoseconds)
        bytesOut.setRate(
            limits[.maxBytesOutPerSecond], burst: limits[.burstBytesOut], nowNanoseconds: nowNanoseconds)
    }

    /// Takes all or nothing. Bytes out are not known yet: what counts is that earlier ones are paid for.
    @inlinable
    borrowing func take(operations units: UInt64, bytesIn bytes: UInt64, nowNanoseconds now: UInt64)
        throws(MartletError)
    {
        if let delay = operations.take(units, nowNanoseconds: now) {
            throw .rateLimited(
                limit: .maxOperationsPerSecond, value: operations.rate ?? 0,
                retryAfterMilliseconds: RetryDelay.rounded(delay))
        }
        if let delay = bytesIn.take(bytes, nowNanoseconds: now) {
            operations.giveBack(units)
            throw .rateLimited(
                limit: .maxBytesInPerSecond, value: bytesIn.rate ?? 0, retryAfterMilliseconds: RetryDelay.rounded(delay)
            )
        }
        if let delay = bytesOut.take(0, nowNanoseconds: now) {
            giveBack(operations: units, bytesIn: bytes)
            throw .rateLimited(
                limit: .maxBytesOutPerSecond, value: bytesOut.rate ?? 0,
                retryAfterMilliseconds: RetryDelay.rounded(delay))
        }
    }

    @usableFromInline
    borrowing func giveBack(operations units: UInt64, bytesIn bytes: UInt64) {
        operations.giveBack(units)
        bytesIn.giveBack(bytes)
    }

    @inlinable
    borrowing func charge(operations units: UInt64, bytesOut bytes: UInt64, nowNanoseconds now: UInt64) {
        operations.charge(units, nowNanoseconds: now)
        bytesOut.charge(bytes, nowNanoseconds: now)
    }
}
