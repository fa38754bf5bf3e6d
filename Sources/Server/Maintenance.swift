import CacheService
import Catalog
import Engine
import Foundation
import Logging
import Metering
import ServiceLifecycle
import Tenancy
import Topics

/// What goes on beside the requests: memory of expired and flushed items, ageing of topics, folding of counters into the
/// ledger, a look at how far limits are used up, removal of what has expired in the catalog. Each on a thread of its own, so that a slow disk holds up nothing
/// else.
struct Maintenance: Service {
    let rooms: Rooms
    let logger: Logger

    func run() async throws {
        let engine = Repeater(name: "engine", every: 0.05) {
            // Bounded slices, so that expiry keeps up without holding the machine.
            var slices = 0
            while rooms.engine.tick(now: rooms.clock.now()), slices < 64 { slices += 1 }
        }
        let topics = Repeater(name: "topics", every: 1) { rooms.service.topics.tick(now: rooms.clock.now()) }
        let ledger = Repeater(name: "ledger", every: 1) { fold() }
        let limits = Repeater(name: "limits", every: 1) {
            rooms.service.watchLimits()
            rooms.service.trimHotKeys()
        }
        let purge = Repeater(name: "purge", every: 300) { removeExpired() }
        try? await gracefulShutdown()
        for repeater in [engine, topics, ledger, limits, purge] { repeater.stop() }
    }

    private func fold() {
        do {
            let report = try rooms.ledger.fold(now: rooms.clock.now())
            for damage in report.damage {
                logger.error("a counter lies below what was billed", metadata: ["row": "\(damage)"])
            }
            rooms.status.setFoldFailure(report.growthFailure.map { "\($0)" })
        } catch {
            logger.error("usage could not be folded; it stays in the counter file", metadata: ["error": "\(error)"])
            rooms.status.setFoldFailure("\(error)")
        }
    }

    private func removeExpired() {
        do {
            while try rooms.catalog.purge(now: rooms.clock.now()).hasMore {}
        } catch {
            logger.error("expired tokens could not be removed", metadata: ["error": "\(error)"])
        }
    }
}

/// Runs a closure again and again on a thread of its own.
final class Repeater: @unchecked Sendable {
    // All state is behind `condition`; `work` runs on the one thread that this starts.
    private let condition = NSCondition()
    private var isStopped = false
    private var isDone = false

    init(name: String, every seconds: Double, _ work: @escaping @Sendable () -> Void) {
        let thread = Thread { [self] in
            while pause(seconds) { work() }
            condition.lock()
            isDone = true
            condition.broadcast()
            condition.unlock()
        }
        thread.name = name
        thread.start()
    }

    /// Waits, and tells whether to go on.
    private func pause(_ seconds: Double) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        let deadline = Date(timeIntervalSinceNow: seconds)
        while !isStopped, condition.wait(until: deadline) {}
        return !isStopped
    }

    /// Returns once the closure runs no more.
    func stop() {
        condition.lock()
        isStopped = true
        condition.broadcast()
        while !isDone { condition.wait() }
        condition.unlock()
    }
}
