import Tenancy

/// What a message holds. The kind is kept from the publisher to every subscriber.
package enum TopicValueKind: UInt8, Sendable {
    /// UTF-8.
    case text = 0
    case binary = 1
}

/// A place in the sequence of a topic.
package struct TopicPosition: Equatable, Sendable {
    /// From 1 on each page; 0: unknown.
    package var sequence: UInt64
    /// Which incarnation of the topic; 0: unknown.
    package var page: UInt64

    @inlinable @inline(__always)
    package init(sequence: UInt64, page: UInt64) {
        self.sequence = sequence
        self.page = page
    }

    /// Where a subscriber begins that has seen nothing yet.
    package static var fresh: TopicPosition { TopicPosition(sequence: 0, page: 0) }
}

/// Tells a subscriber that messages between two numbers never reached it.
package struct TopicDiscontinuity: Equatable, Sendable {
    /// The last number known before the gap, 0 if none is known.
    package let lastSequence: UInt64
    /// The number before that of the next message.
    package let newSequence: UInt64
    /// The page of the next message.
    package let page: UInt64

    @inlinable @inline(__always)
    package init(lastSequence: UInt64, newSequence: UInt64, page: UInt64) {
        self.lastSequence = lastSequence
        self.newSequence = newSequence
        self.page = page
    }
}

/// What a hub keeps for subscribers that come back.
package struct TopicLimits: Sendable {
    /// Messages retained per topic.
    package var messagesPerTopic = 1024
    /// Bytes retained per topic, as charged.
    package var bytesPerTopic = 4 << 20
    /// How long a message is retained.
    package var retentionMilliseconds: Int64 = 300_000
    /// Everything that all caches together are charged for topics.
    package var totalBytes = 64 << 20
    /// A topic without subscribers and without use for so long is forgotten.
    package var idleMilliseconds: Int64 = 3_600_000

    package init() {}

    /// Whether a message of so many bytes is retained where there is room.
    func canRetain(byteCount: Int) -> Bool {
        messagesPerTopic > 0 && retentionMilliseconds > 0
            && MessagePayload.messageCharge(byteCount) <= bytesPerTopic
    }

    /// The most messages that wait for a lane to fetch them, per topic: a burst reaches live subscribers even where
    /// little is retained.
    var pendingMessages: Int { max(256, messagesPerTopic) }
    /// The most bytes that do, per topic, and of messages that are not retained in all topics of a cache.
    var pendingBytes: Int { max(1 << 20, bytesPerTopic) }
}

/// The figures of one cache's topics.
package struct TopicStatistics: Equatable, Sendable {
    package let topics: Int
    package let subscriptions: Int
    /// Messages retained.
    package let messages: Int
    /// Everything that is charged to the cache for topics, messages and listeners.
    package let bytes: Int
    /// How often a topic was evicted to make room, or lost its messages to make room, since the space was opened.
    package let evictions: UInt64

    /// The same with subscriptions that no topic knows.
    package func adding(subscriptions more: Int) -> TopicStatistics {
        TopicStatistics(
            topics: topics, subscriptions: subscriptions + more, messages: messages, bytes: bytes,
            evictions: evictions)
    }
}
