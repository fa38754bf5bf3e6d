import Access
import Delivery
import Tenancy
import Topics

/// What a webhook is sent for one message.
enum WebhookMessage {
    /// The body: one JSON object. Binary messages stand in it in base64, under another name, so that no receiver takes
    /// one for text.
    ///
    /// - Parameter now: When it is posted.
    static func body(_ message: TopicMessage, cache: CacheName, topic: TopicName, now: Timestamp) -> [UInt8] {
        let value: JSONValue.Member = message.withBytes { bytes in
            switch message.kind {
            case .text: .init("text", .string(String(decoding: bytes, as: UTF8.self)))
            case .binary: .init("binary", .string(Base64.encode(bytes, .standard)))
            }
        }
        return JSONValue.object([
            .init("cache", .string(cache.text)),
            .init("topic", .string(topic.text)),
            .init("event_timestamp", .integer(message.publishedAt.milliseconds)),
            .init("publish_timestamp", .integer(now.milliseconds)),
            .init("topic_sequence_number", .number(String(message.sequence))),
            .init("token_id", .string(String(decoding: message.publisherID, as: UTF8.self))),
            value,
        ]).encoded()
    }

    /// The call that carries the body.
    ///
    /// - Returns: nil when it cannot be signed, and must not go out.
    static func call(
        _ url: OutboundURL, body: [UInt8], secret: String, userAgent: String, payer: TenantID
    ) -> OutboundCall? {
        guard let signature = MessageSignature.hexadecimal(of: body, secret: Array(secret.utf8)) else { return nil }
        return OutboundCall(
            url,
            headers: [
                ("content-type", "application/json"), ("momento-signature", signature), ("user-agent", userAgent),
            ],
            body: body, payer: payer)
    }
}
