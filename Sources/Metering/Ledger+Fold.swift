import GRDB
import Synchronization
import Tenancy

extension Ledger {
    /// Adds what was counted since the last fold to the minute of `now`. Call it once a second: usage is shown at most
    /// that late, and dated at most that wrongly.
    ///
    /// Cost: reads every row in use; if one changed, one write-through of the counter file and one transaction. If none
    /// did, nothing is written to the disk.
    /// - Throws: ``LedgerError``. Nothing is lost then: the next fold stores it.
    @discardableResult
    package func fold(now: Timestamp) throws(LedgerError) -> FoldReport {
        try fold(now: now, probe: { _ in })
    }

    /// As ``fold(now:)``, with a function that is called between the steps and may throw there: for tests.
    func fold(now: Timestamp, probe: @escaping (FoldStep) throws -> Void) throws(LedgerError) -> FoldReport {
        do {
            return try folds.withLock { state in
                counters.markAlive(now)
                try probe(.dated)
                if state.isStale { try state.load(from: database, counters: counters) }
                var report = try Fold(counters: counters, database: database, probe: probe)
                    .run(&state, minute: now.minute)
                do {
                    try counters.growAhead()
                } catch let error as MeterFileError {
                    report.growthFailure = error
                }
                return report
            }
        } catch {
            throw LedgerError(error, path: path, otherwise: LedgerError.cannotWrite)
        }
    }
}

/// The values that the ledger already contains, kept in memory beside the rows of the counter file.
struct FoldState: Sendable {
    struct Entry: Sendable {
        var serial: UInt64 = 0
        var values = MeterValues()
    }

    /// By position of the row in the counter file. An entry counts only for the serial that it names.
    var entries: [Entry] = []
    /// The database may hold other values than these: a transaction failed in a way that does not tell how it ended.
    var isStale = false

    func values(slot: Int, serial: UInt64) -> MeterValues {
        slot < entries.count && entries[slot].serial == serial ? entries[slot].values : MeterValues()
    }

    mutating func store(_ values: MeterValues, slot: Int, serial: UInt64) {
        while entries.count <= slot { entries.append(Entry()) }
        entries[slot] = Entry(serial: serial, values: values)
    }

    /// Reads the stored values of this generation of the counter file.
    mutating func load(from database: DatabasePool, counters: MeterFile) throws {
        var slots: [UInt64: Int] = [:]
        for (index, slot) in counters.slots().enumerated() where slot.serial != 0 {
            slots[slot.serial] = index
        }
        var loaded = FoldState()
        var highest: UInt64 = 0
        try database.read { database in
            let generation = Int64(bitPattern: counters.generation)
            let rows = try Row.fetchCursor(database, sql: LedgerSchema.readFolded, arguments: [generation])
            while let row = try rows.next() {
                let serial = UInt64(bitPattern: row[0] as Int64)
                highest = max(highest, serial)
                guard let slot = slots[serial] else { continue }
                var values = MeterValues()
                for meter in 0..<Meter.count { values[meter] = UInt64(bitPattern: row[meter + 1] as Int64) }
                loaded.store(values, slot: slot, serial: serial)
            }
        }
        counters.raiseSerials(above: highest)
        self = loaded
    }
}

/// One fold, step by step. Whoever runs it holds the lock of the ``FoldState``.
struct Fold {
    let counters: MeterFile
    let database: DatabasePool
    let probe: (FoldStep) throws -> Void

    /// A single counter cannot move further between two folds: 64 PiB. Beyond is damage, and would let sums overflow.
    private static let largestStep: UInt64 = 1 << 56

    private struct Change {
        let slot: Int
        let serial: UInt64
        let values: MeterValues
    }

    private struct Window: Hashable {
        let tenant: TenantID
        let cache: CacheID
        let door: Door
    }

    func run(_ state: inout FoldState, minute: Int64) throws -> FoldReport {
        var report = FoldReport(window: Timestamp(seconds: minute * 60))
        var changes: [Change] = []
        var usage: [Window: MeterValues] = [:]
        var ended: [(slot: Int, serial: UInt64, folded: MeterValues)] = []

        for (index, slot) in counters.slots().enumerated() {
            guard slot.serial != 0, let identity = slot.identity else { continue }
            let values = slot.row.values
            if slot.isRetired && !slot.isHeld { ended.append((index, slot.serial, values)) }
            let folded = state.values(slot: index, serial: slot.serial)
            guard values != folded else { continue }
            changes.append(Change(slot: index, serial: slot.serial, values: values))
            let counted = Self.difference(values, folded, identity: identity, damage: &report.damage)
            if counted != MeterValues() {
                let window = Window(tenant: identity.tenant, cache: identity.cache, door: identity.door)
                usage[window, default: MeterValues()] &+= counted
            }
        }
        report.changedRows = changes.count
        try probe(.counted)

        guard !changes.isEmpty || !ended.isEmpty || counters.isReclaiming else { return report }
        // Before the transaction: what it stores as folded must be in the counter file whatever happens to the machine.
        let forgettable = try counters.sync()
        try probe(.synced)

        if !changes.isEmpty || !forgettable.isEmpty {
            state.isStale = true
            try store(changes, usage, forgettable, minute: minute)
            for change in changes { state.store(change.values, slot: change.slot, serial: change.serial) }
            state.isStale = false
        }
        try probe(.committed)

        counters.free(ended)
        try probe(.freed)
        return report
    }

    private func store(
        _ changes: [Change], _ usage: [Window: MeterValues], _ forgettable: [UInt64], minute: Int64
    ) throws {
        let generation = Int64(bitPattern: counters.generation)
        try database.write { database in
            let add = try database.cachedStatement(sql: LedgerSchema.addUsage)
            for (window, values) in usage {
                try add.execute(
                    arguments: Self.arguments(
                        [
                            Int64(bitPattern: window.tenant.rawValue), minute,
                            Int64(bitPattern: window.cache.rawValue), Int64(window.door.rawValue),
                        ], values))
            }
            try probe(.usageWritten)
            let store = try database.cachedStatement(sql: LedgerSchema.storeFolded)
            for change in changes {
                try store.execute(
                    arguments: Self.arguments([generation, Int64(bitPattern: change.serial)], change.values))
            }
            let forget = try database.cachedStatement(sql: LedgerSchema.forgetFolded)
            for serial in forgettable {
                try forget.execute(arguments: [generation, Int64(bitPattern: serial)])
            }
            try probe(.foldedWritten)
        }
    }

    private static func arguments(_ keys: [Int64], _ values: MeterValues) -> StatementArguments {
        var numbers = keys
        numbers.reserveCapacity(keys.count + Meter.count)
        for meter in 0..<Meter.count { numbers.append(Int64(bitPattern: values[meter])) }
        return StatementArguments(numbers)
    }

    /// What was counted since, with zero for a damaged counter.
    private static func difference(
        _ values: MeterValues, _ folded: MeterValues, identity: RowIdentity, damage: inout [DamagedCounter]
    ) -> MeterValues {
        var counted = values &- folded
        for meter in Meter.allCases {
            let index = meter.rawValue
            // A counter that went back wraps round to a huge difference, so one comparison finds both kinds.
            guard counted[index] > largestStep else { continue }
            counted[index] = 0
            damage.append(
                DamagedCounter(
                    tenant: identity.tenant, cache: identity.cache, door: identity.door, meter: meter,
                    folded: folded[index], found: values[index]))
        }
        return counted
    }
}
