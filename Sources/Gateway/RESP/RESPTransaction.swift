import CacheService
import Tenancy

/// What a connection has queued between MULTI and EXEC.
struct RESPTransaction {
    private(set) var commands: [QueuedCommand] = []
    private(set) var byteCount = 0
    /// Bytes of it that were reserved from the tenant's budget.
    var reservedBytes = 0
    /// Whether a command could not be queued: then EXEC does nothing.
    var isDoomed = false

    static let mostCommands = 131_072
    static let mostBytes = 64 << 20
    /// So many bytes need no reservation.
    static let freeBytes = 64 << 10

    /// Whether one more fits.
    func hasRoom(for command: QueuedCommand) -> Bool {
        commands.count < Self.mostCommands && byteCount + command.byteCount <= Self.mostBytes
    }

    mutating func append(_ command: QueuedCommand) {
        byteCount += command.byteCount
        commands.append(command)
    }

    /// Lets go of what is queued: it will not be executed.
    mutating func doom() {
        isDoomed = true
        commands = []
    }
}

/// `MULTI`, `EXEC`, `DISCARD`, `WATCH`, `UNWATCH`.
extension RESPSession {
    func begin(_ writer: ReplyWriter) {
        guard transaction == nil else {
            return writer.error("ERR MULTI calls can not be nested")
        }
        transaction = RESPTransaction()
        writer.ok()
    }

    func discard(_ writer: ReplyWriter) {
        guard transaction != nil else { return writer.error("ERR DISCARD without MULTI") }
        endTransaction()
        writer.ok()
    }

    func watch(_ arguments: Arguments, _ identity: CommandIdentity, _ writer: ReplyWriter) {
        guard transaction == nil else { return writer.error("ERR WATCH inside MULTI is not allowed") }
        do throws(MartletError) {
            watched = try lane.service.watch(arguments, for: identity, besides: watched)
            writer.ok()
        } catch {
            writer.error(error.commandText)
        }
    }

    /// Keeps a command for EXEC.
    func queue(
        _ command: CommandSpec, _ arguments: Arguments, _ identity: CommandIdentity, _ writer: ReplyWriter
    ) {
        if command.flags.contains(.noMulti) { return doom("ERR Command not allowed inside a transaction", writer) }
        if let refusal = lane.service.refusalToQueue(command, arguments, for: identity) {
            return doom(refusal.commandText, writer)
        }
        guard transaction?.isDoomed == false else { return writer.simple("QUEUED") }
        let queued = QueuedCommand(command, arguments)
        guard transaction?.hasRoom(for: queued) ?? false else {
            let (commands, bytes) = (RESPTransaction.mostCommands, RESPTransaction.mostBytes)
            return doom("ERR transaction too large: at most \(commands) commands and \(bytes) bytes", writer)
        }
        guard reserveTransactionBytes(queued.byteCount, identity) else {
            return doom(MartletError.busy(retryAfterMilliseconds: 100).commandText, writer)
        }
        transaction?.append(queued)
        writer.simple("QUEUED")
    }

    /// A command that could not be queued: EXEC will say so.
    func doom(_ error: String, _ writer: ReplyWriter) {
        doom(Array(error.utf8), writer)
    }

    func doom(_ error: [UInt8], _ writer: ReplyWriter) {
        writer.error(error)
        guard transaction != nil else { return }
        transaction?.doom()
        releaseTransactionBytes()
    }

    /// `EXEC`: the commands as one step, or nothing.
    func execute(_ identity: CommandIdentity, _ shared: RESPLane, _ arguments: Arguments) {
        let writer = shared.writer
        guard let transaction else { return writer.error("ERR EXEC without MULTI") }
        defer { endTransaction() }
        guard !transaction.isDoomed else {
            return writer.error("EXECABORT Transaction discarded because of previous errors.")
        }
        guard let call = shared.call(lane.service, identity, arguments) else {
            return writer.error(MartletError.cacheNotFound.commandText)
        }
        isExecuting = true
        defer { isExecuting = false }
        trackingChanges {
            lane.service.performTransaction(transaction.commands, call, for: identity, watched: watched) {
                noteReads($0, $1)
            } connection: {
                perform($0, $1, identity, shared)
            }
        }
    }

    /// Forgets what is queued and watched.
    func endTransaction() {
        watched = nil
        guard transaction != nil else { return }
        releaseTransactionBytes()
        transaction = nil
    }

    private func reserveTransactionBytes(_ more: Int, _ identity: CommandIdentity) -> Bool {
        guard let transaction else { return false }
        let wanted = transaction.byteCount + more - RESPTransaction.freeBytes
        guard wanted > transaction.reservedBytes else { return true }
        let step = max(RESPTransaction.freeBytes, wanted - transaction.reservedBytes)
        if transaction.reservedBytes == 0 { transactionGrant = identity.grant }
        guard lane.service.reserveBytes(step, transactionGrant) else { return false }
        self.transaction?.reservedBytes += step
        return true
    }

    private func releaseTransactionBytes() {
        guard let reserved = transaction?.reservedBytes, reserved > 0 else { return }
        lane.service.releaseBytes(reserved, transactionGrant)
        transaction?.reservedBytes = 0
        transactionGrant = nil
    }
}
