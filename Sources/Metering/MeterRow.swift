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

    /// The cell of a meter: its raw value. The raw value itself is a function of another module that is not inlined;
    /// the tag of an enum without payloads is its position in the declaration, which a test holds equal.
    @inlinable @inline(__always)
    package static func index(of meter: Meter) -> Int {
        Int(unsafeBitCast(meter, to: UInt8.self))
    }
}

/// All sixteen cells of a row, read one by one: each whole, together of no single instant.
typealias MeterValues = SIMD16<UInt64>

extension MeterRow {
    var values: MeterValues {
        var values = MeterValues()
        for index in 0..<MeterFileLayout.cellCount {
            values[index] = (cells + index).pointee.load(ordering: .relaxed)
        }
        return values
    }

    /// Only for a row that nobody owns.
    func clear() {
        for index in 0..<MeterFileLayout.cellCount {
            (cells + index).pointee.store(0, ordering: .relaxed)
        }
    }
}
