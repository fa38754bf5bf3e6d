import GRDB
import Tenancy

/// The keys with which tenants sign tokens themselves.
extension Catalog {
    /// Stores the public half of a key pair. Tokens that it signs are good once this has returned.
    ///
    /// - Throws: ``MartletError/notFound(_:)`` for an unknown tenant, ``MartletError/alreadyExists(_:)`` when the `kid`
    ///   is taken, by a key of the installation too, and the failures of the catalog.
    package func insertTenantSigningKey(_ key: TenantSigningKeyRecord, actor: String) throws(MartletError) {
        guard key.kid.isWhole, key.publicPEM.isWhole else {
            throw .internalFailure("a new signing key is not text")
        }
        try change { context in
            _ = try context.requireTenant(key.tenant)
            guard context.state.tenantSigningKeys[key.kid] == nil,
                !context.state.signingKeys.contains(where: { $0.kid == key.kid })
            else {
                throw MartletError.alreadyExists("Signing key")
            }
            try context.database.execute(
                sql: """
                    INSERT INTO tenant_signing_keys (kid, tenant_id, public_pem, created_at, expires_at)
                    VALUES (?, ?, ?, ?, ?)
                    """,
                arguments: [
                    key.kid, key.tenant.column, key.publicPEM, key.createdAt.milliseconds, key.expiresAt.milliseconds,
                ])
            context.put(key)
            var detail = AuditDetail()
            detail.expiresAt = key.expiresAt.seconds
            return .changed(
                (), AuditEntry("signing_key.create", key.kid, tenant: key.tenant, actor: actor, detail: detail))
        }
    }

    /// Ends a signing key of a tenant, and with it every token that it signed.
    ///
    /// - Throws: ``MartletError/notFound(_:)`` unless the tenant has a key of that `kid`, and the failures of the
    ///   catalog.
    package func revokeTenantSigningKey(kid: String, tenant: TenantID, actor: String) throws(MartletError) {
        try change { context in
            guard kid.isWhole, context.state.tenantSigningKeys[kid]?.tenant == tenant else {
                throw MartletError.notFound("Signing key")
            }
            try context.database.execute(sql: "DELETE FROM tenant_signing_keys WHERE kid = ?", arguments: [kid])
            context.removeTenantSigningKey(kid)
            return .changed((), AuditEntry("signing_key.revoke", kid, tenant: tenant, actor: actor))
        }
    }

    /// Signing keys of a tenant in the order of making, those among them that expired a moment ago; none for an unknown
    /// tenant.
    package func tenantSigningKeys(
        of tenant: TenantID, _ page: PageRequest
    ) throws(MartletError) -> Page<TenantSigningKeyRecord> {
        let after = try page.numberKey(.signingKeys, first: 0)
        let keys = try read { database in
            try Row.fetchAll(
                database,
                sql: "SELECT * FROM tenant_signing_keys WHERE tenant_id = ? AND sequence > ? ORDER BY sequence LIMIT ?",
                arguments: [tenant.column, after, page.limit + 1]
            ).map { row in
                let sequence = try RowReader(row: row, table: "tenant_signing_keys").integer("sequence")
                return (try TenantSigningKeyRecord(row: row), sequence)
            }
        }
        let numbered = Page(fetched: keys, request: page) { PageCursor(list: .signingKeys, key: $0.1) }
        return Page(items: numbered.items.map(\.0), nextToken: numbered.nextToken)
    }
}

extension ChangeContext {
    /// Deletes the signing keys of a tenant.
    ///
    /// - Returns: how many there were.
    mutating func deleteSigningKeys(of tenant: TenantID) throws -> Int {
        try removeTenantSigningKeys(
            try Row.fetchAll(
                database, sql: "DELETE FROM tenant_signing_keys WHERE tenant_id = ? RETURNING kid",
                arguments: [tenant.column]))
    }

    mutating func purgeTenantSigningKeys(now: Timestamp, limit: Int) throws -> Int {
        try removeTenantSigningKeys(
            try Row.fetchAll(
                database,
                sql: """
                    DELETE FROM tenant_signing_keys WHERE sequence IN
                        (SELECT sequence FROM tenant_signing_keys WHERE expires_at <= ? LIMIT ?)
                    RETURNING kid
                    """,
                arguments: [now.adding(milliseconds: -Catalog.tokenGraceMilliseconds).milliseconds, limit]))
    }

    private mutating func removeTenantSigningKeys(_ rows: [Row]) throws -> Int {
        for row in rows {
            removeTenantSigningKey(try RowReader(row: row, table: "tenant_signing_keys").text("kid"))
        }
        return rows.count
    }
}
