import Foundation
import GRDB
import Tenancy
import Testing

@testable import Metering

@Suite struct LedgerTests {
    private let cache = CacheID(rawValue: 1)

    @Test func foldAddsWhatWasCountedSinceTheLastOne() throws {
        let directory = try DataDirectory()
        let process = try Metered(directory)
        let row = try process.row()
        row.add(.calls, 2)
        #expect(try process.ledger.fold(now: process.clock.now()).changedRows == 1)
        #expect(try process.ledger.fold(now: process.clock.now()).changedRows == 0)
        row.add(.calls, 3)
        row.add(.bytesIn, 100)
        try process.ledger.fold(now: process.clock.now())
        let rows = try process.rows()
        #expect(rows.count == 1)
        #expect(rows.first?[.calls] == 5)
        #expect(rows.first?[.bytesIn] == 100)
        #expect(rows.first?[.bytesOut] == 0)
    }

    @Test func lanesOfOneCacheAreOneRow() throws {
        let directory = try DataDirectory()
        let process = try Metered(directory)
        for lane in 0..<8 { try process.row(lane: lane).add(.hits, UInt64(lane)) }
        let rows = try process.rows()
        #expect(rows.count == 1)
        #expect(rows.first?[.hits] == 28)
    }

    @Test func usageGoesIntoTheMinuteOfItsFold() throws {
        let directory = try DataDirectory()
        let clock = ManualClock(Timestamp(seconds: 1_700_000_040))  // A whole minute.
        let process = try Metered(directory, clock: clock)
        let row = try process.row()
        clock.advance(milliseconds: 59_999)
        row.add(.calls, 1)
        try process.ledger.fold(now: clock.now())
        clock.advance(milliseconds: 1)
        row.add(.calls, 2)
        try process.ledger.fold(now: clock.now())
        clock.advance(milliseconds: 60_000)
        row.add(.calls, 4)
        let rows = try process.rows()
        #expect(rows.map(\.start.seconds) == [1_700_000_040, 1_700_000_100, 1_700_000_160])
        #expect(rows.map { $0[.calls] } == [1, 2, 4])
    }

    @Test func whatAKilledProcessLeftIsDatedByItsLastFold() throws {
        let directory = try DataDirectory()
        let clock = ManualClock(Timestamp(seconds: 1_700_000_040))
        let process = try Metered(directory, clock: clock)
        let row = try process.row()
        clock.advance(milliseconds: 61_000)
        try process.ledger.fold(now: clock.now())
        row.add(.calls, 9)

        let left = try directory.copy()
        let next = try Metered(left, clock: ManualClock(Timestamp(seconds: 1_700_500_000)))
        #expect(next.ledger.recovery.changedRows == 1)
        #expect(next.ledger.recovery.window == Timestamp(seconds: 1_700_000_100))
        let rows = try next.rows()
        #expect(rows.map(\.start.seconds) == [1_700_000_100])
        #expect(rows.first?[.calls] == 9)
    }

    @Test func lastFoldInTheFutureDatesNothingIntoTheFuture() throws {
        let directory = try DataDirectory()
        let process = try Metered(directory, clock: ManualClock(Timestamp(seconds: 1_800_000_000)))
        try process.row().add(.calls, 1)
        let next = try Metered(try directory.copy(), clock: ManualClock(Timestamp(seconds: 1_700_000_040)))
        #expect(try next.rows().map(\.start.seconds) == [1_700_000_040])
    }

    @Test func idleFoldWritesNothingToTheDatabase() throws {
        let directory = try DataDirectory()
        let process = try Metered(directory)
        try process.row().add(.calls, 1)
        try process.ledger.fold(now: process.clock.now())
        let before = try process.ledger.database.read { try Int.fetchOne($0, sql: "PRAGMA data_version") }
        var steps: [FoldStep] = []
        _ = try process.ledger.fold(now: process.clock.now()) { steps.append($0) }
        #expect(steps == [.dated, .counted])
        #expect(try process.ledger.database.read { try Int.fetchOne($0, sql: "PRAGMA data_version") } == before)
    }

    @Test func filesAreTheOwnersAloneAndFullySynchronous() throws {
        let directory = try DataDirectory()
        let process = try Metered(directory)
        try process.row().add(.calls, 1)
        try process.ledger.fold(now: process.clock.now())
        for name in try FileManager.default.contentsOfDirectory(atPath: directory.url.path) {
            var facts = stat()
            #expect(stat(directory.url.appendingPathComponent(name).path, &facts) == 0)
            #expect(facts.st_mode & 0o077 == 0, "\(name)")
        }
        let (synchronous, journal) = try process.ledger.database.writeWithoutTransaction { database in
            (
                try Int.fetchOne(database, sql: "PRAGMA synchronous"),
                try String.fetchOne(database, sql: "PRAGMA journal_mode")
            )
        }
        #expect(synchronous == 2)
        #expect(journal == "wal")
    }

    // MARK: Failure and damage

    @Test func fullDatabaseLosesNothing() throws {
        let directory = try DataDirectory()
        let process = try Metered(directory)
        var expected: UInt64 = 0
        try process.ledger.database.writeWithoutTransaction { database in
            let pages = try Int.fetchOne(database, sql: "PRAGMA page_count") ?? 0
            _ = try Int.fetchOne(database, sql: "PRAGMA max_page_count = \(pages)")
        }
        for cache in 1...500 as ClosedRange<UInt64> {
            try process.row(cache: cache).add(.calls, cache)
            expected += cache
        }
        #expect {
            try process.ledger.fold(now: process.clock.now())
        } throws: { error in
            guard case .cannotWrite = error as? LedgerError else { return false }
            return "\(error)".contains("full")
        }
        #expect(throws: MartletError.self) { try process.rows() }
        try process.row(cache: 1).add(.calls, 1_000)
        expected += 1_000
        try process.ledger.database.writeWithoutTransaction { database in
            _ = try Int.fetchOne(database, sql: "PRAGMA max_page_count = 1000000")
        }
        #expect(try process.totals().values.reduce(0) { $0 + $1[Meter.calls.rawValue] } == expected)
    }

    @Test func counterBelowItsFoldedValueIsReportedOnceAndNeverBilled() throws {
        let directory = try DataDirectory()
        let process = try Metered(directory)
        let row = try process.row()
        row.add(.calls, 100)
        row.add(.hits, 100)
        try process.ledger.fold(now: process.clock.now())
        row.add(.calls, UInt64.max - 59)  // Back to 40.
        row.add(.hits, 1)
        let report = try process.ledger.fold(now: process.clock.now())
        #expect(report.damage.map(\.meter) == [.calls])
        #expect(report.damage.first?.folded == 100)
        #expect(report.damage.first?.found == 40)
        #expect(try process.ledger.fold(now: process.clock.now()).damage.isEmpty)
        row.add(.calls, 5)
        let totals = try process.totals()[cache]
        #expect(totals?[Meter.calls.rawValue] == 105)
        #expect(totals?[Meter.hits.rawValue] == 101)
    }

    @Test func impossibleJumpIsDamage() throws {
        let directory = try DataDirectory()
        let process = try Metered(directory)
        let row = try process.row()
        row.add(.bytesIn, 1 << 60)
        #expect(try process.ledger.fold(now: process.clock.now()).damage.map(\.meter) == [.bytesIn])
        #expect(try process.totals()[cache]?[Meter.bytesIn.rawValue] ?? 0 == 0)
    }

    @Test func lostCounterFileStartsANewGeneration() throws {
        let directory = try DataDirectory()
        var process: Metered? = try Metered(directory)
        try process?.row().add(.calls, 5)
        try process?.ledger.fold(now: Timestamp(seconds: 1_700_000_040))
        process = nil
        try FileManager.default.removeItem(atPath: directory.counters)
        let next = try Metered(directory)
        try next.row().add(.calls, 2)
        #expect(try next.totals()[cache]?[Meter.calls.rawValue] == 7)
    }

    @Test func serialsStayAboveThoseThatTheLedgerKnows() throws {
        let directory = try DataDirectory()
        var process: Metered? = try Metered(directory)
        for cache in 1...5 as ClosedRange<UInt64> { try process?.row(cache: cache).add(.calls, 1) }
        try process?.ledger.fold(now: Timestamp(seconds: 1_700_000_040))
        process = nil
        // A power cut that took the rows and the header's latest serial, but not the ledger's transaction.
        try directory.overwriteCounters(
            at: MeterFileLayout.headerBytes, with: Array(repeating: 0, count: 5 * MeterFileLayout.rowBytes))
        try directory.overwriteCounters(at: MeterFileLayout.Header.nextSerial, with: [1, 0, 0, 0, 0, 0, 0, 0])
        let next = try Metered(directory)
        try next.row(cache: 9).add(.calls, 3)
        #expect(next.counters.slots().first?.serial == 6)
        #expect(try next.totals()[CacheID(rawValue: 9)]?[Meter.calls.rawValue] == 3)
    }

    @Test func damagedLedgerIsOneSentence() throws {
        for content in [Data(repeating: 0x41, count: 8_192), Data("SQLite format 3\0".utf8) + Data(count: 8_000)] {
            let directory = try DataDirectory()
            try content.write(to: URL(fileURLWithPath: directory.ledger))
            #expect {
                try Metered(directory)
            } throws: { error in
                guard case .damaged = error as? LedgerError else { return false }
                return "\(error)".hasPrefix("the ledger \(directory.ledger) is damaged: ")
            }
        }
    }

    @Test func otherDatabasesAndNewerLedgersAreRefused() throws {
        let other = try DataDirectory()
        try DatabaseQueue(path: other.ledger).write { try $0.execute(sql: "CREATE TABLE people (name TEXT)") }
        #expect {
            try Metered(other)
        } throws: { error in
            guard case .damaged = error as? LedgerError else { return false }
            return true
        }

        let newer = try DataDirectory()
        _ = try Metered(newer)
        try DatabaseQueue(path: newer.ledger).write {
            try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('v99')")
        }
        #expect(throws: LedgerError.newerVersion(path: newer.ledger)) { try Metered(newer) }
    }

    @Test func ledgerThatCannotBeMadeIsOneSentence() throws {
        let directory = try DataDirectory()
        let counters = try MeterFile(path: directory.counters)
        let path = directory.url.path + "/missing/ledger.sqlite"
        #expect(throws: LedgerError.cannotOpen(path: path, reason: "No such file or directory")) {
            try Ledger(path: path, counters: counters, clock: ManualClock())
        }
    }
}
