import Foundation
import Tenancy
import Testing

@testable import Metering

/// Rows of deleted caches are used again, and never while anything could still be counted in them.
@Suite struct RowReuseTests {
    private let cache = CacheID(rawValue: 1)

    @Test func retiredRowIsReusedOnlyWhenReleasedAndFolded() throws {
        let directory = try DataDirectory()
        let process = try Metered(directory)
        let row = try process.row()
        row.add(.calls, 5)
        process.counters.retire(cache: cache)
        for _ in 0..<4 { try process.ledger.fold(now: process.clock.now()) }
        #expect(process.counters.rowCounts.used == 1, "its lane may still add")

        row.add(.calls, 2)
        process.counters.release(cache: cache, lane: 0)
        #expect(process.counters.rowCounts.used == 1, "its last counts are not folded")
        try process.ledger.fold(now: process.clock.now())
        #expect(process.counters.rowCounts.used == 0)
        #expect(try process.totals()[cache]?[Meter.calls.rawValue] == 7)
    }

    @Test func releaseByAnotherLaneDoesNotFreeTheRow() throws {
        let directory = try DataDirectory()
        let process = try Metered(directory)
        _ = try process.row(lane: 0)
        process.counters.retire(cache: cache)
        process.counters.release(cache: cache, lane: 1)
        try process.ledger.fold(now: process.clock.now())
        #expect(process.counters.rowCounts.used == 1)
    }

    @Test func lateCallTakesTheRetiredRowUpAgain() throws {
        let directory = try DataDirectory()
        let process = try Metered(directory)
        let row = try process.row()
        process.counters.retire(cache: cache)
        process.counters.release(cache: cache, lane: 0)
        let late = try process.row()
        #expect(late.cells == row.cells)
        late.add(.calls, 1)
        try process.ledger.fold(now: process.clock.now())
        #expect(process.counters.rowCounts.used == 1)
        process.counters.release(cache: cache, lane: 0)
        try process.ledger.fold(now: process.clock.now())
        #expect(process.counters.rowCounts.used == 0)
        #expect(try process.totals()[cache]?[Meter.calls.rawValue] == 1)
    }

    @Test func rowTakenUpOrCountedInDuringAFoldIsNotFreed() throws {
        for step in FoldStep.allCases where step != .freed {
            let directory = try DataDirectory()
            let process = try Metered(directory)
            let row = try process.row()
            row.add(.calls, 1)
            process.counters.retire(cache: cache)
            process.counters.release(cache: cache, lane: 0)
            _ = try process.ledger.fold(now: process.clock.now()) {
                if $0 == step { _ = try process.row() }
            }
            #expect(process.counters.rowCounts.used == 1, "\(step)")
            row.add(.calls, 4)
            process.counters.release(cache: cache, lane: 0)
            _ = try process.ledger.fold(now: process.clock.now()) {
                // A whole late call, after this fold has read the row unless it is the first step.
                guard $0 == step else { return }
                try process.row().add(.calls, 2)
                process.counters.release(cache: cache, lane: 0)
            }
            #expect(process.counters.rowCounts.used == (step == .dated ? 0 : 1), "\(step)")
            try process.ledger.fold(now: process.clock.now())
            #expect(process.counters.rowCounts.used == 0)
            #expect(try process.totals()[cache]?[Meter.calls.rawValue] == 7)
        }
    }

    @Test func nextLifeOfARowHasNewSerialAndStartsFromZero() throws {
        let directory = try DataDirectory()
        let process = try Metered(directory)
        var serials = Set<UInt64>()
        // More lives than there are slots, so every slot is used again.
        for life in 1...300 as ClosedRange<UInt64> {
            for cache in (life * 100)..<(life * 100 + 10) {
                let row = try process.row(cache: cache)
                #expect(row.values == MeterValues())
                row.add(.calls, cache)
            }
            for slot in process.counters.slots() where slot.serial != 0 { serials.insert(slot.serial) }
            try process.ledger.fold(now: process.clock.now())
            for cache in (life * 100)..<(life * 100 + 10) {
                process.counters.retire(cache: CacheID(rawValue: cache))
                process.counters.release(cache: CacheID(rawValue: cache), lane: 0)
            }
        }
        #expect(serials.count == 3_000)
        #expect(process.counters.rowCounts.capacity == 1_024)
        let totals = try process.totals()
        #expect(totals.count == 3_000)
        for (cache, values) in totals { #expect(values[Meter.calls.rawValue] == cache.rawValue) }
    }

    @Test func restartFreesRowsOfCachesThatAreNoMore() throws {
        let directory = try DataDirectory()
        var process: Metered? = try Metered(directory)
        for cache in 1...4 as ClosedRange<UInt64> { try process?.row(cache: cache).add(.calls, cache) }
        process = nil

        let next = try Metered(directory)
        next.counters.retire { $0.rawValue % 2 == 0 }
        try next.ledger.fold(now: next.clock.now())
        #expect(next.counters.rowCounts.used == 2)
        #expect(try next.totals().mapValues { $0[Meter.calls.rawValue] }.values.sorted() == [1, 2, 3, 4])
    }

    @Test func retirementSurvivesTheProcess() throws {
        let directory = try DataDirectory()
        var process: Metered? = try Metered(directory)
        try process?.row().add(.calls, 3)
        process?.counters.retire(cache: cache)
        process = nil
        let next = try Metered(directory)
        try next.ledger.fold(now: next.clock.now())
        #expect(next.counters.rowCounts.used == 0)
        #expect(try next.totals()[cache]?[Meter.calls.rawValue] == 3)
    }
}
