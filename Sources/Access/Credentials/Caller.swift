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
    /// The signing key of the tenant by which the tenant itself gave the credential; nil for what Martlet gave. The
    /// credential ends with that key, and cannot be revoked by itself.
    package let signingKeyID: String?

    private init(
        kind: Kind, tenant: TenantID, credentialID: String, tokenID: String?, expiresAt: Timestamp?, grant: Grant,
        signingKeyID: String? = nil
    ) {
        self.kind = kind
        self.tenant = tenant
        self.credentialID = credentialID
        self.tokenID = tokenID
        self.expiresAt = expiresAt
        self.grant = grant
        self.signingKeyID = signingKeyID
    }

    /// The operator. It manages every tenant, but reaches data in tenant `default` only: that is the tenant of the
    /// caller, so a data-path lookup by ``tenant`` cannot find another tenant's cache.
    package static func root(defaultTenant: TenantID) -> Caller {
        Caller(
            kind: .root, tenant: defaultTenant, credentialID: "root", tokenID: nil, expiresAt: nil, grant: .superUser
        )
    }

    /// Whoever shows no credential to a server that stands in for the emulator: a super-user of tenant `default`.
    ///
    /// That is safe for what such a server is: it exists only with `--dev --emulator`, so nobody's data lies there but a
    /// developer's own; the doors let it through only for requests that name the server by a loopback name and come from
    /// no page of elsewhere, and never to `/v1/admin`. It is not the operator: other tenants stay out of its reach. Its
    /// id is no key's, and no credential can be parsed to it: who it is, is told by the identity of the one object that
    /// the service makes.
    package static func emulator(defaultTenant: TenantID) -> Caller {
        Caller(
            kind: .superUser, tenant: defaultTenant, credentialID: "emulator", tokenID: nil, expiresAt: nil,
            grant: .superUser
        )
    }

    /// Whoever shows no credential to the RESP door of a server for development, from the same machine: it may read and
    /// write items and topics of one cache of tenant `default`, and nothing else. As ``emulator(defaultTenant:)`` it is known
    /// by the identity of the one object that the service makes.
    package static func development(defaultTenant: TenantID, cache: CacheName) -> Caller {
        Caller(
            kind: .dataKey, tenant: defaultTenant, credentialID: "development", tokenID: nil, expiresAt: nil,
            grant: .permissions(.readWrite(of: cache)))
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

    /// The holder of a token that the tenant signed itself, verified as well. It has no id of its own, so it goes by
    /// that of its key.
    package static func token(_ claims: TenantTokenClaims, signedBy key: TenantSigningKey) -> Caller {
        Caller(
            kind: .token, tenant: key.tenant, credentialID: key.publicKey.kid, tokenID: nil,
            expiresAt: min(claims.expiresAt, key.expiresAt), grant: .permissions(claims.permissions),
            signingKeyID: key.publicKey.kid
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
