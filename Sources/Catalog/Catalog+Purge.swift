import GRDB
import Tenancy

/// What a purge removed.
package struct PurgeResult: Equatable, Sendable {
    package internal(set) var tokens = 0
    package internal(set) var apiKeys = 0
    package internal(set) var signingKeys = 0
    package internal(set) var tenantSigningKeys = 0
    /// Whether more waits: the work of one purge is bounded.
    package internal(set) var hasMore = false
}

extension Catalog {
    /// How long an API key that has expired stays in the lists of its tenant, and is told from one that never was.
    package static let expiredKeyRetentionMilliseconds: Int64 = 30 * 86_400_000
    /// How long a retired signing key verifies at the least. A token that was signed before the rotation may be written
    /// down after it, and a clock may be set back: an hour is far more than either takes.
    package static let retiredSigningKeyMilliseconds: Int64 = 3_600_000

    private static let purgeBatch = 10_000

    /// Removes what time has made worthless: tokens and their revocations a minute after the token has expired,
    /// tenants' signing keys a minute after they have, API keys 30 days after, and retired signing keys once no token is
    /// alive that they can have signed.
    ///
    /// Call it every few minutes, and again at once while ``PurgeResult/hasMore``.
    ///
    /// - Throws: the failures of the catalog.
    /// - Complexity: O(what is removed), at most 10,000 each of tokens, API keys and tenants' signing keys.
    package func purge(now: Timestamp) throws(MartletError) -> PurgeResult {
        try change { context in
            var result = PurgeResult()
            result.tokens = try context.purgeTokens(now: now, limit: Self.purgeBatch)
            result.apiKeys = try context.purgeKeys(now: now, limit: Self.purgeBatch)
            result.signingKeys = try context.purgeSigningKeys(now: now)
            result.tenantSigningKeys = try context.purgeTenantSigningKeys(now: now, limit: Self.purgeBatch)
            result.hasMore = [result.tokens, result.apiKeys, result.tenantSigningKeys].contains(Self.purgeBatch)
            let listed = result.apiKeys + result.signingKeys + result.tenantSigningKeys
            guard result.tokens + listed > 0 else { return .unchanged(result) }
            // Tokens end by themselves, all the time: that is nobody's doing and no event.
            guard listed > 0 else { return .changed(result, []) }
            var detail = AuditDetail()
            detail.tokens = result.tokens
            detail.keys = result.apiKeys
            detail.signingKeys = result.signingKeys + result.tenantSigningKeys
            let entry = AuditEntry("catalog.purge", "expired", tenant: nil, actor: Self.ownActor, detail: detail)
            return .changed(result, entry)
        }
    }
}

extension ChangeContext {
    fileprivate mutating func purgeTokens(now: Timestamp, limit: Int) throws -> Int {
        let rows = try Row.fetchAll(
            database,
            sql: """
                DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE expires_at <= ? LIMIT ?)
                RETURNING id, revoked_at
                """,
            arguments: [now.adding(milliseconds: -Catalog.tokenGraceMilliseconds).milliseconds, limit])
        for row in rows {
            let reader = RowReader(row: row, table: "tokens")
            if try reader.optionalTime("revoked_at") != nil { forgetToken(try reader.text("id")) }
        }
        return rows.count
    }

    fileprivate mutating func purgeKeys(now: Timestamp, limit: Int) throws -> Int {
        let rows = try Row.fetchAll(
            database,
            sql: """
                DELETE FROM api_keys WHERE sequence IN (SELECT sequence FROM api_keys WHERE expires_at <= ? LIMIT ?)
                RETURNING id
                """,
            arguments: [now.adding(milliseconds: -Catalog.expiredKeyRetentionMilliseconds).milliseconds, limit])
        for row in rows { removeKey(try RowReader(row: row, table: "api_keys").text("id")) }
        return rows.count
    }

    fileprivate mutating func purgeSigningKeys(now: Timestamp) throws -> Int {
        let old = state.signingKeys.filter { key in
            guard let retiredAt = key.retiredAt else { return false }
            return retiredAt.adding(milliseconds: Catalog.retiredSigningKeyMilliseconds) <= now
        }
        var removed = 0
        for key in old {
            guard let retiredAt = key.retiredAt else { continue }
            let hasLiveToken = try Bool.fetchOne(
                database,
                sql: "SELECT EXISTS (SELECT 1 FROM tokens WHERE expires_at > ? AND issued_at <= ?)",
                arguments: [
                    now.adding(milliseconds: -Catalog.tokenGraceMilliseconds).milliseconds,
                    retiredAt.adding(milliseconds: Catalog.retiredSigningKeyMilliseconds).milliseconds,
                ])
            guard hasLiveToken == false else { continue }
            try database.execute(sql: "DELETE FROM signing_keys WHERE kid = ?", arguments: [key.kid])
            removeSigningKey(key.kid)
            removed += 1
        }
        return removed
    }
}
