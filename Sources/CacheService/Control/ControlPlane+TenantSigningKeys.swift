import Access
import Catalog
import Tenancy

/// A tenant's signing key at the one moment when its private half is known.
package struct MintedSigningKey: Sendable, Redacted {
    package let record: TenantSigningKeyRecord
    /// The whole key as JSON (RFC 7517). It is stored nowhere.
    package let privateJWK: [UInt8]
}

extension ControlPlane {
    /// Makes a key pair with which a tenant signs tokens itself, and keeps the public half of it.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``; ``MartletError/invalidArgument(field:reason:)`` for a `ttl_minutes` of zero
    ///   or over a year; ``MartletError/internalFailure(_:)`` when a key cannot be made; and the failures of the
    ///   catalog.
    package func createTenantSigningKey(
        ttlMinutes: Int64, tenant: TenantName? = nil, caller: Caller
    ) throws(MartletError) -> MintedSigningKey {
        let account = try permit(.manageTenantSigningKeys, caller, tenant: tenant)
        let now = now
        let expiresAt = try MintingRules.signingKeyExpiry(minutes: ttlMinutes, now: now)
        let key = try SigningKey.generate(now: now)
        let record = TenantSigningKeyRecord(
            kid: key.kid, tenant: account.id, publicPEM: key.publicPEM, createdAt: now, expiresAt: expiresAt)
        let privateJWK = try key.privateJWK().encoded()
        try catalog.insertTenantSigningKey(record, actor: caller.credentialID)
        return MintedSigningKey(record: record, privateJWK: privateJWK)
    }

    /// Ends a signing key of a tenant, and every token that it signed: on open connections too, within a second.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``, ``MartletError/notFound(_:)``, and the failures of the catalog.
    package func revokeTenantSigningKey(
        kid: String, tenant: TenantName? = nil, caller: Caller
    ) throws(MartletError) {
        let account = try permit(.manageTenantSigningKeys, caller, tenant: tenant)
        try catalog.revokeTenantSigningKey(kid: kid, tenant: account.id, actor: caller.credentialID)
    }

    /// A tenant's signing keys in the order of making.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``, ``MartletError/invalidArgument(field:reason:)`` for a false `next_token`,
    ///   and the failures of the catalog.
    package func tenantSigningKeys(
        _ page: PageRequest, tenant: TenantName? = nil, caller: Caller
    ) throws(MartletError) -> Page<TenantSigningKeyRecord> {
        let account = try permit(.manageTenantSigningKeys, caller, tenant: tenant)
        return try catalog.tenantSigningKeys(of: account.id, page)
    }
}
