import Tenancy

/// What a token says of its holder.
package struct TokenClaims: Equatable, Sendable {
    /// 128 random bits: the `jti`, and what a revocation names. The token's own text is no identity, for an ECDSA
    /// signature can be turned into a second good one without the key.
    package let id: String
    /// The tenant's id, not its name: it is never given to another.
    package let tenant: TenantID
    /// The label of the token, which many may share.
    package let tokenID: String?
    /// What its holder may do, within the tenant.
    package let permissions: PermissionSet
    /// Whole seconds.
    package let issuedAt: Timestamp
    /// Whole seconds.
    package let expiresAt: Timestamp

    /// Milliseconds are cut off both times.
    package init(
        id: String, tenant: TenantID, tokenID: String?, permissions: PermissionSet, issuedAt: Timestamp,
        expiresAt: Timestamp
    ) {
        self.id = id
        self.tenant = tenant
        self.tokenID = tokenID
        self.permissions = permissions
        self.issuedAt = Timestamp(seconds: issuedAt.seconds)
        self.expiresAt = Timestamp(seconds: expiresAt.seconds)
    }

    /// RFC 7519 section 4.1, with `token_id` and `permissions` of our own.
    func json(_ authority: TokenAuthority) -> JSONValue {
        var members: [JSONValue.Member] = [
            .init("iss", .string(authority.issuer)), .init("aud", .string(authority.audience)),
            .init("sub", .string(String(tenant.rawValue))), .init("jti", .string(id)),
            .init("iat", .integer(issuedAt.seconds)), .init("exp", .integer(expiresAt.seconds)),
            .init("permissions", permissions.compact),
        ]
        if let tokenID {
            members.append(.init("token_id", .string(tokenID)))
        }
        return .object(members)
    }

    private static let names = ["iss", "aud", "sub", "jti", "iat", "exp", "permissions", "token_id"]

    /// Nil for claims of another issuer or audience, and for everything that ``json(_:)`` does not write. A claim that
    /// is not known is refused with the rest: it may be a condition that a later version understands.
    init?(json: JSONValue, _ authority: TokenAuthority) {
        guard let members = json.object, members.allSatisfy({ Self.names.contains($0.name) }),
            let issuer = json["iss"]?.string, issuer.utf8.elementsEqual(authority.issuer.utf8),
            let audience = json["aud"]?.string, audience.utf8.elementsEqual(authority.audience.utf8),
            let subject = json["sub"]?.string, let tenant = UInt64(subject), String(tenant) == subject,
            let id = json["jti"]?.string, Self.isIdentifier(id),
            let issuedAt = json["iat"]?.integer, let expiresAt = json["exp"]?.integer,
            issuedAt >= 0, expiresAt > issuedAt, expiresAt <= Self.secondsCeiling,
            let permissions = json["permissions"].flatMap({ PermissionSet(compact: $0) })
        else { return nil }
        let tokenID: String?
        switch json["token_id"] {
        case nil: tokenID = nil
        case .string(let text)?:
            guard (try? MintingRules.validate(tokenID: text)) != nil else { return nil }
            tokenID = text
        default: return nil
        }
        self.init(
            id: id, tenant: TenantID(rawValue: tenant), tokenID: tokenID, permissions: permissions,
            issuedAt: Timestamp(seconds: issuedAt), expiresAt: Timestamp(seconds: expiresAt)
        )
    }

    /// The last second that a ``Timestamp`` can hold.
    static let secondsCeiling = Int64.max / 1000

    /// As ``SecureRandom/identifier()`` makes them.
    private static func isIdentifier(_ text: String) -> Bool {
        text.utf8.count == 32
            && text.utf8.allSatisfy {
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
            }
    }
}

/// Who signs tokens and for whom: one installation has one, so a token of another means nothing here.
package struct TokenAuthority: Hashable, Sendable {
    /// The `iss` claim.
    package let issuer: String
    /// The `aud` claim.
    package let audience: String

    package init(issuer: String, audience: String) {
        self.issuer = issuer
        self.audience = audience
    }
}
