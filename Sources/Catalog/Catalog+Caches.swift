import GRDB
import Tenancy

extension Catalog {
    /// Makes a cache, or changes the one of that name.
    ///
    /// - Parameters:
    ///   - limits: Replaces all limits; nil leaves them as they are (a new cache: none).
    ///   - labels: Replaces all labels; nil leaves them as they are.
    ///   - compression: Nil leaves it as it is (a new cache: off).
    ///   - owner: The id of the credential that makes the cache; an existing one keeps its own.
    /// - Throws: ``MartletError/notFound(_:)`` for an unknown tenant, ``MartletError/countLimited(limit:value:)`` when
    ///   the tenant has as many caches as `max_caches` lets it have, ``MartletError/invalidArgument(field:reason:)`` for
    ///   labels out of bounds, and the failures of the catalog.
    package func putCache(
        _ name: CacheName, tenant: TenantID, limits: Limits? = nil, labels: [String: String]? = nil,
        compression: CacheCompression? = nil, owner: String, actor: String
    ) throws(MartletError) -> (record: CacheRecord, created: Bool) {
        try TextRules.validate(labels: labels ?? [:])
        return try change { context in
            let account = try context.requireTenant(tenant)
            if let id = context.state.cacheIndex.id(tenant: tenant, name: name), var cache = context.state.caches[id] {
                let old = cache
                if let limits { cache.limits = limits }
                if let labels { cache.labels = labels }
                if let compression { cache.compression = compression }
                guard cache != old else { return .unchanged((old, false)) }
                try context.database.execute(
                    sql: "UPDATE caches SET limits = ?, labels = ?, compression = ? WHERE id = ?",
                    arguments: [
                        try ColumnText.json(cache.limits), try ColumnText.json(cache.labels),
                        cache.compression.rawValue, id.column,
                    ])
                context.put(cache)
                return .changed((cache, false), cache.entry("cache.update", actor: actor))
            }
            let cache = try context.insertCache(
                name, of: account, limits: limits ?? Limits(), labels: labels ?? [:],
                compression: compression ?? .off, owner: owner)
            return .changed((cache, true), cache.entry("cache.create", actor: actor))
        }
    }

    /// Makes a cache, and leaves one of that name as it is. Of several at once exactly one makes it, for they are
    /// decided one after another.
    ///
    /// - Parameter owner: The id of the credential that makes the cache.
    /// - Throws: ``MartletError/alreadyExists(_:)`` for a name that is taken, ``MartletError/notFound(_:)`` for an
    ///   unknown tenant, ``MartletError/countLimited(limit:value:)`` when the tenant has as many caches as `max_caches`
    ///   lets it have, and the failures of the catalog.
    package func createCache(
        _ name: CacheName, tenant: TenantID, owner: String, actor: String
    ) throws(MartletError) -> CacheRecord {
        try change { context in
            let account = try context.requireTenant(tenant)
            guard context.state.cacheIndex.id(tenant: tenant, name: name) == nil else {
                throw MartletError.alreadyExists("Cache")
            }
            let cache = try context.insertCache(
                name, of: account, limits: Limits(), labels: [:], compression: .off, owner: owner)
            return .changed(cache, cache.entry("cache.create", actor: actor))
        }
    }

    /// - Returns: the id that the cache had.
    /// - Throws: ``MartletError/cacheNotFound``, and the failures of the catalog.
    @discardableResult
    package func deleteCache(
        _ name: CacheName, tenant: TenantID, actor: String
    ) throws(MartletError) -> CacheID {
        try change { context in
            guard let id = context.state.cacheIndex.id(tenant: tenant, name: name) else {
                throw MartletError.cacheNotFound
            }
            try context.database.execute(
                sql: "UPDATE caches SET deleted_at = ? WHERE id = ?", arguments: [context.now.milliseconds, id.column])
            try context.deleteWebhooks(of: id)
            context.removeCache(id)
            return .changed(id, AuditEntry("cache.delete", name.text, tenant: tenant, actor: actor))
        }
    }

    /// Writes down that a cache was flushed: the audit event is all there is to it.
    ///
    /// - Throws: ``MartletError/cacheNotFound``, and the failures of the catalog.
    package func recordFlush(
        _ name: CacheName, tenant: TenantID, actor: String
    ) throws(MartletError) {
        try change { context in
            guard context.state.cacheIndex.id(tenant: tenant, name: name) != nil else {
                throw MartletError.cacheNotFound
            }
            return .changed((), AuditEntry("cache.flush", name.text, tenant: tenant, actor: actor))
        }
    }

    /// Live caches of a tenant by name; none for an unknown tenant.
    package func caches(of tenant: TenantID, _ page: PageRequest) throws(MartletError) -> Page<CacheRecord> {
        let after = try page.nameKey(.caches)
        let caches = try read { database in
            try Row.fetchAll(
                database,
                sql: """
                    SELECT * FROM caches WHERE tenant_id = ? AND deleted_at IS NULL AND name > ?
                    ORDER BY name LIMIT ?
                    """,
                arguments: [tenant.column, after, page.limit + 1]
            ).map { row in try CacheRecord(row: row) }
        }
        return Page(fetched: caches, request: page) { PageCursor(list: .caches, key: $0.name.text) }
    }
}

extension CacheRecord {
    fileprivate func entry(_ action: String, actor: String) -> AuditEntry {
        var detail = AuditDetail()
        detail.limits = AuditDetail.limits(limits)
        detail.labels = labels
        detail.compression = compression.rawValue
        return AuditEntry(action, name.text, tenant: tenant, actor: actor, detail: detail)
    }
}

extension ChangeContext {
    fileprivate mutating func insertCache(
        _ name: CacheName, of account: TenantRecord, limits: Limits, labels: [String: String],
        compression: CacheCompression, owner: String
    ) throws -> CacheRecord {
        let tenant = account.id
        if let maximum = account.limitsInForce[.maxCaches], (state.cacheCounts[tenant] ?? 0) >= maximum {
            throw MartletError.countLimited(limit: .maxCaches, value: maximum)
        }
        try database.execute(
            sql: """
                INSERT INTO caches (tenant_id, name, limits, labels, compression, owner, created_at)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                tenant.column, name.text, try ColumnText.json(limits), try ColumnText.json(labels),
                compression.rawValue, owner, now.milliseconds,
            ])
        let cache = CacheRecord(
            id: CacheID(rawValue: UInt64(database.lastInsertedRowID)), tenant: tenant, name: name, limits: limits,
            labels: labels, compression: compression, owner: owner, createdAt: now)
        put(cache)
        return cache
    }

    /// - Returns: how many there were.
    mutating func deleteCaches(of tenant: TenantID) throws -> Int {
        let rows = try Row.fetchAll(
            database,
            sql: "UPDATE caches SET deleted_at = ? WHERE tenant_id = ? AND deleted_at IS NULL RETURNING id",
            arguments: [now.milliseconds, tenant.column])
        for row in rows {
            let id = CacheID(rawValue: try RowReader(row: row, table: "caches").id("id"))
            try deleteWebhooks(of: id)
            removeCache(id)
        }
        return rows.count
    }
}
