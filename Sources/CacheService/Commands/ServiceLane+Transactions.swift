import Admission
import Engine
import Metering
import Tenancy

/// A command that waits for its EXEC, with memory of its own.
package struct QueuedCommand {
    package let command: CommandSpec
    package let owned: OwnedArguments
    /// What the arguments behind the name amount to.
    let bytesIn: Int

    package init(_ command: CommandSpec, _ arguments: Arguments) {
        self.command = command
        owned = OwnedArguments(arguments)
        bytesIn = Self.bytesIn(arguments)
    }

    private static func bytesIn(_ arguments: Arguments) -> Int {
        var count = 0
        for index in 1..<max(1, arguments.count) { count &+= arguments[index].count }
        return count
    }

    /// What it takes while it waits.
    package var byteCount: Int {
        bytesIn + Self.overhead + owned.arguments.count * MemoryLayout<UnsafeRawBufferPointer>.stride
    }

    /// The object, its two blocks, and the slices of some arguments.
    private static let overhead = 192
}

/// Transactions: the six steps for many commands as one.
extension ServiceLane {
    /// Executes commands with no other command on the cache in between, and writes the array of their replies; or one
    /// error, when nothing was executed. The limits are asked once, for all of them: all are admitted or none.
    ///
    /// - Parameters:
    ///   - watched: What was watched; where it has changed, nothing is executed and the answer is null.
    ///   - prepare: Called before each command that is executed.
    ///   - connection: Carries a command out that is the door's, and writes one reply. It must not wait.
    /// Cost: the locks of the cache's stripes for as long as the commands take.
    package func performTransaction(
        _ commands: [QueuedCommand], _ call: CommandCall, for identity: CommandIdentity, watched: WatchedKeys?,
        prepare: (CommandSpec, Arguments) -> Void, connection: (CommandSpec, Arguments) -> Void
    ) {
        let start = call.reply.count
        if let fault = fault(of: identity.caller) { return call.reply.error(fault.commandText) }
        // Who waits is served when the locks are given back.
        defer { endTransaction(of: identity) }
        do throws(MartletError) {
            guard service.lateEngine == nil else { throw .command("ERR the cache's engine offers no transactions") }
            let cache = try cache(of: identity)
            let row = try row(cache, .resp)
            var (operations, bytesIn, growth): (UInt64, Int, Int) = (0, 0, 0)
            for queued in commands {
                operations &+= admittedOperations(bytesIn: queued.bytesIn)
                bytesIn &+= queued.bytesIn
                if queued.command.flags.contains(.denyOOM) { growth &+= queued.byteCount }
            }
            do throws(MartletError) {
                try admit(cache, .other, operations: operations, bytesIn: UInt64(truncatingIfNeeded: bytesIn))
                call.use(cache)
                call.isInTransaction = true
                defer { call.isInTransaction = false }
                try cache.shared.items.withExclusiveAccess(reserving: growth, now: now) { () throws(MartletError) in
                    guard watched?.isUnchanged(now: now) ?? true else { return call.reply.nullArray() }
                    call.reply.limit(to: ReplyWriter.largestReply)
                    call.reply.array(commands.count)
                    let started = CoarseClock.milliseconds
                    for queued in commands {
                        guard CoarseClock.milliseconds - started < CommandCall.mostMillisecondsInTransaction else {
                            call.reply.error(MartletError.tooLong.commandText)
                            continue
                        }
                        // What was executed so far stays, as where a command in the middle fails.
                        guard !call.reply.isOverfull else { throw .replyTooLarge }
                        perform(queued, call, identity, cache, row, prepare, connection)
                    }
                }
            } catch {
                row.recordRefusal(error)
                throw error
            }
        } catch {
            call.reply.truncate(to: start)
            call.reply.error(
                error == .replyTooLarge
                    ? error.commandText : "EXECABORT Transaction discarded because of: \(error.commandText)")
        }
    }

    private func perform(
        _ queued: QueuedCommand, _ call: CommandCall, _ identity: CommandIdentity, _ cache: LaneCache, _ row: MeterRow,
        _ prepare: (CommandSpec, Arguments) -> Void, _ connection: (CommandSpec, Arguments) -> Void
    ) {
        let start = call.reply.count
        let arguments = queued.owned.arguments
        do throws(MartletError) {
            // Permissions may have changed since it was queued.
            try permit(queued.command, arguments, identity)
            do throws(MartletError) {
                guard case .items(let body) = queued.command.action else {
                    return connection(queued.command, arguments)
                }
                prepare(queued.command, arguments)
                countOperation(of: queued.command, arguments, of: cache)
                call.begin(arguments, now: now)
                let started = queued.command.isLogged ? CoarseClock.milliseconds : 0
                try body(call)
                if queued.command.isLogged { log(arguments, cache, since: started) }
                serveWaiters(queued.command, call, arguments, cache)
                meter(
                    call.usage, cache, row, admitted: admittedOperations(bytesIn: queued.bytesIn),
                    bytesIn: queued.bytesIn)
            } catch {
                row.recordRefusal(error)
                throw error
            }
        } catch {
            call.reply.truncate(to: start)
            call.reply.error(error.commandText)
        }
    }
}
