/// What must hold while no operation is under way. For tests.
extension SpaceContents {
    func violations() -> [String] {
        var found: [String] = []
        var retained = 0
        var inTransit: [ObjectIdentifier: TopicMessage] = [:]
        var bufferBytes = 0
        var messageCount = 0
        topics.forEach { topic in
            found += violations(of: topic).map { "topic \(topic.name): \($0)" }
            if topics[HashedName(topic.name)] !== topic { found.append("topic \(topic.name) is filed wrongly") }
            retained += Topic.charge(topic.name) + topic.ringBytes + topic.ring.charge
            retained += topic.listeners.count * TopicListener.charge
            messageCount += topic.ring.count
            for listener in topic.listeners {
                bufferBytes += listener.bufferCharge
                for offset in 0..<listener.pending.count {
                    let message = listener.pending[offset]
                    if !message.isRetained { inTransit[ObjectIdentifier(message)] = message }
                }
            }
        }
        let transit = bufferBytes + inTransit.values.reduce(0) { $0 + $1.charge }
        if retained != retainedBytes { found.append("\(retained) retained bytes are charged as \(retainedBytes)") }
        if transit != transitBytes { found.append("\(transit) bytes in transit are charged as \(transitBytes)") }
        if messageCount != messages { found.append("\(messageCount) messages are counted as \(messages)") }
        return found + listViolations()
    }

    private func violations(of topic: Topic) -> [String] {
        var found: [String] = []
        if topic.isListed != topic.isEvictable { found.append("is listed: \(topic.isListed)") }
        found += violations(of: topic.ring, bytes: topic.ringBytes, in: topic).map { "ring: " + $0 }
        if topic.ring.isEmpty, topic.ring.capacity > 0 { found.append("an empty ring has a buffer") }
        if topic.ring.count > core.limits.messagesPerTopic { found.append("retains too many messages") }
        if topic.ringBytes > core.limits.bytesPerTopic { found.append("retains too many bytes") }
        let isMarked = (0..<topic.ring.count).allSatisfy { topic.ring[$0].isRetained }
        if !isMarked { found.append("a message in the ring does not know it") }
        for listener in topic.listeners {
            found += violations(of: listener.pending, bytes: listener.pendingBytes, in: topic).map { "pending: " + $0 }
            if !listener.pending.isEmpty, !listener.isQueued { found.append("a lane does not know what is pending") }
            if listener.fanout == nil { found.append("a listener has no subscriptions") }
        }
        return found
    }

    private func violations(of ring: MessageRing, bytes: Int, in topic: Topic) -> [String] {
        var found: [String] = []
        var sum = 0
        for offset in 0..<ring.count {
            let message = ring[offset]
            sum += message.charge
            if message.sequence != topic.last - UInt64(ring.count - 1 - offset) { found.append("numbers have a gap") }
            if message.page != topic.page { found.append("a message of another page") }
            let lists = topic.listeners.count { listener in
                (0..<listener.pending.count).contains { listener.pending[$0] === message }
            }
            if lists != Int(message.pendingCount) { found.append("pending \(lists) times, not as marked") }
        }
        if sum != bytes { found.append("\(sum) bytes are counted as \(bytes)") }
        return found
    }

    private func listViolations() -> [String] {
        var found: [String] = []
        var listed = 0
        var isHandListed = hand == nil
        var current = newest
        var previous: Topic?
        while let topic = current {
            listed += 1
            if topic.newer !== previous { found.append("the list is torn") }
            if !topic.isListed || topics[HashedName(topic.name)] !== topic { found.append("a stranger is listed") }
            if hand === topic { isHandListed = true }
            previous = topic
            current = topic.older
        }
        if oldest !== previous { found.append("the list does not end with the oldest") }
        if listed != listedTopics { found.append("\(listed) listed topics are counted as \(listedTopics)") }
        if !isHandListed { found.append("the hand is not in the list") }
        return found
    }
}
