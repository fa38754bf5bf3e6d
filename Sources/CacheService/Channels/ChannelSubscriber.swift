import Access
import Admission
import Catalog
import Metering
import Tenancy
import Topics

/// One connection of the Redis protocol with all that it is subscribed to in its cache, as the service sees it.
///
/// As for the subscribers of other doors (``CacheSubscription``) each delivery passes here: still permitted, charged to
/// the rates, metered before the bytes leave. It lives until its door cancels it or the service ends it. Belongs to its
/// lane.
package final class ChannelSubscriber {
    package private(set) var caller: LaneCaller
    // A lane outlives its subscribers: it holds them, and ends with its event loop.
    private unowned(unsafe) let lane: ServiceLane
    private var grant: CacheGrant
    /// Nil once it is over.
    private var sink: (any ChannelSink)?
    let fanout: ChannelFanout
    private let clock: SubscriptionClock
    private let row: MeterRow
    private var channels: [[UInt8]: ChannelMembership] = [:]
    private var patterns: [[UInt8]: ChannelMembership] = [:]
    private var shards: [[UInt8]: ChannelMembership] = [:]
    private var mayHaveEvents: Bool
    /// The place in the lane's list; -1 when it is over.
    var slot = -1

    /// Subscriptions of one connection.
    package static let mostSubscriptions = 65_536

    init(
        _ lane: ServiceLane, _ identity: CommandIdentity, _ fanout: ChannelFanout, _ clock: SubscriptionClock,
        _ row: MeterRow, _ sink: any ChannelSink
    ) {
        self.lane = lane
        self.fanout = fanout
        self.clock = clock
        self.row = row
        self.sink = sink
        caller = identity.caller
        grant = identity.grant
        mayHaveEvents = Self.mayHaveEvents(identity.grant)
    }

    // MARK: What the door asks

    /// What `SUBSCRIBE`, `PSUBSCRIBE` and their opposites answer.
    package var count: Int { channels.count + patterns.count }
    package var shardCount: Int { shards.count }
    package var total: Int { count + shards.count }
    package var isOver: Bool { sink == nil }

    /// The number that goes with a change of that kind.
    package func count(of kind: ChannelKind) -> Int { kind == .shard ? shardCount : count }

    package func number(of kind: ChannelKind) -> Int { memberships(kind).count }

    package func names(of kind: ChannelKind) -> [[UInt8]] { Array(memberships(kind).keys) }

    private func memberships(_ kind: ChannelKind) -> [[UInt8]: ChannelMembership] {
        switch kind {
        case .channel: channels
        case .pattern: patterns
        case .shard: shards
        }
    }

    // MARK: Subscribing

    /// Subscribes to all of these, or to none.
    ///
    /// - Parameter each: Called for each with its name and how many there were by then: what the client is told.
    /// - Throws: What is not permitted, what is no name, what goes beyond a limit.
    package func subscribe(
        to names: [[UInt8]], _ kind: ChannelKind, each: (_ name: [UInt8], _ count: Int) -> Void
    ) throws(MartletError) {
        guard isStillPermitted(), let cache = grant.cache else { throw .cacheNotFound }
        let admission = cache.shared.admission
        var added: [[UInt8]] = []
        var counts: [Int] = []
        do throws(MartletError) {
            for name in names { try lane.permitListening(to: name, kind, grant) }
            try lane.admit(cache, .other, operations: 0, bytesIn: 0)
            for name in names {
                defer { counts.append(count(of: kind)) }
                guard memberships(kind)[name] == nil else { continue }
                guard total < Self.mostSubscriptions else {
                    throw .tooMany("subscriptions of a connection", limit: Self.mostSubscriptions)
                }
                try admission.admitSubscription()
                do throws(MartletError) {
                    insert(
                        try fanout.join(self, kind, name, mayHaveMessages: mayHaveMessages(name, kind, grant)), kind)
                } catch {
                    admission.releaseSubscription()
                    throw error
                }
                added.append(name)
                clock.enter(lane.now)
            }
        } catch {
            for name in added { remove(name, kind) }
            row.recordRefusal(error)
            throw error
        }
        row.add(.calls, 1)
        for (name, count) in zip(names, counts) { each(name, count) }
    }

    /// Whether something is on its way that was published before now. What ends a subscription asks for it first: see
    /// ``ServiceLane/deliverChannels()``.
    package var isBehind: Bool { !isOver && fanout.feed.hasWaiting }

    /// Ends one subscription, if there is such a one.
    package func unsubscribe(from name: [UInt8], _ kind: ChannelKind) {
        remove(name, kind)
    }

    private func insert(_ membership: ChannelMembership, _ kind: ChannelKind) {
        switch kind {
        case .channel: channels[membership.members.name] = membership
        case .pattern: patterns[membership.members.name] = membership
        case .shard: shards[membership.members.name] = membership
        }
    }

    private func remove(_ name: [UInt8], _ kind: ChannelKind) {
        let membership =
            switch kind {
            case .channel: channels.removeValue(forKey: name)
            case .pattern: patterns.removeValue(forKey: name)
            case .shard: shards.removeValue(forKey: name)
            }
        if let membership { release(membership) }
    }

    private func release(_ membership: ChannelMembership) {
        fanout.leave(membership)
        clock.leave(lane.now)
        grant.cache?.shared.admission.releaseSubscription()
    }

    /// Ends it without a word to its sink.
    package func cancel() {
        guard !isOver else { return }
        sink = nil
        for kind in ChannelKind.allCases {
            for membership in memberships(kind).values { release(membership) }
        }
        channels = [:]
        patterns = [:]
        shards = [:]
        lane.channels.remove(self)
    }

    /// Ends it, and says so.
    func end(_ error: MartletError) {
        let sink = sink
        cancel()
        sink?.end(error)
    }

    // MARK: Delivering

    func receive(_ delivery: ChannelDelivery, _ membership: ChannelMembership) {
        guard isStillPermitted(), let sink, let cache = grant.cache else { return }
        guard delivery.origin == .event ? mayHaveEvents : membership.mayHaveMessages else { return }
        let byteCount = delivery.message.byteCount
        let chunks = BillingPolicy.message(byteCount: byteCount)
        row.recordDeliveries(messages: 1, chunks: chunks, messageBytes: byteCount)
        cache.shared.admission.settle(
            extraOperations: chunks, bytesOut: UInt64(truncatingIfNeeded: byteCount),
            nowNanoseconds: lane.nowNanoseconds)
        sink.send(delivery)
    }

    // MARK: Permit

    /// Whether the subscriber may still have what comes; if not, it ends here. Cost: two comparisons while the catalog
    /// stands still.
    @inline(__always)
    @discardableResult
    func isStillPermitted() -> Bool {
        if !caller.caller.isExpired(at: lane.now), caller.version == lane.snapshot.version,
            grant.version == lane.snapshot.version
        {
            return !isOver
        }
        return renewGrant()
    }

    private func renewGrant() -> Bool {
        guard !isOver else { return false }
        do throws(MartletError) {
            if let fault = lane.fault(of: caller) { throw fault }
            let name = grant.cacheName
            let renewed = try name.withUnsafeBufferPointer { (name) throws(MartletError) in
                try lane.openCommands(caller, cacheName: UnsafeRawBufferPointer(name))
            }
            try adopt(caller, renewed.grant)
            return true
        } catch {
            end(error)
            return false
        }
    }

    /// Goes on under what the connection's new credential permits.
    ///
    /// - Throws: Where it does not permit all subscriptions, or is for another cache; then they go on as they were.
    package func renew(_ identity: CommandIdentity) throws(MartletError) {
        guard identity.grant.isForSameCache(as: grant) else {
            throw .command("ERR unsubscribe from everything before you use another cache")
        }
        try adopt(identity.caller, identity.grant)
        lane.topics.expires(at: identity.caller.caller.expiresAt)
    }

    private func adopt(_ caller: LaneCaller, _ new: CacheGrant) throws(MartletError) {
        guard new.isForSameCache(as: grant) else { throw .cacheNotFound }
        for kind in ChannelKind.allCases {
            for name in memberships(kind).keys { try lane.permitListening(to: name, kind, new) }
        }
        for kind in ChannelKind.allCases {
            for (name, membership) in memberships(kind) {
                membership.mayHaveMessages = mayHaveMessages(name, kind, new)
            }
        }
        self.caller = caller
        grant = new
        mayHaveEvents = Self.mayHaveEvents(new)
    }

    /// What happens to items tells of keys, whatever they are.
    private static func mayHaveEvents(_ grant: CacheGrant) -> Bool { grant.scope.allows(.scan, key: nil) }

    private func mayHaveMessages(_ name: [UInt8], _ kind: ChannelKind, _ grant: CacheGrant) -> Bool {
        ServiceLane.allowsMessages(of: name, kind, grant)
    }
}
