import Tenancy

/// What a space's lock guards: its topics, the order in which they give way, and the books.
///
/// The books have two columns. *Retained* is what is kept for later: topics, rings and the messages in them, listeners.
/// It is held to the ceiling by eviction. *In transit* are messages that no ring holds (any more), but that lanes have
/// yet to fetch, which is a matter of moments. So evicting always brings the retained bytes down, and never takes from
/// live subscribers what is on its way to them.
struct SpaceContents: ~Copyable {
    let core: HubCore
    var topics = TopicIndex()
    var isClosed = false
    /// Counts the flushes.
    var generation: UInt32 = 0

    // Topics that have something to give, from the most to the least recently used.
    unowned(unsafe) var newest: Topic?
    unowned(unsafe) var oldest: Topic?
    var listedTopics = 0
    /// Where the sweep goes on.
    unowned(unsafe) var hand: Topic?

    var retainedBytes = 0
    var transitBytes = 0
    /// What the hub and the cache were told.
    var settledBytes = 0
    /// What the retained bytes are to be held to.
    var goal = 0
    /// What this operation may let them grow to: the goal, or what there is where that is more.
    var ceiling = 0

    var messages = 0
    var subscriptions = 0
    var evictions: UInt64 = 0

    init(core: HubCore) {
        self.core = core
    }

    var chargedBytes: Int { retainedBytes + transitBytes }

    var statistics: TopicStatistics {
        TopicStatistics(
            topics: topics.count, subscriptions: subscriptions, messages: messages, bytes: chargedBytes,
            evictions: evictions)
    }

    // MARK: Topics

    /// The topic of that name, made if need be, as the most recently used.
    mutating func openTopic(_ key: HashedName, now: Timestamp) throws(MartletError) -> Topic {
        guard !isClosed else { throw .cacheNotFound }
        if let topic = topics[key], !removeIfFlushed(topic) {
            topic.usedAt = now
            dropFlushed(topic)
            dropExpired(topic, now: now)
            if topic.isListed { moveToNewest(topic) }
            return topic
        }
        let charge = Topic.charge(key.name)
        guard makeRoom(for: charge, sparing: nil) else { throw .memoryExhausted }
        let topic = Topic(key, page: core.nextPage(now: now), generation: generation, now: now)
        topics.insert(topic)
        retainedBytes += charge
        review(topic)
        return topic
    }

    /// Forgets a topic that has neither subscribers nor messages.
    private mutating func forget(_ topic: Topic) {
        if topic.isListed { unlist(topic) }
        retainedBytes -= Topic.charge(topic.name)
        topics.remove(topic)
    }

    /// Takes the messages of a topic, and if nobody subscribes to it the topic.
    /// - Returns: the work that it was.
    @discardableResult
    mutating func evict(_ topic: Topic) -> Int {
        let work = Self.work(droppedMessages: topic.ring.count)
        clearRing(of: topic)
        if topic.listeners.isEmpty { forget(topic) } else { review(topic) }
        return work
    }

    /// Work is counted in topics that are looked at; to free so many messages takes as long.
    static func work(droppedMessages count: Int) -> Int { 1 + count / 16 }

    // MARK: The order of use

    /// Puts a topic that has something to give into the list, as the newest, and takes one out that has not.
    mutating func review(_ topic: Topic) {
        guard topic.isListed != topic.isEvictable else { return }
        if topic.isListed { unlist(topic) } else { list(topic) }
    }

    mutating func moveToNewest(_ topic: Topic) {
        guard newest !== topic else { return }
        unlist(topic)
        list(topic)
    }

    private mutating func list(_ topic: Topic) {
        topic.isListed = true
        topic.newer = nil
        topic.older = newest
        if let newest { newest.newer = topic } else { oldest = topic }
        newest = topic
        listedTopics += 1
    }

    private mutating func unlist(_ topic: Topic) {
        if hand === topic { hand = topic.newer }
        if let newer = topic.newer { newer.older = topic.older } else { newest = topic.older }
        if let older = topic.older { older.newer = topic.newer } else { oldest = topic.newer }
        topic.isListed = false
        topic.newer = nil
        topic.older = nil
        listedTopics -= 1
    }

    // MARK: Rings

    mutating func appendToRing(_ message: TopicMessage, of topic: Topic) {
        retainedBytes += message.charge + topic.ring.chargeAfterAppend - topic.ring.charge
        topic.ring.append(message)
        topic.ringBytes += message.charge
        message.isRetained = true
        messages += 1
    }

    /// Drops the oldest message of a ring. On its way to a lane it is in transit from now on.
    mutating func dropOldest(of topic: Topic) {
        let before = topic.ring.charge
        guard let message = topic.ring.popFirst() else { return }
        if topic.ring.isEmpty { topic.ring.releaseBuffer() }
        retainedBytes -= message.charge + before - topic.ring.charge
        topic.ringBytes -= message.charge
        message.isRetained = false
        messages -= 1
        if message.pendingCount > 0 { transitBytes += message.charge }
    }

    /// Drops the messages of a ring up to a number: nobody can open them any more.
    mutating func dropRetained(upTo sequence: UInt64, of topic: Topic) {
        guard !isClosed else { return }
        while !topic.ring.isEmpty, topic.oldestRetained <= sequence { dropOldest(of: topic) }
        review(topic)
    }

    mutating func clearRing(of topic: Topic) {
        while !topic.ring.isEmpty { dropOldest(of: topic) }
    }

    /// Drops what is older than a message is retained.
    mutating func dropExpired(_ topic: Topic, now: Timestamp) {
        guard !topic.ring.isEmpty else { return }
        let retention = core.limits.retentionMilliseconds
        while !topic.ring.isEmpty, topic.ring[0].publishedAt.adding(milliseconds: retention) <= now {
            dropOldest(of: topic)
        }
        if topic.ring.isEmpty { review(topic) }
    }

    // MARK: Flushing

    /// Takes the messages of a topic with subscribers that were published before the last flush, if that is not done
    /// yet.
    mutating func dropFlushed(_ topic: Topic) {
        guard topic.generation != generation else { return }
        topic.generation = generation
        clearRing(of: topic)
        review(topic)
    }

    /// Forgets a topic without subscribers that was there before the last flush, if that is not done yet.
    /// - Returns: whether it was.
    private mutating func removeIfFlushed(_ topic: Topic) -> Bool {
        guard topic.generation != generation, topic.listeners.isEmpty else { return false }
        evict(topic)
        return true
    }

    /// Removes what the last flush forbids, beginning with the least recently used. Whatever was used since is done,
    /// and all that are more recent.
    /// - Returns: the work that it was.
    mutating func removeFlushed(atMost limit: Int) -> Int {
        var work = 0
        while work < limit, let topic = oldest, topic.generation != generation {
            topic.generation = generation
            work += evict(topic)
        }
        return work
    }

    // MARK: Closing

    /// Ends everything: the books are at zero, later operations find the space closed.
    /// - Returns: the topics, to be taken apart.
    mutating func close() -> ClosedTopics {
        isClosed = true
        var closed = TopicIndex()
        swap(&closed, &topics)
        newest = nil
        oldest = nil
        hand = nil
        listedTopics = 0
        retainedBytes = 0
        transitBytes = 0
        messages = 0
        subscriptions = 0
        return ClosedTopics(closed)
    }
}

/// The topics of a space that was closed, which no operation can reach any more, on their way back to the allocator.
final class ClosedTopics: Sendable {
    private let topics: TopicIndex

    init(_ topics: consuming TopicIndex) {
        self.topics = topics
    }

    /// Topics and listeners hold each other, and a lane may hold both for as long as it has subscriptions.
    func dismantle() {
        topics.forEach { topic in
            for listener in topic.listeners { listener.pending = MessageRing() }
            topic.listeners = []
            topic.ring = MessageRing()
        }
    }
}
