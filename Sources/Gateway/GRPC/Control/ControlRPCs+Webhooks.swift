import Access
import CacheService
import Catalog
import SwiftProtobuf
import Tenancy
import Wire

/// The service `webhook.Webhook`.
extension ControlRPCs {
    /// - Throws: what the control plane throws, ``MartletError/malformed(_:)`` for what is no message, and
    ///   ``MartletError/invalidArgument(field:reason:)``, which names the field of the request.
    func respondToWebhookCall(
        _ rpc: ControlRPC, message: [UInt8], caller: Caller
    ) throws(MartletError) -> [UInt8] {
        // Before a word is said of the message.
        try control.permit(.manageWebhooks, caller)
        switch rpc {
        case .putWebhook:
            let webhook = try Self.decode(Webhook_PutWebhookRequest.self, message).webhook
            let (cache, name) = try Self.names(webhook.webhookID, in: "webhook.webhook_id")
            let topic = try TopicName(webhook.topicName, field: "webhook.topic_name")
            guard case .postURL(let url)? = webhook.destination.kind else {
                throw .invalidArgument(field: "webhook.destination", reason: "must name a post_url")
            }
            let order = WebhookOrder(name: name, cache: cache, topic: topic, url: url)
            let record = try control.putWebhook(order, caller: caller)
            return try Self.encode(Webhook_PutWebhookResponse.with { $0.secretString = record.secret })
        case .deleteWebhook:
            let request = try Self.decode(Webhook_DeleteWebhookRequest.self, message)
            let (cache, name) = try Self.names(request.webhookID, in: "webhook_id")
            try control.deleteWebhook(name, of: cache, caller: caller)
            return try Self.encode(Webhook_DeleteWebhookResponse())
        case .listWebhooks:
            let request = try Self.decode(Webhook_ListWebhookRequest.self, message)
            let cache = try CacheName(request.cacheName, field: "cache_name")
            let webhooks = try control.webhooks(of: cache, caller: caller)
            return try Self.encode(
                Webhook_ListWebhooksResponse.with { $0.webhook = webhooks.map { Webhook_Webhook($0, of: cache) } })
        case .getWebhookSecret:
            let request = try Self.decode(Webhook_GetWebhookSecretRequest.self, message)
            let cache = try CacheName(request.cacheName, field: "cache_name")
            let name = try WebhookName(request.webhookName, field: "webhook_name")
            let record = try control.webhook(name, of: cache, caller: caller)
            return try Self.encode(
                Webhook_GetWebhookSecretResponse.with {
                    $0.cacheName = cache.text
                    $0.webhookName = name.text
                    $0.secretString = record.secret
                })
        case .rotateWebhookSecret:
            let request = try Self.decode(Webhook_RotateWebhookSecretRequest.self, message)
            let (cache, name) = try Self.names(request.webhookID, in: "webhook_id")
            let secret = try control.rotateWebhookSecret(name, of: cache, caller: caller)
            return try Self.encode(Webhook_RotateWebhookSecretResponse.with { $0.secretString = secret })
        default:
            throw .internalFailure("the call is none of webhooks")
        }
    }

    private static func names(
        _ id: Webhook_WebhookId, in field: String
    ) throws(MartletError) -> (cache: CacheName, name: WebhookName) {
        (
            try CacheName(id.cacheName, field: field + ".cache_name"),
            try WebhookName(id.webhookName, field: field + ".webhook_name")
        )
    }
}

extension Webhook_Webhook {
    fileprivate init(_ record: WebhookRecord, of cache: CacheName) {
        self.init()
        webhookID.cacheName = cache.text
        webhookID.webhookName = record.name.text
        topicName = record.topic.text
        destination.postURL = record.url
    }
}
