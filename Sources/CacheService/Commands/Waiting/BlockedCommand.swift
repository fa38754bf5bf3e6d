import Access
import Engine
import Metering
import Tenancy

/// A command that waits for something to come under one of its keys.
///
/// It is answered once: by whoever takes it out of its cache's ``BlockedCommands``. A command of another connection that
/// puts something there executes it and hands the reply over; its own event loop ends it when its time is over, when its
/// caller may not have the answer any more, or when nobody waits for it any more.
package final class BlockedCommand: @unchecked Sendable {
    // `ticket` is guarded by the lock of the registry. What is below "Of its lane" is used on the lane's thread alone. The
    // rest does not change.
    let command: CommandSpec
    let arguments: OwnedArguments
    let keys: [[UInt8]]
    /// What has to be under a key for the command to be worth a try.
    let awaitedKind: ItemKind
    let isVersion3: Bool
    /// When the credential ends by itself: nobody answers the command after that.
    private let credentialEnds: Timestamp?
    let lane: ServiceLane
    let shared: SharedCache
    /// When it came, in the order of those that wait; 0 while it does not.
    var ticket: UInt64 = 0

    // MARK: Of its lane

    /// For how long it waits, 0 for without end. Whoever has a clock calls ``timeOut()`` then.
    package let milliseconds: Int64
    /// Takes the bytes of the one reply. Set by the door at once; nil when nobody is there to take it.
    package var onReply: (([UInt8]) -> Void)?
    private let onTimeout: @Sendable (ReplyWriter) -> Void
    let identity: CommandIdentity
    let account: CommandAccount
    /// The place in the lane's list; -1 when in none.
    var slot = -1
    /// What is taken from the tenant's budget for what it holds.
    var reservedBytes = 0

    init(
        _ command: CommandSpec, _ call: CommandCall, _ wait: CommandWait, _ account: CommandAccount,
        for identity: CommandIdentity, on lane: ServiceLane
    ) {
        self.command = command
        self.account = account
        self.identity = identity
        self.lane = lane
        shared = account.cache.shared
        arguments = OwnedArguments(call.arguments)
        keys = wait.keys
        awaitedKind = command.group == .sortedSet ? .sortedSet : .list
        isVersion3 = call.reply.isVersion3
        credentialEnds = identity.caller.caller.expiresAt
        milliseconds = wait.milliseconds
        onTimeout = wait.onTimeout
    }

    func isAllowed(at now: Timestamp) -> Bool {
        credentialEnds.map { now < $0 } ?? true
    }

    /// What the command holds while it waits, about.
    var heldBytes: Int {
        var bytes = 256
        for index in 0..<arguments.arguments.count { bytes += arguments.arguments[index].count + 16 }
        for key in keys { bytes += key.count + 64 }
        return bytes
    }

    // MARK: The end, on its lane

    /// The time is over.
    package func timeOut() {
        guard shared.blocked.remove(self) else { return }
        end { self.onTimeout($0) }
    }

    /// Ends the wait at somebody's wish (`CLIENT UNBLOCK`): with an error, or as if the time were over.
    ///
    /// - Returns: Whether it still waited.
    @discardableResult
    package func unblock(withError: Bool) -> Bool {
        guard shared.blocked.remove(self) else { return false }
        end { withError ? $0.error("UNBLOCKED client unblocked via CLIENT UNBLOCK") : self.onTimeout($0) }
        return true
    }

    /// Nobody waits for the answer any more.
    ///
    /// - Returns: False where the answer is on its way already; it still comes if ``onReply`` is left alone.
    @discardableResult
    package func cancel() -> Bool {
        guard shared.blocked.remove(self) else { return false }
        onReply = nil
        lane.forget(self)
        return true
    }

    /// The caller may not have the answer any more.
    func refuse(_ error: MartletError) {
        guard shared.blocked.remove(self) else { return }
        lane.forget(self)
        if lane.holds(account.cache) { account.row.recordRefusal(error) }
        answer { $0.error(error.commandText) }
    }

    private func end(_ write: (ReplyWriter) -> Void) {
        lane.forget(self)
        if lane.holds(account.cache) { lane.meter(CommandUsage(), account) }
        answer(write)
    }

    func answer(_ write: (ReplyWriter) -> Void) {
        guard let onReply else { return }
        self.onReply = nil
        let writer = ReplyWriter()
        writer.isVersion3 = isVersion3
        write(writer)
        onReply(Array(writer.bytes))
    }

    // MARK: A try

    /// The arguments of a try for what came under one key: where several keys are named, that one alone, as Redis
    /// serves a command by what came and not by what lay there before.
    func arguments(for key: [UInt8]) -> OwnedArguments {
        guard keys.count > 1 else { return arguments }
        let all = arguments.arguments
        switch command.keys {
        case .range(let first, let last, 1, _) where last < 0:
            let tail = all.count + last + 1
            guard first <= tail else { return arguments }
            return OwnedArguments(
                (0..<first).map { Array(all[$0]) } + [key] + (tail..<all.count).map { Array(all[$0]) })
        case .counted(let index, _, _):
            guard let count = DecimalText.integer(all[index]), count > 0, count < all.count - index else {
                return arguments
            }
            return OwnedArguments(
                (0..<index).map { Array(all[$0]) } + [[0x31], key]
                    + (index + 1 + Int(count)..<all.count).map { Array(all[$0]) })
        default: return arguments
        }
    }
}

/// Where a command is written down, and what it was admitted for. Belongs to its lane.
struct CommandAccount {
    let cache: LaneCache
    let row: MeterRow
    let admitted: UInt64
    let bytesIn: Int
}
