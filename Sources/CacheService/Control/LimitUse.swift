import Admission
import Catalog
import Engine
import Tenancy

/// One limit that can be used up, and how much of it is.
package struct LimitUse: Equatable, Sendable {
    package let name: LimitName
    /// The one that holds at this level: a cache's own, or what is in force for a tenant. Nil: none.
    package let limit: UInt64?
    /// Of a limit a second, what is taken of the allowance and has not come back yet: over the limit while a burst or a
    /// debt is paid off, and 0 where there is no limit to measure it by.
    package let used: UInt64
}

/// What is used of a cache's or a tenant's limits, before it is put beside them.
private struct Use {
    var bytes = 0
    var items = 0
    var rates: [LimitName: UInt64] = [:]
    var connections: UInt64 = 0
    var subscriptions: UInt64 = 0

    /// What is on its way back to the system already is not held against a limit.
    mutating func add(_ items: EngineCacheStatistics) {
        bytes += max(0, items.bytes - items.bytesBeingFreed)
        self.items += items.items
    }

    func beside(_ limits: Limits) -> [LimitUse] {
        func rate(_ name: LimitName) -> (LimitName, UInt64) { (name, rates[name] ?? 0) }
        return [
            (.maxBytes, UInt64(clamping: bytes)), (.maxItems, UInt64(clamping: items)),
            rate(.maxOperationsPerSecond), rate(.maxBytesInPerSecond), rate(.maxBytesOutPerSecond),
            (.maxConnections, connections), (.maxSubscriptions, subscriptions), rate(.maxPublishPerSecond),
        ].map { name, used in LimitUse(name: name, limit: limits[name], used: used) }
    }
}

extension ControlPlane {
    /// What a cache uses of its own limits. Cost: that of a cache's statistics.
    func use(of record: CacheRecord, _ statistics: CacheStatistics?) -> [LimitUse] {
        var use = Use()
        if let statistics { use.add(statistics.items) }
        if let admission = service.openedAdmission(of: record.id) {
            use.rates = admission.usedRates(service.clock.uptimeNanoseconds())
            use.connections = admission.connections.count
            use.subscriptions = admission.topics.subscriptions.count
        }
        return use.beside(record.limits)
    }

    /// What a tenant uses over all its caches of the limits in force for it. Cost: some loads.
    func use(of record: TenantRecord) -> [LimitUse] {
        var use = Use()
        let held = service.tenantStatistics(record.id)
        (use.bytes, use.items) = (held.bytes, held.items)
        let now = service.clock.uptimeNanoseconds()
        if let admission = service.openedAdmission(of: record.id) {
            use.rates = admission.usedRates(now)
            use.connections = admission.connections.count
            use.subscriptions = admission.topics.subscriptions.count
        }
        let limits = record.limitsInForce
        return use.beside(limits) + [
            LimitUse(
                name: .maxCaches, limit: limits[.maxCaches],
                used: UInt64(clamping: catalog.snapshot.cacheCount(of: record.id))),
            LimitUse(
                name: .maxTokensPerSecond, limit: limits[.maxTokensPerSecond],
                used: mintingRates.used(record.id, nowNanoseconds: now)),
        ]
    }
}
