import Access
import Catalog
import Delivery
import Tenancy

/// A webhook that is asked for.
package struct WebhookOrder: Sendable {
    package var name: WebhookName
    package var cache: CacheName
    package var topic: TopicName
    package var url: String

    package init(name: WebhookName, cache: CacheName, topic: TopicName, url: String) {
        self.name = name
        self.cache = cache
        self.topic = topic
        self.url = url
    }
}

extension ControlPlane {
    /// Makes a webhook, or replaces the one of that name, which keeps its secret. It is called for what is published from
    /// then on: within a second.
    ///
    /// Whether the URL's host may be called is found out with each call, because a name may come to mean another address.
    /// What can be seen from the URL alone is refused here.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``; ``MartletError/cacheNotFound``; ``MartletError/invalidArgument(field:reason:)``
    ///   for a URL that cannot be called; ``MartletError/tooMany(_:limit:)`` when the cache has as many as it may; and the
    ///   failures of the catalog.
    package func putWebhook(
        _ order: WebhookOrder, tenant: TenantName? = nil, caller: Caller
    ) throws(MartletError) -> WebhookRecord {
        let account = try permit(.manageWebhooks, caller, tenant: tenant)
        guard catalog.snapshot.cache(tenant: account.id, name: order.cache) != nil else { throw .cacheNotFound }
        let url: OutboundURL
        do {
            url = try OutboundURL(order.url)
        } catch {
            throw .invalidArgument(field: "post_url", reason: error.reason)
        }
        if let address = url.address, let refusal = outboundGuard.refusal(of: address) {
            throw .invalidArgument(field: "post_url", reason: "must not be called: its host \(refusal.rawValue)")
        }
        return try catalog.putWebhook(
            order.name, of: order.cache, tenant: account.id, topic: order.topic, url: order.url,
            secret: try Self.makeSecret(), actor: caller.credentialID
        ).record
    }

    /// - Throws: as ``permit(_:_:tenant:)``, ``MartletError/cacheNotFound``, ``MartletError/notFound(_:)``, and the failures
    ///   of the catalog.
    package func deleteWebhook(
        _ name: WebhookName, of cache: CacheName, tenant: TenantName? = nil, caller: Caller
    ) throws(MartletError) {
        let account = try permit(.manageWebhooks, caller, tenant: tenant)
        try catalog.deleteWebhook(name, of: cache, tenant: account.id, actor: caller.credentialID)
    }

    /// The webhooks of a cache in the order of making. Their secrets are shown by ``webhook(_:of:tenant:caller:)`` alone.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``, and ``MartletError/cacheNotFound``.
    package func webhooks(
        of cache: CacheName, tenant: TenantName? = nil, caller: Caller
    ) throws(MartletError) -> [WebhookRecord] {
        let account = try permit(.manageWebhooks, caller, tenant: tenant)
        let snapshot = catalog.snapshot
        guard let record = snapshot.cache(tenant: account.id, name: cache) else { throw .cacheNotFound }
        return snapshot.webhooks(of: record.id)
    }

    /// One webhook with its secret.
    ///
    /// - Throws: as ``webhooks(of:tenant:caller:)``, and ``MartletError/notFound(_:)``.
    package func webhook(
        _ name: WebhookName, of cache: CacheName, tenant: TenantName? = nil, caller: Caller
    ) throws(MartletError) -> WebhookRecord {
        let found = try webhooks(of: cache, tenant: tenant, caller: caller).first { $0.name == name }
        guard let found else { throw .notFound("Webhook") }
        return found
    }

    /// Signs with a new secret from now on. The old one is gone.
    ///
    /// - Returns: the new secret.
    /// - Throws: as ``deleteWebhook(_:of:tenant:caller:)``.
    package func rotateWebhookSecret(
        _ name: WebhookName, of cache: CacheName, tenant: TenantName? = nil, caller: Caller
    ) throws(MartletError) -> String {
        let account = try permit(.manageWebhooks, caller, tenant: tenant)
        let secret = try Self.makeSecret()
        try catalog.setSecret(secret, of: name, of: cache, tenant: account.id, actor: caller.credentialID)
        return secret
    }

    /// 256 random bits as 43 characters, which receivers use as they are.
    private static func makeSecret() throws(MartletError) -> String {
        Base64.encode(try SecureRandom.bytes(32), .url)
    }
}
