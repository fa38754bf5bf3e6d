import Foundation
import GRDB
import Tenancy

/// What one snapshot changed against the one before it. An id that is named here and not found in the snapshot was
/// removed.
package struct CatalogChange: Equatable, Sendable {
    /// Tenants that are new, changed or gone; those whose plan changed among them.
    package internal(set) var tenants: [TenantID] = []
    /// Plans that are new, changed or gone.
    package internal(set) var plans: [PlanName] = []
    package internal(set) var caches: [CacheID] = []
    /// Webhooks that are new, changed or gone.
    package internal(set) var webhooks: [WebhookID] = []
    /// Ids of API keys that are new, replaced or revoked.
    package internal(set) var apiKeys: [String] = []
    /// Ids of tokens that were revoked, or whose revocation need not be remembered any longer.
    package internal(set) var tokens: [String] = []
    package internal(set) var signingKeys = false
    /// The `kid`s of tenants' signing keys that are new, revoked or forgotten.
    package internal(set) var tenantSigningKeys: [String] = []
    package internal(set) var rootKey = false

    var isEmpty: Bool { self == CatalogChange() }
}

/// What the body of a change works on: the rows, and a copy of the state that is published if they are committed.
///
/// State is edited through the methods here alone, so that what a snapshot changed is always told.
struct ChangeContext {
    let database: Database
    private(set) var state: CatalogState
    let now: Timestamp
    private(set) var change = CatalogChange()

    init(database: Database, state: CatalogState, now: Timestamp) {
        self.database = database
        self.state = state
        self.now = now
    }

    mutating func put(_ tenant: TenantRecord) {
        state.put(tenant)
        change.tenants.append(tenant.id)
    }

    mutating func removeTenant(_ id: TenantID) {
        state.removeTenant(id)
        change.tenants.append(id)
    }

    /// Defines or changes a plan, for all the tenants on it.
    mutating func put(_ plan: PlanRecord) {
        state.put(plan)
        change.plans.append(plan.name)
        for var tenant in state.tenants(on: plan.name) where tenant.planLimits != plan.limits {
            tenant.planLimits = plan.limits
            put(tenant)
        }
    }

    /// Removes a plan that no tenant is on.
    mutating func removePlan(_ name: PlanName) {
        state.removePlan(name)
        change.plans.append(name)
    }

    mutating func put(_ cache: CacheRecord) {
        state.put(cache)
        change.caches.append(cache.id)
    }

    mutating func removeCache(_ id: CacheID) {
        state.removeCache(id)
        change.caches.append(id)
    }

    mutating func put(_ webhook: WebhookRecord) {
        state.put(webhook)
        change.webhooks.append(webhook.id)
    }

    mutating func removeWebhook(_ webhook: WebhookRecord) {
        state.removeWebhook(webhook)
        change.webhooks.append(webhook.id)
    }

    mutating func put(_ key: APIKeyRecord) {
        state.put(key)
        change.apiKeys.append(key.id)
    }

    mutating func removeKey(_ id: String) {
        state.removeKey(id)
        change.apiKeys.append(id)
    }

    mutating func revokeToken(_ id: String, expiresAt: Timestamp) {
        state.revokeToken(id, expiresAt: expiresAt)
        change.tokens.append(id)
    }

    mutating func forgetToken(_ id: String) {
        state.forgetToken(id)
        change.tokens.append(id)
    }

    mutating func put(_ signingKey: SigningKeyRecord) {
        state.put(signingKey)
        change.signingKeys = true
    }

    mutating func removeSigningKey(_ kid: String) {
        state.removeSigningKey(kid)
        change.signingKeys = true
    }

    mutating func put(_ signingKey: TenantSigningKeyRecord) {
        state.put(signingKey)
        change.tenantSigningKeys.append(signingKey.kid)
    }

    mutating func removeTenantSigningKey(_ kid: String) {
        state.removeTenantSigningKey(kid)
        change.tenantSigningKeys.append(kid)
    }

    mutating func setRootKeyHash(_ hash: [UInt8]) {
        state.rootKeyHash = hash
        change.rootKey = true
    }

    /// The live tenant of that id.
    func requireTenant(_ id: TenantID) throws(MartletError) -> TenantRecord {
        guard let tenant = state.tenants[id] else { throw .notFound("Tenant") }
        return tenant
    }
}

/// How the body of a change ended. Rows cannot be changed and their audit event be forgotten: `unchanged` rolls back, and
/// `changed` asks for the events.
enum Outcome<Result> {
    case unchanged(Result)
    case changed(Result, [AuditEntry])

    static func changed(_ result: Result, _ entry: AuditEntry) -> Outcome { .changed(result, [entry]) }
}

/// An audit event that has not been written yet.
struct AuditEntry {
    let actor: String
    let tenant: TenantID?
    let action: String
    let subject: String
    let detail: AuditDetail

    init(_ action: String, _ subject: String, tenant: TenantID?, actor: String, detail: AuditDetail = AuditDetail()) {
        self.actor = actor
        self.tenant = tenant
        self.action = action
        self.subject = subject
        self.detail = detail
    }

    func write(to database: Database, at now: Timestamp) throws {
        try database.execute(
            sql: "INSERT INTO audit (at, actor, tenant_id, action, subject, detail) VALUES (?, ?, ?, ?, ?, ?)",
            arguments: [
                now.milliseconds, actor, tenant?.column, action, subject, try ColumnText.json(detail),
            ])
    }
}

/// The particulars of an audit event; those that are nil are left out. Never a secret, nor the hash of one.
struct AuditDetail: Encodable {
    var limits: [String: UInt64]?
    var plan: String?
    var labels: [String: String]?
    var compression: String?
    var format: String?
    var isSuperUser: Bool?
    /// What an API key permits, in the words in which Access stores it.
    var permissions: String?
    var tokenID: String?
    var keyDescription: String?
    var expiresAt: Int64?
    var replaces: String?
    /// Of a webhook: its cache, its topic, and where it posts to without path and query.
    var cache: String?
    var topic: String?
    var origin: String?
    var caches: Int?
    var keys: Int?
    var tokens: Int?
    var signingKeys: Int?

    enum CodingKeys: String, CodingKey {
        case limits, plan, labels, compression, format, permissions, replaces, caches, keys, tokens
        case cache, topic, origin
        case isSuperUser = "super_user"
        case tokenID = "token_id"
        case keyDescription = "description"
        case expiresAt = "expires_at"
        case signingKeys = "signing_keys"
    }

    static func limits(_ limits: Limits) -> [String: UInt64] {
        Dictionary(uniqueKeysWithValues: limits.set.map { ($0.name.rawValue, $0.value) })
    }
}
