import Access
import Admission
import Catalog
import Engine
import Metering
import Tenancy

/// Who sends commands on a connection, and to which cache. Belongs to its lane.
package final class CommandIdentity {
    package internal(set) var caller: LaneCaller
    package internal(set) var grant: CacheGrant

    init(_ caller: LaneCaller, _ grant: CacheGrant) {
        self.caller = caller
        self.grant = grant
    }

    package var cacheName: [UInt8] { grant.cacheName }
}

package enum CommandOutcome {
    /// The reply, or the error, is written.
    case replied
    /// There is nothing to answer yet: ``CommandCall/blocked`` is what waits.
    case waits
    /// The answer comes through the closure.
    case later
}

/// Steps one to six for commands of the Redis protocol, on the cache that their connection is for.
extension ServiceLane {
    /// Opens a cache for the commands of a connection.
    ///
    /// - Parameter connection: On which they come, to be counted; nil when it is. What it counted for before, it keeps
    ///   (``ConnectionClaims/keepOnly(_:)``).
    /// - Throws: ``MartletError/permissionDenied(_:)`` for a caller who may do nothing with any item or topic of it,
    ///   ``MartletError/cacheNotFound``, ``MartletError/countLimited(limit:value:)`` for a connection too many.
    package func openCommands(
        _ caller: LaneCaller, cacheName: UnsafeRawBufferPointer, on connection: ConnectionClaims? = nil
    ) throws(MartletError) -> CommandIdentity {
        let operations: [CacheOperation] = [.get, .set, .publish, .subscribe]
        var refusal = MartletError.cacheNotFound
        for operation in operations {
            do throws(MartletError) {
                let grant = try permit(
                    caller, cacheName: cacheName, operation: operation, key: nil, door: .resp, on: connection)
                return CommandIdentity(caller, grant)
            } catch {
                refusal = error
                guard case .permissionDenied = error else { break }
            }
        }
        throw refusal
    }

    /// The name of the only cache that a caller's credential is for; nil where there are several.
    package func onlyCache(of caller: LaneCaller) -> [UInt8]? {
        guard case .permissions(let set) = caller.caller.grant, let name = set.onlyCache else { return nil }
        return Array(name.text.utf8)
    }

    /// A call for the commands of a connection, to be used again for each of them.
    package func makeCall(_ identity: CommandIdentity, _ arguments: Arguments, reply: ReplyWriter) -> CommandCall? {
        guard let cache = identity.grant.cache else { return nil }
        let call = CommandCall(
            arguments, on: cache.shared.items, topics: cache.shared.topics, sizes: cache.sizes, ttl: cache.ttl,
            now: now,
            reply: reply)
        call.hotKeys = cache.shared.hotKeys
        return call
    }

    /// Performs one command whose arity was checked. Exactly one reply, or error, is written into the call's writer,
    /// unless the outcome says otherwise.
    ///
    /// - Parameter later: Asked for a closure only when the answer is not here yet. It is given the bytes of the whole reply.
    package func perform(
        _ command: CommandSpec, _ call: CommandCall, _ arguments: Arguments, for identity: CommandIdentity,
        later: () -> (([UInt8]) -> Void)
    ) -> CommandOutcome {
        let start = call.reply.count
        do throws(MartletError) {
            if let fault = fault(of: identity.caller) { throw fault }
            try permit(command, arguments, identity)
            guard let cache = identity.grant.cache else { throw .cacheNotFound }
            let row = try row(cache, .resp)
            do throws(MartletError) {
                return try execute(command, call, arguments, identity, cache, row, later)
            } catch {
                row.recordRefusal(error)
                throw error
            }
        } catch {
            call.reply.truncate(to: start)
            writeRefusal(error, call.reply)
            return .replied
        }
    }

    private func writeRefusal(_ error: MartletError, _ writer: ReplyWriter) {
        if let text = commandRefusals.value(for: error, { Array($0.commandText.utf8) }) {
            writer.errorLine(text)
        } else {
            writer.error(error.commandText)
        }
    }

    @inline(__always)
    private func execute(
        _ command: CommandSpec, _ call: CommandCall, _ arguments: Arguments, _ identity: CommandIdentity,
        _ cache: LaneCache, _ row: MeterRow, _ later: () -> (([UInt8]) -> Void)
    ) throws(MartletError) -> CommandOutcome {
        guard case .items(let body) = command.action else {
            throw .internalFailure("'\(command.name)' is not for the service")
        }
        var bytesIn = 0
        for index in 1..<max(1, arguments.count) { bytesIn &+= arguments[index].count }
        let admitted = admittedOperations(bytesIn: bytesIn)
        try admit(
            cache, command.isQuickRead ? .read : .other, operations: admitted,
            bytesIn: UInt64(truncatingIfNeeded: bytesIn))
        countOperation(of: command, arguments, of: cache)
        if let engine = service.lateEngine {
            send(command, call, arguments, cache, row, engine, admitted: admitted, bytesIn: bytesIn, later())
            return .later
        }
        call.use(cache)
        call.begin(arguments, now: now)
        let start = call.reply.count
        call.reply.limit(to: ReplyWriter.largestReply)
        if command.isLogged || arguments.count > Self.manyArguments {
            hasSlowCalls = true
            let started = CoarseClock.milliseconds
            defer { log(arguments, cache, since: started) }
            try body(call)
        } else {
            try body(call)
        }
        if let wait = call.wait {
            let account = CommandAccount(cache: cache, row: row, admitted: admitted, bytesIn: bytesIn)
            return try self.wait(command, call, wait, account, for: identity, later)
        }
        // The first turn is now, and often the last.
        if let work = call.work {
            let started = CoarseClock.milliseconds
            guard try work.step(call) || call.reply.isOverfull else {
                let account = CommandAccount(cache: cache, row: row, admitted: admitted, bytesIn: bytesIn)
                let suspended = SuspendedCommand(call, work, command, account, from: start, reply: later())
                call.suspended = suspended
                queue(suspended)
                return .later
            }
            log(arguments, cache, since: started)
            call.work = nil
        }
        guard !call.reply.isOverfull else { throw .replyTooLarge }
        serveWaiters(command, call, arguments, cache)
        meter(call.usage, cache, row, admitted: admitted, bytesIn: bytesIn)
        return .replied
    }

    private static let manyArguments = 64

    func meter(_ usage: CommandUsage, _ account: CommandAccount) {
        meter(usage, account.cache, account.row, admitted: account.admitted, bytesIn: account.bytesIn)
    }

    /// For how many operations a command is admitted: what it costs beyond that is known afterwards, and holds back the
    /// calls that follow.
    @inline(__always)
    func admittedOperations(bytesIn: Int) -> UInt64 {
        max(1, UInt64(truncatingIfNeeded: bytesIn) / UInt64(BillingPolicy.chunkBytes))
    }

    @inline(__always)
    func meter(
        _ usage: CommandUsage, _ cache: LaneCache, _ row: MeterRow, admitted: UInt64, bytesIn: Int
    ) {
        var charge = usage.charge
        charge.operations = max(1, charge.operations)
        row.record(charge, bytesIn: bytesIn, bytesOut: usage.bytesOut)
        if usage.elementsIn > 0 { row.add(.elementsIn, UInt64(usage.elementsIn)) }
        if usage.elementsOut > 0 { row.add(.elementsOut, UInt64(usage.elementsOut)) }
        if usage.hits > 0 { row.add(.hits, usage.hits) }
        if usage.misses > 0 { row.add(.misses, usage.misses) }
        guard charge.operations > admitted || usage.bytesOut > 0 else { return }
        cache.shared.admission.settle(
            extraOperations: charge.operations > admitted ? charge.operations - admitted : 0,
            bytesOut: UInt64(usage.bytesOut), nowNanoseconds: nowNanoseconds)
    }

    /// How many keys ``warm(_:for:)`` takes at once.
    package static var keysWarmedAtOnce: Int { EngineCache.largestBatch }

    /// Prepares for commands on some keys that are about to be performed. Nothing is permitted, done or written down by it.
    package func warm(_ keys: UnsafeBufferPointer<UnsafeRawBufferPointer>, for identity: CommandIdentity) {
        guard service.lateEngine == nil, let cache = identity.grant.cache else { return }
        cache.shared.items.warm(keys)
    }

    // MARK: Permit

    /// Whether the caller may perform a command on its keys, under the present snapshot.
    @inline(__always)
    package func permit(
        _ command: CommandSpec, _ arguments: Arguments, _ identity: CommandIdentity
    ) throws(MartletError) {
        if identity.grant.version != snapshot.version { try renewGrant(of: identity) }
        switch command.keys {
        case .none: break
        case .range(1, 1, _, let access):
            guard identity.grant.scope.allows(access.operation, key: arguments[1]) else {
                throw refusal(command, access.operation, identity)
            }
        default: try permitAll(command, arguments, identity)
        }
    }

    private func permitAll(
        _ command: CommandSpec, _ arguments: Arguments, _ identity: CommandIdentity
    ) throws(MartletError) {
        if case .everyItem(let access) = command.keys {
            guard identity.grant.scope.allows(access.everyItem, key: nil) else {
                throw refused(identity.grant, .resp, Self.mayNotRun(command))
            }
            return
        }
        if let readsEveryItem = command.readsEveryItem, readsEveryItem(arguments) {
            guard identity.grant.scope.allows(KeyAccess.read.everyItem, key: nil) else {
                throw refused(identity.grant, .resp, Self.mayNotRun(command))
            }
        }
        guard let keys = command.foundKeys(arguments) else {
            // Which keys it is about cannot be told, so it is carried out, to be refused for that, for those only who may
            // do everything with each.
            guard identity.grant.scope.allows(.setIf, key: nil) else { throw refusal(command, .setIf, identity) }
            return
        }
        for key in keys {
            guard identity.grant.scope.allows(key.access.operation, key: arguments[key.index]) else {
                throw refusal(command, key.access.operation, identity)
            }
        }
    }

    private func refusal(
        _ command: CommandSpec, _ operation: CacheOperation, _ identity: CommandIdentity
    ) -> MartletError {
        let error =
            identity.grant.scope.allowsSomewhere(operation)
            ? MartletError.command("NOPERM this user has no permissions to access one of the keys used as arguments")
            : Self.mayNotRun(command)
        return refused(identity.grant, .resp, error)
    }

    package static func mayNotRun(_ command: CommandSpec) -> MartletError {
        let name = CommandTable.shared.fullName(of: command)
        return .command("NOPERM this user has no permissions to run the '\(name)' command")
    }

    /// The catalog has changed: the cache may be gone, its limits others, and the permissions too.
    func renewGrant(of identity: CommandIdentity) throws(MartletError) {
        let name = identity.grant.cacheName
        let renewed = try name.withUnsafeBufferPointer { (name) throws(MartletError) in
            try openCommands(identity.caller, cacheName: UnsafeRawBufferPointer(name))
        }
        guard renewed.grant.isForSameCache(as: identity.grant) else { throw .cacheNotFound }
        identity.grant = renewed.grant
    }

    // MARK: Turns

    /// Lets a command wait for its turn.
    func queue(_ suspended: SuspendedCommand) {
        commandTurns.append(suspended)
        askForTurn()
    }

    /// One turn of the command whose turn it is: the tenants' go in turns, and of each tenant one after the other.
    func continueCommands() {
        guard let tenant = fairest(commandTurns.lazy.map(\.account.cache.record.tenant)),
            let place = commandTurns.firstIndex(where: { $0.account.cache.record.tenant == tenant })
        else { return }
        let suspended = commandTurns.remove(at: place)
        serve(tenant) { continueCommand(suspended) }
    }

    private func continueCommand(_ suspended: SuspendedCommand) {
        guard holds(suspended.account.cache) else {
            return suspended.fail(.cacheNotFound)
        }
        do throws(MartletError) {
            let isDone = try suspended.step(now)
            guard !suspended.call.reply.isOverfull else { throw .replyTooLarge }
            guard isDone else {
                if suspended.isWanted { commandTurns.append(suspended) }
                return
            }
            finish(suspended)
        } catch {
            suspended.account.row.recordRefusal(error)
            suspended.fail(error)
        }
    }

    /// Nobody waits for the answer of a command any more: it is given up, and what it has done is written down.
    package func abandon(_ suspended: SuspendedCommand) {
        suspended.isWanted = false
        guard let place = commandTurns.firstIndex(where: { $0 === suspended }) else { return }
        commandTurns.remove(at: place)
        if holds(suspended.account.cache) { meter(suspended.call.usage, suspended.account) }
    }

    private func finish(_ suspended: SuspendedCommand) {
        log(suspended.call.arguments, suspended.account.cache, since: suspended.started)
        serveWaiters(suspended.command, suspended.call, suspended.call.arguments, suspended.account.cache)
        meter(suspended.call.usage, suspended.account)
        suspended.succeed()
    }

    // MARK: An engine elsewhere

    private func send(
        _ command: CommandSpec, _ call: CommandCall, _ arguments: Arguments, _ cache: LaneCache, _ row: MeterRow,
        _ engine: any LateEngine, admitted: UInt64, bytesIn: Int, _ reply: @escaping ([UInt8]) -> Void
    ) {
        let late = LateCommand.command(
            RemoteCommand(
                arguments: arguments.copies, isVersion3: call.reply.isVersion3, sizes: cache.sizes, ttl: cache.ttl))
        perform(engine, late, cache, row) { (result: Result<RemoteReply, MartletError>) in
            switch result {
            case .success(let answer): reply(answer.bytes)
            case .failure(let error):
                let writer = ReplyWriter()
                writer.error(error.commandText)
                reply(Array(writer.bytes))
            }
        } take: { lane, answer in
            guard case .command(let answer) = answer else { return nil }
            lane.meter(answer.usage, cache, row, admitted: admitted, bytesIn: bytesIn)
            return answer
        }
    }
}

/// A command that is answered in turns.
package final class SuspendedCommand {
    let call: CommandCall
    let command: CommandSpec
    let account: CommandAccount
    private let work: any CommandWork
    private let reply: ([UInt8]) -> Void
    private let copies: OwnedArguments
    /// When its first turn began.
    let started = CoarseClock.milliseconds
    /// Whether anybody still waits for it.
    var isWanted = true

    /// - Parameter start: Where its reply begins in the call's writer. What is written of it is taken over.
    init(
        _ call: CommandCall, _ work: any CommandWork, _ command: CommandSpec, _ account: CommandAccount,
        from start: Int, reply: @escaping ([UInt8]) -> Void
    ) {
        // The connection's call and its arguments serve others before this one is done.
        let writer = ReplyWriter()
        writer.isVersion3 = call.reply.isVersion3
        writer.limit(to: ReplyWriter.largestReply)
        writer.append(UnsafeRawBufferPointer(rebasing: call.reply.bytes[start...]))
        call.reply.truncate(to: start)
        copies = OwnedArguments(call.arguments)
        self.call = CommandCall(
            copies.arguments, on: call.items, topics: call.topics, sizes: call.sizes, ttl: call.ttl, now: call.now,
            reply: writer)
        self.call.usage = call.usage
        self.work = work
        self.command = command
        self.account = account
        self.reply = reply
    }

    func step(_ now: Timestamp) throws(MartletError) -> Bool {
        call.now = now
        return try work.step(call)
    }

    func succeed() { reply(Array(call.reply.bytes)) }

    func fail(_ error: MartletError) {
        call.reply.clear()
        call.reply.error(error.commandText)
        succeed()
    }
}

/// Arguments with memory of their own.
package final class OwnedArguments {
    private let bytes: UnsafeMutableRawBufferPointer
    private let slices: UnsafeMutableBufferPointer<UnsafeRawBufferPointer>

    package init(_ arguments: Arguments) {
        var total = 0
        for index in 0..<arguments.count { total += arguments[index].count }
        bytes = .allocate(byteCount: max(1, total), alignment: 1)
        slices = .allocate(capacity: arguments.count)
        var place = 0
        for index in 0..<arguments.count {
            let argument = arguments[index]
            let copy = UnsafeMutableRawBufferPointer(rebasing: bytes[place..<place + argument.count])
            copy.copyMemory(from: argument)
            slices.initializeElement(at: index, to: UnsafeRawBufferPointer(copy))
            place += argument.count
        }
    }

    package convenience init(_ arguments: [[UInt8]]) {
        var slices: [UnsafeRawBufferPointer] = []
        let joined = arguments.flatMap { $0 }
        let all = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, joined.count), alignment: 1)
        defer { all.deallocate() }
        all.copyBytes(from: joined)
        var place = 0
        for argument in arguments {
            slices.append(UnsafeRawBufferPointer(rebasing: all[place..<place + argument.count]))
            place += argument.count
        }
        self.init(slices)
    }

    private convenience init(_ slices: [UnsafeRawBufferPointer]) {
        let pointer = UnsafeMutableBufferPointer<UnsafeRawBufferPointer>.allocate(capacity: max(1, slices.count))
        defer { pointer.deallocate() }
        _ = pointer.initialize(from: slices)
        self.init(Arguments(UnsafeBufferPointer(rebasing: pointer[0..<slices.count])))
    }

    deinit {
        bytes.deallocate()
        slices.deallocate()
    }

    /// Good as long as this is.
    package var arguments: Arguments { Arguments(UnsafeBufferPointer(slices)) }
}

/// A command for an engine elsewhere, which answers with a reply as it goes to the client.
package struct RemoteCommand: Sendable {
    package let arguments: [[UInt8]]
    package let isVersion3: Bool
    package let sizes: SizeLimits
    package let ttl: TTLRules
}

package struct RemoteReply: Sendable {
    package let bytes: [UInt8]
    package let usage: CommandUsage

    package init(bytes: [UInt8], usage: CommandUsage) {
        self.bytes = bytes
        self.usage = usage
    }
}

extension RemoteCommand {
    /// Executes the command on items of this process: what an engine elsewhere does on its own.
    package func execute(on items: EngineCache, now: Timestamp) throws(MartletError) -> RemoteReply {
        let owned = OwnedArguments(arguments)
        // The command reads them to its end.
        defer { withExtendedLifetime(owned) {} }
        let writer = ReplyWriter()
        writer.isVersion3 = isVersion3
        var command = CommandTable.shared.command(named: owned.arguments[0])
        if let container = command, case .container = container.action {
            command = container.subcommand(owned.arguments)
        }
        guard let command, case .items(let body) = command.action else {
            throw .unimplemented("a command that the engine does not know")
        }
        let call = CommandCall(owned.arguments, on: items, sizes: sizes, ttl: ttl, now: now, reply: writer)
        call.isInTransaction = true
        try body(call)
        return RemoteReply(bytes: Array(writer.bytes), usage: call.usage)
    }
}

extension CommandCall {
    /// The cache may be another than that of the last command, and its limits others.
    @inline(__always)
    func use(_ cache: LaneCache) {
        // The version is the catalog's, the same for all caches.
        guard items !== cache.shared.items || version != cache.version else { return }
        items = cache.shared.items
        topics = cache.shared.topics
        hotKeys = cache.shared.hotKeys
        version = cache.version
        sizes = cache.sizes
        ttl = cache.ttl
    }
}

extension CommandSpec {
    /// Where the keys of a command are; nil where the arguments cannot be read so.
    package func foundKeys(_ arguments: Arguments) -> [FoundKey]? {
        switch keys {
        case .none, .everyItem: return []
        case .range(let first, let last, let step, let access):
            return Self.places(arguments.count, first, last, step).map { FoundKey($0, access) }
        case .ranges(let ranges):
            return ranges.flatMap { range in
                Self.places(arguments.count, range.first, range.last, range.step).map { FoundKey($0, range.access) }
            }
        case .counted(let index, let access, let fixed):
            guard index < arguments.count, let count = DecimalText.integer(arguments[index]), count > 0,
                count < arguments.count - index
            else { return nil }
            return fixed.filter { $0.index < arguments.count }.map { FoundKey($0.index, $0.access) }
                + (1...Int(count)).map { FoundKey(index + $0, access) }
        case .found(let find): return find(arguments)
        }
    }

    private static func places(_ count: Int, _ first: Int, _ last: Int, _ step: Int) -> [Int] {
        let end = last < 0 ? count + last : min(last, count - 1)
        guard first <= end else { return [] }
        return Array(stride(from: first, through: end, by: step))
    }
}
