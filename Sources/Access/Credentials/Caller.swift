import Tenancy

/// Who is calling: what a verified credential stands for. Made once for a connection and a credential, then remembered
/// until it expires or is revoked.
package final class Caller: Sendable {
    package enum Kind: CaseIterable, Hashable, Sendable {
        /// The operator, by the root key.
        case root
        /// A tenant's administrator, by an API key.
        case superUser
        /// An application, by an API key with permissions.
        case dataKey
        /// Whoever an application gave a token to.
        case token
    }

    package let kind: Kind
    /// The tenant whose data the caller may reach.
    package let tenant: TenantID
    /// The `id` of the key or token, unique; what a revocation names.
    package let credentialID: String
    /// The label of the key or token: the publisher id on topics, and what a revocation of many names.
    package let tokenID: String?
    /// Nil for a credential that does not expire.
    package let expiresAt: Timestamp?
    package let grant: Grant

    private init(
        kind: Kind, tenant: TenantID, credentialID: String, tokenID: String?, expiresAt: Timestamp?, grant: Grant
    ) {
        self.kind = kind
        self.tenant = tenant
        self.credentialID = credentialID
        self.tokenID = tokenID
        self.expiresAt = expiresAt
        self.grant = grant
    }

    /// The operator. It manages every tenant, but reaches data in tenant `default` only: that is the tenant of the
    /// caller, so a data-path lookup by ``tenant`` cannot find another tenant's cache.
    package static func root(defaultTenant: TenantID) -> Caller {
        Caller(
            kind: .root, tenant: defaultTenant, credentialID: "root", tokenID: nil, expiresAt: nil, grant: .superUser
        )
    }

    /// The holder of an API key that the catalog knows.
    package static func apiKey(
        id: String, tenant: TenantID, tokenID: String?, expiresAt: Timestamp?, grant: Grant
    ) -> Caller {
        Caller(
            kind: grant.isSuperUser ? .superUser : .dataKey, tenant: tenant, credentialID: id, tokenID: tokenID,
            expiresAt: expiresAt, grant: grant
        )
    }

    /// The holder of a token whose signature and claims were verified.
    package static func token(_ claims: TokenClaims) -> Caller {
        Caller(
            kind: .token, tenant: claims.tenant, credentialID: claims.id, tokenID: claims.tokenID,
            expiresAt: claims.expiresAt, grant: .permissions(claims.permissions)
        )
    }

    /// Whether the credential has expired: at its expiry it has (RFC 7519 section 4.1.4).
    package func isExpired(at now: Timestamp) -> Bool {
        guard let expiresAt else { return false }
        return now >= expiresAt
    }

    /// As ``PermissionSet/scope(for:)``, in the caller's tenant.
    package func scope(for cache: CacheName) -> ItemScope {
        grant.scope(for: cache)
    }
}
