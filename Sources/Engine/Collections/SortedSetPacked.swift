#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif
import Tenancy

// A small sorted set is one blob: its entries in order, each a member behind its length, and a score.
//
//     | length | member | score | length | member | score | ...      length: see PackedBytes.swift, score: PackedScore
//
// The order is by score and, among equal scores, by the members' bytes; so a rank is a place in the blob, and a range is
// one run of bytes. There is no index: finding a member walks the entries, which the limits (4 KiB, 512 entries) hold
// to about a microsecond. An entry with a member of 16 bytes and a score below 120 takes 18 bytes, in a listpack 20.
//
// Edits are made in scratch memory by moving the tail of the blob, never in the item. Nothing in a blob is trusted, not
// even that it is in order: from a damaged one may come a wrong answer or an error, nothing else.

/// One element of a sorted set as a caller hands it in.
package struct SortedSetElement {
    package var score: Double
    package var member: UnsafeRawBufferPointer

    package init(score: Double, member: UnsafeRawBufferPointer) {
        self.score = score
        self.member = member
    }
}

/// What a packed sorted set's blob says.
struct PackedSortedSet {
    /// See ``PackedList/maximumBytes``.
    static let maximumBytes = 4096
    static let maximumCount = 512
    static let repackedBytes = 1024
    static let repackedCount = 64

    let bytes: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    /// Goes over the entries in order.
    struct EntryReader {
        private var reader: PackedReader

        init(_ bytes: UnsafeRawBufferPointer, at position: Int = 0) {
            reader = PackedReader(bytes, at: position)
        }

        var isAtEnd: Bool { reader.isAtEnd }
        var position: Int { reader.position }

        @inline(__always)
        mutating func next() throws(MartletError) -> SortedSetElement {
            let member = try reader.next()
            return SortedSetElement(score: try PackedScore.read(&reader), member: member)
        }

        @inline(__always)
        mutating func skip() throws(MartletError) {
            _ = try reader.next()
            try PackedScore.skip(&reader)
        }
    }

    func count() throws(MartletError) -> Int {
        var reader = EntryReader(bytes)
        var count = 0
        while !reader.isAtEnd {
            try reader.skip()
            count += 1
        }
        return count
    }

    /// A member's score and rank; nil if it is not there.
    func find(_ member: UnsafeRawBufferPointer) throws(MartletError) -> (score: Double, rank: Int)? {
        var reader = EntryReader(bytes)
        var rank = 0
        while !reader.isAtEnd {
            let entry = try reader.next()
            if equalBytes(entry.member, member) { return (entry.score, rank) }
            rank += 1
        }
        return nil
    }

    /// How many entries, from the first on, satisfy the condition.
    @inline(__always)
    func countWhile(_ condition: (SortedSetElement) -> Bool) throws(MartletError) -> Int {
        var reader = EntryReader(bytes)
        var count = 0
        while !reader.isAtEnd, condition(try reader.next()) { count += 1 }
        return count
    }

    /// Where the entry of that rank begins; for the rank after the last, the blob's end.
    func offset(of rank: Int) throws(MartletError) -> Int {
        var reader = EntryReader(bytes)
        var left = rank
        while left > 0 {
            try reader.skip()
            left -= 1
        }
        return reader.position
    }

    /// Where every entry begins.
    func offsets() throws(MartletError) -> [Int] {
        var offsets: [Int] = []
        offsets.reserveCapacity(min(bytes.count / 4, Self.maximumCount))
        var reader = EntryReader(bytes)
        while !reader.isAtEnd {
            offsets.append(reader.position)
            try reader.skip()
        }
        return offsets
    }

    /// Hands out the entries of those ranks, the highest first if `reversed`; `body` ends it by returning false.
    func visit(
        _ ranks: Range<Int>, reversed: Bool, _ body: (Double, UnsafeRawBufferPointer) -> Bool
    ) throws(MartletError) {
        var reader = EntryReader(bytes, at: try offset(of: ranks.lowerBound))
        guard reversed, ranks.count > 1 else {
            for _ in ranks {
                let entry = try reader.next()
                guard body(entry.score, entry.member) else { return }
            }
            return
        }
        var starts: [Int] = []
        starts.reserveCapacity(min(ranks.count, bytes.count))
        for _ in ranks {
            starts.append(reader.position)
            try reader.skip()
        }
        for start in starts.reversed() {
            reader = EntryReader(bytes, at: start)
            let entry = try reader.next()
            guard body(entry.score, entry.member) else { return }
        }
    }

    // MARK: - Edits

    /// Whether the first entry stands before the second.
    @inline(__always)
    static func precedes(
        _ score: Double, _ member: UnsafeRawBufferPointer, _ otherScore: Double, _ otherMember: UnsafeRawBufferPointer
    ) -> Bool {
        score != otherScore ? score < otherScore : compareBytes(member, otherMember) < 0
    }

    /// Appends an entry, which must stand after all that are there.
    static func append(_ score: Double, _ member: UnsafeRawBufferPointer, to packed: inout ScratchBytes) {
        PackedWriter.append(member, to: &packed)
        let score = PackedScore(score)
        score.write(to: packed.extend(by: score.size))
    }

    /// Where a member stands in a blob and where an entry would have to.
    struct Place {
        var score: Double
        var span: Range<Int>
    }

    /// Finds the member and the number of entries.
    static func locate(
        _ member: UnsafeRawBufferPointer, in packed: borrowing ScratchBytes
    ) throws(MartletError) -> (place: Place?, count: Int) {
        var reader = EntryReader(packed.bytes)
        var place: Place?
        var count = 0
        while !reader.isAtEnd {
            let start = reader.position
            if place == nil {
                let entry = try reader.next()
                if equalBytes(entry.member, member) { place = Place(score: entry.score, span: start..<reader.position) }
            } else {
                try reader.skip()
            }
            count += 1
        }
        return (place, count)
    }

    /// Takes an entry out.
    static func remove(_ span: Range<Int>, in packed: inout ScratchBytes) {
        packed.replaceSpan(span, size: 0)
    }

    /// Puts an entry into its place, `old` being the span of the entry that it replaces. One walk at most.
    static func put(
        _ score: Double, _ member: UnsafeRawBufferPointer, replacing old: Range<Int>?, in packed: inout ScratchBytes
    ) throws(MartletError) {
        var reader = EntryReader(packed.bytes)
        var position = packed.count
        while !reader.isAtEnd {
            let start = reader.position
            let entry = try reader.next()
            guard start != old?.lowerBound, precedes(score, member, entry.score, entry.member) else { continue }
            position = start
            break
        }
        if let old {
            packed.replaceSpan(old, size: 0)
            if position >= old.upperBound { position -= old.count }
        }
        let packedScore = PackedScore(score)
        let size = PackedWriter.size(of: member.count) + packedScore.size
        packed.replaceSpan(position..<position, size: size)
        var rest = UnsafeMutableRawBufferPointer(rebasing: packed.mutableBytes[position..<position + size])
        rest = PackedWriter.write(member, to: rest)
        packedScore.write(to: rest)
    }
}

extension PackedWriter {
    /// Writes an entry to memory that is long enough, and returns the memory after it.
    fileprivate static func write(
        _ entry: UnsafeRawBufferPointer, to memory: UnsafeMutableRawBufferPointer
    ) -> UnsafeMutableRawBufferPointer {
        let head = size(of: entry.count) - entry.count
        switch head {
        case 1:
            memory[0] = UInt8(entry.count)
        case 3:
            memory[0] = 254
            memory.storeBytes(of: UInt16(entry.count).littleEndian, toByteOffset: 1, as: UInt16.self)
        default:
            memory[0] = 255
            memory.storeBytes(of: UInt32(entry.count).littleEndian, toByteOffset: 1, as: UInt32.self)
        }
        UnsafeMutableRawBufferPointer(rebasing: memory[head...]).copyMemory(from: entry)
        return UnsafeMutableRawBufferPointer(rebasing: memory[(head + entry.count)...])
    }
}

extension ScratchBytes {
    /// Makes a run of bytes longer or shorter, moving what stands after it. New bytes are whatever was there.
    fileprivate mutating func replaceSpan(_ span: Range<Int>, size: Int) {
        let tail = count - span.upperBound
        if size > span.count { _ = extend(by: size - span.count) }
        if tail > 0, let base = mutableBytes.baseAddress {
            memmove(base + span.lowerBound + size, base + span.upperBound, tail)
        }
        truncate(to: span.lowerBound + size + tail)
    }
}

/// Runs every reader and every edit of a packed sorted set over arbitrary bytes: for a fuzzer.
package func fuzzPackedSortedSet(_ bytes: UnsafeRawBufferPointer) {
    let set = PackedSortedSet(bytes)
    func attempt(_ body: () throws(MartletError) -> Void) {
        do throws(MartletError) { try body() } catch {}
    }
    let member = UnsafeRawBufferPointer(rebasing: bytes.prefix(5))
    var sum = 0
    attempt { () throws(MartletError) in
        let count = try set.count()
        let offsets = try set.offsets()
        precondition(count == offsets.count)
        // A readable blob is rebuilt by writing what was read, up to the width of lengths and scores.
        var copy = ScratchBytes()
        try set.visit(0..<count, reversed: false) { score, member in
            PackedSortedSet.append(score, member, to: &copy)
            return true
        }
        precondition(copy.count <= bytes.count + 8 * count)
        let rewritten = try PackedSortedSet(copy.bytes).count()
        precondition(rewritten == count)
    }
    attempt { () throws(MartletError) in sum += try set.find(member)?.rank ?? 0 }
    attempt { () throws(MartletError) in sum += try set.countWhile { $0.score < 7 } }
    for rank in [0, 1, 2, 7, 511, 4096] {
        attempt { () throws(MartletError) in _ = try set.offset(of: rank) }
        for reversed in [false, true] {
            attempt { () throws(MartletError) in
                try set.visit(rank..<rank + 3, reversed: reversed) { score, member in
                    sum &+= member.reduce(0) { $0 &+ Int($1) }
                    return !score.isNaN
                }
            }
        }
    }
    for score in [-Double.infinity, -1, 0, 1.5, 1e300] {
        attempt { () throws(MartletError) in
            var packed = ScratchBytes()
            packed.append(bytes)
            let (place, _) = try PackedSortedSet.locate(member, in: packed)
            try PackedSortedSet.put(score, member, replacing: place?.span, in: &packed)
            let found = try PackedSortedSet(packed.bytes).find(member)
            precondition(found != nil)
        }
    }
    withExtendedLifetime(sum) {}
}
