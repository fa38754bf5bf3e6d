import Access
import CacheService
import NIOCore
import Tenancy

/// What one RESP connection is to its commands: who it is, which version it speaks, and what it waits for.
///
/// ```
/// bytes ─▶ RESPConnection ─▶ RESPSession.receive ─▶ about the connection: RESPSession+….swift
///                                                └▶ about items: ServiceLane.perform
/// ```
final class RESPSession {
    // The connection holds the session and ends it before it goes; nothing is asked of it after ``end()``.
    private(set) unowned(unsafe) var connection: RESPConnection!
    let lane: GatewayLane
    let id: UInt64
    let registry: RESPRegistry
    /// Who sends, and to which cache; nil before that is known.
    var identity: CommandIdentity? {
        didSet { ownerChanged(from: oldValue) }
    }
    /// What the client calls itself.
    var name: [UInt8] = []
    var library = ClientLibrary()
    let startedAt: Timestamp
    /// The last command that was not about items, for `CLIENT LIST`.
    var lastCommand = "NULL"
    var isVersion3 = false
    /// Whether an answer is awaited: the commands behind it wait too.
    private(set) var isStalled = false
    /// Which replies are swallowed.
    var replies = ReplySwitch.on
    private(set) var isOver = false
    /// What the connection is subscribed to; nil while it is to nothing.
    var subscriber: RESPSubscriber? {
        didSet { noteSpecial() }
    }
    /// The command that is answered in turns.
    private var suspended: SuspendedCommand?
    /// The command that waits for something to come under a key, and when that ends by itself.
    var blocked: BlockedCommand?
    var deadline: Scheduled<Void>?
    /// Whether the connection ends with the answer that is on its way.
    var finishesWithAnswer = false
    /// Whether a connection that shows no credential may use cache `default`: on loopback, for development.
    private var isOpen = false
    /// Why it just could not.
    private var refusal: MartletError?

    /// What is queued, from MULTI on.
    var transaction: RESPTransaction? {
        didSet { noteSpecial() }
    }
    /// From whose budget the queue is reserved.
    var transactionGrant: CacheGrant?
    var watched: WatchedKeys?
    /// Whether this is within EXEC.
    var isExecuting = false
    /// How the client is told of changes.
    var tracking: RESPTracking? {
        didSet { noteSpecial() }
    }
    /// Whether a read is being answered in turns: it may answer with what was before a change, so the change is told after.
    var holdsNews = false
    /// Whether commands take another way than the short one.
    private var isSpecial = false

    private func noteSpecial() {
        isSpecial = transaction != nil || tracking != nil || subscriber != nil
    }

    init(_ lane: GatewayLane) {
        self.lane = lane
        registry = lane.resp.registry
        id = registry.takeID()
        startedAt = lane.now
    }

    /// The connection is there, and it is known from where.
    func begin(_ connection: RESPConnection) {
        self.connection = connection
        isOpen = connection.isOpen
        registry.add(self)
    }

    var isAuthenticated: Bool { identity != nil || isOpen }
    var writer: ReplyWriter { lane.resp.writer }
    /// Whether the reply that is made now is swallowed.
    var isMuted: Bool { replies == .off || replies == .skipping }

    // MARK: Commands

    /// Executes one command; its reply is written into the lane's writer, now or later.
    @inline(__always)
    func receive(_ arguments: Arguments, _ shared: RESPLane) {
        guard replies == .on else { return receiveQuietly(arguments, shared) }
        dispatch(arguments, shared)
    }

    /// As ``receive(_:_:)``, whatever becomes of the reply.
    @inline(__always)
    func dispatch(_ arguments: Arguments, _ shared: RESPLane) {
        guard let found = CommandTable.shared.command(named: arguments[0]) else {
            return receiveUnknown(arguments, shared.writer)
        }
        guard case .items = found.action, !isSpecial, found.accepts(argumentCount: arguments.count),
            let identity = identity ?? openIdentity()
        else { return dispatchSlowly(found, arguments, shared) }
        performItems(found, arguments, identity, shared)
    }

    /// Commands about items, by the service.
    @inline(__always)
    private func performItems(
        _ found: CommandSpec, _ arguments: Arguments, _ identity: CommandIdentity, _ shared: RESPLane
    ) {
        guard let call = shared.call(lane.service, identity, arguments) else {
            return shared.writer.error(MartletError.cacheNotFound.commandText)
        }
        switch lane.service.perform(found, call, arguments, for: identity, later: awaitReply) {
        case .replied: break
        case .later:
            holdsNews = tracking != nil
            suspended = call.suspended
            call.suspended = nil
            stall()
        case .waits: wait(call)
        }
    }

    /// Commands that are not about items, or come to a connection in a state of its own.
    private func dispatchSlowly(_ found: CommandSpec, _ arguments: Arguments, _ shared: RESPLane) {
        let writer = shared.writer
        var (command, fullName) = (found, found.name)
        if case .container = found.action, arguments.count > 1 {
            guard let subcommand = found.subcommand(arguments) else {
                return refuseSubcommand(of: found, arguments, writer)
            }
            fullName = subcommand.fullName(in: found.name)
            command = subcommand
        }
        guard command.accepts(argumentCount: arguments.count) else {
            if command.name == "exec" {
                endTransaction()
                return writer.error(
                    "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command")
            }
            return doom(MartletError.wrongNumberOfArguments(fullName).commandText, writer)
        }
        if isListening, !mayPerformSubscribed(found, arguments, writer) { return }
        lastCommand = fullName
        guard let identity = identity ?? openIdentity() else {
            guard found.flags.contains(.noAuth) else { return refuseUnidentified(writer) }
            return performUnidentified(command, arguments, writer)
        }
        if !command.flags.contains(.noAuth), let fault = lane.service.fault(of: identity.caller) {
            return writer.error(fault.commandText)
        }
        if transaction != nil, !command.flags.contains(.notQueued) {
            return queue(command, arguments, identity, writer)
        }
        if case .items = command.action {
            noteReads(command, arguments)
            trackingChanges { performItems(command, arguments, identity, shared) }
        } else {
            perform(command, arguments, identity, shared)
        }
        tellChanges(shared.writer)
        // What was said of the next command held for that one, or for a whole transaction.
        if tracking?.nextIsCached != nil, transaction == nil, command.name != "caching" { tracking?.nextIsCached = nil }
    }

    private func refuseSubcommand(of found: CommandSpec, _ arguments: Arguments, _ writer: ReplyWriter) {
        guard let identity = identity ?? openIdentity() else { return refuseUnidentified(writer) }
        let name = "\(found.name)|\(Self.shown(arguments[1]))"
        if let entry = RefusedCommands.entry(named: name) {
            return doom(lane.service.unsupported(entry, entry.name, for: identity).commandText, writer)
        }
        doom(
            "ERR unknown subcommand '\(Self.shown(arguments[1]))'. Try \(found.name.uppercased()) HELP.", writer)
    }

    private func receiveUnknown(_ arguments: Arguments, _ writer: ReplyWriter) {
        if arguments.isWord(0, "POST") || arguments.isWord(0, "HOST:") {
            // A browser that was made to send something here by a page.
            connection.abort()
            return
        }
        guard let identity = identity ?? openIdentity() else { return refuseUnidentified(writer) }
        if let entry = RefusedCommands.entry(named: Self.shown(arguments[0])) {
            return doom(
                lane.service.unsupported(entry, Self.shown(arguments[0]), for: identity).commandText, writer)
        }
        var text = Array("ERR unknown command '".utf8) + arguments[0].prefix(Self.mostShown)
        text += Array("', with args beginning with: ".utf8)
        let start = text.count
        for index in 1..<max(1, arguments.count) where text.count - start < Self.mostShown {
            text += [0x27] + arguments[index].prefix(Self.mostShown - (text.count - start)) + [0x27, 0x20]
        }
        doom(text, writer)
    }

    static func shown(_ argument: UnsafeRawBufferPointer) -> String {
        String(decoding: argument.prefix(mostShown), as: UTF8.self)
    }

    private static let mostShown = 128

    /// A command that was too large, or too many arguments, to be kept.
    func refuse(_ refusal: RESPDecoder.Refusal, _ writer: ReplyWriter) {
        switch refusal {
        case .tooManyArguments: doom("ERR too many arguments: at most \(RESPDecoder.Limits().arguments)", writer)
        case .tooLarge: doom("ERR command too large: at most \(RESPDecoder.Limits().commandBytes) bytes", writer)
        case .noRoom: doom(MartletError.busy(retryAfterMilliseconds: 100).commandText, writer)
        }
    }

    // MARK: Identity without a credential

    /// Who a connection is that showed no credential, where it may be one.
    private func openIdentity() -> CommandIdentity? {
        guard isOpen, identity == nil, let caller = lane.service.developmentCaller else { return identity }
        do throws(MartletError) {
            identity = try Self.defaultCache.withUnsafeBufferPointer { (name) throws(MartletError) in
                try lane.service.openCommands(
                    caller, cacheName: UnsafeRawBufferPointer(name), on: connection.peer.claims)
            }
        } catch {
            connection.peer.claims.keepOnly(nil)
            refusal = error
        }
        return identity
    }

    /// Tells a connection that it is nobody's: for want of a credential or, where none is needed, of a free place.
    func refuseUnidentified(_ writer: ReplyWriter) {
        if case .countLimited? = refusal {
            writer.error(refusal?.commandText ?? "")
        } else {
            writer.error("NOAUTH Authentication required.")
        }
        refusal = nil
    }

    static let defaultCache = Array("default".utf8)

    // MARK: Waiting

    /// The commands behind this one wait from now on.
    func stall() {
        isStalled = true
    }

    /// Goes on with the commands behind the one that was waited for.
    func goOn() {
        guard isStalled else { return }
        isStalled = false
        suspended = nil
        connection.scheduleProcessing()
    }

    /// Takes the reply of a command that is answered later.
    func awaitReply() -> ([UInt8]) -> Void {
        { [weak self, isMuted] bytes in
            guard let self, !self.isOver else { return }
            if !isMuted { bytes.withUnsafeBytes { self.connection.write($0) } }
            self.holdsNews = false
            self.tellChangesNow()
            self.goOn()
        }
    }

    // MARK: Lifetime

    func reset() {
        endTransaction()
        tracking = nil
        cancelSubscriptions()
        identity = nil
        isVersion3 = false
        replies = .on
        name = []
    }

    /// What belongs to another caller or cache is given up; a renewed credential for the same cache changes nothing.
    private func ownerChanged(from old: CommandIdentity?) {
        registry.setOwner(
            of: id, tenant: identity?.caller.caller.tenant, cacheName: identity?.cacheName ?? [])
        connection.peer.claims.keepOnly(identity?.grant)
        guard let old else { return }
        if let identity, identity.grant.isForSameCache(as: old.grant),
            identity.caller.caller.tenant == old.caller.caller.tenant
        {
            return
        }
        endTransaction()
        tracking = nil
    }

    func readerIsBack() {
        tellChangesNow()
    }

    func sweep(now: Timestamp) {
        guard let tracking, let identity else { return }
        let mayGoOn =
            lane.service.isGood(identity) && (tracking.prefixes == nil || lane.service.mayReadAll(identity))
        if !mayGoOn { self.tracking = nil }
    }

    /// Takes no new commands.
    func drain() {
        guard !isAnswerOnItsWay() else { return }
        connection.flush()
        connection.finish()
    }

    func end() {
        isOver = true
        if let suspended { lane.service.abandon(suspended) }
        suspended = nil
        registry.remove(id)
        endTransaction()
        tracking = nil
        cancelSubscriptions()
        giveUpWaiting()
    }
}
