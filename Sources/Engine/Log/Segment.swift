// A segment is one block of the pool: a header, and records one behind the other.
//
//      0       8           16         20      24       28       32
//      | newer | older     | capacity | used  | dead   | state  | record | record | ... | unused |
//
// `used` is where the next record goes; `dead` counts the bytes of records that were replaced or removed. A record is
// found from its segment by walking, and its segment from a record by the record's address.

struct SegmentHeader {
    var newer: UnsafeMutableRawPointer?
    var older: UnsafeMutableRawPointer?
    var capacity: UInt32
    var used: UInt32
    var dead: UInt32
    var state: SegmentState
}

/// Which list a segment is in.
enum SegmentState: UInt32 {
    case small
    case main
    /// In none: its records are being looked at one after the other, and then it goes.
    case draining
}

/// A reference to one segment. It owns nothing: see ``Record``.
// By the rule stated there only one thread at a time has it.
struct Segment: Equatable, @unchecked Sendable {
    let start: UnsafeMutableRawPointer

    static let headerBytes = MemoryLayout<SegmentHeader>.stride

    @inline(__always)
    var header: UnsafeMutablePointer<SegmentHeader> { start.assumingMemoryBound(to: SegmentHeader.self) }

    /// Makes a block of `capacity` bytes an empty segment.
    static func make(in block: UnsafeMutableRawPointer, capacity: Int, state: SegmentState) -> Segment {
        block.bindMemory(to: SegmentHeader.self, capacity: 1).initialize(
            to: SegmentHeader(
                newer: nil, older: nil, capacity: UInt32(capacity), used: UInt32(headerBytes), dead: 0, state: state))
        return Segment(start: block)
    }

    @inline(__always)
    var newer: Segment? {
        get { header.pointee.newer.map(Segment.init) }
        nonmutating set { header.pointee.newer = newValue?.start }
    }

    @inline(__always)
    var older: Segment? {
        get { header.pointee.older.map(Segment.init) }
        nonmutating set { header.pointee.older = newValue?.start }
    }

    @inline(__always)
    var capacity: Int { Int(header.pointee.capacity) }
    @inline(__always)
    var used: Int { Int(header.pointee.used) }
    @inline(__always)
    var dead: Int { Int(header.pointee.dead) }
    @inline(__always)
    var free: Int { capacity - used }
    /// Bytes of records that are not dead.
    var live: Int { used - Segment.headerBytes - dead }

    @inline(__always)
    var state: SegmentState {
        get { header.pointee.state }
        nonmutating set { header.pointee.state = newValue }
    }

    /// The place of the next record.
    @inline(__always)
    func append(_ byteCount: Int) -> Record {
        let offset = header.pointee.used
        header.pointee.used = offset &+ UInt32(truncatingIfNeeded: byteCount)
        return Record(start: start + Int(offset))
    }

    func addDead(_ byteCount: Int) { header.pointee.dead += UInt32(byteCount) }

    /// The record at an offset, which is that of a record or `used`.
    func record(at offset: Int) -> Record? {
        offset < used ? Record(start: start + offset) : nil
    }
}

/// Segments in the order in which they were begun: the queue in which items wait to be evicted. Records are appended to
/// the newest.
struct SegmentLog {
    private(set) var oldest: Segment?
    private(set) var newest: Segment?
    /// Bytes of its segments.
    private(set) var bytes = 0
    /// What they are charged.
    private(set) var chargedBytes = 0
    private(set) var count = 0
    let state: SegmentState

    init(_ state: SegmentState) {
        self.state = state
    }

    mutating func append(_ segment: Segment) {
        insert(segment, after: newest)
    }

    /// Puts a segment behind another, or first where none is given.
    mutating func insert(_ segment: Segment, after older: Segment?) {
        let newer = older == nil ? oldest : older?.newer
        segment.older = older
        segment.newer = newer
        if let older { older.newer = segment } else { oldest = segment }
        if let newer { newer.older = segment } else { newest = segment }
        segment.state = state
        bytes += segment.capacity
        chargedBytes += PageSource.charge(byteCount: segment.capacity)
        count += 1
    }

    mutating func remove(_ segment: Segment) {
        let (older, newer) = (segment.older, segment.newer)
        if let older { older.newer = newer } else { oldest = newer }
        if let newer { newer.older = older } else { newest = older }
        bytes -= segment.capacity
        chargedBytes -= PageSource.charge(byteCount: segment.capacity)
        count -= 1
    }
}
