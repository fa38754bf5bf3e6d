import Tenancy

/// What a snapshot holds: everything that a request may need, and nothing that only a list or a bill needs.
///
/// A value. A change edits a copy beside its transaction; a transaction that fails leaves only the copy to be dropped.
struct CatalogState: Sendable, Equatable {
    private(set) var tenants = BranchedDictionary<TenantID, TenantRecord>()
    private(set) var tenantIDs = BranchedDictionary<TenantName, TenantID>()
    private(set) var plans: [PlanName: PlanRecord] = [:]
    private(set) var caches = BranchedDictionary<CacheID, CacheRecord>()
    private(set) var cacheIndex = CacheIndex()
    /// Live caches by tenant; a tenant without any has no entry.
    private(set) var cacheCounts = BranchedDictionary<TenantID, Int>()
    /// The `max_message_bytes` of the caches that set their own, by tenant; a tenant without any has no entry.
    private(set) var messageLimits = BranchedDictionary<TenantID, [CacheID: UInt64]>()
    /// Webhooks by cache, in the order of making; a cache without any has no entry.
    private(set) var webhooks = BranchedDictionary<CacheID, [WebhookRecord]>()
    /// API keys by id, and their ids by the hash of their secret.
    private(set) var keys = BranchedDictionary<String, APIKeyRecord>()
    private(set) var keyIDs = BranchedDictionary<[UInt8], String>()
    /// When each revoked token would have expired, by its id.
    private(set) var revokedTokens = BranchedDictionary<String, Timestamp>()
    /// Newest first: the first signs, the others verify.
    private(set) var signingKeys: [SigningKeyRecord] = []
    /// The keys with which tenants sign, by their `kid`; they may have expired.
    private(set) var tenantSigningKeys = BranchedDictionary<String, TenantSigningKeyRecord>()
    var rootKeyHash: [UInt8]?

    mutating func put(_ tenant: TenantRecord) {
        tenants[tenant.id] = tenant
        tenantIDs[tenant.name] = tenant.id
    }

    /// Forgets the tenant alone: what it owned is removed by its own calls.
    mutating func removeTenant(_ id: TenantID) {
        guard let tenant = tenants[id] else { return }
        tenants[id] = nil
        tenantIDs[tenant.name] = nil
    }

    /// Defines the plan alone: its tenants are put by their own calls.
    mutating func put(_ plan: PlanRecord) {
        plans[plan.name] = plan
    }

    mutating func removePlan(_ name: PlanName) {
        plans[name] = nil
    }

    /// The limits of a tenant's plan; nil where it names none, or none that is defined.
    func limits(ofPlan text: String?) -> Limits? {
        guard let text, let name = try? PlanName(text) else { return nil }
        return plans[name]?.limits
    }

    /// The tenants on a plan, in no order. Cost: O(tenants).
    func tenants(on plan: PlanName) -> [TenantRecord] {
        tenants.values.filter { $0.isOn(plan) }
    }

    mutating func put(_ cache: CacheRecord) {
        if caches[cache.id] == nil {
            cacheIndex.insert(cache.id, tenant: cache.tenant, name: cache.name)
            cacheCounts[cache.tenant] = (cacheCounts[cache.tenant] ?? 0) + 1
        }
        caches[cache.id] = cache
        setMessageLimit(cache.limits[.maxMessageBytes], of: cache)
    }

    private mutating func setMessageLimit(_ limit: UInt64?, of cache: CacheRecord) {
        var limits = messageLimits[cache.tenant] ?? [:]
        guard limits[cache.id] != limit else { return }
        limits[cache.id] = limit
        messageLimits[cache.tenant] = limits.isEmpty ? nil : limits
    }

    mutating func removeCache(_ id: CacheID) {
        guard let cache = caches[id] else { return }
        caches[id] = nil
        setMessageLimit(nil, of: cache)
        cacheIndex.remove(id, tenant: cache.tenant, name: cache.name)
        let rest = (cacheCounts[cache.tenant] ?? 1) - 1
        cacheCounts[cache.tenant] = rest > 0 ? rest : nil
    }

    mutating func put(_ webhook: WebhookRecord) {
        var webhooks = webhooks[webhook.cache] ?? []
        if let place = webhooks.firstIndex(where: { $0.id == webhook.id }) {
            webhooks[place] = webhook
        } else {
            webhooks.append(webhook)
        }
        self.webhooks[webhook.cache] = webhooks
    }

    mutating func removeWebhook(_ webhook: WebhookRecord) {
        let rest = (webhooks[webhook.cache] ?? []).filter { $0.id != webhook.id }
        webhooks[webhook.cache] = rest.isEmpty ? nil : rest
    }

    mutating func put(_ key: APIKeyRecord) {
        keys[key.id] = key
        keyIDs[key.hash] = key.id
    }

    mutating func removeKey(_ id: String) {
        guard let key = keys[id] else { return }
        keys[id] = nil
        keyIDs[key.hash] = nil
    }

    mutating func revokeToken(_ id: String, expiresAt: Timestamp) {
        revokedTokens[id] = expiresAt
    }

    mutating func forgetToken(_ id: String) {
        revokedTokens[id] = nil
    }

    /// Adds a key pair; the place of each follows from its age.
    mutating func put(_ signingKey: SigningKeyRecord) {
        signingKeys.removeAll { $0.kid == signingKey.kid }
        signingKeys.append(signingKey)
        signingKeys.sort { left, right in
            let isNewer = (left.retiredAt == nil ? 1 : 0, left.createdAt, left.kid)
            return isNewer > (right.retiredAt == nil ? 1 : 0, right.createdAt, right.kid)
        }
    }

    mutating func removeSigningKey(_ kid: String) {
        signingKeys.removeAll { $0.kid == kid }
    }

    mutating func put(_ signingKey: TenantSigningKeyRecord) {
        tenantSigningKeys[signingKey.kid] = signingKey
    }

    mutating func removeTenantSigningKey(_ kid: String) {
        tenantSigningKeys[kid] = nil
    }
}
