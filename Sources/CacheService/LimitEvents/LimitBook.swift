import Admission
import Catalog
import Metering
import Synchronization
import Tenancy

/// How far the limits of caches and tenants are used up, as of the last look (``CacheService/watchLimits()``). Any thread
/// may read it.
package final class LimitBook: Sendable {
    /// What is known of one cache or tenant that has limits.
    struct Owner {
        var watch = LimitWatch()
        var samples: [LimitSample] = []
        /// Items that had been removed to make room.
        var evictions: UInt64 = 0
    }

    struct Contents {
        var caches: [CacheID: Owner] = [:]
        var tenants: [TenantID: Owner] = [:]
        /// The counters of open caches whose rates are looked at.
        var counts: [CacheID: LiveCounts] = [:]
        /// Their units a second since the look before.
        var rates: [CacheID: LiveCounts] = [:]
        var lookedAt: UInt64 = 0
        var limited = Limited()
        var crossings: [LimitThreshold: UInt64] = [:]
    }

    /// Who has limits that are watched, under one version of the catalog.
    struct Limited {
        var version: UInt64 = 0
        var caches: [CacheRecord] = []
        var tenants: [TenantRecord] = []
        var areRatesLimited = false
    }

    let contents = Mutex(Contents())

    /// How far one limit is used up.
    package struct Use: Sendable {
        package let tenant: TenantID
        /// Nil for a limit of the tenant.
        package let cache: CacheID?
        package let sample: LimitSample
    }

    /// Every limit that is set and watched, as of the last look, in no order.
    package var uses: [Use] {
        contents.withLock { contents in
            let tenants = contents.limited.tenants.flatMap { record in
                contents.tenants[record.id]?.samples.map { Use(tenant: record.id, cache: nil, sample: $0) } ?? []
            }
            let caches = contents.limited.caches.flatMap { record in
                contents.caches[record.id]?.samples.map { Use(tenant: record.tenant, cache: record.id, sample: $0) }
                    ?? []
            }
            return tenants + caches
        }
    }

    /// How often a threshold was crossed since the start.
    package func crossings(_ threshold: LimitThreshold) -> UInt64 {
        contents.withLock { $0.crossings[threshold] ?? 0 }
    }
}

extension LimitName {
    /// Limits of which one can have used a part.
    static let watched: [LimitName] = [
        .maxBytes, .maxItems, .maxOperationsPerSecond, .maxBytesInPerSecond, .maxBytesOutPerSecond, .maxConnections,
        .maxSubscriptions, .maxPublishPerSecond, .maxCaches,
    ]

    var isRateOfCalls: Bool {
        switch self {
        case .maxOperationsPerSecond, .maxBytesInPerSecond, .maxBytesOutPerSecond, .maxPublishPerSecond: true
        default: false
        }
    }
}

extension Limits {
    var hasWatched: Bool { LimitName.watched.contains { self[$0] != nil } }
    var hasRates: Bool { LimitName.watched.contains { $0.isRateOfCalls && self[$0] != nil } }
}
