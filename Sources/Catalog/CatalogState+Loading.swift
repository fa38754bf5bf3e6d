import GRDB
import Tenancy

extension CatalogState {
    /// Reads the whole state afresh, as at a start.
    ///
    /// - Throws: ``DamagedRow`` for a row that cannot be, or a `DatabaseError`.
    /// - Complexity: O(n) in everything that is alive.
    init(loadingFrom database: Database) throws {
        try Self.read(database, "SELECT * FROM plans") { row in
            put(try PlanRecord(row: row))
        }
        try Self.read(database, "\(TenantRecord.selection) WHERE deleted_at IS NULL") { row in
            put(try TenantRecord(row: row))
        }
        try Self.read(database, "SELECT * FROM caches WHERE deleted_at IS NULL") { row in
            let cache = try CacheRecord(row: row)
            try requireTenant(cache.tenant, of: "caches")
            put(cache)
        }
        try Self.read(database, "SELECT * FROM webhooks ORDER BY id") { row in
            let webhook = try WebhookRecord(row: row)
            guard caches[webhook.cache] != nil else {
                throw DamagedRow(table: "webhooks", reason: "cache_id names no live cache")
            }
            put(webhook)
        }
        try Self.read(database, "SELECT * FROM api_keys") { row in
            let key = try APIKeyRecord(row: row)
            try requireTenant(key.tenant, of: "api_keys")
            put(key)
        }
        try Self.read(database, "SELECT id, expires_at FROM tokens WHERE revoked_at IS NOT NULL") { row in
            let reader = RowReader(row: row, table: "tokens")
            revokeToken(try reader.text("id"), expiresAt: try reader.time("expires_at"))
        }
        try Self.read(database, "SELECT * FROM signing_keys") { row in
            put(try SigningKeyRecord(row: row))
        }
        try Self.read(database, "SELECT * FROM tenant_signing_keys") { row in
            let key = try TenantSigningKeyRecord(row: row)
            try requireTenant(key.tenant, of: "tenant_signing_keys")
            put(key)
        }
        try Self.read(database, "SELECT hash FROM root_key") { row in
            rootKeyHash = try RowReader(row: row, table: "root_key").bytes("hash")
        }
    }

    private static func read(_ database: Database, _ sql: String, _ body: (Row) throws -> Void) throws {
        let rows = try Row.fetchCursor(database, sql: sql)
        while let row = try rows.next() { try body(row) }
    }

    /// A deleted tenant owns nothing that is alive: that was removed in the same transaction.
    private func requireTenant(_ tenant: TenantID, of table: String) throws(DamagedRow) {
        guard tenants[tenant] != nil else { throw DamagedRow(table: table, reason: "tenant_id names no live tenant") }
    }
}
