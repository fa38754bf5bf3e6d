import Tenancy

extension SpaceContents {
    /// The most that an otherwise empty ring takes beside a message.
    private static let smallestRingCharge = Allocation.arrayCharge(4)

    /// Puts a message that has the topic's next number into the pending list of every lane that has subscribers, and
    /// `retained`, which is the same message or what was sealed of it, into the ring if there is room.
    mutating func publish(_ message: TopicMessage, retaining retained: TopicMessage?, to topic: Topic, now: Timestamp) {
        topic.last = message.sequence
        if let retained, makeRoomInRing(for: retained, of: topic) {
            appendToRing(retained, of: topic)
        } else {
            // The ring's newest message is the topic's newest, or there is none.
            clearRing(of: topic)
        }
        review(topic)
        for listener in topic.listeners { post(message, to: listener) }
    }

    /// Makes room for a message: within the topic's own limits at the cost of its oldest messages, then within the
    /// space's at the cost of the least recently used topics, and of its own oldest last.
    /// - Returns: whether there is room.
    private mutating func makeRoomInRing(for message: TopicMessage, of topic: Topic) -> Bool {
        let limits = core.limits
        let charge = message.charge
        guard limits.messagesPerTopic > 0, charge <= limits.bytesPerTopic else { return false }
        // What could not fit if it were alone is not worth another's eviction.
        guard Topic.charge(topic.name) + Self.smallestRingCharge + charge <= ceiling else { return false }
        while topic.ring.count >= limits.messagesPerTopic || topic.ringBytes + charge > limits.bytesPerTopic {
            dropOldest(of: topic)
        }
        while retainedBytes + charge + topic.ring.chargeAfterAppend - topic.ring.charge > ceiling {
            if evictOldest(sparing: topic) { continue }
            guard !topic.ring.isEmpty else { return false }
            dropOldest(of: topic)
        }
        return true
    }

    // MARK: Pending lists

    /// Puts a message into a pending list, and the listener into its lane's mailbox if it is not known to have
    /// something.
    ///
    /// A list is bounded, and where the lanes are so far behind that the space has too much in transit, it is cut to
    /// its newest message. Subscribers that lose something by this are behind: they catch up from the ring, or are told
    /// of a discontinuity.
    private mutating func post(_ message: TopicMessage, to listener: TopicListener) {
        let limits = core.limits
        let before = listener.bufferCharge
        listener.pending.append(message)
        transitBytes += listener.bufferCharge - before
        listener.pendingBytes += message.charge
        message.pendingCount += 1
        if message.pendingCount == 1, !message.isRetained { transitBytes += message.charge }
        while listener.pending.count > 1,
            listener.pending.count > limits.pendingMessages || listener.pendingBytes > limits.pendingBytes
                || transitBytes > limits.pendingBytes
        {
            _ = popPending(of: listener)
        }
        guard !listener.isQueued else { return }
        listener.isQueued = true
        listener.mailbox.post(listener)
    }

    /// Takes the oldest message out of a pending list, and the buffer back if it was the last.
    private mutating func popPending(of listener: TopicListener) -> TopicMessage? {
        guard let message = listener.pending.popFirst() else { return nil }
        listener.pendingBytes -= message.charge
        message.pendingCount -= 1
        if message.pendingCount == 0, !message.isRetained { transitBytes -= message.charge }
        if listener.pending.isEmpty, listener.bufferCharge > 0 {
            transitBytes -= listener.bufferCharge
            listener.pending.releaseBuffer()
        }
        return message
    }

    /// Empties the pending list of a listener that goes.
    mutating func clearPending(of listener: TopicListener) {
        while popPending(of: listener) != nil {}
    }

    /// The next messages for a lane to hand on, as many as make one batch.
    /// - Returns: none if nothing is pending; whether more is.
    mutating func fetchPending(of listener: TopicListener) -> (messages: [TopicMessage], hasMore: Bool) {
        guard !isClosed else { return ([], false) }
        var bounds = BatchBounds()
        var fetched: [TopicMessage] = []
        fetched.reserveCapacity(min(listener.pending.count, BatchBounds.mostMessages))
        while !listener.pending.isEmpty, bounds.admit(listener.pending[0]) {
            guard let message = popPending(of: listener) else { break }
            fetched.append(message)
        }
        listener.isQueued = !listener.pending.isEmpty
        return (fetched, listener.isQueued)
    }
}

/// How much is handed over before a subscriber is asked again whether it is ready: what a slow one may have to buffer.
struct BatchBounds {
    static let mostMessages = 256
    static let mostBytes = 64 << 10

    private var messages = 0
    private var bytes = 0

    /// Whether a message may be added to a batch; the first always may.
    mutating func admit(_ message: TopicMessage) -> Bool {
        messages += 1
        bytes += message.byteCount
        return messages == 1 || (messages <= Self.mostMessages && bytes <= Self.mostBytes)
    }
}
