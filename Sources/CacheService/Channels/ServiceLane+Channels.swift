import Access
import Catalog
import Metering
import Tenancy
import Topics

/// The six steps for publishing and subscribing by the commands of the Redis protocol. Deliveries are
/// ``ChannelSubscriber``'s.
extension ServiceLane {
    // MARK: Publish

    /// What became of a message.
    package struct ChannelPublication {
        /// Subscriptions of this protocol that it reaches, over all event loops of this server.
        package let receivers: Int
        private let audience: ChannelAudience?

        fileprivate init(_ audience: ChannelAudience?) {
            receivers = audience?.count ?? 0
            self.audience = audience
        }

        /// Whether some loop is far behind with what was published before: whoever goes on publishing should wait.
        package var isCongested: Bool { audience?.isCongested ?? false }
    }

    /// Publishes to a topic: text where the message is UTF-8, binary where it is not, to those who tell them apart.
    ///
    /// - Parameter origin: ``ChannelOrigin/channel`` or ``ChannelOrigin/shard``.
    /// - Throws: What a credential may not do, a name that no topic can have, a limit.
    package func publish(
        _ message: UnsafeRawBufferPointer, to channel: UnsafeRawBufferPointer, _ origin: ChannelOrigin,
        for identity: CommandIdentity
    ) throws(MartletError) -> ChannelPublication {
        if let fault = fault(of: identity.caller) { throw fault }
        if identity.grant.version != snapshot.version { try renewGrant(of: identity) }
        let grant = identity.grant
        guard grant.scope.allows(.publish, key: channel) else { throw refusal(.publish, "publish", grant) }
        let name: TopicName
        do throws(MartletError) {
            name = try Self.topicName(channel)
        } catch {
            throw refused(grant, .resp, error)
        }
        let published = try publish(
            grant, .resp, identity.caller, topic: name, kind: Self.isText(message) ? .text : .binary, bytes: message,
            bodyBytes: nil, as: origin)
        return ChannelPublication(published.audience)
    }

    private static func isText(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count > 0 else { return true }
        return bytes.withMemoryRebound(to: UInt8.self) { (try? UTF8Span(validating: $0.span)) != nil }
    }

    private static func topicName(_ bytes: UnsafeRawBufferPointer) throws(MartletError) -> TopicName {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw .invalidArgument(field: "channel", reason: "must be UTF-8, as the names of topics are")
        }
        return try TopicName(text, field: "channel")
    }

    // MARK: Subscribe

    /// Makes the subscriber of a connection, which is subscribed to nothing yet.
    package func openChannels(
        for identity: CommandIdentity, sink: any ChannelSink
    ) throws(MartletError) -> ChannelSubscriber {
        if let fault = fault(of: identity.caller) { throw fault }
        if identity.grant.version != snapshot.version { try renewGrant(of: identity) }
        guard let cache = identity.grant.cache else { throw .cacheNotFound }
        let subscriber = ChannelSubscriber(
            self, identity, channels.fanout(of: cache.shared.channels), try clock(cache, .resp),
            try row(cache, .resp), sink)
        channels.add(subscriber)
        topics.expires(at: identity.caller.caller.expiresAt)
        return subscriber
    }

    /// Whether a credential may listen to a channel, a pattern, a shard channel; and whether there can be such a one.
    func permitListening(to name: [UInt8], _ kind: ChannelKind, _ grant: CacheGrant) throws(MartletError) {
        let isForEvents = Self.mayHearEvents(name, kind) && grant.scope.allows(.scan, key: nil)
        guard isForEvents || Self.allowsMessages(of: name, kind, grant) else {
            throw refusal(.subscribe, Self.command(kind), grant)
        }
        switch kind {
        case .pattern: _ = try ChannelPattern(name)
        case .channel where isForEvents:
            guard name.count <= Self.mostEventBytes else {
                throw .invalidArgument(field: "channel", reason: "must be at most \(Self.mostEventBytes) bytes long")
            }
        case .channel, .shard:
            _ = try name.withUnsafeBufferPointer { (name) throws(MartletError) in
                try Self.topicName(UnsafeRawBufferPointer(name))
            }
        }
    }

    /// Before the key, the longest of which has 65,536 bytes, the name of an event's channel has some more.
    private static let mostEventBytes = 65_536 + 64

    static func allowsMessages(of name: [UInt8], _ kind: ChannelKind, _ grant: CacheGrant) -> Bool {
        guard kind == .pattern else {
            return name.withUnsafeBytes { grant.scope.allows(.subscribe, key: $0) }
        }
        guard let pattern = try? ChannelPattern(name) else { return grant.scope.allowsSomewhere(.subscribe) }
        return pattern.literalPrefix.withUnsafeBytes { prefix in
            pattern.isLiteral && grant.scope.allows(.subscribe, key: prefix)
                || grant.scope.allowsEveryTopic(.subscribe, beginningWith: prefix)
        }
    }

    private static func mayHearEvents(_ name: [UInt8], _ kind: ChannelKind) -> Bool {
        switch kind {
        case .channel: name.starts(with: ChannelBoard.eventPrefix)
        case .pattern: (try? ChannelPattern(name))?.literalPrefix.starts(with: ChannelBoard.eventPrefix) ?? false
        case .shard: false
        }
    }

    private static func command(_ kind: ChannelKind) -> String {
        switch kind {
        case .channel: "subscribe"
        case .pattern: "psubscribe"
        case .shard: "ssubscribe"
        }
    }

    private func refusal(_ operation: CacheOperation, _ command: String, _ grant: CacheGrant) -> MartletError {
        refused(
            grant, .resp,
            grant.scope.allowsSomewhere(operation)
                ? .command(
                    "NOPERM this user has no permissions to access one of the channels used as arguments")
                : .command("NOPERM this user has no permissions to run the '\(command)' command"))
    }

    /// Hands on what was published before now, as much of it as is done at once: to whoever is about to leave, and is owed
    /// it.
    package func deliverChannels() {
        _ = channels.drain(atMost: Self.deliveriesAtOnce)
    }

    private static let deliveriesAtOnce = 1024

    // MARK: Ask

    /// The channels that somebody is subscribed to by this protocol, on whatever event loop, as far as the caller may
    /// publish or subscribe to them. Cost: O(channels).
    package func channelNames(_ kind: ChannelKind, for identity: CommandIdentity) throws(MartletError) -> [[UInt8]] {
        let (board, grant) = try board(identity)
        return board.names(kind).filter { Self.mayKnow($0, grant) }
    }

    /// How many are subscribed to a channel by this protocol; 0 where the caller may not know.
    package func subscriberCount(
        of channel: [UInt8], _ kind: ChannelKind, for identity: CommandIdentity
    ) throws(MartletError) -> Int {
        let (board, grant) = try board(identity)
        return Self.mayKnow(channel, grant) ? board.count(of: channel, kind) : 0
    }

    /// How many different patterns somebody is subscribed to.
    package func patternCount(for identity: CommandIdentity) throws(MartletError) -> Int {
        try board(identity).board.patternCount
    }

    private func board(
        _ identity: CommandIdentity
    ) throws(MartletError) -> (board: ChannelBoard, grant: CacheGrant) {
        if let fault = fault(of: identity.caller) { throw fault }
        if identity.grant.version != snapshot.version { try renewGrant(of: identity) }
        guard let cache = identity.grant.cache else { throw .cacheNotFound }
        return (cache.shared.channels, identity.grant)
    }

    private static func mayKnow(_ channel: [UInt8], _ grant: CacheGrant) -> Bool {
        channel.withUnsafeBytes { name in
            grant.scope.allows(.subscribe, key: name) || grant.scope.allows(.publish, key: name)
                || channel.starts(with: ChannelBoard.eventPrefix) && grant.scope.allows(.scan, key: nil)
        }
    }
}

extension ChannelBoard: KeyspaceEventSink {
    /// Tells subscribers of the Redis protocol that something happened, on a channel such as `__keyevent@0__:expired`. No
    /// topic retains it, and other doors do not hear of it; neither does anybody who may not read all items. Any thread;
    /// it takes no locks but those of the board and of the lanes' feeds.
    ///
    /// Cost: a load where nobody listens; else a look-up, a match with each of the cache's patterns, and a copy.
    package func emit(channel: [UInt8], payload: UnsafeRawBufferPointer) {
        guard hasListeners, let audience = audience(of: channel, .event) else { return }
        audience.post(
            TopicMessage(
                payload, .binary, at: .fresh, publisherID: [], publishedAt: Timestamp(milliseconds: 0)))
        audience.wake()
    }
}
