import GRDB
import Tenancy

extension Catalog {
    /// Stores an API key.
    ///
    /// - Throws: ``MartletError/notFound(_:)`` for an unknown tenant, ``MartletError/alreadyExists(_:)`` when its id or
    ///   hash is taken, ``MartletError/invalidArgument(field:reason:)`` for a label or description out of bounds, and the
    ///   failures of the catalog.
    package func insertKey(_ key: APIKeyRecord, actor: String) throws(MartletError) {
        try change { context in .changed((), try context.insertKey(key, actor: actor)) }
    }

    /// Revokes one API key of a tenant, for good.
    ///
    /// - Throws: ``MartletError/notFound(_:)`` unless the tenant has a key of that id, and the failures of the catalog.
    package func revokeKey(id: String, tenant: TenantID, actor: String) throws(MartletError) {
        try change { context in
            guard id.isWhole, let key = context.state.keys[id], key.tenant == tenant else {
                throw MartletError.notFound("API key")
            }
            try context.deleteKey(key.id)
            return .changed((), AuditEntry("key.revoke", key.id, tenant: tenant, actor: actor))
        }
    }

    /// Trades one API key of a tenant for another, in one transaction: whoever comes second with the same refresh token
    /// finds no key.
    ///
    /// - Throws: ``MartletError/notFound(_:)`` unless the tenant has a key of that id, and what
    ///   ``insertKey(_:actor:)`` throws.
    package func replaceKey(
        id: String, tenant: TenantID, with key: APIKeyRecord, actor: String
    ) throws(MartletError) {
        try change { context in
            guard id.isWhole, let old = context.state.keys[id], old.tenant == tenant, key.tenant == tenant else {
                throw MartletError.notFound("API key")
            }
            try context.deleteKey(old.id)
            return .changed((), try context.insertKey(key, replaces: old.id, actor: actor))
        }
    }

    /// API keys of a tenant in the order of making, those that have expired among them; none for an unknown tenant.
    package func keys(of tenant: TenantID, _ page: PageRequest) throws(MartletError) -> Page<APIKeyRecord> {
        let after = try page.numberKey(.keys, first: 0)
        let keys = try read { database in
            try Row.fetchAll(
                database, sql: "SELECT * FROM api_keys WHERE tenant_id = ? AND sequence > ? ORDER BY sequence LIMIT ?",
                arguments: [tenant.column, after, page.limit + 1]
            ).map { row in
                (try APIKeyRecord(row: row), try RowReader(row: row, table: "api_keys").integer("sequence"))
            }
        }
        let numbered = Page(fetched: keys, request: page) { PageCursor(list: .keys, key: $0.1) }
        return Page(items: numbered.items.map(\.0), nextToken: numbered.nextToken)
    }
}

extension ChangeContext {
    mutating func insertKey(_ key: APIKeyRecord, replaces: String? = nil, actor: String) throws -> AuditEntry {
        _ = try requireTenant(key.tenant)
        try TextRules.validate(key.tokenID, field: "token_id", maximumBytes: TextRules.maximumTokenIDBytes)
        try TextRules.validate(key.description, field: "description", maximumBytes: TextRules.maximumDescriptionBytes)
        try TextRules.validate(key.id, field: "id", maximumBytes: TextRules.maximumTokenIDBytes)
        guard key.hash.count == 32, key.refreshHash.map({ $0.count == 32 }) ?? true else {
            throw MartletError.internalFailure("the hash of an API key is not 32 bytes long")
        }
        guard state.keys[key.id] == nil, state.keyIDs[key.hash] == nil else {
            throw MartletError.alreadyExists("API key")
        }
        try database.execute(
            sql: """
                INSERT INTO api_keys (
                    id, tenant_id, hash, refresh_hash, format, grant_bytes, is_super_user, token_id, description,
                    created_at, expires_at, duration_seconds
                ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                key.id, key.tenant.column, Blob(key.hash), key.refreshHash.map(Blob.init), key.format.rawValue,
                Blob(key.grant), key.isSuperUser, key.tokenID, key.description, key.createdAt.milliseconds,
                key.expiresAt?.milliseconds, key.durationSeconds,
            ])
        put(key)
        var detail = AuditDetail()
        detail.format = key.format.rawValue
        detail.isSuperUser = key.isSuperUser
        detail.permissions = String(validating: key.grant, as: UTF8.self)
        detail.tokenID = key.tokenID
        detail.keyDescription = key.description
        detail.expiresAt = key.expiresAt?.seconds
        detail.replaces = replaces
        let action = replaces == nil ? "key.create" : "key.refresh"
        return AuditEntry(action, key.id, tenant: key.tenant, actor: actor, detail: detail)
    }

    fileprivate mutating func deleteKey(_ id: String) throws {
        try database.execute(sql: "DELETE FROM api_keys WHERE id = ?", arguments: [id])
        removeKey(id)
    }

    /// Deletes the keys of a tenant: all, or those of one label.
    ///
    /// - Returns: their ids.
    mutating func deleteKeys(of tenant: TenantID, tokenID: String?) throws -> [String] {
        var sql = "DELETE FROM api_keys WHERE tenant_id = ?"
        var arguments: StatementArguments = [tenant.column]
        if let tokenID {
            sql += " AND token_id = ?"
            arguments += [tokenID]
        }
        let rows = try Row.fetchAll(database, sql: sql + " RETURNING id", arguments: arguments)
        let ids = try rows.map { try RowReader(row: $0, table: "api_keys").text("id") }
        for id in ids { removeKey(id) }
        return ids
    }
}
