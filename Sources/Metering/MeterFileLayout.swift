import Synchronization
import Tenancy

// The bytes of the counter file
// =============================
//
//     0                64 KiB                    64 KiB + 256            64 KiB + 512
//     ┌────────────────┬─────────────────────────┬───────────────────────┬────
//     │ header         │ row 0                   │ row 1                 │ ...
//     └────────────────┴─────────────────────────┴───────────────────────┴────
//
//     header   0  magic            "MRTLMETR"
//              8  format version   (row size ‖ version: 32 bits each)
//             16  generation       random, once per file: ties the ledger's folded values to this file
//             24  checksum         of the three words above
//             32  rows             how many rows belong to the file: the file is never shorter
//             40  next serial      a serial is taken by raising this word first
//             48  last alive       milliseconds since 1970 of the latest fold: dates what a killed process left
//
//     row      0  state            0 free, or one of two constants: live, retired. Written last
//              8  serial           unique in this file for ever
//             16  tenant
//             24  cache
//             32  door ‖ lane      32 bits each
//             40  checksum         of generation, row number and the four words above
//             48  (unused, zero)
//             64   8 cells         counts of the meters 16 to 23; those without a meter are zero
//            128  16 cells         counts of the meters 0 to 15
//
// A cell is a cumulative count by `Meter`, never reset while the row lives. Version 1 had the sixteen only, and zeros
// before them: that is a file of version 2 in which the newer meters have counted nothing, see `takeOver`. It is a
// version of its own because a Martlet that knows sixteen would not zero the others between two lives of a row.
//
// Words are 64-bit little-endian, as on every machine that Martlet is built for. A row is two pairs of cache lines, and
// no other row has a part of them. The line of the identity changes only when a row begins or ends; the other three are
// written by one thread alone. So two event loops never write to one line, nor to one pair, which prefetchers fetch
// together. The meters of every call are on the second pair. A row also never straddles a sector of a disk, so a power
// cut leaves each row as it was at one time or another, never half of each.
//
// A header of 64 KiB keeps row memory aligned to the page of every machine; most of it is a hole of zeros.

/// Positions and constants of the counter file.
enum MeterFileLayout {
    static let magic = UInt64(littleEndian: 0x5254_454D_4C54_524D)  // "MRTLMETR"
    static let version: UInt32 = 2
    static let headerBytes = 65_536
    static let rowBytes = 256
    /// Of the cell of the meter 0.
    static let cellsOffset = 128
    /// The cells beside each other, and the newer ones that lie before them.
    static let cellCount = 16
    static let earlierCellCount = 8
    /// Rows are added in multiples of this: 64 KiB, so that every extent begins on a page.
    static let rowsPerUnit = 65_536 / rowBytes

    /// No process lives to give more serials than this; a larger one is damage.
    static let largestSerial: UInt64 = 1 << 62

    enum Header {
        static let magic = 0
        static let format = 8
        static let generation = 16
        static let checksum = 24
        static let rows = 32
        static let nextSerial = 40
        static let lastAlive = 48
    }

    enum Row {
        static let state = 0
        static let serial = 8
        static let tenant = 16
        static let cache = 24
        static let doorAndLane = 32
        static let checksum = 40
    }

    enum State {
        static let free: UInt64 = 0
        static let live: UInt64 = 0x4C49_5645_524F_5731
        static let retired: UInt64 = 0x5245_5449_5245_4431
    }

    static var formatWord: UInt64 { UInt64(rowBytes) << 32 | UInt64(version) }
    static var formatWordOfVersion1: UInt64 { UInt64(rowBytes) << 32 | 1 }

    /// A checksum against damage, not against an attacker: whoever can write the file can write a bill.
    static func checksum(_ words: UInt64...) -> UInt64 {
        var state: UInt64 = 0x6D61_7274_6C65_7431
        for word in words {
            state = (state ^ word) &* 0x9E37_79B9_7F4A_7C15
            state ^= state >> 29
        }
        state = state &* 0xBF58_476D_1CE4_E5B9
        return state ^ (state >> 32)
    }
}

/// One 64-bit word of mapped memory. Every access is atomic and, but for the release that makes a row visible, relaxed:
/// on the machines that matter these are plain loads and stores that the compiler may neither tear nor repeat.
struct MappedWord {
    let pointer: UnsafeMutablePointer<Atomic<UInt64>>

    init(_ base: UnsafeMutableRawPointer, _ offset: Int) {
        // An Atomic<UInt64> is laid out as the UInt64 that it holds, and mapped memory is initialised memory.
        pointer = (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    var value: UInt64 {
        get { pointer.pointee.load(ordering: .relaxed) }
        nonmutating set { pointer.pointee.store(newValue, ordering: .relaxed) }
    }

    /// Stores after everything that was stored before: what follows a kill at any instruction sees that too.
    func publish(_ value: UInt64) {
        pointer.pointee.store(value, ordering: .releasing)
    }
}

/// Whose calls a row counts. A lane is one event loop: each has rows of its own, so that adds need no locked instruction.
struct RowIdentity: Hashable, Sendable {
    let tenant: TenantID
    let cache: CacheID
    let door: Door
    let lane: UInt32

    var doorAndLane: UInt64 { UInt64(door.rawValue) << 32 | UInt64(lane) }
}
