import GRDB
import Tenancy

extension Catalog {
    /// How long after its expiry a token and its revocation are remembered: by then no clock of this installation can
    /// take it for valid.
    package static let tokenGraceMilliseconds: Int64 = 60_000

    /// Writes down a token that was minted, so that it can be revoked. No snapshot changes: a token needs no entry to be
    /// valid, only to be revoked.
    ///
    /// - Throws: ``MartletError/notFound(_:)`` for an unknown tenant, ``MartletError/alreadyExists(_:)`` when the id is
    ///   taken, ``MartletError/invalidArgument(field:reason:)`` for a label out of bounds, and the failures of the
    ///   catalog.
    package func insertToken(_ token: TokenRecord, actor: String) throws(MartletError) {
        try TextRules.validate(token.tokenID, field: "token_id", maximumBytes: TextRules.maximumTokenIDBytes)
        try TextRules.validate(token.id, field: "id", maximumBytes: TextRules.maximumTokenIDBytes)
        try change { context in
            _ = try context.requireTenant(token.tenant)
            try context.database.execute(
                sql: """
                    INSERT INTO tokens (id, tenant_id, token_id, issued_at, expires_at, minted_by)
                    VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
                    """,
                arguments: [
                    token.id, token.tenant.column, token.tokenID, token.issuedAt.milliseconds,
                    token.expiresAt.milliseconds, token.mintedBy,
                ])
            guard context.database.changesCount == 1 else { throw MartletError.alreadyExists("Token") }
            var detail = AuditDetail()
            detail.tokenID = token.tokenID
            detail.expiresAt = token.expiresAt.seconds
            return .changed(
                (), AuditEntry("token.mint", token.id, tenant: token.tenant, actor: actor, detail: detail))
        }
    }

    /// Revokes one token of a tenant. One that is revoked already stays so.
    ///
    /// - Throws: ``MartletError/notFound(_:)`` unless the tenant minted a token of that id that is still remembered, and
    ///   the failures of the catalog.
    package func revokeToken(id: String, tenant: TenantID, actor: String) throws(MartletError) {
        guard id.isWhole else { throw .notFound("Token") }
        try change { context in
            let row = try Row.fetchOne(
                context.database, sql: "SELECT expires_at, revoked_at FROM tokens WHERE id = ? AND tenant_id = ?",
                arguments: [id, tenant.column])
            guard let row else { throw MartletError.notFound("Token") }
            let reader = RowReader(row: row, table: "tokens")
            guard try reader.optionalTime("revoked_at") == nil else { return .unchanged(()) }
            try context.database.execute(
                sql: "UPDATE tokens SET revoked_at = ? WHERE id = ?", arguments: [context.now.milliseconds, id])
            context.revokeToken(id, expiresAt: try reader.time("expires_at"))
            return .changed((), AuditEntry("token.revoke", id, tenant: tenant, actor: actor))
        }
    }

    /// Revokes all tokens and API keys of a tenant that carry a label.
    ///
    /// - Returns: how many were revoked by this call: 0 when no live one carries it.
    /// - Throws: the failures of the catalog.
    package func revokeTokens(tokenID: String, tenant: TenantID, actor: String) throws(MartletError) -> Int {
        guard tokenID.isWhole else { return 0 }
        return try change { context in
            var detail = AuditDetail()
            let keys = try context.deleteKeys(of: tenant, tokenID: tokenID).count
            let tokens = try context.revokeTokens(of: tenant, tokenID: tokenID).count
            guard keys + tokens > 0 else { return .unchanged(0) }
            detail.keys = keys
            detail.tokens = tokens
            return .changed(
                keys + tokens, AuditEntry("tokens.revoke", tokenID, tenant: tenant, actor: actor, detail: detail))
        }
    }
}

extension ChangeContext {
    /// Revokes the tokens of a tenant: all, or those of one label.
    ///
    /// - Returns: the ids of those that were not revoked before.
    mutating func revokeTokens(of tenant: TenantID, tokenID: String?) throws -> [String] {
        var sql = "UPDATE tokens SET revoked_at = ? WHERE tenant_id = ? AND revoked_at IS NULL"
        var arguments: StatementArguments = [now.milliseconds, tenant.column]
        if let tokenID {
            sql += " AND token_id = ?"
            arguments += [tokenID]
        }
        let rows = try Row.fetchAll(database, sql: sql + " RETURNING id, expires_at", arguments: arguments)
        return try rows.map { row in
            let reader = RowReader(row: row, table: "tokens")
            let id = try reader.text("id")
            revokeToken(id, expiresAt: try reader.time("expires_at"))
            return id
        }
    }
}
