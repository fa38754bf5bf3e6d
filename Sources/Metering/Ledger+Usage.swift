import GRDB
import Tenancy

extension Ledger {
    /// One page of usage, the open window included: what was counted before this call is in it.
    ///
    /// Cost: a fold, and reading about as many minutes as the page sums up. It waits for the disk.
    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` for `from`, `to`, `limit`, `cache` or `next_token`;
    ///   ``MartletError/unavailable(_:)`` when the ledger cannot be brought up to date or read.
    package func usage(_ query: UsageQuery) throws(MartletError) -> UsagePage {
        let plan = try UsagePlan(query, path: path)
        do {
            try fold(now: clock.now())
        } catch {
            throw .unavailable("usage cannot be shown: \(error)")
        }
        do {
            return try database.read { try plan.page(in: $0) }
        } catch {
            throw .unavailable(
                "usage cannot be shown: \(LedgerError(error, path: path, otherwise: LedgerError.damaged))")
        }
    }
}

/// A query, validated, as steps over the ledger.
///
/// A page is put together from steps of an hour or a day of minutes, each of which the database sums up on its own, and
/// stretches without usage are jumped over by an index. So a query over years costs what its page costs.
struct UsagePlan {
    let query: UsageQuery
    let path: String
    let from: Int64
    let to: Int64
    let position: UsagePosition?

    init(_ query: UsageQuery, path: String) throws(MartletError) {
        guard query.from < query.to else {
            throw .invalidArgument(field: "to", reason: "must be later than from")
        }
        guard query.limit >= 1, query.limit <= UsageQuery.maximumLimit else {
            throw .invalidArgument(field: "limit", reason: "must be from 1 to \(UsageQuery.maximumLimit)")
        }
        guard (query.caches?.count ?? 0) <= UsageQuery.maximumCaches else {
            throw .invalidArgument(field: "cache", reason: "must name at most \(UsageQuery.maximumCaches) caches")
        }
        self.query = query
        self.path = path
        let minutes = query.window.minutes
        // Times are milliseconds in 64 bits, so minutes are far from where this arithmetic could overflow.
        from = Self.floor(query.from.minute, minutes)
        to = Self.floor(query.to.adding(milliseconds: -1).minute, minutes) + minutes
        if let token = query.nextToken {
            position = try UsagePosition(token: token)
        } else {
            position = nil
        }
    }

    static func floor(_ minute: Int64, _ unit: Int64) -> Int64 {
        let remainder = minute % unit
        return minute - (remainder < 0 ? remainder + unit : remainder)
    }

    func page(in database: Database) throws -> UsagePage {
        var rows: [UsageRow] = []
        var next = max(from, position.map { Self.floor(min($0.minute, to), query.window.minutes) } ?? from)
        let step = query.window.minutesPerStep
        while next < to, rows.count <= query.limit, let first = try firstMinute(in: database, from: next) {
            let start = Self.floor(first, query.window.minutes)
            let end = min(to, Self.floor(start, step) + step)
            try append(to: &rows, from: start, to: end, in: database)
            next = end
        }
        guard rows.count > query.limit else { return UsagePage(rows: rows, nextToken: nil) }
        // One row more than asked for tells that there is another page.
        rows.removeLast(rows.count - query.limit)
        let token = rows.last.map { last in
            UsagePosition(
                minute: last.start.minute, tenant: Int64(bitPattern: last.tenant.rawValue),
                cache: Int64(bitPattern: last.cache.rawValue), door: Int64(last.door.rawValue)
            ).token
        }
        return UsagePage(rows: rows, nextToken: token)
    }

    /// The first minute with usage that matches.
    private func firstMinute(in database: Database, from minute: Int64) throws -> Int64? {
        let (condition, arguments) = filter(from: minute, to: to)
        return try Int64.fetchOne(
            database, sql: "SELECT min(minute) FROM usage WHERE \(condition)", arguments: arguments)
    }

    private func append(to rows: inout [UsageRow], from: Int64, to: Int64, in database: Database) throws {
        var (condition, arguments) = filter(from: from, to: to)
        let minutes = query.window.minutes
        // Rounded down: the remainder of SQL has the sign of the dividend, as that of Swift.
        let start = "minute - ((minute % \(minutes)) + \(minutes)) % \(minutes)"
        if let position {
            condition += " AND (\(start), tenant, cache, door) > (?, ?, ?, ?)"
            arguments += [position.minute, position.tenant, position.cache, position.door]
        }
        let sums = LedgerSchema.columns.map { "sum(\($0))" }.joined(separator: ", ")
        let cursor = try Row.fetchCursor(
            database,
            sql: """
                SELECT \(start) AS start, tenant, cache, door, \(sums) FROM usage WHERE \(condition)
                GROUP BY start, tenant, cache, door ORDER BY start, tenant, cache, door
                LIMIT \(query.limit + 1 - rows.count)
                """,
            arguments: arguments)
        while let row = try cursor.next() {
            let number = row[3] as Int64
            guard let code = UInt8(exactly: number), let door = Door(rawValue: code) else {
                throw LedgerError.damaged(path: path, reason: "it names a door \(number)")
            }
            rows.append(
                UsageRow(
                    tenant: TenantID(rawValue: UInt64(bitPattern: row[1] as Int64)),
                    cache: CacheID(rawValue: UInt64(bitPattern: row[2] as Int64)),
                    door: door, start: Timestamp(seconds: (row[0] as Int64) * 60),
                    values: (0..<Meter.count).map { UInt64(bitPattern: row[$0 + 4] as Int64) }))
        }
    }

    func filter(from: Int64, to: Int64) -> (String, StatementArguments) {
        var condition = "minute >= ? AND minute < ?"
        var arguments: StatementArguments = [from, to]
        if let tenant = query.tenant {
            condition += " AND tenant = ?"
            arguments += [Int64(bitPattern: tenant.rawValue)]
        }
        if let caches = query.caches {
            condition += " AND cache IN (\(caches.map { _ in "?" }.joined(separator: ", ")))"
            arguments += StatementArguments(caches.map { Int64(bitPattern: $0.rawValue) })
        }
        if let door = query.door {
            condition += " AND door = ?"
            arguments += [Int64(door.rawValue)]
        }
        return (condition, arguments)
    }
}
