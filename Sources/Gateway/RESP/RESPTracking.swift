import Access
import CacheService
import NIOCore
import Tenancy

/// How one connection is told of changes: `CLIENT TRACKING`.
struct RESPTracking {
    enum Choice {
        /// Keys of all commands that read.
        case always
        /// Keys of commands behind `CLIENT CACHING YES`.
        case optIn
        /// Keys of commands, but for those behind `CLIENT CACHING NO`.
        case optOut
    }

    let keys: TrackedKeys
    let choice: Choice
    /// Nil: the keys that are read.
    let prefixes: [[UInt8]]?
    let isDeafToOwn: Bool
    /// The connection that is told instead.
    let redirect: UInt64?
    var isRedirectBroken = false
    /// What `CLIENT CACHING` said of the next command.
    var nextIsCached: Bool?
}

/// The options of `CLIENT TRACKING`.
struct TrackingOptions {
    var redirect: UInt64?
    var isBroadcast = false
    var prefixes: [[UInt8]] = []
    var optIn = false
    var optOut = false
    var isDeafToOwn = false

    private static let mostPrefixes = 64
    private static let mostPrefixBytes = 4096

    /// - Throws: In the words of Redis.
    init(_ arguments: Arguments) throws(MartletError) {
        var index = 3
        while index < arguments.count {
            let hasMore = index + 1 < arguments.count
            if arguments.isWord(index, "REDIRECT"), hasMore {
                guard redirect == nil else { throw .command("ERR A client can only redirect to a single other client") }
                guard let id = DecimalText.integer(arguments[index + 1]) else { throw .notAnInteger }
                redirect = UInt64(clamping: id)
                index += 1
            } else if arguments.isWord(index, "BCAST") {
                isBroadcast = true
            } else if arguments.isWord(index, "OPTIN") {
                optIn = true
            } else if arguments.isWord(index, "OPTOUT") {
                optOut = true
            } else if arguments.isWord(index, "NOLOOP") {
                isDeafToOwn = true
            } else if arguments.isWord(index, "PREFIX"), hasMore {
                index += 1
                guard prefixes.count < Self.mostPrefixes, arguments[index].count <= Self.mostPrefixBytes else {
                    throw Self.tooManyPrefixes
                }
                prefixes.append(Array(arguments[index]))
            } else {
                throw .syntax
            }
            index += 1
        }
    }

    private static let tooManyPrefixes = MartletError.command(
        "ERR too many or too long prefixes: at most \(mostPrefixes) of \(mostPrefixBytes) bytes")

    func check(besides present: RESPTracking?) throws(MartletError) {
        guard prefixes.isEmpty || isBroadcast else {
            throw .command("ERR PREFIX option requires BCAST mode to be enabled")
        }
        if let present, (present.prefixes != nil) != isBroadcast {
            throw .command(
                "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it "
                    + "with a different mode.")
        }
        guard !isBroadcast || !optIn && !optOut else {
            throw .command("ERR OPTIN and OPTOUT are not compatible with BCAST")
        }
        guard !optIn || !optOut else { throw .command("ERR You can't specify both OPTIN mode and OPTOUT mode") }
        if let present, optIn && present.choice == .optOut || optOut && present.choice == .optIn {
            throw .command(
                "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it "
                    + "with a different mode.")
        }
        let others = present?.prefixes ?? []
        guard Set(prefixes).union(others).count <= Self.mostPrefixes else { throw Self.tooManyPrefixes }
        try checkOverlap(with: others)
    }

    private func checkOverlap(with others: [[UInt8]]) throws(MartletError) {
        for (place, prefix) in prefixes.enumerated() {
            if let other = prefixes[(place + 1)...].first(where: { Self.overlap(prefix, $0) }) {
                throw .command(
                    "ERR Prefix '\(Self.shown(prefix))' overlaps with another provided prefix '\(Self.shown(other))'. "
                        + "Prefixes for a single client must not overlap.")
            }
            if let other = others.first(where: { Self.overlap(prefix, $0) && $0 != prefix }) {
                throw .command(
                    "ERR Prefix '\(Self.shown(prefix))' overlaps with an existing prefix '\(Self.shown(other))'. "
                        + "Prefixes for a single client must not overlap.")
            }
        }
    }

    private static func overlap(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.starts(with: right) || right.starts(with: left)
    }

    private static func shown(_ prefix: [UInt8]) -> String { String(decoding: prefix, as: UTF8.self) }
}

/// Client-side caching.
extension RESPSession {
    /// `CLIENT TRACKING ON|OFF …`
    func setTracking(_ arguments: Arguments, _ identity: CommandIdentity, _ writer: ReplyWriter) throws(MartletError) {
        let options = try TrackingOptions(arguments)
        if arguments.isWord(2, "OFF") {
            tracking = nil
            return writer.ok()
        }
        guard arguments.isWord(2, "ON") else { throw .syntax }
        if let id = options.redirect, registry.find(id, of: identity.caller.caller.tenant) == nil {
            throw .command("ERR The client ID you want redirect to does not exist")
        }
        try options.check(besides: tracking)
        var prefixes: [[UInt8]]?
        if options.isBroadcast {
            // More prefixes come beside those that there are.
            let present = tracking?.prefixes ?? []
            prefixes = present + options.prefixes.filter { !present.contains($0) }
        }
        let home = NIOLoopBound(WeakSession(self), eventLoop: lane.eventLoop)
        let keys = try lane.service.track(for: identity, prefixes: prefixes, isDeafToOwn: options.isDeafToOwn) {
            home.send { $0.tellChangesNow() }
        }
        // What was tracked before is told as changed: the new tracking knows nothing of it.
        if let old = tracking, old.prefixes == nil { deliver(nil, writer) }
        tracking = RESPTracking(
            keys: keys, choice: options.optIn ? .optIn : options.optOut ? .optOut : .always, prefixes: prefixes,
            isDeafToOwn: options.isDeafToOwn, redirect: options.redirect)
        writer.ok()
    }

    /// `CLIENT CACHING YES|NO`
    func setCaching(_ arguments: Arguments, _ writer: ReplyWriter) throws(MartletError) {
        guard let choice = tracking?.choice else {
            throw .command(
                "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode "
                    + "enabled")
        }
        if arguments.isWord(2, "YES") {
            guard choice == .optIn else {
                throw .command("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
            }
            tracking?.nextIsCached = true
        } else if arguments.isWord(2, "NO") {
            guard choice == .optOut else {
                throw .command("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
            }
            tracking?.nextIsCached = false
        } else {
            throw .syntax
        }
        writer.ok()
    }

    /// `CLIENT TRACKINGINFO`
    func writeTrackingInfo(_ writer: ReplyWriter) {
        var flags: [String] = []
        if let tracking {
            flags.append("on")
            if tracking.prefixes != nil { flags.append("bcast") }
            if tracking.choice == .optIn { flags.append("optin") }
            if tracking.choice == .optOut { flags.append("optout") }
            if tracking.nextIsCached == true { flags.append("caching-yes") }
            if tracking.nextIsCached == false { flags.append("caching-no") }
            if tracking.isDeafToOwn { flags.append("noloop") }
            if tracking.isRedirectBroken { flags.append("broken_redirect") }
        } else {
            flags.append("off")
        }
        writer.map(3)
        writer.bulk("flags")
        writer.set(flags.count)
        for flag in flags { writer.bulk(flag) }
        writer.bulk("redirect")
        writer.integer(redirection)
        writer.bulk("prefixes")
        let prefixes = (tracking?.prefixes ?? []).sorted { $0.lexicographicallyPrecedes($1) }
        writer.array(prefixes.count)
        for prefix in prefixes { writer.bulk(prefix) }
    }

    /// -1 without tracking, 0 without redirection.
    var redirection: Int {
        tracking.map { Int(clamping: $0.redirect ?? 0) } ?? -1
    }

    // MARK: Reads and changes

    /// A command is about to be executed: what it reads, the client may keep.
    func noteReads(_ command: CommandSpec, _ arguments: Arguments) {
        guard let present = tracking else { return }
        let isCached = present.nextIsCached
        guard present.prefixes == nil, command.flags.contains(.readonly), let identity else { return }
        switch present.choice {
        case .always: break
        case .optIn: guard isCached == true else { return }
        case .optOut: guard isCached != false else { return }
        }
        for key in command.foundKeys(arguments) ?? [] {
            // Changes of what it may not read are no business of the client's.
            guard lane.service.mayRead(arguments[key.index], identity) else { continue }
            present.keys.note(arguments[key.index])
        }
    }

    /// Executes what may change keys that the client itself is tracking.
    func trackingChanges(_ body: () -> Void) {
        guard let keys = tracking?.keys else { return body() }
        keys.executing(body)
    }

    /// Tells what has changed, behind the reply that is written.
    @inline(__always)
    func tellChanges(_ writer: ReplyWriter) {
        // Broadcasts come at the end of the turn, all keys together.
        guard let tracking, tracking.prefixes == nil, tracking.keys.hasNews, !isMuted, !holdsNews else { return }
        deliver(tracking.keys.takeNews(), writer)
    }

    /// Tells what has changed, between commands. While the client reads nothing it waits, and becomes one word at most.
    func tellChangesNow() {
        guard !isOver, !holdsNews, let tracking, tracking.keys.hasNews, connection.isReaderReady else { return }
        let writer = ReplyWriter()
        writer.isVersion3 = isVersion3
        deliver(tracking.keys.takeNews(), writer)
        connection.write(writer.bytes)
    }

    /// - Parameter keys: Nil: all.
    private func deliver(_ keys: [[UInt8]]?, _ writer: ReplyWriter) {
        guard let tracking, let identity else { return }
        // Permissions may be others than when the keys were read.
        let keys = keys?.filter { key in key.withUnsafeBytes { lane.service.mayRead($0, identity) } }
        if let keys, keys.isEmpty { return }
        if let id = tracking.redirect {
            let tenant = identity.caller.caller.tenant
            guard let home = registry.find(id, of: tenant) else {
                if isVersion3, !tracking.isRedirectBroken {
                    writer.push(2)
                    writer.bulk("tracking-redir-broken")
                    writer.integer(Int(clamping: id))
                }
                self.tracking?.isRedirectBroken = true
                return
            }
            let cacheName = identity.cacheName
            home.send { session in
                guard session.identity?.caller.caller.tenant == tenant, session.identity?.cacheName == cacheName else {
                    return
                }
                session.deliverFromOther(keys)
            }
        } else if isVersion3 {
            Self.write(keys, isBroadcast: tracking.prefixes != nil, writer)
        }
    }

    private static func write(_ keys: [[UInt8]]?, isBroadcast: Bool, _ writer: ReplyWriter) {
        guard let keys else {
            writer.push(2)
            writer.bulk("invalidate")
            return writer.null()
        }
        // In broadcasts all keys of a moment come together.
        for group in isBroadcast ? [keys] : keys.map({ [$0] }) {
            writer.push(2)
            writer.bulk("invalidate")
            writer.array(group.count)
            for key in group { writer.bulk(key) }
        }
    }

    /// What another connection is not told but this one.
    private func deliverFromOther(_ keys: [[UInt8]]?) {
        // Without them it would go on believing what it keeps.
        guard connection.isReaderReady else { return connection.abort() }
        let writer = ReplyWriter()
        writer.isVersion3 = isVersion3
        if isVersion3 {
            Self.write(keys, isBroadcast: true, writer)
        } else if isListening {
            writer.array(3)
            writer.bulk("message")
            writer.bulk("__redis__:invalidate")
            if let keys {
                writer.array(keys.count)
                for key in keys { writer.bulk(key) }
            } else {
                writer.nullArray()
            }
        }
        connection.write(writer.bytes)
    }
}
