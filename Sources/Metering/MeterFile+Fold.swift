import Synchronization
import Tenancy

// The side of the counter file that the ledger uses.
extension MeterFile {
    /// Every slot as it is now. Copying is one reference; the next new row pays for the copy.
    func slots() -> [MeterFileState.Slot] {
        state.withLock { $0.slots }
    }

    /// Whether rows are between two lives, so that a fold without counts has something to do.
    var isReclaiming: Bool {
        state.withLock { !$0.reclaiming.isEmpty }
    }

    /// Writes everything counted before this call to the disk, and lets freed rows take their next step. Gives the
    /// serials that no power cut can bring back.
    func sync() throws(MeterFileError) -> [UInt64] {
        let count = state.withLock { $0.reclaiming.count }
        try mapping.sync()
        return state.withLock { $0.advanceReclaiming(count: count) }
    }

    /// Ends the lives of rows whose folded values are given, unless one was taken up or added to since.
    func free(_ rows: [(slot: Int, serial: UInt64, folded: MeterValues)]) {
        guard !rows.isEmpty else { return }
        state.withLock { state in
            for row in rows { state.free(slot: row.slot, serial: row.serial, folded: row.folded) }
        }
    }

    /// The time of the latest fold of this or an earlier process: what a killed process left is dated by it.
    var lastAlive: Timestamp? {
        let milliseconds = state.withLock { $0.lastAlive }
        return milliseconds > 0 ? Timestamp(milliseconds: milliseconds) : nil
    }

    func markAlive(_ now: Timestamp) {
        state.withLock { $0.lastAlive = now.milliseconds }
    }

    func raiseSerials(above serial: UInt64) {
        state.withLock { $0.raiseSerials(above: serial) }
    }
}
