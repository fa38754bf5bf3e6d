import Synchronization
import Tenancy
import Topics

// Channels: how subscribers of the Redis protocol listen to the topics of a cache.
//
//     publish (any door, any thread)                      a lane
//        │ audience: who listens?  ── ChannelBoard           ChannelFeed ──▶ ChannelFanout
//        │ number, retain          ── TopicSpace             [ 7 8 9 ]         ├ channels "news" ─▶ ChannelSubscriber
//        └ post, under the space's lock ────────────────────▶                  ├ patterns "n*"   ─▶ ChannelSubscriber
//                                                                              └ shards  "news"
//
// They are no subscribers of topics (`TopicLane`), because they expect other things: nothing that was retained, all
// channels of a connection in the order in which they were published, patterns, how many a message reached. In exchange
// nobody keeps for them what they are too slow for: they are disconnected.
//
// The board knows, for each name and pattern, which lanes have how many. A publisher asks it once, with one load where
// nobody listens, matches the patterns, and puts the message into the feed of each lane that has anybody for it. The lane
// finds the subscribers, and passes each delivery through the service as any other.

/// By which of the ways into a topic a message came. Whoever is subscribed by a way hears what came by it, or by another
/// door.
package enum ChannelOrigin: Sendable {
    /// Another door: everybody who listens to the topic.
    case topic
    /// `PUBLISH`: subscribers of the channel and of patterns.
    case channel
    /// `SPUBLISH`: subscribers of the shard channel.
    case shard
    /// The cache tells what happened to an item: as a channel, to those only who may read all items.
    case event

    var reachesChannels: Bool { self != .shard }
    var reachesShards: Bool { self == .topic || self == .shard }
}

/// How one listens.
package enum ChannelKind: Sendable, CaseIterable {
    case channel, pattern, shard
}

/// Who of all lanes listens to what in one cache. Any thread may call any method.
package final class ChannelBoard: Sendable {
    private let contents = Mutex(Contents())
    /// How many subscriptions there are: a publisher looks no further where there is none.
    private let total = Atomic<Int>(0)
    /// How many of them may hear of events.
    private let eventListeners = Atomic<Int>(0)

    private struct Contents: Sendable {
        var channels: [[UInt8]: Listeners] = [:]
        var shards: [[UInt8]: Listeners] = [:]
        var patterns: [PatternListeners] = []
        var places: [[UInt8]: Int] = [:]
        var effort = 0
    }

    /// The lanes that listen to one thing, and how often.
    struct Listeners: Sendable {
        fileprivate(set) var feeds: [(feed: ChannelFeed, count: Int)] = []
        fileprivate(set) var count = 0

        fileprivate mutating func add(_ feed: ChannelFeed) {
            count += 1
            if let place = feeds.firstIndex(where: { $0.feed === feed }) {
                feeds[place].count += 1
            } else {
                feeds.append((feed, 1))
            }
        }

        fileprivate mutating func remove(_ feed: ChannelFeed) {
            guard let place = feeds.firstIndex(where: { $0.feed === feed }) else { return }
            count -= 1
            feeds[place].count -= 1
            if feeds[place].count == 0 { feeds.remove(at: place) }
        }
    }

    private struct PatternListeners: Sendable {
        let pattern: ChannelPattern
        var listeners = Listeners()
    }

    /// What the names of events begin with.
    static let eventPrefix = Array("__key".utf8)

    // MARK: Who listens

    func add(_ feed: ChannelFeed, to name: [UInt8], _ kind: ChannelKind) {
        contents.withLock { contents in
            if kind == .shard {
                contents.shards[name, default: Listeners()].add(feed)
            } else {
                contents.channels[name, default: Listeners()].add(feed)
            }
        }
        if kind == .channel, name.starts(with: Self.eventPrefix) { eventListeners.wrappingAdd(1, ordering: .relaxed) }
        total.wrappingAdd(1, ordering: .sequentiallyConsistent)
    }

    func remove(_ feed: ChannelFeed, from name: [UInt8], _ kind: ChannelKind) {
        contents.withLock { contents in
            if kind == .shard {
                contents.shards[name]?.remove(feed)
                if contents.shards[name]?.count == 0 { contents.shards[name] = nil }
            } else {
                contents.channels[name]?.remove(feed)
                if contents.channels[name]?.count == 0 { contents.channels[name] = nil }
            }
        }
        if kind == .channel, name.starts(with: Self.eventPrefix) {
            eventListeners.wrappingSubtract(1, ordering: .relaxed)
        }
        total.wrappingSubtract(1, ordering: .relaxed)
    }

    /// - Returns: The pattern, which may be one that others made before.
    /// - Throws: ``MartletError/tooMany(_:limit:)`` where the cache has as many as it may.
    func add(_ feed: ChannelFeed, to pattern: ChannelPattern) throws(MartletError) -> ChannelPattern {
        let added = try contents.withLock { (contents) throws(MartletError) -> ChannelPattern in
            if let place = contents.places[pattern.bytes] {
                contents.patterns[place].listeners.add(feed)
                return contents.patterns[place].pattern
            }
            guard contents.patterns.count < ChannelPattern.mostInCache else {
                throw .tooMany("different patterns in a cache", limit: ChannelPattern.mostInCache)
            }
            guard contents.effort + pattern.effort <= ChannelPattern.mostEffort else {
                throw .tooMany("bytes behind the stars of a cache's patterns", limit: ChannelPattern.mostEffort)
            }
            contents.effort += pattern.effort
            contents.places[pattern.bytes] = contents.patterns.count
            var new = PatternListeners(pattern: pattern)
            new.listeners.add(feed)
            contents.patterns.append(new)
            return pattern
        }
        if added.mayMatch(beginningWith: Self.eventPrefix) { eventListeners.wrappingAdd(1, ordering: .relaxed) }
        total.wrappingAdd(1, ordering: .sequentiallyConsistent)
        return added
    }

    func remove(_ feed: ChannelFeed, from pattern: ChannelPattern) {
        contents.withLock { contents in
            guard let place = contents.places[pattern.bytes] else { return }
            contents.patterns[place].listeners.remove(feed)
            guard contents.patterns[place].listeners.count == 0 else { return }
            contents.effort -= pattern.effort
            contents.places[pattern.bytes] = nil
            // The last takes the place of the one that goes.
            let last = contents.patterns.removeLast()
            guard place < contents.patterns.count else { return }
            contents.patterns[place] = last
            contents.places[last.pattern.bytes] = place
        }
        if pattern.mayMatch(beginningWith: Self.eventPrefix) { eventListeners.wrappingSubtract(1, ordering: .relaxed) }
        total.wrappingSubtract(1, ordering: .relaxed)
    }

    // MARK: Whom a message reaches

    /// Those whom a message of that name reaches; nil when nobody listens. Cost: one load where the cache has no
    /// subscribers of this protocol; else a look-up under a short lock, and the patterns beside it.
    @inline(__always)
    func audience(of topic: TopicName, _ origin: ChannelOrigin) -> ChannelAudience? {
        guard total.load(ordering: .sequentiallyConsistent) > 0 else { return nil }
        return audience(of: Array(topic.text.utf8), origin)
    }

    /// Whether anybody may hear of what happens to items. To be asked before the name of an event is put together. Cost: one
    /// load.
    @inline(__always)
    package var hasListeners: Bool { eventListeners.load(ordering: .relaxed) > 0 }

    func audience(of name: [UInt8], _ origin: ChannelOrigin) -> ChannelAudience? {
        let (channel, shard, patterns) = contents.withLock { contents in
            (
                origin.reachesChannels ? contents.channels[name] : nil,
                origin.reachesShards ? contents.shards[name] : nil,
                origin.reachesChannels ? contents.patterns : []
            )
        }
        var audience = ChannelAudience(name, origin)
        if let channel { audience.add(channel) }
        if let shard { audience.add(shard) }
        if !patterns.isEmpty {
            name.withUnsafeBytes { name in
                for entry in patterns where entry.pattern.matches(name) {
                    audience.add(entry.listeners)
                    audience.patterns.append(entry.pattern)
                }
            }
        }
        return audience.count > 0 ? audience : nil
    }

    // MARK: What there is

    /// Every subscription by this protocol.
    var subscriptions: Int { max(0, total.load(ordering: .relaxed)) }

    var patternCount: Int { contents.withLock { $0.patterns.count } }

    func count(of name: [UInt8], _ kind: ChannelKind) -> Int {
        contents.withLock { (kind == .shard ? $0.shards : $0.channels)[name]?.count ?? 0 }
    }

    /// The names that somebody is subscribed to. Cost: O(names), the lock for copying one reference.
    func names(_ kind: ChannelKind) -> [[UInt8]] {
        let listeners = contents.withLock { kind == .shard ? $0.shards : $0.channels }
        return Array(listeners.keys)
    }
}

/// Those whom one message reaches.
struct ChannelAudience {
    let name: [UInt8]
    let origin: ChannelOrigin
    /// Subscriptions, over all lanes. A client that is subscribed in two ways counts twice.
    private(set) var count = 0
    fileprivate(set) var patterns: [ChannelPattern] = []
    private var feeds: [ChannelFeed] = []

    fileprivate init(_ name: [UInt8], _ origin: ChannelOrigin) {
        self.name = name
        self.origin = origin
    }

    fileprivate mutating func add(_ listeners: ChannelBoard.Listeners) {
        count += listeners.count
        for (feed, _) in listeners.feeds where !feeds.contains(where: { $0 === feed }) { feeds.append(feed) }
    }

    /// Puts the message into the lanes' feeds. ``wake()`` follows, outside of all locks.
    func post(_ message: TopicMessage) {
        for feed in feeds {
            feed.post(ChannelPosting(name: name, origin: origin, message: message, patterns: patterns))
        }
    }

    func wake() {
        for feed in feeds { feed.mailbox.wakeIfDue() }
    }

    /// Whether some lane is so far behind that whoever publishes more should let it catch up.
    var isCongested: Bool { feeds.contains { $0.isCongested } }
}
