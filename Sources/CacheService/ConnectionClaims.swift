import Access
import Admission
import Catalog
import Tenancy

/// What one connection counts against: the caches that it has used, and the tenants of the callers who were identified on
/// it. Given back when the connection ends; belongs to the connection's event loop.
///
/// ```
/// request ─▶ permit ─▶ the cache that was used last?  ── yes ─▶ go on (one comparison)
///                                                     └─ no ──▶ counted before? ── no ─▶ one more, or countLimited
/// ```
///
/// A connection over the limit is refused its requests, not closed: it counts for nothing, asks anew with each request,
/// and goes on when a place is free. What a ceiling that sinks finds counted stays counted.
package final class ConnectionClaims {
    /// The admission of the cache that was used last: most connections use one all their life. It is among ``caches``,
    /// which keeps its memory from becoming another's.
    fileprivate var last: ObjectIdentifier?
    fileprivate var caches: [CacheID: CacheAdmission] = [:]
    fileprivate var tenants: [TenantID: TenantAdmission] = [:]
    /// The catalog version under which all of them were there.
    fileprivate var version: UInt64 = 0
    private var isEnded = false

    package init() {}

    deinit {
        releaseAll()
    }

    /// The connection has ended: everything is given back, and what still comes late of it counts for nothing.
    package func end() {
        isEnded = true
        releaseAll()
    }

    /// Gives everything back but what belongs to `grant`: for a protocol in which a connection is one caller's in one
    /// cache at a time.
    ///
    /// - Parameter grant: Nil when the connection is nobody's any more.
    package func keepOnly(_ grant: CacheGrant?) {
        let record = grant?.cache?.record
        for (id, cache) in caches where id != record?.id {
            cache.connections.release()
            caches[id] = nil
        }
        for (id, tenant) in tenants where id != record?.tenant {
            tenant.connections.release()
            tenants[id] = nil
        }
        last = caches.values.first.map { ObjectIdentifier($0) }
    }

    private func releaseAll() {
        last = nil
        for cache in caches.values { cache.connections.release() }
        caches = [:]
        for tenant in tenants.values { tenant.connections.release() }
        tenants = [:]
    }

    /// Counts for a tenant. Returns false if its limit is reached.
    fileprivate func take(_ id: TenantID, _ tenant: TenantAdmission) -> Bool {
        if tenants[id] != nil || isEnded { return true }
        guard tenant.connections.take() else { return false }
        tenants[id] = tenant
        return true
    }

    /// Counts for a cache. Returns false if its limit is reached.
    fileprivate func take(_ id: CacheID, _ cache: CacheAdmission) -> Bool {
        if caches[id] != nil || isEnded { return true }
        guard cache.connections.take() else { return false }
        caches[id] = cache
        return true
    }

    fileprivate func give(_ id: CacheID) {
        last = nil
        caches.removeValue(forKey: id)?.connections.release()
    }

    fileprivate func give(_ id: TenantID) {
        tenants.removeValue(forKey: id)?.connections.release()
    }

    /// Lets go of what the catalog has dropped.
    fileprivate func prune(_ snapshot: CatalogSnapshot) {
        guard version != snapshot.version else { return }
        version = snapshot.version
        for id in caches.keys where snapshot.cache(id) == nil { give(id) }
        for id in tenants.keys where snapshot.tenant(id) == nil {
            tenants.removeValue(forKey: id)?.connections.release()
        }
    }
}

extension ServiceLane {
    /// Counts a connection for a cache and its tenant, if it does not count yet.
    ///
    /// - Throws: ``MartletError/countLimited(limit:value:)``, the cache's limit before the tenant's.
    /// - Complexity: One comparison for the cache that the connection used last. No allocation for one it has used.
    @inline(__always)
    func claim(_ connection: ConnectionClaims, _ cache: LaneCache) throws(MartletError) {
        if connection.last == ObjectIdentifier(cache.shared.admission) { return }
        try claimAnew(connection, cache)
    }

    private func claimAnew(_ connection: ConnectionClaims, _ cache: LaneCache) throws(MartletError) {
        connection.prune(snapshot)
        let (record, admission) = (cache.record, cache.shared.admission)
        let wasCounted = connection.caches[record.id] != nil
        let wasTenantCounted = connection.tenants[record.tenant] != nil
        let isTenantCounted = connection.take(record.tenant, admission.tenant)
        guard connection.take(record.id, admission) else {
            // One that the cache refuses takes no place of the tenant's other caches.
            if !wasTenantCounted { connection.give(record.tenant) }
            throw .countLimited(limit: .maxConnections, value: admission.connections.ceiling ?? 0)
        }
        guard isTenantCounted else {
            if !wasCounted { connection.give(record.id) }
            throw .countLimited(limit: .maxConnections, value: admission.tenant.connections.ceiling ?? 0)
        }
        connection.last = ObjectIdentifier(admission)
    }

    /// Counts a connection for the tenant of a caller who may not do what he asks, or asks for a cache that there is not.
    /// That refusal stands; over the limit the connection is just not counted.
    func claimTenant(_ connection: ConnectionClaims, of caller: LaneCaller) {
        let id = caller.caller.tenant
        guard connection.tenants[id] == nil, let tenant = snapshot.tenant(id) else { return }
        connection.prune(snapshot)
        _ = connection.take(id, service.admission(of: tenant))
    }
}
