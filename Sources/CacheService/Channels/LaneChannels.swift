import Tenancy
import Topics

/// The subscribers of the Redis protocol on one event loop. Belongs to its lane.
final class LaneChannels {
    let mailbox: ChannelMailbox
    private(set) var subscribers: [ChannelSubscriber] = []
    /// By their boards, and by their feeds.
    private var fanouts: [ObjectIdentifier: ChannelFanout] = [:]
    private var fanoutsByFeed: [ObjectIdentifier: ChannelFanout] = [:]
    private var queue: [ChannelFanout] = []
    private var isDraining = false

    /// - Parameter wake: Asks the loop to call ``drain(atMost:)``; from any thread.
    init(wake: @escaping @Sendable () -> Void) {
        mailbox = ChannelMailbox(wake: wake)
    }

    func add(_ subscriber: ChannelSubscriber) {
        subscriber.slot = subscribers.count
        subscribers.append(subscriber)
        subscriber.fanout.subscriberCount += 1
    }

    func remove(_ subscriber: ChannelSubscriber) {
        let slot = subscriber.slot
        guard slot >= 0 else { return }
        subscriber.slot = -1
        release(subscriber.fanout)
        let last = subscribers.removeLast()
        guard slot < subscribers.count else { return }
        subscribers[slot] = last
        last.slot = slot
    }

    /// The fan-out of a cache, made if need be.
    func fanout(of board: ChannelBoard) -> ChannelFanout {
        let id = ObjectIdentifier(board)
        if let known = fanouts[id] { return known }
        let made = ChannelFanout(board, mailbox: mailbox)
        fanouts[id] = made
        fanoutsByFeed[ObjectIdentifier(made.feed)] = made
        return made
    }

    private func release(_ fanout: ChannelFanout) {
        fanout.subscriberCount -= 1
        guard fanout.subscriberCount == 0 else { return }
        fanouts[ObjectIdentifier(fanout.board)] = nil
        fanoutsByFeed[ObjectIdentifier(fanout.feed)] = nil
        fanout.feed.close()
    }

    /// Hands on what was published, at most so many deliveries of it. The caches take turns, a message each.
    ///
    /// - Returns: Whether more waits.
    func drain(atMost deliveries: Int) -> Bool {
        // A subscriber that drains while it is being handed something.
        guard !isDraining else { return true }
        isDraining = true
        defer { isDraining = false }
        for feed in mailbox.fetch() {
            if let fanout = fanoutsByFeed[ObjectIdentifier(feed)] { enqueue(fanout) }
        }
        var budget = deliveries
        var index = 0
        while budget > 0, index < queue.count {
            let fanout = queue[index]
            index += 1
            if fanout.deliverOne(&budget) { queue.append(fanout) } else { fanout.isQueued = false }
        }
        queue.removeFirst(index)
        return !queue.isEmpty || !mailbox.isEmpty
    }

    private func enqueue(_ fanout: ChannelFanout) {
        guard !fanout.isQueued else { return }
        fanout.isQueued = true
        queue.append(fanout)
    }
}

/// The subscribers of one cache on one lane, and the message that is being handed to them.
final class ChannelFanout {
    let board: ChannelBoard
    let feed: ChannelFeed
    var isQueued = false
    /// Connections, subscribed to something or not yet.
    var subscriberCount = 0
    private var channels: [[UInt8]: ChannelMembers] = [:]
    private var shards: [[UInt8]: ChannelMembers] = [:]
    private var patterns: [[UInt8]: ChannelMembers] = [:]
    private var waiting: ContiguousArray<ChannelPosting> = []
    private var head = 0
    private var number: UInt64 = 1
    /// Whom the message at the head still goes to; a subscriber that leaves meanwhile is marked.
    private var round: [(delivery: ChannelDelivery, members: ContiguousArray<ChannelMembership>)] = []
    private var cursor = 0

    init(_ board: ChannelBoard, mailbox: ChannelMailbox) {
        self.board = board
        feed = ChannelFeed(mailbox: mailbox)
    }

    // MARK: Coming and going

    /// - Throws: ``MartletError/tooMany(_:limit:)`` for a pattern beyond those that the cache may have.
    func join(
        _ subscriber: ChannelSubscriber, _ kind: ChannelKind, _ name: [UInt8], mayHaveMessages: Bool
    ) throws(MartletError) -> ChannelMembership {
        let members: ChannelMembers
        if kind == .pattern {
            let pattern = try board.add(feed, to: try ChannelPattern(name))
            members = patterns[name] ?? ChannelMembers(.pattern, name, pattern: pattern)
            patterns[name] = members
        } else {
            board.add(feed, to: name, kind)
            members = (kind == .shard ? shards[name] : channels[name]) ?? ChannelMembers(kind, name)
            if kind == .shard { shards[name] = members } else { channels[name] = members }
        }
        let membership = ChannelMembership(
            subscriber, members, since: feed.nextNumber, mayHaveMessages: mayHaveMessages)
        members.add(membership)
        return membership
    }

    func leave(_ membership: ChannelMembership) {
        guard !membership.isOver else { return }
        let members = membership.members
        members.remove(membership)
        let isEmpty = members.list.isEmpty
        switch members.kind {
        case .channel:
            if isEmpty { channels[members.name] = nil }
            board.remove(feed, from: members.name, .channel)
        case .shard:
            if isEmpty { shards[members.name] = nil }
            board.remove(feed, from: members.name, .shard)
        case .pattern:
            if isEmpty { patterns[members.name] = nil }
            if let pattern = members.pattern { board.remove(feed, from: pattern) }
        }
    }

    // MARK: Handing on

    /// Hands one message on, or as much of it as the budget allows.
    ///
    /// - Returns: Whether more waits.
    func deliverOne(_ budget: inout Int) -> Bool {
        if round.isEmpty, !beginRound() { return false }
        while budget > 0, let (delivery, members) = round.first {
            guard cursor < members.count else {
                round.removeFirst()
                cursor = 0
                continue
            }
            let membership = members[cursor]
            cursor += 1
            budget -= 1
            guard !membership.isOver, membership.since <= number else { continue }
            membership.subscriber.receive(delivery, membership)
        }
        guard round.isEmpty else { return true }
        budget -= 1
        feed.settle(waiting[head])
        head += 1
        number += 1
        // With the end of what was fetched, more may have come.
        if head < waiting.count { return true }
        return fetch()
    }

    private func fetch() -> Bool {
        let fetched = feed.fetch()
        (waiting, head, number) = (fetched.postings, 0, fetched.firstNumber)
        if fetched.isOverrun { endAll() }
        return !waiting.isEmpty
    }

    /// - Returns: False when there is nothing.
    private func beginRound() -> Bool {
        if head >= waiting.count, !fetch() { return false }
        let posting = waiting[head]
        if posting.origin.reachesChannels, let members = channels[posting.name] {
            round.append((ChannelDelivery(.channel, posting), members.list))
        }
        for pattern in posting.patterns {
            guard let members = patterns[pattern.bytes] else { continue }
            round.append((ChannelDelivery(.pattern, pattern: pattern.bytes, posting), members.list))
        }
        if posting.origin.reachesShards, let members = shards[posting.name] {
            round.append((ChannelDelivery(.shard, posting), members.list))
        }
        cursor = 0
        return true
    }

    /// What was published was more than the lane could hand on, and some of it is lost: nobody may go on as if it were not.
    private func endAll() {
        let everybody = [channels, shards, patterns].flatMap { $0.values.flatMap { $0.list } }
        for membership in everybody where !membership.isOver {
            membership.subscriber.end(.unavailable("messages were lost because too many came at once"))
        }
    }
}
