import Tenancy

/// An account: it owns caches, API keys, limits and a bill.
package struct TenantRecord: Equatable, Sendable {
    package let id: TenantID
    package let name: TenantName
    /// What is set on the tenant itself. What holds for it is ``limitsInForce``.
    package var limits: Limits {
        didSet { limitsInForce = limits.over(planLimits ?? Limits()) }
    }
    /// The name of the plan that the tenant is on. One that is not defined has no effect until it is.
    package var plan: String?
    /// The limits of ``plan``; nil where that names none, or none that is defined.
    package internal(set) var planLimits: Limits? {
        didSet { limitsInForce = limits.over(planLimits ?? Limits()) }
    }
    /// The tenant's own limits, and those of its plan where it sets none. Everything that enforces a limit reads these.
    package private(set) var limitsInForce: Limits
    package var labels: [String: String]
    package let createdAt: Timestamp

    package init(
        id: TenantID, name: TenantName, limits: Limits, plan: String?, planLimits: Limits? = nil,
        labels: [String: String], createdAt: Timestamp
    ) {
        self.id = id
        self.name = name
        self.limits = limits
        self.plan = plan
        self.planLimits = planLimits
        limitsInForce = limits.over(planLimits ?? Limits())
        self.labels = labels
        self.createdAt = createdAt
    }

    /// Whether the tenant is on that plan, whether it is defined or not.
    package func isOn(_ plan: PlanName) -> Bool {
        self.plan.map { $0.utf8.elementsEqual(plan.text.utf8) } ?? false
    }
}

/// A named set of limits that tenants are put on.
package struct PlanRecord: Equatable, Sendable {
    package let name: PlanName
    package var limits: Limits
    package let createdAt: Timestamp

    package init(name: PlanName, limits: Limits, createdAt: Timestamp) {
        self.name = name
        self.limits = limits
        self.createdAt = createdAt
    }
}

/// A namespace of one tenant.
package struct CacheRecord: Equatable, Sendable {
    package let id: CacheID
    package let tenant: TenantID
    package let name: CacheName
    package var limits: Limits
    package var labels: [String: String]
    package var compression: CacheCompression
    /// The id of the credential that made the cache.
    package let owner: String
    package let createdAt: Timestamp

    package init(
        id: CacheID, tenant: TenantID, name: CacheName, limits: Limits, labels: [String: String],
        compression: CacheCompression, owner: String, createdAt: Timestamp
    ) {
        self.id = id
        self.tenant = tenant
        self.name = name
        self.limits = limits
        self.labels = labels
        self.compression = compression
        self.owner = owner
        self.createdAt = createdAt
    }
}

/// How the values of a cache are compressed. The raw value is its text on every wire.
package enum CacheCompression: String, CaseIterable, Sendable {
    case off
    case zstd
    case zstdDictionary = "zstd-dictionary"

    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` when `text` names none of them.
    package init(text: String, field: String = "compression") throws(MartletError) {
        guard let compression = CacheCompression(rawValue: text) else {
            let known = CacheCompression.allCases.map { "'\($0.rawValue)'" }.joined(separator: ", ")
            throw .invalidArgument(field: field, reason: "must be one of \(known)")
        }
        self = compression
    }
}

/// A long-lived credential, known by the hash of its secret alone.
package struct APIKeyRecord: Equatable, Sendable {
    /// Unique in the installation; names the key in lists, in the audit log and when it is revoked.
    package let id: String
    package let tenant: TenantID
    /// SHA-256 of the secret: 32 bytes.
    package let hash: [UInt8]
    /// SHA-256 of the secret that may trade this key for a fresh one: 32 bytes.
    package let refreshHash: [UInt8]?
    package let format: APIKeyFormat
    /// What the key permits, in a form that only Access reads.
    package let grant: [UInt8]
    package let isSuperUser: Bool
    /// The label under which keys and tokens are revoked together; not unique.
    package let tokenID: String?
    package let description: String?
    package let createdAt: Timestamp
    /// Nil: never.
    package let expiresAt: Timestamp?
    /// How long the key was made for; a refreshed key lives as long again. Nil: for ever.
    package let durationSeconds: Int64?

    package init(
        id: String, tenant: TenantID, hash: [UInt8], refreshHash: [UInt8]?, format: APIKeyFormat, grant: [UInt8],
        isSuperUser: Bool, tokenID: String?, description: String?, createdAt: Timestamp, expiresAt: Timestamp?,
        durationSeconds: Int64?
    ) {
        self.id = id
        self.tenant = tenant
        self.hash = hash
        self.refreshHash = refreshHash
        self.format = format
        self.grant = grant
        self.isSuperUser = isSuperUser
        self.tokenID = tokenID
        self.description = description
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.durationSeconds = durationSeconds
    }
}

/// The two shapes in which API keys are handed out.
package enum APIKeyFormat: String, CaseIterable, Sendable {
    case v1
    case v2
}

/// A token that was minted: kept until it has expired, so that it can be revoked until then.
package struct TokenRecord: Equatable, Sendable {
    package let id: String
    package let tenant: TenantID
    /// The label under which keys and tokens are revoked together; not unique.
    package let tokenID: String?
    package let issuedAt: Timestamp
    package let expiresAt: Timestamp
    /// The id of the credential that minted it.
    package let mintedBy: String

    package init(
        id: String, tenant: TenantID, tokenID: String?, issuedAt: Timestamp, expiresAt: Timestamp, mintedBy: String
    ) {
        self.id = id
        self.tenant = tenant
        self.tokenID = tokenID
        self.issuedAt = issuedAt
        self.expiresAt = expiresAt
        self.mintedBy = mintedBy
    }
}

/// A key pair that signs tokens. Once retired it verifies only, and its private half is gone.
package struct SigningKeyRecord: Equatable, Sendable {
    package let kid: String
    /// A secret; nil once the key is retired.
    package var privatePEM: String?
    package let publicPEM: String
    package let createdAt: Timestamp
    package var retiredAt: Timestamp?

    package init(kid: String, privatePEM: String?, publicPEM: String, createdAt: Timestamp, retiredAt: Timestamp? = nil)
    {
        self.kid = kid
        self.privatePEM = privatePEM
        self.publicPEM = publicPEM
        self.createdAt = createdAt
        self.retiredAt = retiredAt
    }
}

/// The public half of a key pair with which a tenant signs tokens itself. The private half is nowhere in the catalog.
package struct TenantSigningKeyRecord: Equatable, Sendable {
    package let kid: String
    package let tenant: TenantID
    package let publicPEM: String
    package let createdAt: Timestamp
    package let expiresAt: Timestamp

    package init(kid: String, tenant: TenantID, publicPEM: String, createdAt: Timestamp, expiresAt: Timestamp) {
        self.kid = kid
        self.tenant = tenant
        self.publicPEM = publicPEM
        self.createdAt = createdAt
        self.expiresAt = expiresAt
    }
}

/// Who changed what, and when. Written in the transaction of the change itself and never altered.
package struct AuditEvent: Equatable, Sendable {
    package let sequence: Int64
    package let at: Timestamp
    /// The id of the credential that asked for the change.
    package let actor: String
    /// Nil for a change that belongs to the installation.
    package let tenant: TenantID?
    /// What was done, such as `cache.create`.
    package let action: String
    /// The name or id of what it was done to.
    package let subject: String
    /// A JSON object with the particulars; holds no secret.
    package let detail: String
}
