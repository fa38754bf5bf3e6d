import GRDB
import Tenancy
import Testing

@testable import Metering

@Suite struct UsageTests {
    /// Two tenants, three caches, two doors, one count a minute for three hours.
    private func filled() throws -> (DataDirectory, Metered) {
        let directory = try DataDirectory()
        let clock = ManualClock(Timestamp(seconds: 1_699_999_200))  // A whole hour, 22:00 UTC.
        let process = try Metered(directory, clock: clock)
        for _ in 0..<180 {
            try process.row(tenant: 1, cache: 1, door: .rest).add(.calls, 1)
            try process.row(tenant: 1, cache: 2, door: .resp).add(.calls, 2)
            try process.row(tenant: 2, cache: 3, door: .rest).add(.calls, 3)
            try process.ledger.fold(now: clock.now())
            clock.advance(milliseconds: 60_000)
        }
        return (directory, process)
    }

    @Test func windowsSumUpTheirMinutes() throws {
        let (_, process) = try filled()
        #expect(try process.rows(window: .minute).count == 540)
        let hours = try process.rows(window: .hour, caches: [CacheID(rawValue: 2)])
        #expect(hours.map(\.start.seconds) == [1_699_999_200, 1_700_002_800, 1_700_006_400])
        #expect(hours.map { $0[.calls] } == [120, 120, 120])
        let days = try process.rows(window: .day, tenant: TenantID(rawValue: 2))
        #expect(days.map(\.start.seconds) == [1_699_920_000, 1_700_006_400])
        #expect(days.map { $0[.calls] } == [360, 180])
    }

    @Test func filtersAreMetTogether() throws {
        let (_, process) = try filled()
        #expect(try process.rows(window: .day, tenant: TenantID(rawValue: 1)).allSatisfy { $0.tenant.rawValue == 1 })
        #expect(try process.rows(window: .day, door: .resp).allSatisfy { $0.cache.rawValue == 2 && $0.door == .resp })
        #expect(try process.rows(tenant: TenantID(rawValue: 1), caches: [CacheID(rawValue: 3)]).isEmpty)
        #expect(try process.rows(caches: []).isEmpty)
    }

    @Test(arguments: [1, 2, 3, 7, 179, 539, 540, 541])
    func pagesShowEveryRowOnceInOrder(limit: Int) throws {
        let (_, process) = try filled()
        let whole = try process.rows(window: .minute)
        #expect(try process.rows(window: .minute, limit: limit) == whole)
        let hours = try process.rows(window: .hour)
        #expect(try process.rows(window: .hour, limit: limit) == hours)
        let keys = whole.map { [$0.start.milliseconds, Int64($0.tenant.rawValue), Int64($0.cache.rawValue)] }
        #expect(keys == keys.sorted { $0.lexicographicallyPrecedes($1) })
    }

    @Test func lastPageHasNoToken() throws {
        let (_, process) = try filled()
        var query = UsageQuery(
            from: Timestamp(seconds: 1_699_999_200), to: Timestamp(seconds: 1_700_010_000), limit: 540)
        #expect(try process.ledger.usage(query).nextToken == nil)
        query.limit = 539
        let page = try process.ledger.usage(query)
        #expect(page.rows.count == 539)
        let token: String = try #require(page.nextToken)
        query.nextToken = token
        let rest = try process.ledger.usage(query)
        #expect(rest.rows.count == 1)
        #expect(rest.nextToken == nil)
    }

    @Test func rangeIsRoundedOutToWholeWindows() throws {
        let (_, process) = try filled()
        func starts(_ from: Int64, _ to: Int64, _ window: UsageWindow) throws -> [Int64] {
            try process.ledger.usage(
                UsageQuery(
                    caches: [CacheID(rawValue: 1)], from: Timestamp(milliseconds: from),
                    to: Timestamp(milliseconds: to),
                    window: window)
            ).rows.map(\.start.milliseconds)
        }
        let base: Int64 = 1_699_999_200_000
        #expect(try starts(base, base + 60_000, .minute) == [base])
        #expect(try starts(base, base + 60_001, .minute) == [base, base + 60_000])
        #expect(try starts(base + 59_999, base + 60_000, .minute) == [base])
        #expect(try starts(base + 1_000_000, base + 1_000_001, .hour) == [base])
        #expect(try starts(0, base, .minute).isEmpty)
        #expect(try starts(Int64.min, Int64.max, .day).count == 2)
    }

    @Test func openMinuteIsIncluded() throws {
        let directory = try DataDirectory()
        let process = try Metered(directory)
        try process.row().add(.calls, 1)
        #expect(try process.rows().first?[.calls] == 1)
        try process.row().add(.calls, 1)
        #expect(try process.rows().first?[.calls] == 2)
    }

    @Test func badQueriesNameTheirField() throws {
        let directory = try DataDirectory()
        let process = try Metered(directory)
        let valid = UsageQuery(from: Timestamp(seconds: 0), to: Timestamp(seconds: 60))
        func field(_ change: (inout UsageQuery) -> Void) -> String? {
            var query = valid
            change(&query)
            do {
                _ = try process.ledger.usage(query)
                return nil
            } catch {
                return error.field
            }
        }
        #expect(field { _ in } == nil)
        #expect(field { $0.to = $0.from } == "to")
        #expect(field { $0.limit = 0 } == "limit")
        #expect(field { $0.limit = 10_001 } == "limit")
        #expect(field { $0.caches = Array(repeating: CacheID(rawValue: 1), count: 1_001) } == "cache")
        for token in ["", "x", "1.2.3", "1.2.3.4.5", "1.2.3.", "9223372036854775808.1.1.1", "1.2.3.4'--"] {
            #expect(field { $0.nextToken = token } == "next_token", "\(token)")
        }
        #expect(field { $0.nextToken = "\(Int64.min).-1.\(Int64.max).-9" } == nil)
        #expect(field { $0.nextToken = "\(Int64.max).-1.\(Int64.max).-9" } == nil)
    }

    /// The queries that a page is made of are answered from an index, whatever they filter by.
    @Test func noQueryScansTheWholeLedger() throws {
        let directory = try DataDirectory()
        let process = try Metered(directory)
        let tenants = [nil, TenantID(rawValue: 1)]
        let caches = [nil, [CacheID(rawValue: 1)], [CacheID(rawValue: 1), CacheID(rawValue: 2)]]
        for tenant in tenants {
            for caches in caches {
                let query = UsageQuery(
                    tenant: tenant, caches: caches, from: Timestamp(seconds: 0), to: Timestamp(seconds: 6_000))
                let (condition, arguments) = try UsagePlan(query, path: "").filter(from: 1, to: 2)
                for selected in ["min(minute)", "minute, sum(calls)"] {
                    let plan = try process.ledger.database.read { database in
                        try Row.fetchAll(
                            database, sql: "EXPLAIN QUERY PLAN SELECT \(selected) FROM usage WHERE \(condition)",
                            arguments: arguments
                        ).map { $0["detail"] as String }
                    }
                    #expect(!plan.isEmpty)
                    #expect(plan.allSatisfy { $0.hasPrefix("SEARCH usage USING") }, "\(condition): \(plan)")
                }
            }
        }
    }
}
