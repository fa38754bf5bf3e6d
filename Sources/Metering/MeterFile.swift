import Synchronization
import Tenancy

/// The counters of the whole process: cumulative counts per tenant, cache, door and event loop, in a memory-mapped file.
///
/// Adding is a plain store into mapped memory (``MeterRow``). What was stored belongs to the operating system, so it
/// survives the death of this process at any instruction; the ``Ledger`` picks it up at the next start. A power cut may
/// take what was counted since the last fold.
///
/// The life of a row
/// -----------------
///
///     free ──row()──▶ live ──retire()──▶ retired ──▶ free ──▶ cleared ──▶ ready for reuse
///                                           │          each arrow: one fold, one write-through to the disk
///                                           └ freed only when its lane released it and its last counts are folded
///
/// A row becomes visible by a single store of its state word, after everything else in it. Its serial is never given
/// again, so the ledger can tell a row's counts from those of the row's next life. Between two lives the free state and
/// then the zeroed cells reach the disk before the next step, so that no power cut can pair old counts with a new
/// identity.
///
/// Thread safety: everything here is slow path under one short lock, callable from any thread.
package final class MeterFile: Sendable {
    /// More rows than this are refused: 1 GiB of counters.
    package static let defaultMaximumRows = 1 << 22

    package let path: String
    /// Random, once per file. The ledger keeps folded values by generation and serial.
    package let generation: UInt64
    let mapping: CounterMapping
    let maximumRows: Int
    let state: Mutex<MeterFileState>
    /// Held while the file grows, so that it grows once; ordered before `state`.
    private let growth = Mutex<Void>(())

    /// Opens the counter file, or makes it.
    ///
    /// Cost: reads every row once. Takes an exclusive lock that the process holds until this object goes.
    /// - Throws: ``MeterFileError`` when it is in use, cannot be had, or is damaged. A damaged file is left as it is.
    package convenience init(path: String) throws(MeterFileError) {
        try self.init(path: path, maximumRows: Self.defaultMaximumRows, allocate: CounterMapping.allocateBlocks)
    }

    /// As ``init(path:)``, with a bound on the rows and another way to allocate: for tests.
    init(path: String, maximumRows: Int, allocate: @escaping CounterMapping.Allocate) throws(MeterFileError) {
        let mapping = try CounterMapping(path: path, allocate: allocate)
        if try mapping.byteCount() < UInt64(MeterFileState.initialBytes), try mapping.isBlank() {
            // New, or killed before the first bytes were written.
            try MeterFileState.create(in: mapping)
        }
        let state: MeterFileState
        do {
            state = try MeterFileState.open(mapping)
        } catch {
            mapping.discard()
            throw error
        }
        self.path = path
        self.generation = state.generation
        self.mapping = mapping
        self.maximumRows = maximumRows
        self.state = Mutex(state)
    }

    /// The row of one lane for one cache behind one door: the same row for the same four, across restarts too.
    ///
    /// A lane asks once and keeps the answer. Cost: a lock and a dictionary look-up; rarely, the file grows, which waits
    /// for the disk (``growAhead()``, called at each fold, makes that the exception).
    /// - Throws: ``MartletError/unavailable(_:)`` when the file is full and cannot grow. The call that needs the row is
    ///   then refused: what cannot be counted is not done.
    package func row(lane: Int, tenant: TenantID, cache: CacheID, door: Door) throws(MartletError) -> MeterRow {
        guard let lane = UInt32(exactly: lane) else { throw .internalFailure("\(lane) is not an event loop") }
        let identity = RowIdentity(tenant: tenant, cache: cache, door: door, lane: lane)
        while true {
            if let row = state.withLock({ $0.row(for: identity) }) { return row }
            do {
                try grow()
            } catch {
                throw .unavailable("usage cannot be counted: \(error)")
            }
        }
    }

    /// The cache is gone: once every lane released its rows and their last counts are folded, they are used again.
    package func retire(cache: CacheID) {
        state.withLock { $0.retire(cache: cache) }
    }

    /// Retires the rows of all caches that are no more: for the start, after a death between the catalog's deletion and
    /// ``retire(cache:)``.
    package func retire(unless isLive: (CacheID) -> Bool) {
        let caches = state.withLock { Array($0.byCache.keys) }
        for cache in caches where !isLive(cache) { retire(cache: cache) }
    }

    /// The lane has dropped its rows of that cache and will not add to them again. It may ask for them anew. Without
    /// this call the rows of a retired cache wait for the next start.
    package func release(cache: CacheID, lane: Int) {
        guard let lane = UInt32(exactly: lane) else { return }
        state.withLock { $0.release(cache: cache, lane: lane) }
    }

    /// What was counted for a cache since it was made, by door, over all lanes: up to this moment, and no instant's figures
    /// together. Cost: a lock, and a look at each row of the cache.
    package func totals(of cache: CacheID) -> [(door: Door, values: [Meter: UInt64])] {
        let sums = state.withLock { state in
            var sums: [Door: MeterValues] = [:]
            for index in state.byCache[cache] ?? [] {
                guard let door = state.slots[index].identity?.door else { continue }
                sums[door, default: MeterValues()] &+= state.slots[index].row.values
            }
            return sums
        }
        return Door.allCases.compactMap { door in
            guard let values = sums[door] else { return nil }
            return (door, Dictionary(uniqueKeysWithValues: Meter.allCases.map { ($0, values[$0.rawValue]) }))
        }
    }

    /// What a cache's rates are taken from: some of its counters over all doors and lanes, as they stand. Cost: a lock, and a
    /// look at each row of the cache.
    package func liveCounts(of cache: CacheID) -> LiveCounts {
        state.withLock { state in
            var counts = LiveCounts()
            for index in state.byCache[cache] ?? [] {
                let row = state.slots[index].row
                counts.operations &+= row.count(of: .operations)
                counts.bytesIn &+= row.count(of: .bytesIn)
                counts.bytesOut &+= row.count(of: .bytesOut)
                counts.publishes &+= row.count(of: .publishes)
            }
            return counts
        }
    }

    /// How many rows there are, by use: for metrics.
    package var rowCounts: (used: Int, capacity: Int) {
        state.withLock { ($0.slots.count - $0.ready.count - $0.reclaiming.count, $0.slots.count) }
    }
}

// MARK: - Growing

extension MeterFile {
    /// Adds rows if none is ready. Each growth doubles the file, up to 8 MiB at a time.
    private func grow() throws(MeterFileError) {
        try growth.withLock { (_: inout Void) throws(MeterFileError) in
            let (ready, count) = state.withLock { ($0.ready.count, $0.slots.count) }
            guard ready == 0 else { return }  // Another thread was faster.
            try extend(from: count)
        }
    }

    /// Adds rows while a quarter is still ready, so that an event loop does not have to. Waits for the disk.
    func growAhead() throws(MeterFileError) {
        try growth.withLock { (_: inout Void) throws(MeterFileError) in
            let (ready, count) = state.withLock { ($0.ready.count + $0.reclaiming.count, $0.slots.count) }
            guard ready < count / 4, count < maximumRows else { return }
            try extend(from: count)
        }
    }

    private func extend(from count: Int) throws(MeterFileError) {
        guard count < maximumRows else { throw .tooManyRows(path: path, maximum: maximumRows) }
        let added = min(max(count, MeterFileLayout.rowsPerUnit), 32_768)
        let offset = MeterFileLayout.headerBytes + count * MeterFileLayout.rowBytes
        try mapping.extend(offset: offset, byteCount: added * MeterFileLayout.rowBytes)
        let part = ReadyPart(base: try mapping.map(offset: offset, byteCount: added * MeterFileLayout.rowBytes))
        state.withLock { $0.append(part, rows: added) }
    }
}

/// New rows on their way into the state.
// Unchecked: an address that nobody else has yet.
struct ReadyPart: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
}
