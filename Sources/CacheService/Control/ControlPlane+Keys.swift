import Access
import Catalog
import Tenancy

/// An API key that is asked for.
package struct KeyOrder: Sendable {
    package var format: APIKeyFormat
    package var grant: Grant
    /// Nil: it never expires.
    package var ttlSeconds: Int64?
    package var description: String?
    package var tokenID: String?

    package init(
        format: APIKeyFormat, grant: Grant, ttlSeconds: Int64? = nil, description: String? = nil, tokenID: String? = nil
    ) {
        self.format = format
        self.grant = grant
        self.ttlSeconds = ttlSeconds
        self.description = description
        self.tokenID = tokenID
    }
}

/// An API key at the one moment when its secrets are known.
package struct MintedKey: Sendable {
    package let record: APIKeyRecord
    package let secret: IssuedSecret
    /// Trades the key for a fresh one: ``ControlPlane/refreshKey(presented:refreshToken:)``.
    package let refreshToken: IssuedSecret
}

/// An API key as lists show it.
package struct KeyReport: Sendable {
    package let record: APIKeyRecord
    /// Nil when what is stored cannot be read: such a key permits nothing, and can be revoked.
    package let grant: Grant?
}

extension ControlPlane {
    /// Makes an API key.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``; ``MartletError/permissionDenied(_:)`` when another than root asks for a
    ///   super-user key; ``MartletError/invalidArgument(field:reason:)`` for `ttl_seconds`, `token_id` or `description`;
    ///   and the failures of the catalog.
    package func mintKey(
        _ order: KeyOrder, tenant: TenantName? = nil, caller: Caller
    ) throws(MartletError) -> MintedKey {
        let account = try permit(.mintDataKey, caller, tenant: tenant)
        try MintingRules.requireMayMintKey(caller, grant: order.grant, in: account.id)
        let key = try makeKey(order, tenant: account.id)
        try catalog.insertKey(key.record, actor: caller.credentialID)
        return key
    }

    /// API keys in the order of making, with those that have expired within the last month.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``, ``MartletError/invalidArgument(field:reason:)`` for a false `next_token`, and
    ///   the failures of the catalog.
    package func keys(
        _ page: PageRequest, tenant: TenantName? = nil, caller: Caller
    ) throws(MartletError) -> Page<KeyReport> {
        let account = try permit(.manageCredentials, caller, tenant: tenant)
        let records = try catalog.keys(of: account.id, page)
        let reports = records.items.map { KeyReport(record: $0, grant: Grant(stored: $0.grant)) }
        return Page(items: reports, nextToken: records.nextToken)
    }

    /// Revokes an API key for good. A super-user may revoke its own.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``, ``MartletError/notFound(_:)``, and the failures of the catalog.
    package func revokeKey(id: String, tenant: TenantName? = nil, caller: Caller) throws(MartletError) {
        let account = try permit(.manageCredentials, caller, tenant: tenant)
        try catalog.revokeKey(id: id, tenant: account.id, actor: caller.credentialID)
    }

    /// Trades an unexpired API key and its refresh token for a fresh pair that permits the same for as long again. The old
    /// key is revoked in the same transaction. Whoever holds both may, whatever the key permits.
    ///
    /// - Parameters:
    ///   - presented: The key in any of its forms.
    ///   - refreshToken: What was issued beside it.
    /// - Throws: ``MartletError/invalidCredential``, ``MartletError/expiredCredential``,
    ///   ``MartletError/revokedCredential`` when it was traded or revoked meanwhile, and the failures of the catalog.
    package func refreshKey(presented: String, refreshToken: String) throws(MartletError) -> MintedKey {
        let snapshot = catalog.snapshot
        guard case .apiKey(let hash) = Credential.parse(presented), let old = snapshot.apiKey(hash: hash.bytes),
            snapshot.tenant(old.tenant) != nil, let grant = Grant(stored: old.grant),
            let shown = APIKeys.refreshTokenHash(refreshToken),
            let stored = old.refreshHash.flatMap({ SecretHash(bytes: $0) }), shown == stored
        else { throw .invalidCredential }
        if let expiresAt = old.expiresAt, expiresAt <= now { throw .expiredCredential }
        let order = KeyOrder(
            format: old.format, grant: grant, ttlSeconds: old.durationSeconds, description: old.description,
            tokenID: old.tokenID)
        let key = try makeKey(order, tenant: old.tenant)
        do {
            try catalog.replaceKey(id: old.id, tenant: old.tenant, with: key.record, actor: old.id)
        } catch .notFound {
            throw .revokedCredential
        }
        return key
    }

    /// A key that is not stored yet.
    func makeKey(_ order: KeyOrder, tenant: TenantID) throws(MartletError) -> MintedKey {
        try MintingRules.validate(tokenID: order.tokenID)
        let now = now
        let expiresAt = try MintingRules.keyExpiry(seconds: order.ttlSeconds, now: now)
        let id = try SecureRandom.identifier()
        let secret =
            switch order.format {
            case .v1: try APIKeys.issueV1(endpoint: endpoint)
            case .v2:
                try APIKeys.issueV2(id: id, signingKey: try currentSigningKey(), issuedAt: now, expiresAt: expiresAt)
            }
        let refreshToken = try APIKeys.issueRefreshToken()
        let record = APIKeyRecord(
            id: id, tenant: tenant, hash: secret.hash.bytes, refreshHash: refreshToken.hash.bytes,
            format: order.format, grant: order.grant.stored, isSuperUser: order.grant.isSuperUser,
            tokenID: order.tokenID, description: order.description, createdAt: now, expiresAt: expiresAt,
            durationSeconds: order.ttlSeconds)
        return MintedKey(record: record, secret: secret, refreshToken: refreshToken)
    }
}
