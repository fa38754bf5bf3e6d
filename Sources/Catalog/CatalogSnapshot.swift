import Tenancy

/// The catalog as it was at one moment: immutable, so that any number of event loops read it without a lock and without
/// ever seeing half a change.
///
/// Cost of each look-up: one or two hash table look-ups, no allocation, unless said otherwise.
package final class CatalogSnapshot: Sendable {
    /// Rises by one with each snapshot that is published; starts at 1 with the process.
    package let version: UInt64
    let state: CatalogState

    init(version: UInt64, state: CatalogState) {
        self.version = version
        self.state = state
    }

    // MARK: Tenants

    package func tenant(_ id: TenantID) -> TenantRecord? { state.tenants[id] }

    package func tenant(_ name: TenantName) -> TenantRecord? {
        state.tenantIDs[name].flatMap { state.tenants[$0] }
    }

    package var tenantCount: Int { state.tenants.count }

    /// All live tenants, in no order. Cost: O(n).
    package var tenants: [TenantRecord] { state.tenants.values }

    // MARK: Plans

    package func plan(_ name: PlanName) -> PlanRecord? { state.plans[name] }

    package var planCount: Int { state.plans.count }

    /// How many tenants are on each of these plans. Cost: O(tenants).
    package func tenantCounts(of plans: [PlanName]) -> [PlanName: Int] {
        var counts = Dictionary(plans.map { ($0, 0) }) { first, _ in first }
        for tenant in state.tenants.values {
            guard let text = tenant.plan, let name = try? PlanName(text), let count = counts[name] else { continue }
            counts[name] = count + 1
        }
        return counts
    }

    // MARK: Caches

    package func cache(_ id: CacheID) -> CacheRecord? { state.caches[id] }

    package func cache(tenant: TenantID, name: CacheName) -> CacheRecord? {
        state.cacheIndex.id(tenant: tenant, name: name).flatMap { state.caches[$0] }
    }

    /// The id of the cache that a request names, by the very bytes of the request: for the hot path.
    package func cacheID(tenant: TenantID, name: UnsafeRawBufferPointer) -> CacheID? {
        state.cacheIndex.id(tenant: tenant, name: name)
    }

    package var cacheCount: Int { state.caches.count }

    package func cacheCount(of tenant: TenantID) -> Int { state.cacheCounts[tenant] ?? 0 }

    /// The largest `max_message_bytes` that a cache of the tenant sets for itself; nil where none does. Cost: O(those
    /// that do).
    package func largestMessageLimit(of tenant: TenantID) -> UInt64? { state.messageLimits[tenant]?.values.max() }

    /// All live caches, in no order. Cost: O(n).
    package var caches: [CacheRecord] { state.caches.values }

    // MARK: Webhooks

    /// The webhooks of a cache in the order of making.
    package func webhooks(of cache: CacheID) -> [WebhookRecord] { state.webhooks[cache] ?? [] }

    /// All webhooks, in no order. Cost: O(n).
    package var webhooks: [WebhookRecord] { state.webhooks.values.flatMap { $0 } }

    // MARK: Credentials

    /// The API key whose secret has that SHA-256. It may have expired: that is for the caller to judge.
    package func apiKey(hash: [UInt8]) -> APIKeyRecord? {
        state.keyIDs[hash].flatMap { state.keys[$0] }
    }

    package func apiKey(id: String) -> APIKeyRecord? { state.keys[id] }

    /// Whether an API key that was good once has not been revoked since.
    package func isLive(apiKeyID id: String) -> Bool { state.keys[id] != nil }

    package var apiKeyCount: Int { state.keys.count }

    /// Whether the token of that id was revoked. Answers false again some time after the token has expired.
    package func isRevoked(tokenID id: String) -> Bool { state.revokedTokens[id] != nil }

    package var revokedTokenCount: Int { state.revokedTokens.count }

    /// The key with which a tenant signs tokens. It may have expired: that is for the caller to judge.
    package func tenantSigningKey(kid: String) -> TenantSigningKeyRecord? { state.tenantSigningKeys[kid] }

    // MARK: The installation's own keys

    /// Newest first. Retired ones have no private half; tokens that they signed still verify.
    package var signingKeys: [SigningKeyRecord] { state.signingKeys }

    /// The key that signs new tokens; nil before the first was made.
    package var currentSigningKey: SigningKeyRecord? {
        state.signingKeys.first { $0.retiredAt == nil }
    }

    package func signingKey(kid: String) -> SigningKeyRecord? {
        state.signingKeys.first { $0.kid == kid }
    }

    /// SHA-256 of the root key; nil before the first was made.
    package var rootKeyHash: [UInt8]? { state.rootKeyHash }
}
