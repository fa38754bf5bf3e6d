import Tenancy

/// Making room, and what time takes.
extension SpaceContents {
    /// How much work an operation does, beyond the room that it needs, in a space that holds more than it may.
    private static let trimmedByOperation = 16

    /// Begins an operation. A space that holds more than its ceiling, because that was lowered, does not grow and
    /// shrinks a little with each operation, so that none has to do it all.
    mutating func beginOperation(ceiling: Int) {
        if retainedBytes > ceiling { _ = trim(to: ceiling, atMost: Self.trimmedByOperation) }
        goal = ceiling
        self.ceiling = max(ceiling, retainedBytes)
    }

    /// Evicts the least recently used topics while the space retains more than `ceiling`.
    /// - Returns: the work that it was.
    mutating func trim(to ceiling: Int, atMost limit: Int) -> Int {
        var work = 0
        while work < limit, retainedBytes > ceiling, let topic = oldest {
            work += evict(topic)
            evictions += 1
        }
        return work
    }

    /// Makes room for bytes to be retained, at the cost of the least recently used topics.
    mutating func makeRoom(for byteCount: Int, sparing spared: Topic?) -> Bool {
        while retainedBytes + byteCount > ceiling {
            guard evictOldest(sparing: spared) else { return false }
        }
        return true
    }

    /// Evicts the least recently used topic that has something to give.
    mutating func evictOldest(sparing spared: Topic?) -> Bool {
        var candidate = oldest
        if let spared, candidate === spared { candidate = spared.newer }
        guard let topic = candidate else { return false }
        evict(topic)
        evictions += 1
        return true
    }

    /// Looks at topics that have something to give, from the least recently used on, or from where the last call
    /// stopped: drops messages whose time is over, and topics that nobody has used for long. Finishes a flush, and
    /// brings a space down to a ceiling that was lowered. All of it is work of `budget`, which it may exceed by
    /// one topic's.
    /// - Returns: whether the round is complete.
    mutating func sweep(now: Timestamp, budget: inout Int) -> Bool {
        budget -= removeFlushed(atMost: budget)
        budget -= trim(to: goal, atMost: budget)
        if hand == nil { hand = oldest }
        while budget > 0 {
            guard let topic = hand else { return true }
            hand = topic.newer
            let before = topic.ring.count
            dropExpired(topic, now: now)
            budget -= Self.work(droppedMessages: before - topic.ring.count)
            let isIdle = topic.usedAt.adding(milliseconds: core.limits.idleMilliseconds) <= now
            if topic.listeners.isEmpty, isIdle { budget -= evict(topic) }
        }
        return hand == nil
    }
}
