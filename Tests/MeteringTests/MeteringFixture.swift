import Foundation
import Tenancy

@testable import Metering

/// A data directory that goes with the object.
final class DataDirectory {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("metering-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: url)
    }

    var counters: String { url.appendingPathComponent("counters").path }
    var ledger: String { url.appendingPathComponent("ledger.sqlite").path }

    /// What a process that died this instant would leave behind.
    func copy() throws -> DataDirectory {
        let copy = try DataDirectory()
        // The shared-memory index of SQLite is rebuilt from the write-ahead log.
        for name in try FileManager.default.contentsOfDirectory(atPath: url.path) where !name.hasSuffix("-shm") {
            try FileManager.default.copyItem(
                at: url.appendingPathComponent(name), to: copy.url.appendingPathComponent(name))
        }
        return copy
    }

    func overwriteCounters(at offset: Int, with bytes: [UInt8]) throws {
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: counters))
        try handle.seek(toOffset: UInt64(offset))
        try handle.write(contentsOf: Data(bytes))
        try handle.close()
    }

    func byte(ofCountersAt offset: Int) throws -> UInt8 {
        let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: counters))
        defer { try? handle.close() }
        try handle.seek(toOffset: UInt64(offset))
        return try handle.read(upToCount: 1)?.first ?? 0
    }
}

/// The counter file and the ledger of one process.
struct Metered {
    let counters: MeterFile
    let ledger: Ledger
    let clock: ManualClock

    init(_ directory: DataDirectory, clock: ManualClock = ManualClock()) throws {
        self.clock = clock
        counters = try MeterFile(path: directory.counters)
        ledger = try Ledger(path: directory.ledger, counters: counters, clock: clock)
    }

    func row(lane: Int = 0, tenant: UInt64 = 1, cache: UInt64 = 1, door: Door = .rest) throws -> MeterRow {
        try counters.row(
            lane: lane, tenant: TenantID(rawValue: tenant), cache: CacheID(rawValue: cache), door: door)
    }

    /// Everything that the ledger has, per cache and meter.
    func totals(window: UsageWindow = .day) throws -> [CacheID: [UInt64]] {
        var totals: [CacheID: [UInt64]] = [:]
        for row in try rows(window: window) {
            for meter in Meter.allCases {
                totals[row.cache, default: Array(repeating: 0, count: Meter.count)][meter.rawValue] += row[meter]
            }
        }
        return totals
    }

    func rows(
        window: UsageWindow = .minute, tenant: TenantID? = nil, caches: [CacheID]? = nil, door: Door? = nil,
        limit: Int = 1_000
    ) throws -> [UsageRow] {
        var query = UsageQuery(
            tenant: tenant, caches: caches, door: door, from: Timestamp(seconds: 0), to: Timestamp(seconds: 1 << 40),
            window: window, limit: limit)
        var rows: [UsageRow] = []
        repeat {
            let page = try ledger.usage(query)
            rows += page.rows
            query.nextToken = page.nextToken
        } while query.nextToken != nil
        return rows
    }
}

/// A small generator whose seed can be printed and played again (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }
}
