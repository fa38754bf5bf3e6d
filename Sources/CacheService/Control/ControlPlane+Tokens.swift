import Access
import Catalog
import Tenancy

/// A token that is asked for.
package struct TokenOrder: Sendable {
    package var permissions: PermissionSet
    package var ttlSeconds: Int64
    package var tokenID: String?

    package init(permissions: PermissionSet, ttlSeconds: Int64, tokenID: String? = nil) {
        self.permissions = permissions
        self.ttlSeconds = ttlSeconds
        self.tokenID = tokenID
    }
}

/// A token at the one moment when its text is known.
package struct MintedToken: Sendable, Redacted {
    package let claims: TokenClaims
    /// The JWT: the `api_key` of the gRPC contract, whose SDKs wrap it with the endpoint. Every door takes it bare.
    package let presented: String
}

extension ControlPlane {
    /// Makes a token.
    ///
    /// It is written down before it is handed out, so that there is none that cannot be revoked.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``; ``MartletError/invalidArgument(field:reason:)`` for a `ttl_seconds` over the
    ///   tenant's `max_token_ttl_seconds` or a false `token_id`; ``MartletError/rateLimited(limit:value:retryAfterMilliseconds:)``
    ///   over the tenant's `max_tokens_per_second`; and the failures of the catalog.
    package func mintToken(
        _ order: TokenOrder, tenant: TenantName? = nil, caller: Caller
    ) throws(MartletError) -> MintedToken {
        let account = try permit(.mintToken, caller, tenant: tenant)
        let now = now
        try MintingRules.requireMayMintToken(caller, in: account.id)
        try MintingRules.validate(tokenID: order.tokenID)
        let (issuedAt, expiresAt) = try MintingRules.tokenLifetime(
            seconds: order.ttlSeconds, ceilingSeconds: account.limitsInForce[.maxTokenTTLSeconds], now: now)
        try mintingRates.admit(account, nowNanoseconds: service.clock.uptimeNanoseconds())
        let claims = TokenClaims(
            id: try SecureRandom.identifier(), tenant: account.id, tokenID: order.tokenID,
            permissions: order.permissions, issuedAt: issuedAt, expiresAt: expiresAt)
        let presented = try signer.sign(claims, with: try currentSigningKey())
        try catalog.insertToken(
            TokenRecord(
                id: claims.id, tenant: account.id, tokenID: claims.tokenID, issuedAt: claims.issuedAt,
                expiresAt: claims.expiresAt, mintedBy: caller.credentialID),
            actor: caller.credentialID)
        return MintedToken(claims: claims, presented: presented)
    }

    /// Revokes one token. One that is revoked already stays so.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``, ``MartletError/notFound(_:)`` for a token that the tenant never had or that has
    ///   long expired, and the failures of the catalog.
    package func revokeToken(id: String, tenant: TenantName? = nil, caller: Caller) throws(MartletError) {
        let account = try permit(.manageCredentials, caller, tenant: tenant)
        try catalog.revokeToken(id: id, tenant: account.id, actor: caller.credentialID)
    }

    /// Revokes all tokens and API keys of the tenant that carry a label.
    ///
    /// - Returns: how many this call revoked.
    /// - Throws: as ``permit(_:_:tenant:)``, ``MartletError/invalidArgument(field:reason:)`` for what cannot be a label, and
    ///   the failures of the catalog.
    @discardableResult
    package func revokeTokens(
        tokenID: String, tenant: TenantName? = nil, caller: Caller
    ) throws(MartletError) -> Int {
        let account = try permit(.manageCredentials, caller, tenant: tenant)
        try MintingRules.validate(tokenID: tokenID)
        return try catalog.revokeTokens(tokenID: tokenID, tenant: account.id, actor: caller.credentialID)
    }
}
