import CacheService
import NIOCore
import Tenancy

/// Publishing and subscribing. What a subscriber is sent is ``RESPSubscriber``'s.
extension RESPSession {
    func performChannelCommand(_ command: CommandSpec, _ arguments: Arguments, _ writer: ReplyWriter) {
        switch command.name {
        case "subscribe": subscribe(.channel, "subscribe", arguments, writer)
        case "psubscribe": subscribe(.pattern, "psubscribe", arguments, writer)
        case "ssubscribe": subscribe(.shard, "ssubscribe", arguments, writer)
        case "unsubscribe": unsubscribe(.channel, "unsubscribe", arguments, writer)
        case "punsubscribe": unsubscribe(.pattern, "punsubscribe", arguments, writer)
        case "sunsubscribe": unsubscribe(.shard, "sunsubscribe", arguments, writer)
        case "publish": publish(.channel, arguments, writer)
        case "spublish": publish(.shard, arguments, writer)
        default: askChannels(command, arguments, writer)
        }
    }

    // MARK: The mode of a subscriber

    /// Whether the connection is in the mode in which a subscriber may do little else.
    var isListening: Bool { subscriber != nil && !isVersion3 }

    /// In version 2 nothing tells a reply from a message, hence the mode.
    ///
    /// - Returns: False when the command has been refused.
    func mayPerformSubscribed(_ command: CommandSpec, _ arguments: Arguments, _ writer: ReplyWriter) -> Bool {
        switch command.name {
        case "subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe", "sunsubscribe", "ping", "quit",
            "reset":
            return true
        default:
            let name = command.subcommand(arguments).map { "\(command.name)|\($0.name)" } ?? command.name
            writer.error(
                "ERR Can't execute '\(name)': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed"
                    + " in this context")
            return false
        }
    }

    func pingSubscribed(_ arguments: Arguments, _ writer: ReplyWriter) {
        writer.array(2)
        writer.bulk("pong")
        if arguments.count == 2 { writer.bulk(arguments[1]) } else { writer.bulk("") }
    }

    // MARK: Subscribing

    private func subscribe(_ kind: ChannelKind, _ word: String, _ arguments: Arguments, _ writer: ReplyWriter) {
        guard let identity else { return }
        do throws(MartletError) {
            guard !lane.isDraining else { throw .unavailable("the server is being stopped") }
            let present: RESPSubscriber
            if let subscriber { present = subscriber } else { present = try RESPSubscriber(self, identity) }
            defer { keep(present) }
            try present.subscribe(to: (1..<arguments.count).map { Array(arguments[$0]) }, kind) { name, count in
                Self.write(word, name, count, writer)
            }
        } catch {
            writer.error(error.commandText)
        }
    }

    private func unsubscribe(_ kind: ChannelKind, _ word: String, _ arguments: Arguments, _ writer: ReplyWriter) {
        // Within EXEC its reply is being put together.
        if !isExecuting { subscriber?.catchUp() }
        var names = (1..<arguments.count).map { Array(arguments[$0]) }
        if names.isEmpty {
            names = subscriber?.names(of: kind) ?? []
            if names.isEmpty { Self.write(word, nil, subscriber?.count(of: kind) ?? 0, writer) }
        }
        for name in names {
            subscriber?.unsubscribe(from: name, kind)
            Self.write(word, name, subscriber?.count(of: kind) ?? 0, writer)
        }
        if let subscriber { keep(subscriber) }
    }

    private static func write(_ word: String, _ name: [UInt8]?, _ count: Int, _ writer: ReplyWriter) {
        writer.push(3)
        writer.bulk(word)
        if let name { writer.bulk(name) } else { writer.null() }
        writer.integer(count)
    }

    /// A connection that is subscribed to nothing is no subscriber.
    private func keep(_ present: RESPSubscriber) {
        // One that the service has ended still has a farewell to send.
        if present.total > 0 || present.isEnded {
            subscriber = present
        } else {
            present.cancel()
            subscriber = nil
        }
    }

    func cancelSubscriptions() {
        subscriber?.cancel()
        subscriber = nil
    }

    /// The service has ended them: the credential, the permission or the cache is gone.
    func subscriptionsEnded(_ ended: RESPSubscriber) {
        // Nothing more is carried out for this connection. Its end follows with what was put together for it.
        stall()
    }

    // MARK: Publishing

    private func publish(_ origin: ChannelOrigin, _ arguments: Arguments, _ writer: ReplyWriter) {
        guard let identity else { return }
        do throws(MartletError) {
            let published = try lane.service.publish(arguments[2], to: arguments[1], origin, for: identity)
            writer.integer(published.receivers)
            if published.isCongested { waitForSubscribers(published) }
        } catch {
            writer.error(error.commandText)
        }
    }

    /// Some event loop is behind with what was published: a client that publishes as fast as it can does not make its
    /// subscribers lose messages by that, but waits.
    private func waitForSubscribers(_ published: ServiceLane.ChannelPublication) {
        stall()
        lane.eventLoop.assumeIsolated().scheduleTask(in: Self.congestionPause) { [weak self] in
            guard let self, !self.isOver else { return }
            if published.isCongested { self.waitForSubscribers(published) } else { self.goOn() }
        }
    }

    private static let congestionPause = TimeAmount.microseconds(500)

    // MARK: Asking

    /// - Parameter command: `PUBSUB`, or one of its subcommands.
    private func askChannels(_ command: CommandSpec, _ arguments: Arguments, _ writer: ReplyWriter) {
        guard let identity else { return }
        guard let asked = command.subcommands.isEmpty ? command : command.subcommand(arguments) else {
            let text = String(decoding: arguments[1].prefix(128), as: UTF8.self)
            return writer.error("ERR unknown subcommand '\(text)'. Try PUBSUB HELP.")
        }
        guard asked.accepts(argumentCount: arguments.count) else {
            return writer.error(MartletError.wrongNumberOfArguments("pubsub|\(asked.name)").commandText)
        }
        do throws(MartletError) {
            switch asked.name {
            case "channels": try listChannels(.channel, arguments, identity, writer)
            case "shardchannels": try listChannels(.shard, arguments, identity, writer)
            case "numsub": try countSubscribers(.channel, arguments, identity, writer)
            case "shardnumsub": try countSubscribers(.shard, arguments, identity, writer)
            case "numpat": writer.integer(try lane.service.patternCount(for: identity))
            default:
                writer.array(Self.help.count)
                for line in Self.help { writer.simple(line) }
            }
        } catch {
            writer.error(error.commandText)
        }
    }

    private func listChannels(
        _ kind: ChannelKind, _ arguments: Arguments, _ identity: CommandIdentity, _ writer: ReplyWriter
    ) throws(MartletError) {
        guard arguments.count <= 3 else {
            let text = String(decoding: arguments[1].prefix(128), as: UTF8.self)
            throw .command("ERR unknown subcommand or wrong number of arguments for '\(text)'. Try PUBSUB HELP.")
        }
        var names = try lane.service.channelNames(kind, for: identity)
        if arguments.count == 3 {
            let pattern = arguments[2]
            names = names.filter { name in name.withUnsafeBytes { Glob.matches($0, pattern) } }
        }
        writer.array(names.count)
        for name in names { writer.bulk(name) }
    }

    private func countSubscribers(
        _ kind: ChannelKind, _ arguments: Arguments, _ identity: CommandIdentity, _ writer: ReplyWriter
    ) throws(MartletError) {
        let channels = (2..<arguments.count).map { Array(arguments[$0]) }
        let counts = try channels.map { (name) throws(MartletError) in
            try lane.service.subscriberCount(of: name, kind, for: identity)
        }
        writer.array(channels.count * 2)
        for (name, count) in zip(channels, counts) {
            writer.bulk(name)
            writer.integer(count)
        }
    }

    private static let help = [
        "PUBSUB <subcommand> [<argument> ...], where the subcommand is one of:",
        "CHANNELS [<pattern>]",
        "    Channels that somebody is subscribed to by this protocol.",
        "NUMPAT",
        "    How many different patterns somebody is subscribed to.",
        "NUMSUB [<channel> ...]",
        "    How many are subscribed to each of the channels, patterns not counted.",
        "SHARDCHANNELS [<pattern>]",
        "    Shard channels that somebody is subscribed to.",
        "SHARDNUMSUB [<shard channel> ...]",
        "    How many are subscribed to each of the shard channels.",
        "HELP",
        "    This.",
    ]
}
