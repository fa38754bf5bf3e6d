import Foundation
import GRDB
import Tenancy
import Testing

@testable import Metering

/// A data directory that a Martlet with sixteen meters wrote. Everything here is written out as that one wrote it, and
/// nothing is taken from the sources: they may change, those files do not.
private struct Version1 {
    /// A row as the counter file has it.
    struct Row {
        var state: UInt64 = 0x4C49_5645_524F_5731
        var serial: UInt64
        var tenant: UInt64 = 1
        var cache: UInt64
        var door: UInt64 = 1
        var lane: UInt64 = 0
        var cells: [UInt64]
    }

    static let retired: UInt64 = 0x5245_5449_5245_4431
    let generation: UInt64 = 0x1234_5678_9ABC_DEF0
    let columns = [
        "operations", "bytes_in", "bytes_out", "calls", "hits", "misses", "client_errors", "throttled",
        "server_errors", "request_chunks", "response_chunks", "conditional_operations", "elements_in", "elements_out",
        "publishes", "deliveries",
    ]

    func checksum(_ words: [UInt64]) -> UInt64 {
        var state: UInt64 = 0x6D61_7274_6C65_7431
        for word in words {
            state = (state ^ word) &* 0x9E37_79B9_7F4A_7C15
            state ^= state >> 29
        }
        state = state &* 0xBF58_476D_1CE4_E5B9
        return state ^ (state >> 32)
    }

    func counters(_ rows: [Row], nextSerial: UInt64, lastAlive: UInt64) -> Data {
        var words = [UInt64](repeating: 0, count: (65_536 + 1_024 * 256) / 8)
        let magic: UInt64 = 0x5254_454D_4C54_524D
        let format: UInt64 = 256 << 32 | 1
        words.replaceSubrange(
            0..<7,
            with: [magic, format, generation, checksum([magic, format, generation]), 1_024, nextSerial, lastAlive])
        for (index, row) in rows.enumerated() {
            let start = (65_536 + index * 256) / 8
            let identity = [row.serial, row.tenant, row.cache, row.door << 32 | row.lane]
            words.replaceSubrange(
                start..<(start + 6),
                with: [row.state] + identity + [checksum([generation, UInt64(index)] + identity)])
            words.replaceSubrange((start + 16)..<(start + 32), with: row.cells)
        }
        return words.withUnsafeBytes { Data($0) }
    }

    /// The ledger with the values of each row that are folded, all in one minute.
    func writeLedger(at path: String, folded: [(serial: UInt64, cache: UInt64, values: [UInt64])]) throws {
        let values = columns.map { "\($0) INTEGER NOT NULL" }.joined(separator: ", ")
        var migrator = DatabaseMigrator()
        migrator.registerMigration("v1") { database in
            try database.execute(
                sql: """
                    PRAGMA application_id = 1296843847;
                    CREATE TABLE usage (
                        tenant INTEGER NOT NULL, minute INTEGER NOT NULL, cache INTEGER NOT NULL,
                        door INTEGER NOT NULL, \(values), PRIMARY KEY (tenant, minute, cache, door)
                    ) STRICT, WITHOUT ROWID;
                    CREATE INDEX usage_by_minute ON usage (minute);
                    CREATE INDEX usage_by_cache ON usage (cache, minute);
                    CREATE TABLE folded (
                        generation INTEGER NOT NULL, serial INTEGER NOT NULL, \(values),
                        PRIMARY KEY (generation, serial)
                    ) STRICT, WITHOUT ROWID;
                    """)
        }
        let database = try DatabasePool(path: path)
        try migrator.migrate(database)
        try database.write { database in
            for row in folded {
                let list = row.values.map(String.init).joined(separator: ", ")
                try database.execute(
                    sql: "INSERT INTO folded VALUES (\(Int64(bitPattern: generation)), \(row.serial), \(list))")
                try database.execute(sql: "INSERT INTO usage VALUES (1, 28333330, \(row.cache), 1, \(list))")
            }
        }
    }
}

@Suite struct TakeOverTests {
    private let version1 = Version1()

    /// Every cell with a number that tells the cell.
    private func cells(_ base: UInt64) -> [UInt64] { (0..<16).map { base + $0 } }

    /// Three caches: one with counts beyond the ledger's, one folded to the end, one deleted with its last counts not
    /// yet folded.
    private func written() throws -> DataDirectory {
        let directory = try DataDirectory()
        let rows = [
            Version1.Row(serial: 4, cache: 1, cells: cells(1_000)),
            Version1.Row(serial: 7, cache: 2, lane: 3, cells: cells(2_000)),
            Version1.Row(state: Version1.retired, serial: 5, cache: 3, cells: cells(3_000)),
        ]
        try version1.counters(rows, nextSerial: 8, lastAlive: 1_700_000_000_000)
            .write(to: URL(fileURLWithPath: directory.counters))
        try version1.writeLedger(
            at: directory.ledger,
            folded: [
                (4, 1, (0..<16).map { 1_000 + $0 - 10 }), (7, 2, cells(2_000)), (5, 3, (0..<16).map { 3_000 + $0 - 1 }),
            ])
        return directory
    }

    private func expected(_ base: UInt64, subscription: UInt64 = 0) -> [UInt64] { cells(base) + [subscription] }

    @Test func everyCountIsKeptAndBilledOnce() throws {
        let directory = try written()
        var process: Metered? = try Metered(directory)
        #expect(process?.counters.generation == version1.generation)
        #expect(process?.ledger.recovery.changedRows == 2)
        #expect(process?.ledger.recovery.damage == [])
        for _ in 0..<3 {
            let totals = try #require(try process?.totals())
            #expect(totals[CacheID(rawValue: 1)] == expected(1_000))
            #expect(totals[CacheID(rawValue: 2)] == expected(2_000))
            #expect(totals[CacheID(rawValue: 3)] == expected(3_000))
            process = nil
            process = try Metered(directory)
            #expect(process?.ledger.recovery.changedRows == 0)
        }
    }

    @Test func rowsAreFoundAgainAndCountOn() throws {
        let directory = try written()
        let process = try Metered(directory)
        let row = try process.row(lane: 3, cache: 2)
        #expect(row.count(of: .operations) == 2_000)
        #expect(row.count(of: .subscriptionMilliseconds) == 0)
        row.add(.subscriptionMilliseconds, 750)
        row.add(.deliveries, 1)
        try process.ledger.fold(now: process.clock.now())
        row.add(.subscriptionMilliseconds, 250)

        let next = try Metered(try directory.copy())
        var total = expected(2_000, subscription: 1_000)
        total[Meter.deliveries.rawValue] += 1
        #expect(try next.totals()[CacheID(rawValue: 2)] == total)
        #expect(try next.row(cache: 9).values == MeterValues())
        #expect(next.counters.slots().map(\.serial).max() == 8, "serials go on")
    }

    @Test func fileThatWasTakenOverIsOneOfThePresentVersion() throws {
        let directory = try written()
        _ = try MeterFile(path: directory.counters)
        #expect(try directory.byte(ofCountersAt: 8) == 2)
        let content = try Data(contentsOf: URL(fileURLWithPath: directory.counters))
        _ = try MeterFile(path: directory.counters)
        #expect(try Data(contentsOf: URL(fileURLWithPath: directory.counters)) == content)
    }

    /// The header is changed word by word, and a process may die between any two stores.
    @Test func takeOverThatWasCutOffIsFinished() throws {
        let old = try written()
        let taken = try old.copy()
        _ = try MeterFile(path: taken.counters)
        let before = try Data(contentsOf: URL(fileURLWithPath: old.counters))
        let after = try Data(contentsOf: URL(fileURLWithPath: taken.counters))
        let changed = stride(from: 0, to: before.count, by: 8)
            .filter { before[$0..<($0 + 8)] != after[$0..<($0 + 8)] }
        #expect(changed == [8, 24], "the version and the checksum, and not a word more")

        try old.overwriteCounters(at: 24, with: Array(after[24..<32]))
        let process = try Metered(old)
        #expect(try process.totals()[CacheID(rawValue: 1)] == expected(1_000))
        #expect(try Data(contentsOf: URL(fileURLWithPath: old.counters))[0..<32] == after[0..<32])
    }

    /// The counter file is taken over before the ledger is: a process may die in between.
    @Test func ledgerFollowsLater() throws {
        let directory = try written()
        _ = try MeterFile(path: directory.counters)
        let process = try Metered(directory)
        #expect(try process.totals()[CacheID(rawValue: 1)] == expected(1_000))
    }

    @Test func whatLayInTheUnusedWordsIsNoUsage() throws {
        let directory = try written()
        try directory.overwriteCounters(at: 65_536 + 64, with: Array(repeating: 0x11, count: 64))
        try directory.overwriteCounters(at: 65_536 + 256 * 900 + 64, with: Array(repeating: 0x11, count: 64))
        let process = try Metered(directory)
        #expect(process.ledger.recovery.damage.isEmpty)
        #expect(try process.totals()[CacheID(rawValue: 1)] == expected(1_000))
        for slot in process.counters.slots() {
            #expect(slot.row.count(of: .subscriptionMilliseconds) == 0)
        }
    }

    @Test func damagedFileIsRefusedAndLeftAsItIs() throws {
        for offset in Array(8..<32) + Array(65_536..<65_584) {
            let directory = try written()
            let original = try directory.byte(ofCountersAt: offset)
            try directory.overwriteCounters(at: offset, with: [original ^ 0x10])
            let damaged = try Data(contentsOf: URL(fileURLWithPath: directory.counters))
            #expect(throws: MeterFileError.self) { try MeterFile(path: directory.counters) }
            #expect(try Data(contentsOf: URL(fileURLWithPath: directory.counters)) == damaged)
        }
    }
}
