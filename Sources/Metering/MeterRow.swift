import Synchronization
import Tenancy

/// One event loop's counters for one cache behind one door: an address in the counter file.
///
/// Only the event loop (the lane) that asked for the row adds to it; the folding thread reads beside it. A row is valid
/// until its lane calls ``MeterFile/release(cache:lane:)`` for its cache, and no longer than the ``MeterFile`` lives: what
/// is added after that is lost, or counted for another.
// Unchecked: adds come from the owning lane's thread alone, and both sides use relaxed atomic loads and stores; a copy
// may be carried across threads, it is just not added to there.
package struct MeterRow: @unchecked Sendable {
    @usableFromInline let cells: UnsafeMutablePointer<Atomic<UInt64>>

    init(at base: UnsafeMutableRawPointer) {
        cells = MappedWord(base, MeterFileLayout.cellsOffset).pointer
    }

    /// Adds to a counter. On the hot path of every call: one load, one add, one store; no locked instruction, no
    /// allocation, and nothing of either may be added. The count survives the death of the process from here on.
    @inlinable @inline(__always)
    package func add(_ meter: Meter, _ amount: UInt64) {
        let cell = cells + MeterRow.index(of: meter)
        // Not a read-modify-write: nobody else writes here.
        cell.pointee.store(cell.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    /// What has been counted since the row was made, under `meter`. For tests and live figures.
    package func count(of meter: Meter) -> UInt64 {
        (cells + MeterRow.index(of: meter)).pointee.load(ordering: .relaxed)
    }

    /// The cell of a meter, counted from ``cells``: its raw value, and for the newer ones a place before it. Where the
    /// meter is a constant, so is this.
    ///
    /// The raw value itself is a function of another module that is not inlined; the tag of an enum without payloads is
    /// its position in the declaration, which a test holds equal.
    @inlinable @inline(__always)
    package static func index(of meter: Meter) -> Int {
        index(ofCell: Int(unsafeBitCast(meter, to: UInt8.self)))
    }

    /// As the layout of the row has them: the cells from 16 to 23 lie before the cell 0.
    @inlinable @inline(__always)
    static func index(ofCell cell: Int) -> Int {
        cell < 16 ? cell : cell &- 24
    }
}

extension MeterRow {
    /// The counts of every meter, read one by one: each whole, together of no single instant.
    var values: MeterValues {
        var values = MeterValues()
        for meter in 0..<Meter.count {
            values[meter] = (cells + MeterRow.index(ofCell: meter)).pointee.load(ordering: .relaxed)
        }
        return values
    }

    /// Only for a row that nobody owns.
    func clear() {
        for index in -MeterFileLayout.earlierCellCount..<MeterFileLayout.cellCount {
            (cells + index).pointee.store(0, ordering: .relaxed)
        }
    }

    /// Zeroes the cells that a row of version 1 does not have. Only for a row that nobody owns.
    func clearEarlierCells() {
        for index in -MeterFileLayout.earlierCellCount..<0 {
            (cells + index).pointee.store(0, ordering: .relaxed)
        }
    }
}
