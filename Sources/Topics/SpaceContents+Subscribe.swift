import Tenancy

/// What subscriptions have to do with the shared state: coming, going, catching up.
extension SpaceContents {
    /// Adds a subscription of a lane to a topic.
    mutating func subscribe(
        to key: HashedName, from position: TopicPosition, mailbox: TopicMailbox, now: Timestamp
    ) throws(MartletError) -> (listener: TopicListener, start: SubscriptionStart) {
        let topic = try openTopic(key, now: now)
        let listener = topic.listeners.first { $0.mailbox === mailbox } ?? addListener(to: topic, mailbox: mailbox)
        subscriptions += 1
        return (listener, SubscriptionStart(from: position, in: topic))
    }

    private mutating func addListener(to topic: Topic, mailbox: TopicMailbox) -> TopicListener {
        let listener = TopicListener(topic: topic, mailbox: mailbox)
        topic.listeners.append(listener)
        retainedBytes += TopicListener.charge
        review(topic)
        return listener
    }

    /// Takes a subscription away, and the listener with its last. The topic's idle time begins when nobody subscribes.
    mutating func unsubscribe(_ listener: TopicListener, isLast: Bool, now: Timestamp) {
        guard !isClosed else { return }
        subscriptions -= 1
        guard isLast else { return }
        clearPending(of: listener)
        let topic = listener.topic
        topic.listeners.removeAll { $0 === listener }
        retainedBytes -= TopicListener.charge
        if topic.listeners.isEmpty {
            // It had subscribers when a flush came, so it stays.
            dropFlushed(topic)
            topic.usedAt = max(topic.usedAt, now)
        }
        review(topic)
    }

    /// Looks up how a subscription that is behind goes on.
    ///
    /// What it wants next may be in three places, of which each holds numbers without a gap: the ring, the pending list
    /// of its lane, and the batch of the round that the lane has under way. What is in none of them is lost.
    /// - Parameters:
    ///   - round: the numbers of the batch that the lane has in hand.
    ///   - replayed: the first number of a batch that the lane made before and would rather use again.
    /// - Returns: nil if the space is closed.
    mutating func catchUp(
        _ listener: TopicListener, wanted: UInt64, wantsNewest: Bool, round: ClosedRange<UInt64>?,
        replayed: UInt64?, now: Timestamp
    ) -> CatchUp? {
        guard !isClosed else { return nil }
        let topic = listener.topic
        dropFlushed(topic)
        dropExpired(topic, now: now)
        let oldest = min(topic.oldestRetained, listener.oldestPending)
        var next = wanted
        if wantsNewest, topic.oldestRetained < wanted { next = wanted - 1 }
        if next < oldest, round?.contains(next) != true {
            next = if let round, round.lowerBound > next { min(oldest, round.lowerBound) } else { oldest }
        }
        var found = CatchUp(next: next, last: topic.last)
        if round?.contains(next) == true { return found }
        if replayed == next {
            found.canReplay = true
        } else if next >= listener.oldestPending {
            // None if it is still to come. What is here as it was published need not be opened.
            found.messages = slice(of: listener.pending, from: Int(next - listener.oldestPending))
        } else if next >= topic.oldestRetained {
            found.messages = slice(of: topic.ring, from: Int(next - topic.oldestRetained))
        }
        return found
    }

    /// As many messages as make one batch.
    private func slice(of ring: MessageRing, from offset: Int) -> [TopicMessage] {
        var bounds = BatchBounds()
        var end = offset
        while end < ring.count, bounds.admit(ring[end]) { end += 1 }
        return (offset..<end).map { ring[$0] }
    }
}

/// How a subscription that is behind goes on.
struct CatchUp: Sendable {
    /// The number that it goes on with. Larger than the one wanted: those between are lost.
    var next: UInt64
    /// The newest number of the topic.
    var last: UInt64
    /// The messages from `next` on, as many as make one batch. None: the lane has `next` itself, or it is still to
    /// come.
    var messages: [TopicMessage] = []
    /// Whether the batch that the lane made before is what it needs.
    var canReplay = false
}
