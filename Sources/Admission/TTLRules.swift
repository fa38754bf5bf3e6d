import Tenancy

/// How long items of a cache may live, and live if the caller does not say. Worked out when limits change.
///
/// The ceiling is the smaller of the cache's and the tenant's `max_ttl`. The default is the cache's `default_ttl`, else
/// the tenant's, and never above the ceiling. A default of zero is none.
package struct TTLRules: Equatable, Sendable {
    /// `max_ttl` in seconds; nil if none is set.
    package let maxTTLSeconds: UInt64?
    package let defaultTTL: TTL?

    package init(cache: Limits = Limits(), tenant: Limits = Limits()) {
        let ceiling = smaller(cache[.maxTTLSeconds], tenant[.maxTTLSeconds])
        maxTTLSeconds = ceiling
        let seconds = smaller(cache[.defaultTTLSeconds] ?? tenant[.defaultTTLSeconds], ceiling)
        let (milliseconds, overflow) = (seconds ?? 0).multipliedReportingOverflow(by: 1000)
        // Beyond the ceiling of every TTL the default is that ceiling; only zero makes this nil.
        defaultTTL = try? TTL(
            milliseconds: overflow ? TTL.ceilingMilliseconds : min(milliseconds, TTL.ceilingMilliseconds),
            field: "default_ttl")
    }

    /// When an item stored now expires.
    ///
    /// - Parameters:
    ///   - requested: what the caller asked for; nil if nothing.
    ///   - field: the parameter in which the caller asks.
    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` if the TTL is above the ceiling, or absent without a
    ///   default.
    package func expiry(
        of requested: TTL?, now: Timestamp, field: String = "ttl_seconds"
    ) throws(MartletError) -> Timestamp {
        now + (try resolve(requested, field: field))
    }

    /// The TTL that holds: the requested one if it is allowed, else the default. Throws as ``expiry(of:now:field:)``.
    package func resolve(_ requested: TTL?, field: String = "ttl_seconds") throws(MartletError) -> TTL {
        guard let requested else {
            guard let defaultTTL else {
                throw .invalidArgument(field: field, reason: "is required: the cache has no default_ttl")
            }
            return defaultTTL
        }
        if let maxTTLSeconds {
            let (ceiling, overflow) = maxTTLSeconds.multipliedReportingOverflow(by: 1000)
            guard overflow || requested.milliseconds <= ceiling else {
                throw .invalidArgument(field: field, reason: "is over the limit max_ttl of \(maxTTLSeconds) seconds")
            }
        }
        return requested
    }
}
