import Tenancy

/// The length of a usage row's window. Windows are cut in UTC.
package enum UsageWindow: String, CaseIterable, Sendable {
    case minute
    case hour
    case day

    package var seconds: Int64 { minutes * 60 }

    var minutes: Int64 {
        switch self {
        case .minute: 1
        case .hour: 60
        case .day: 1440
        }
    }

    /// How many minutes of the ledger one step of a query sums up at most, so that no page costs more than its rows.
    var minutesPerStep: Int64 {
        switch self {
        case .minute: 60
        case .hour, .day: 1440
        }
    }
}

/// Which usage to show.
package struct UsageQuery: Sendable {
    /// Rows of one page at most, whatever ``limit`` asks for.
    package static let maximumLimit = 10_000
    package static let maximumCaches = 1_000

    /// nil for all tenants.
    package var tenant: TenantID?
    /// nil for all caches; an empty list for none.
    package var caches: [CacheID]?
    package var door: Door?
    /// Rounded down to the start of its window.
    package var from: Timestamp
    /// Rounded up: the first instant that is not asked for. So every row shown is a whole window, or the open one.
    package var to: Timestamp
    package var window: UsageWindow
    package var limit: Int
    /// From the page before, for the same query.
    package var nextToken: String?

    package init(
        tenant: TenantID? = nil, caches: [CacheID]? = nil, door: Door? = nil, from: Timestamp, to: Timestamp,
        window: UsageWindow = .minute, limit: Int = 1_000, nextToken: String? = nil
    ) {
        self.tenant = tenant
        self.caches = caches
        self.door = door
        self.from = from
        self.to = to
        self.window = window
        self.limit = limit
        self.nextToken = nextToken
    }
}

/// What one cache of one tenant used through one door in one window. Windows without usage have no row.
package struct UsageRow: Equatable, Sendable {
    package let tenant: TenantID
    package let cache: CacheID
    package let door: Door
    package let start: Timestamp
    /// By the raw value of ``Meter``.
    package let values: [UInt64]

    package init(tenant: TenantID, cache: CacheID, door: Door, start: Timestamp, values: [UInt64]) {
        self.tenant = tenant
        self.cache = cache
        self.door = door
        self.start = start
        self.values = values
    }

    package subscript(meter: Meter) -> UInt64 {
        meter.rawValue < values.count ? values[meter.rawValue] : 0
    }
}

/// A page of usage rows, ordered by start, tenant, cache and door.
package struct UsagePage: Equatable, Sendable {
    package let rows: [UsageRow]
    /// Asks for the next page; nil on the last.
    package let nextToken: String?

    package init(rows: [UsageRow], nextToken: String?) {
        self.rows = rows
        self.nextToken = nextToken
    }
}

/// The last row of a page, after which the next one begins. Its text names nothing that the row did not show.
struct UsagePosition: Equatable {
    let minute: Int64
    let tenant: Int64
    let cache: Int64
    let door: Int64

    init(minute: Int64, tenant: Int64, cache: Int64, door: Int64) {
        self.minute = minute
        self.tenant = tenant
        self.cache = cache
        self.door = door
    }

    var token: String { "\(minute).\(tenant).\(cache).\(door)" }

    init(token: String) throws(MartletError) {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false).map { Int64($0) }
        guard parts.count == 4, let minute = parts[0], let tenant = parts[1], let cache = parts[2], let door = parts[3]
        else { throw .invalidArgument(field: "next_token", reason: "is not one that this call gave") }
        self.init(minute: minute, tenant: tenant, cache: cache, door: door)
    }
}
