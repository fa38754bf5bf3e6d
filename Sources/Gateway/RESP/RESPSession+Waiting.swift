import CacheService
import NIOCore

/// Commands that wait for something to come under a key (`BLPOP` and the like): one at a time, since those behind it on the
/// connection wait too.
extension RESPSession {
    var isWaiting: Bool { blocked != nil }

    /// A longer time than that, some 69 years, is none that ends.
    private static let longestWait: Int64 = 1 << 41

    /// Waits with a command that has found nothing.
    func wait(_ call: CommandCall) {
        guard let blocked = call.blocked else { return }
        call.blocked = nil
        self.blocked = blocked
        let reply = awaitReply()
        blocked.onReply = { [weak self] bytes in
            guard let self else { return }
            self.stopWaiting()
            reply(bytes)
            if self.finishesWithAnswer { self.connection.finish() }
        }
        stall()
        guard blocked.milliseconds > 0, blocked.milliseconds < Self.longestWait else { return }
        let time = TimeAmount.milliseconds(blocked.milliseconds)
        deadline = lane.eventLoop.assumeIsolated().scheduleTask(in: time) { [weak self] in
            guard let self, let blocked = self.blocked else { return }
            self.lane.beginTick()
            blocked.timeOut()
        }
    }

    private func stopWaiting() {
        blocked = nil
        deadline?.cancel()
        deadline = nil
    }

    /// Ends the wait at the wish of another client: with an error, or as if the time were over (`CLIENT UNBLOCK`).
    ///
    /// - Returns: Whether the client waited.
    func unblock(withError: Bool) -> Bool {
        blocked?.unblock(withError: withError) ?? false
    }

    /// Nobody waits for the answer any more.
    ///
    /// - Returns: False where it is on its way already.
    @discardableResult
    func giveUpWaiting() -> Bool {
        guard let blocked else { return true }
        if !isOver, !blocked.cancel() {
            finishesWithAnswer = true
            return false
        }
        blocked.cancel()
        stopWaiting()
        return true
    }

    /// Whether the connection is to be kept for an answer that is on its way: then it ends with that. Ends a wait that is
    /// not over.
    func isAnswerOnItsWay() -> Bool {
        isWaiting && !giveUpWaiting()
    }
}
