import Access
import Admission
import Catalog
import Engine
import Synchronization
import Tenancy

/// A change of a cache. What is not named stays.
package struct CacheChange: Sendable {
    package var limits: LimitChanges = [:]
    package var labels: LabelChanges = [:]
    package var compression: CacheCompression?

    package init() {}
}

/// A cache with what it holds and uses now.
package struct CacheReport: Sendable {
    package let record: CacheRecord
    package let tenant: TenantName
    /// Nil when nobody has used the cache since the start: then it holds nothing.
    package let statistics: CacheStatistics?
    /// What a call on the cache meets: of what the cache and its tenant set, the smaller. Sizes are always there, for
    /// they have defaults.
    package let limitsInForce: Limits
    /// What is used of the cache's own limits.
    package let use: [LimitUse]
}

extension ControlPlane {
    /// Makes a cache, or changes the one of that name. Usable before this returns.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``; ``MartletError/permissionDenied(_:)`` when another than root changes what is
    ///   reserved; ``MartletError/invalidArgument(field:reason:)`` for a limit that caches do not have, or labels out of
    ///   bounds; ``MartletError/countLimited(limit:value:)`` when the tenant has as many caches as it may; and the
    ///   failures of the catalog.
    package func putCache(
        _ name: CacheName, _ change: CacheChange, tenant: TenantName? = nil, caller: Caller
    ) throws(MartletError) -> (report: CacheReport, created: Bool) {
        let account = try permit(.manageCaches, caller, tenant: tenant)
        for limit in LimitName.allCases where change.limits[limit] != nil {
            guard !limit.isOfTenantsOnly else {
                throw .invalidArgument(
                    field: "limits.\(limit.rawValue)", reason: "is a limit of tenants, not of caches")
            }
            guard !limit.isReservation || caller.kind == .root else {
                throw .permissionDenied("setting \(limit.rawValue) needs the root key")
            }
        }
        return try changes.withLock { (_: inout Void) throws(MartletError) in
            let old = catalog.snapshot.cache(tenant: account.id, name: name)
            let limits = (old?.limits ?? Limits()).applying(change.limits)
            try limits.validate()
            let (record, created) = try catalog.putCache(
                name, tenant: account.id, limits: limits,
                labels: (old?.labels ?? [:]).applying(change.labels), compression: change.compression,
                owner: caller.credentialID, actor: caller.credentialID)
            return (report(record, of: account), created)
        }
    }

    /// Makes a cache without limits of its own. Usable before this returns.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``; ``MartletError/alreadyExists(_:)`` when there is one of that name, which
    ///   stays as it is; ``MartletError/countLimited(limit:value:)`` when the tenant has as many caches as it may; and
    ///   the failures of the catalog.
    @discardableResult
    package func createCache(
        _ name: CacheName, tenant: TenantName? = nil, caller: Caller
    ) throws(MartletError) -> CacheReport {
        let account = try permit(.manageCaches, caller, tenant: tenant)
        let record = try catalog.createCache(
            name, tenant: account.id, owner: caller.credentialID, actor: caller.credentialID)
        return report(record, of: account)
    }

    /// - Throws: as ``permit(_:_:tenant:)``, and ``MartletError/cacheNotFound``.
    package func cache(
        _ name: CacheName, tenant: TenantName? = nil, caller: Caller
    ) throws(MartletError) -> CacheReport {
        let account = try permit(.manageCaches, caller, tenant: tenant)
        guard let record = catalog.snapshot.cache(tenant: account.id, name: name) else { throw .cacheNotFound }
        return report(record, of: account)
    }

    /// The tenant's caches by name.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``, ``MartletError/invalidArgument(field:reason:)`` for a false `next_token`, and
    ///   the failures of the catalog.
    package func caches(
        _ page: PageRequest, tenant: TenantName? = nil, caller: Caller
    ) throws(MartletError) -> Page<CacheReport> {
        let account = try permit(.manageCaches, caller, tenant: tenant)
        let records = try catalog.caches(of: account.id, page)
        return Page(items: records.items.map { report($0, of: account) }, nextToken: records.nextToken)
    }

    /// Deletes a cache with its items. It is gone for every request that begins after this returns.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``, ``MartletError/cacheNotFound``, and the failures of the catalog.
    package func deleteCache(_ name: CacheName, tenant: TenantName? = nil, caller: Caller) throws(MartletError) {
        let account = try permit(.manageCaches, caller, tenant: tenant)
        try catalog.deleteCache(name, tenant: account.id, actor: caller.credentialID)
    }

    /// Empties a cache. The audit event is on disk before the first item goes.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``, ``MartletError/cacheNotFound``, and the failures of the catalog; then nothing
    ///   was flushed.
    package func flushCache(_ name: CacheName, tenant: TenantName? = nil, caller: Caller) throws(MartletError) {
        let account = try permit(.flushCache, caller, tenant: tenant)
        guard let record = catalog.snapshot.cache(tenant: account.id, name: name) else { throw .cacheNotFound }
        try catalog.recordFlush(name, tenant: account.id, actor: caller.credentialID)
        service.flush(record.id)
    }

    private func report(_ record: CacheRecord, of tenant: TenantRecord) -> CacheReport {
        let statistics = service.statistics(record.id)
        return CacheReport(
            record: record, tenant: tenant.name, statistics: statistics,
            limitsInForce: limitsInForce(record, of: tenant), use: use(of: record, statistics))
    }

    private func limitsInForce(_ record: CacheRecord, of tenant: TenantRecord) -> Limits {
        var limits = Limits()
        for name in LimitName.allCases where name.isCeilingOfCalls {
            limits[name] = [record.limits[name], tenant.limitsInForce[name]].compactMap(\.self).min()
        }
        let sizes = SizeLimits(cache: record.limits, tenant: tenant.limitsInForce, defaults: service.sizes)
        limits[.maxItemBytes] = UInt64(sizes.itemBytes)
        limits[.maxElementBytes] = UInt64(sizes.elementBytes)
        limits[.maxMessageBytes] = UInt64(sizes.messageBytes)
        limits[.maxKeyBytes] = UInt64(sizes.keyBytes)
        return limits
    }
}
