import GRDB
import Tenancy

/// A subscriber of a topic that is called over HTTP.
package struct WebhookRecord: Equatable, Sendable {
    package let id: WebhookID
    package let cache: CacheID
    package let name: WebhookName
    package var topic: TopicName
    /// Where messages are posted to. It may hold a secret of the receiver's.
    package var url: String
    /// A secret: signs what is posted.
    package var secret: String
    package let createdAt: Timestamp

    package init(
        id: WebhookID, cache: CacheID, name: WebhookName, topic: TopicName, url: String, secret: String,
        createdAt: Timestamp
    ) {
        self.id = id
        self.cache = cache
        self.name = name
        self.topic = topic
        self.url = url
        self.secret = secret
        self.createdAt = createdAt
    }
}

/// Shows neither of its secrets by accident.
extension WebhookRecord: CustomStringConvertible, CustomReflectable {
    package var description: String { "WebhookRecord(\(id.rawValue), redacted)" }

    package var customMirror: Mirror { Mirror(self, children: []) }
}

extension WebhookRecord {
    init(row: Row) throws(DamagedRow) {
        let reader = RowReader(row: row, table: "webhooks")
        let (name, topic) = (try reader.text("name"), try reader.text("topic"))
        guard let name = try? WebhookName(name) else { throw reader.damaged("name", "is not a name") }
        guard let topic = try? TopicName(topic) else { throw reader.damaged("topic", "is not a name") }
        self.init(
            id: WebhookID(rawValue: try reader.id("id")), cache: CacheID(rawValue: try reader.id("cache_id")),
            name: name, topic: topic, url: try reader.text("url"), secret: try reader.text("secret"),
            createdAt: try reader.time("created_at"))
    }
}

extension WebhookID {
    /// For a column, as for caches.
    var column: Int64 { Int64(clamping: rawValue) }
}
