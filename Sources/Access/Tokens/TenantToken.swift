import Tenancy

/// A signing key that a tenant holds, as its tokens are verified with it: the private half is the tenant's alone.
package struct TenantSigningKey: Sendable {
    package let publicKey: PublicSigningKey
    /// Whose tokens it signs. A token does not say so itself: it can be for no other tenant.
    package let tenant: TenantID
    package let expiresAt: Timestamp

    package init(publicKey: PublicSigningKey, tenant: TenantID, expiresAt: Timestamp) {
        self.publicKey = publicKey
        self.tenant = tenant
        self.expiresAt = expiresAt
    }
}

/// What a token says that a tenant signed itself, without asking anybody.
///
/// ```
/// {"exp":1700000600,"cache":"shop","key":"cart:7","method":["get"]}
/// ```
///
/// - `exp`, required: epoch seconds. Beyond the end of the signing key the token ends with the key.
/// - `cache`, required: one cache of the tenant, by its name.
/// - `key`: one item; without it, all items of the cache. A key with a NUL cannot be named: libjwt reads none.
/// - `method`: `["get"]` to read, `["set"]` to write, both or no `method` for both.
/// - `iat`: a number, and ignored: many libraries write it unasked.
///
/// Nothing else is taken. Above all not `ttl`, which the contract knows as the one TTL that a write may have: a token
/// that is believed without it would permit more than its signer meant.
package struct TenantTokenClaims: Equatable, Sendable {
    /// One statement on items.
    package let permissions: PermissionSet
    /// Whole seconds.
    package let expiresAt: Timestamp

    private static let names = ["exp", "cache", "key", "method", "iat"]

    /// Nil for everything but the claims above.
    init?(json: JSONValue) {
        guard let members = json.object, members.allSatisfy({ Self.names.contains($0.name) }),
            let seconds = json["exp"]?.integer, (1...TokenClaims.secondsCeiling).contains(seconds),
            json["iat"].map({ $0.integer != nil }) ?? true,
            let cache = json["cache"]?.string.flatMap({ try? CacheName($0) }),
            let role = Self.role(json["method"]), let items = Self.items(json["key"]),
            let permissions = try? PermissionSet(validating: [Permission(role, cache: .named(cache), .items(items))])
        else { return nil }
        self.permissions = permissions
        expiresAt = Timestamp(seconds: seconds)
    }

    private static func role(_ method: JSONValue?) -> Role? {
        guard let method else { return .readWrite }
        switch method {
        case .array([.string("get")]): return .readOnly
        case .array([.string("set")]): return .writeOnly
        case .array([.string("get"), .string("set")]), .array([.string("set"), .string("get")]): return .readWrite
        default: return nil
        }
    }

    private static func items(_ key: JSONValue?) -> ItemSelector? {
        guard let key else { return .all }
        return key.string.map { .key(Array($0.utf8)) }
    }
}
