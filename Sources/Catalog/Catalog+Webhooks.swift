import GRDB
import Tenancy

extension Catalog {
    /// Makes a webhook of a cache, or changes the one of that name, which keeps its secret.
    ///
    /// - Parameters:
    ///   - url: Checked by the caller.
    ///   - secret: Of a new webhook.
    /// - Throws: ``MartletError/cacheNotFound``; ``MartletError/tooMany(_:limit:)`` when the cache has as many as it may;
    ///   ``MartletError/invalidArgument(field:reason:)`` for a URL or secret out of bounds; and the failures of the
    ///   catalog.
    package func putWebhook(
        _ name: WebhookName, of cache: CacheName, tenant: TenantID, topic: TopicName, url: String, secret: String,
        actor: String
    ) throws(MartletError) -> (record: WebhookRecord, created: Bool) {
        try TextRules.validate(url, field: "url", maximumBytes: TextRules.maximumURLBytes)
        try TextRules.validate(secret, field: "secret", maximumBytes: TextRules.maximumURLBytes)
        return try change { context in
            let cacheID = try context.requireCache(cache, of: tenant)
            let others = context.state.webhooks[cacheID] ?? []
            if var webhook = others.first(where: { $0.name == name }) {
                let old = webhook
                webhook.topic = topic
                webhook.url = url
                guard webhook != old else { return .unchanged((old, false)) }
                try context.database.execute(
                    sql: "UPDATE webhooks SET topic = ?, url = ? WHERE id = ?",
                    arguments: [topic.text, url, webhook.id.column])
                context.put(webhook)
                return .changed((webhook, false), webhook.entry("webhook.update", cache, tenant, actor: actor))
            }
            guard others.count < WebhookLimits.perCache else {
                throw MartletError.tooMany("webhooks of a cache", limit: WebhookLimits.perCache)
            }
            try context.database.execute(
                sql: "INSERT INTO webhooks (cache_id, name, topic, url, secret, created_at) VALUES (?, ?, ?, ?, ?, ?)",
                arguments: [cacheID.column, name.text, topic.text, url, secret, context.now.milliseconds])
            let webhook = WebhookRecord(
                id: WebhookID(rawValue: UInt64(context.database.lastInsertedRowID)), cache: cacheID, name: name,
                topic: topic, url: url, secret: secret, createdAt: context.now)
            context.put(webhook)
            return .changed((webhook, true), webhook.entry("webhook.create", cache, tenant, actor: actor))
        }
    }

    /// - Throws: ``MartletError/cacheNotFound``, ``MartletError/notFound(_:)``, and the failures of the catalog.
    package func deleteWebhook(
        _ name: WebhookName, of cache: CacheName, tenant: TenantID, actor: String
    ) throws(MartletError) {
        try change { context in
            let webhook = try context.requireWebhook(name, of: cache, tenant)
            try context.database.execute(sql: "DELETE FROM webhooks WHERE id = ?", arguments: [webhook.id.column])
            context.removeWebhook(webhook)
            return .changed((), webhook.entry("webhook.delete", cache, tenant, actor: actor))
        }
    }

    /// Signs with another secret from now on.
    ///
    /// - Throws: as ``deleteWebhook(_:of:tenant:actor:)``, and ``MartletError/invalidArgument(field:reason:)`` for a secret
    ///   out of bounds.
    package func setSecret(
        _ secret: String, of name: WebhookName, of cache: CacheName, tenant: TenantID, actor: String
    ) throws(MartletError) {
        try TextRules.validate(secret, field: "secret", maximumBytes: TextRules.maximumURLBytes)
        try change { context in
            var webhook = try context.requireWebhook(name, of: cache, tenant)
            webhook.secret = secret
            try context.database.execute(
                sql: "UPDATE webhooks SET secret = ? WHERE id = ?", arguments: [secret, webhook.id.column])
            context.put(webhook)
            return .changed((), webhook.entry("webhook.rotate_secret", cache, tenant, actor: actor))
        }
    }
}

extension WebhookRecord {
    /// Neither the secret nor what of the URL may be one: its path and query.
    fileprivate func entry(_ action: String, _ cache: CacheName, _ tenant: TenantID, actor: String) -> AuditEntry {
        var detail = AuditDetail()
        detail.cache = cache.text
        detail.topic = topic.text
        detail.origin = origin
        return AuditEntry(action, name.text, tenant: tenant, actor: actor, detail: detail)
    }

    private var origin: String {
        guard let start = url.firstRange(of: "://")?.upperBound else { return "" }
        return String(url[..<(url[start...].firstIndex { $0 == "/" || $0 == "?" } ?? url.endIndex)])
    }
}

extension ChangeContext {
    fileprivate func requireCache(_ name: CacheName, of tenant: TenantID) throws(MartletError) -> CacheID {
        guard let id = state.cacheIndex.id(tenant: tenant, name: name) else { throw .cacheNotFound }
        return id
    }

    fileprivate func requireWebhook(
        _ name: WebhookName, of cache: CacheName, _ tenant: TenantID
    ) throws(MartletError) -> WebhookRecord {
        let cache = try requireCache(cache, of: tenant)
        guard let webhook = state.webhooks[cache]?.first(where: { $0.name == name }) else { throw .notFound("Webhook") }
        return webhook
    }

    /// Deletes the webhooks of a cache that is going.
    mutating func deleteWebhooks(of cache: CacheID) throws {
        guard let webhooks = state.webhooks[cache] else { return }
        try database.execute(sql: "DELETE FROM webhooks WHERE cache_id = ?", arguments: [cache.column])
        for webhook in webhooks { removeWebhook(webhook) }
    }
}
