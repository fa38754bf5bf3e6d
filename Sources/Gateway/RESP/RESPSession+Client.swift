import Access
import CacheService
import NIOCore
import Tenancy

/// `CLIENT` and its subcommands.
extension RESPSession {
    func client(
        _ name: String, _ arguments: Arguments, _ identity: CommandIdentity, _ shared: RESPLane
    ) throws(MartletError) {
        let writer = shared.writer
        switch name {
        case "id": writer.integer(Int(clamping: id))
        case "getname": if self.name.isEmpty { writer.null() } else { writer.bulk(self.name) }
        case "setname": try setName(arguments, writer)
        case "setinfo": try setLibrary(arguments, writer)
        case "info": writer.verbatim(line(lane.now) + "\n")
        case "list": try listClients(arguments, identity, writer)
        case "kill": try killClients(arguments, identity, writer)
        case "unblock": try unblockClient(arguments, identity, writer)
        case "reply": try setReplies(arguments, writer)
        case "no-evict", "no-touch":
            guard arguments.isWord(2, "ON") || arguments.isWord(2, "OFF") else { throw .syntax }
            writer.ok()
        case "tracking": try setTracking(arguments, identity, writer)
        case "caching": try setCaching(arguments, writer)
        case "trackinginfo": writeTrackingInfo(writer)
        case "getredir": writer.integer(redirection)
        default: throw .unsupported("client|\(name)")
        }
    }

    private func setName(_ arguments: Arguments, _ writer: ReplyWriter) throws(MartletError) {
        let name = Array(arguments[2])
        guard name.count <= Self.mostNameBytes, Self.isValidName(name) else { throw .command(Self.invalidName) }
        self.name = name
        writer.ok()
    }

    static let mostNameBytes = 1024

    private func setLibrary(_ arguments: Arguments, _ writer: ReplyWriter) throws(MartletError) {
        let value = Array(arguments[3])
        let isName = arguments.isWord(2, "LIB-NAME")
        guard isName || arguments.isWord(2, "LIB-VER") else {
            throw .command("ERR Unrecognized option '\(arguments.string(2))'")
        }
        guard value.count <= Self.mostNameBytes, Self.isValidName(value) else {
            throw .command(
                "ERR \(isName ? "lib-name" : "lib-ver") cannot contain spaces, newlines or special characters.")
        }
        if isName { library.name = value } else { library.version = value }
        writer.ok()
    }

    private func setReplies(_ arguments: Arguments, _ writer: ReplyWriter) throws(MartletError) {
        if arguments.isWord(2, "ON") {
            replies = .on
            writer.ok()
        } else if arguments.isWord(2, "OFF") {
            replies = .off
        } else if arguments.isWord(2, "SKIP") {
            if replies != .off { replies = .skipNext }
        } else {
            throw .syntax
        }
    }

    // MARK: One's own line

    /// The connection as `CLIENT LIST` has it. What is internal to Redis has the figures of nothing.
    func line(_ now: Timestamp) -> String {
        let age = max(0, now.milliseconds - startedAt.milliseconds) / 1000
        let idle = max(0, now.milliseconds - connection.lastActivity.milliseconds) / 1000
        var flags = ""
        if subscriber != nil { flags += "P" }
        if transaction != nil || isExecuting { flags += "x" }
        if isWaiting { flags += "b" }
        if let tracking {
            flags += "t"
            if tracking.isRedirectBroken { flags += "R" }
            if tracking.prefixes != nil { flags += "B" }
        }
        let addresses = connection.addresses
        let queued = transaction.map { $0.commands.count } ?? -1
        let fields: [(String, String)] = [
            ("id", "\(id)"), ("addr", addresses.remote), ("laddr", addresses.local), ("fd", "0"),
            ("name", String(decoding: name, as: UTF8.self)), ("age", "\(age)"), ("idle", "\(idle)"),
            ("flags", flags.isEmpty ? "N" : flags), ("db", "0"),
            ("sub", "\(subscriber?.number(of: .channel) ?? 0)"), ("psub", "\(subscriber?.number(of: .pattern) ?? 0)"),
            ("ssub", "\(subscriber?.number(of: .shard) ?? 0)"),
            ("multi", "\(queued)"), ("qbuf", "0"), ("qbuf-free", "0"), ("argv-mem", "0"),
            ("multi-mem", "\(transaction?.byteCount ?? 0)"), ("rbs", "0"), ("rbp", "0"), ("obl", "0"), ("oll", "0"),
            ("omem", "0"), ("tot-mem", "0"), ("events", "r"), ("cmd", lastCommand),
            ("user", String(decoding: identity?.cacheName ?? [], as: UTF8.self)), ("redir", "\(redirection)"),
            ("resp", isVersion3 ? "3" : "2"), ("lib-name", String(decoding: library.name, as: UTF8.self)),
            ("lib-ver", String(decoding: library.version, as: UTF8.self)),
        ]
        return fields.map { "\($0.0)=\($0.1)" }.joined(separator: " ")
    }

    // MARK: All of a tenant

    /// `CLIENT LIST [TYPE type] [ID id …]`
    private func listClients(
        _ arguments: Arguments, _ identity: CommandIdentity, _ writer: ReplyWriter
    ) throws(MartletError) {
        var type: ClientType?
        var ids: Set<UInt64>?
        if arguments.count == 4, arguments.isWord(2, "TYPE") {
            type = try ClientType(arguments, 3)
        } else if arguments.count > 3, arguments.isWord(2, "ID") {
            var asked: Set<UInt64> = []
            for index in 3..<arguments.count {
                guard let id = DecimalText.integer(arguments[index]), id > 0 else {
                    throw .command("ERR Invalid client ID")
                }
                asked.insert(UInt64(id))
            }
            ids = asked
        } else if arguments.count > 2 {
            throw .syntax
        }
        guard identity.caller.caller.grant.isSuperUser else {
            let isShown = (ids?.contains(id) ?? true) && (type?.covers(self) ?? true)
            return writer.verbatim(isShown ? line(lane.now) + "\n" : "")
        }
        let homes = registry.all(of: identity.caller.caller.tenant).filter { ids?.contains($0.id) ?? true }
        answer(
            gathering: homes.map { home in
                home.home.ask { [type] session in
                    type?.covers(session) ?? true ? session.line(session.lane.now) + "\n" : ""
                }
            }
        ) { lines, writer in writer.verbatim(lines.compactMap(\.self).joined()) }
    }

    /// `CLIENT KILL address`, or `CLIENT KILL option value …`
    private func killClients(
        _ arguments: Arguments, _ identity: CommandIdentity, _ writer: ReplyWriter
    ) throws(MartletError) {
        let filter = try ClientFilter(arguments)
        if let user = filter.user, user != String(decoding: identity.cacheName, as: UTF8.self) {
            throw .command("ERR No such user '\(user)'")
        }
        let own = id
        let isSuperUser = identity.caller.caller.grant.isSuperUser
        // Whoever is no super-user finds itself alone.
        let homes = registry.all(of: identity.caller.caller.tenant).filter {
            (isSuperUser || $0.id == own) && (filter.id == nil || filter.id == $0.id)
                && !(filter.skipsOwn && $0.id == own)
        }
        let isOwnMeant = homes.contains { $0.id == own } && filter.covers(self)
        answer(
            thenFinish: isOwnMeant,
            gathering: homes.map { home in
                home.home.ask { session in
                    guard filter.covers(session) else { return 0 }
                    // This very connection is to hear the answer first.
                    if session.id != own { session.connection.abort() }
                    return 1
                }
            }
        ) { killed, writer in
            let count = killed.compactMap(\.self).reduce(0, +)
            guard filter.isByAddress else { return writer.integer(count) }
            if count > 0 { writer.ok() } else { writer.error("ERR No such client") }
        }
    }

    /// `CLIENT UNBLOCK id [TIMEOUT|ERROR]`
    private func unblockClient(
        _ arguments: Arguments, _ identity: CommandIdentity, _ writer: ReplyWriter
    ) throws(MartletError) {
        guard arguments.count <= 4 else { throw .wrongNumberOfArguments("client|unblock") }
        var withError = false
        if arguments.count == 4 {
            withError = arguments.isWord(3, "ERROR")
            guard withError || arguments.isWord(3, "TIMEOUT") else {
                throw .command("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
            }
        }
        guard let asked = DecimalText.integer(arguments[2]) else { throw .notAnInteger }
        guard identity.caller.caller.grant.isSuperUser else {
            throw .command("NOPERM this user has no permissions to run the 'client|unblock' command")
        }
        guard asked > 0, let home = registry.find(UInt64(asked), of: identity.caller.caller.tenant) else {
            return writer.integer(0)
        }
        answer(gathering: [home.ask { [withError] in $0.unblock(withError: withError) }]) { done, writer in
            writer.integer(done.contains(true))
        }
    }

    /// Answers when other connections have, each on its own event loop.
    ///
    /// - Parameter thenFinish: Whether the answer is the last one.
    private func answer<Answer: Sendable>(
        thenFinish: Bool = false, gathering answers: [EventLoopFuture<Answer?>],
        _ write: @escaping ([Answer?], ReplyWriter) -> Void
    ) {
        stall()
        let (quiet, session) = (isMuted, WeakSession(self))
        EventLoopFuture.whenAllSucceed(answers, on: lane.eventLoop).assumeIsolated().whenComplete { result in
            guard let session = session.live else { return }
            session.lane.beginTick()
            let writer = ReplyWriter()
            writer.isVersion3 = session.isVersion3
            switch result {
            case .success(let answers): write(answers, writer)
            case .failure: writer.error(MartletError.unavailable("the server is ending").commandText)
            }
            if !quiet { session.connection.write(writer.bytes) }
            if thenFinish { session.connection.finish() } else { session.goOn() }
        }
    }
}

/// What sorts of connections there are.
enum ClientType: Sendable {
    case normal, pubsub
    /// Replicas and masters, of which there are none.
    case none

    init(_ arguments: Arguments, _ index: Int) throws(MartletError) {
        switch arguments.string(index).lowercased() {
        case "normal": self = .normal
        case "pubsub": self = .pubsub
        case "master", "replica", "slave": self = .none
        default: throw .command("ERR Unknown client type '\(arguments.string(index))'")
        }
    }

    func covers(_ session: RESPSession) -> Bool {
        switch self {
        case .normal: session.subscriber == nil
        case .pubsub: session.subscriber != nil
        case .none: false
        }
    }
}

/// Which connections `CLIENT KILL` means.
struct ClientFilter: Sendable {
    var isByAddress = false
    var id: UInt64?
    private var address: String?
    private var localAddress: String?
    private var type: ClientType?
    var user: String?
    var skipsOwn = true

    init(_ arguments: Arguments) throws(MartletError) {
        guard arguments.count > 3 else {
            isByAddress = true
            skipsOwn = false
            address = arguments.string(2)
            return
        }
        var index = 2
        while index < arguments.count {
            guard index + 1 < arguments.count else { throw .syntax }
            let value = arguments.string(index + 1)
            if arguments.isWord(index, "ID") {
                guard let asked = DecimalText.integer(arguments[index + 1]), asked > 0 else {
                    throw .command("ERR client-id should be greater than 0")
                }
                id = UInt64(asked)
            } else if arguments.isWord(index, "TYPE") {
                type = try ClientType(arguments, index + 1)
            } else if arguments.isWord(index, "ADDR") {
                address = value
            } else if arguments.isWord(index, "LADDR") {
                localAddress = value
            } else if arguments.isWord(index, "USER") {
                user = value
            } else if arguments.isWord(index, "SKIPME") {
                skipsOwn = arguments.isWord(index + 1, "YES")
                guard skipsOwn || arguments.isWord(index + 1, "NO") else { throw .syntax }
            } else {
                throw .syntax
            }
            index += 2
        }
    }

    func covers(_ session: RESPSession) -> Bool {
        let addresses = session.connection.addresses
        return (address == nil || address == addresses.remote)
            && (localAddress == nil || localAddress == addresses.local) && type?.covers(session) ?? true
            && (user == nil || user?.utf8.elementsEqual(session.identity?.cacheName ?? []) ?? true)
    }
}
