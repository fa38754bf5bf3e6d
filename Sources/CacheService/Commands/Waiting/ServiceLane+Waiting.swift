import Catalog
import Metering
import Tenancy

/// Commands that wait (`BLPOP` and the like): on their way into ``BlockedCommands``, out of it, and what ends them.
extension ServiceLane {
    // MARK: Whoever waits

    /// Lets a command wait that has found nothing.
    ///
    /// - Returns: ``CommandOutcome/waits``, with ``CommandCall/blocked`` set; or what came of the second try.
    /// - Throws: ``MartletError/busy(retryAfterMilliseconds:)`` where what it holds has no place, and what the second try
    ///   threw.
    func wait(
        _ command: CommandSpec, _ call: CommandCall, _ wait: CommandWait, _ account: CommandAccount,
        for identity: CommandIdentity, _ later: () -> (([UInt8]) -> Void)
    ) throws(MartletError) -> CommandOutcome {
        call.wait = nil
        let blocked = BlockedCommand(command, call, wait, account, for: identity, on: self)
        try reserve(for: blocked)
        let served = account.cache.shared.blocked.add(blocked, ServingMeans(account.cache, now: now))
        hand(served, except: blocked)
        guard let own = served.first(where: { $0.blocked === blocked }) else {
            blocked.slot = blockedCommands.count
            blockedCommands.append(blocked)
            call.blocked = blocked
            return .waits
        }
        release(blocked)
        if let failure = own.failure { throw failure }
        if let work = own.call.work {
            queue(SuspendedCommand(own.call, work, command, account, from: 0, reply: later()))
            return .later
        }
        call.reply.append(own.call.reply.bytes)
        meter(own.call.usage, account)
        return .replied
    }

    /// Few keys are had for nothing; who names very many is held to his tenant's budget.
    private static let freeBytes = 16 << 10

    private func reserve(for blocked: BlockedCommand) throws(MartletError) {
        let bytes = blocked.heldBytes
        guard bytes > Self.freeBytes else { return }
        guard reserveBytes(bytes, blocked.identity.grant) else { throw .busy(retryAfterMilliseconds: 100) }
        blocked.reservedBytes = bytes
    }

    private func release(_ blocked: BlockedCommand) {
        guard blocked.reservedBytes > 0 else { return }
        releaseBytes(blocked.reservedBytes, blocked.identity.grant)
        blocked.reservedBytes = 0
    }

    /// Takes a command that waits no more out of the lane's list.
    func forget(_ blocked: BlockedCommand) {
        release(blocked)
        let slot = blocked.slot
        guard slot >= 0 else { return }
        blocked.slot = -1
        let last = blockedCommands.removeLast()
        guard slot < blockedCommands.count else { return }
        blockedCommands[slot] = last
        last.slot = slot
    }

    // MARK: Whoever writes

    /// Called when a command has been executed that may have put something where others wait. Within a transaction they
    /// are served at its end. Cost while nobody waits: one load.
    @inline(__always)
    func serveWaiters(_ command: CommandSpec, _ call: CommandCall, _ arguments: Arguments, _ cache: LaneCache) {
        if !cache.shared.blocked.isEmpty { serveWaitersOf(command, call, arguments, cache) }
    }

    private func serveWaitersOf(
        _ command: CommandSpec, _ call: CommandCall, _ arguments: Arguments, _ cache: LaneCache
    ) {
        guard command.maySatisfyWaiters else { return }
        let keys = command.writtenKeys(arguments)
        if call.isInTransaction {
            keysWrittenInTransaction.append(contentsOf: keys)
        } else {
            serveWaiters(keys, cache)
        }
    }

    /// Serves those that wait for what a transaction has written. To be called when its last command is done, before its
    /// replies are sent, and also when it was broken off.
    package func endTransaction(of identity: CommandIdentity) {
        guard !keysWrittenInTransaction.isEmpty else { return }
        let keys = keysWrittenInTransaction
        keysWrittenInTransaction = []
        if let cache = identity.grant.cache { serveWaiters(keys, cache) }
    }

    /// Serves those that wait for something under these keys, in the order in which they were written.
    func serveWaiters(_ keys: [[UInt8]], _ cache: LaneCache) {
        guard !keys.isEmpty, !cache.shared.blocked.isEmpty else { return }
        hand(cache.shared.blocked.serve(keys, ServingMeans(cache, now: now)), except: nil)
    }

    /// Hands replies to the lanes of those that wait for them.
    private func hand(_ served: [ServedCommand], except own: BlockedCommand?) {
        for one in served where one.blocked !== own {
            let lane = one.blocked.lane
            if lane === self {
                finish(one)
            } else {
                lane.schedule {
                    one.blocked.lane.beginTick()
                    one.blocked.lane.finish(one)
                }
            }
        }
    }

    /// Answers a command of this lane that was served.
    private func finish(_ served: ServedCommand) {
        let blocked = served.blocked
        forget(blocked)
        guard holds(blocked.account.cache) else {
            return blocked.answer { $0.error(MartletError.cacheNotFound.commandText) }
        }
        if let failure = served.failure {
            blocked.account.row.recordRefusal(failure)
            return blocked.answer { $0.error(failure.commandText) }
        }
        if let work = served.call.work, let reply = blocked.onReply {
            blocked.onReply = nil
            return queue(SuspendedCommand(served.call, work, blocked.command, blocked.account, from: 0, reply: reply))
        }
        meter(served.call.usage, blocked.account)
        blocked.answer { $0.append(served.call.reply.bytes) }
    }

    /// Whether a cache is still there, and its counters this lane's to add to.
    func holds(_ cache: LaneCache) -> Bool {
        snapshot.cache(cache.record.id) != nil
    }

    // MARK: Time

    /// Ends whatever waits and may not any more: its credential has ended or was revoked, its permission or its cache is
    /// gone. Cost: O(1); O(waiting commands of the lane) when the catalog has changed or a credential expires.
    func tickWaiters() {
        guard !blockedCommands.isEmpty else { return }
        let isStale = sweptBlockedVersion != snapshot.version
        sweptBlockedVersion = snapshot.version
        // A copy: those that end leave the list.
        for blocked in blockedCommands where isStale || !blocked.isAllowed(at: now) {
            do throws(MartletError) {
                if let fault = fault(of: blocked.identity.caller) { throw fault }
                try permit(blocked.command, blocked.arguments.arguments, blocked.identity)
            } catch {
                blocked.refuse(error)
            }
        }
    }
}
