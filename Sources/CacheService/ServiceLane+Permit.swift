import Access
import Catalog
import Metering
import Tenancy

/// Steps two and three: which cache, and may they.
extension ServiceLane {
    /// Resolves the cache, checks that the caller may perform `operation` on `key` in it, then that it exists: in this
    /// order, so that nobody learns of a cache or a key that they may not use.
    ///
    /// - Parameters:
    ///   - cacheName: As decoded from the request.
    ///   - key: Nil when the request names no key, or none that could be read: then the caller must be allowed
    ///     the operation on some key of the cache, and the door refuses the parameters afterwards.
    ///   - connection: On which the request came, to be counted. Nil for what goes on under a request that was counted.
    /// - Throws: ``MartletError/permissionDenied(_:)``, ``MartletError/cacheNotFound``; for a name that no cache can
    ///   have, ``MartletError/invalidArgument(field:reason:)``; for a connection too many,
    ///   ``MartletError/countLimited(limit:value:)``.
    package func permit(
        _ caller: LaneCaller, cacheName: UnsafeRawBufferPointer, operation: CacheOperation,
        key: UnsafeRawBufferPointer?, door: Door, on connection: ConnectionClaims? = nil
    ) throws(MartletError) -> CacheGrant {
        let grant = try grant(caller, cacheName)
        let isAllowed =
            if let key { grant.scope.allows(operation, key: key) } else { grant.scope.allowsSomewhere(operation) }
        guard isAllowed else {
            if let connection { claimTenant(connection, of: caller) }
            let what = operation.rule.target == .topic ? "topic" : "key"
            let refusal = MartletError.permissionDenied(
                "this credential may not do that with this \(what) of this cache")
            throw grant.cache == nil ? refusal : refused(grant, door, refusal)
        }
        guard let cache = grant.cache else {
            if let connection { claimTenant(connection, of: caller) }
            throw .cacheNotFound
        }
        guard let connection else { return grant }
        do throws(MartletError) {
            try claim(connection, cache)
        } catch {
            throw refused(grant, door, error)
        }
        return grant
    }

    /// As ``permit(_:cacheName:operation:key:door:on:)``, for a call whose cache was resolved before: what it was given then
    /// may have changed. Cost: one comparison and the permission's while the catalog stands still.
    @inline(__always)
    package func permit(
        _ opened: CacheGrant, _ caller: LaneCaller, operation: CacheOperation, key: UnsafeRawBufferPointer, door: Door
    ) throws(MartletError) -> CacheGrant {
        if opened.version == snapshot.version, opened.scope.allows(operation, key: key) { return opened }
        return try permitAnew(opened, caller, operation, key, door)
    }

    private func permitAnew(
        _ opened: CacheGrant, _ caller: LaneCaller, _ operation: CacheOperation, _ key: UnsafeRawBufferPointer,
        _ door: Door
    ) throws(MartletError) -> CacheGrant {
        let grant = try opened.cacheName.withUnsafeBufferPointer { name throws(MartletError) in
            try permit(caller, cacheName: UnsafeRawBufferPointer(name), operation: operation, key: key, door: door)
        }
        guard grant.isForSameCache(as: opened) else { throw .cacheNotFound }
        return grant
    }

    @inline(__always)
    private func grant(_ caller: LaneCaller, _ name: UnsafeRawBufferPointer) throws(MartletError) -> CacheGrant {
        for grant in caller.grants where grant.version == snapshot.version && name.elementsEqual(grant.cacheName) {
            return grant
        }
        return try makeGrant(caller, name)
    }

    private func makeGrant(
        _ caller: LaneCaller, _ bytes: UnsafeRawBufferPointer
    ) throws(MartletError) -> CacheGrant {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw .invalidArgument(field: "cache", reason: "must be UTF-8")
        }
        let name = try CacheName(text)
        let record = snapshot.cache(tenant: caller.caller.tenant, name: name)
        let grant = CacheGrant(
            cacheName: Array(bytes), scope: caller.caller.scope(for: name),
            cache: record.flatMap { laneCache($0) }, version: snapshot.version)
        if caller.grants.count < LaneCaller.grantCount {
            caller.grants.append(grant)
        } else {
            caller.grants[caller.nextGrant] = grant
            caller.nextGrant = (caller.nextGrant + 1) % LaneCaller.grantCount
        }
        return grant
    }

    /// Writes a refusal down that a door found in the parameters, and hands the error back. A validly identified call
    /// is metered whatever becomes of it.
    package func refused(_ grant: CacheGrant, _ door: Door, _ error: MartletError) -> MartletError {
        // A cache that is gone has given its counters back.
        guard let cache = grant.cache, snapshot.cache(cache.record.id) != nil, let row = try? row(cache, door) else {
            return error
        }
        row.recordRefusal(error)
        return error
    }
}
