import Admission
import Catalog
import Synchronization
import Tenancy

/// How fast each tenant may have tokens made: `max_tokens_per_second`.
///
/// Limiters are kept for tenants that have the limit and have used it, and dropped with the tenant.
final class MintingRates: Sendable {
    private let limiters = Mutex<[TenantID: Limiter]>([:])

    private final class Limiter: Sendable {
        let limiter = RateLimiter()
    }

    /// Takes one token from the tenant's allowance.
    ///
    /// - Parameter nowNanoseconds: The monotonic clock.
    /// - Throws: ``MartletError/rateLimited(limit:value:retryAfterMilliseconds:)``.
    func admit(_ tenant: TenantRecord, nowNanoseconds: UInt64) throws(MartletError) {
        guard let rate = tenant.limitsInForce[.maxTokensPerSecond] else { return }
        let limiter = limiters.withLock { limiters in
            if let known = limiters[tenant.id] { return known }
            let made = Limiter()
            limiters[tenant.id] = made
            return made
        }
        if limiter.limiter.rate != rate { limiter.limiter.setRate(rate, nowNanoseconds: nowNanoseconds) }
        if let delay = limiter.limiter.take(1, nowNanoseconds: nowNanoseconds) {
            throw .rateLimited(limit: .maxTokensPerSecond, value: rate, retryAfterMilliseconds: delay)
        }
    }

    /// How many tokens of a second's allowance are taken now.
    func used(_ tenant: TenantID, nowNanoseconds: UInt64) -> UInt64 {
        limiters.withLock { $0[tenant] }?.limiter.used(nowNanoseconds: nowNanoseconds) ?? 0
    }

    func forget(_ tenant: TenantID) {
        limiters.withLock { $0[tenant] = nil }
    }
}
