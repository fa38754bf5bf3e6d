import Foundation
import Synchronization
import Tenancy
import Testing

@testable import Metering

/// Whatever instant the process dies at, the ledger ends up with what was counted: not more, not less.
@Suite struct ExactlyOnceTests {
    private struct Stop: Error {}

    private final class Lanes: Sendable {
        let finished = Atomic<Int>(0)
    }

    /// What was added, to compare with.
    private struct Model {
        var totals: [CacheID: [UInt64]] = [:]

        var billed: [CacheID: [UInt64]] { totals.filter { $0.value.contains { $0 > 0 } } }

        mutating func add(_ meter: Meter, _ amount: UInt64, to cache: CacheID) {
            totals[cache, default: Array(repeating: 0, count: Meter.count)][meter.rawValue] += amount
        }
    }

    /// Random adds, folds, deletions of caches, interrupted folds and deaths. After each death the next process must
    /// find everything, and goes on.
    @Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
    func randomHistoryIsBilledExactlyOnce(seed: UInt64) throws {
        var random = SeededGenerator(state: seed)
        var directory = try DataDirectory()
        let clock = ManualClock()
        var process = try Metered(directory, clock: clock)
        var model = Model()
        var live: [UInt64] = [1, 2, 3]
        var nextCache: UInt64 = 4

        for step in 0..<400 {
            clock.advance(milliseconds: Int64.random(in: 0...20_000, using: &random))
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<70:
                guard let cache = live.randomElement(using: &random),
                    let meter = Meter.allCases.randomElement(using: &random),
                    let door = Door.allCases.randomElement(using: &random)
                else { continue }
                let amount = UInt64.random(in: 0...1_000_000, using: &random)
                try process.row(lane: Int.random(in: 0..<3, using: &random), cache: cache, door: door)
                    .add(meter, amount)
                model.add(meter, amount, to: CacheID(rawValue: cache))
            case 70..<82:
                try process.ledger.fold(now: clock.now())
            case 82..<88:
                // A cache is deleted, another made.
                guard let position = live.indices.randomElement(using: &random) else { continue }
                let cache = CacheID(rawValue: live[position])
                process.counters.retire(cache: cache)
                for lane in 0..<3 { process.counters.release(cache: cache, lane: lane) }
                live[position] = nextCache
                nextCache += 1
            case 88..<94:
                // A fold fails somewhere and the process lives on.
                guard let fault = FoldStep.allCases.randomElement(using: &random) else { continue }
                _ = try? process.ledger.fold(now: clock.now()) { if $0 == fault { throw Stop() } }
            default:
                // The process dies in the middle of a fold, or outside one.
                var left: DataDirectory?
                if let fault = (FoldStep.allCases + [nil]).randomElement(using: &random) ?? nil {
                    _ = try? process.ledger.fold(now: clock.now()) {
                        if $0 == fault { left = try directory.copy() }
                    }
                }
                directory = try left ?? directory.copy()
                process = try Metered(directory, clock: clock)
                #expect(process.ledger.recovery.damage.isEmpty)
                #expect(try process.totals() == model.billed, "seed \(seed), step \(step)")
            }
        }
        #expect(try process.totals() == model.billed, "seed \(seed)")
        #expect(process.counters.rowCounts.capacity == 1_024, "rows of deleted caches are used again")
    }

    @Test(arguments: FoldStep.allCases)
    func foldInterruptedAtAnyStepIsMadeUpByTheNext(step: FoldStep) throws {
        let directory = try DataDirectory()
        let process = try Metered(directory)
        let row = try process.row()
        row.add(.calls, 10)
        #expect(throws: LedgerError.self) {
            _ = try process.ledger.fold(now: process.clock.now()) { if $0 == step { throw Stop() } }
        }
        row.add(.calls, 5)
        try process.ledger.fold(now: process.clock.now())
        #expect(try process.totals()[CacheID(rawValue: 1)]?[Meter.calls.rawValue] == 15)
    }

    /// A real `kill -9` of a real process, between the steps of a fold.
    @Test(arguments: FoldStep.allCases)
    func processKilledAtAnyStepLosesNothing(step: FoldStep) async throws {
        let directory = try DataDirectory()
        await #expect(processExitsWith: .signal(SIGKILL)) {
            [counters = directory.counters as String, ledger = directory.ledger as String, step = step.rawValue as Int]
            in
            let file = try MeterFile(path: counters)
            let ledger = try Ledger(path: ledger, counters: file, clock: ManualClock())
            let row = try file.row(lane: 0, tenant: TenantID(rawValue: 1), cache: CacheID(rawValue: 1), door: .rest)
            for _ in 0..<500 { row.add(.calls, 1) }
            try ledger.fold(now: Timestamp(seconds: 1_700_000_040))
            for _ in 0..<500 { row.add(.calls, 1) }
            _ = try ledger.fold(now: Timestamp(seconds: 1_700_000_100)) {
                if $0.rawValue == step { kill(getpid(), SIGKILL) }
            }
        }
        let next = try Metered(directory)
        #expect(try next.totals()[CacheID(rawValue: 1)]?[Meter.calls.rawValue] == 1_000)
    }

    /// Threads count while another folds. Run under a thread sanitizer this also shows that both may.
    @Test func addsBesideFoldsAreAllCounted() async throws {
        let directory = try DataDirectory()
        let process = try Metered(directory)
        let perLane: UInt64 = 20_000
        let lanes = Lanes()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for lane in 0..<4 {
                let row = try process.row(lane: lane)
                group.addTask {
                    for _ in 0..<perLane { row.recordRead(keyBytes: 8, valueBytes: 100) }
                    lanes.finished.add(1, ordering: .releasing)
                }
            }
            let ledger = process.ledger
            group.addTask {
                var now = Timestamp(seconds: 1_700_000_040)
                while lanes.finished.load(ordering: .acquiring) < 4 {
                    try ledger.fold(now: now)
                    now = now.adding(milliseconds: 1_000)
                }
            }
            try await group.waitForAll()
        }
        let totals = try process.totals()[CacheID(rawValue: 1)]
        #expect(totals?[Meter.calls.rawValue] == 4 * perLane)
        #expect(totals?[Meter.bytesOut.rawValue] == 400 * perLane)
    }
}
