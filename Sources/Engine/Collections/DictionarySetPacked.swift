#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif
import Tenancy

// The packed form of dictionaries and sets: one blob, entries in the order in which they came.
//
//     dictionary   | field  | value  | field  | value  | ...
//     set          | member | member | member | ...
//
// Each piece is a length and its bytes (PackedBytes.swift). There is no header and no count: an operation on a small
// collection reads it from the front once, and what it finds on the way (how many entries lie before the end) is all
// that it needs. A change is a splice: what lies before, the new bytes, what lies after, written to scratch memory and
// stored as the item's new blob. So ten fields of 10 + 20 bytes cost 320 bytes and no pointer.
//
// Costs: everything is O(bytes of the blob), some 2 ns for an entry, so the form ends at 4 KiB or 512 entries; beyond
// lies the tree (``HashedTree``). A tree that shrinks to 64 entries in 1 KiB is packed again; the distance between the
// two thresholds keeps a collection from going to and fro.
//
// A length has one form only as written (the shortest); 254 before a length that would have fitted in one byte never
// occurs. That form is free for a later mark, such as a field that carries a time of its own.
//
// Nothing in a blob is trusted: every read throws rather than pass its end. A blob with a field twice is read as it
// lies; what looks for the field finds the first.

/// Which of the two a hashed collection is. They differ in whether an entry has a value, and in their name.
enum HashedForm {
    case dictionary
    case set

    @inline(__always)
    var kind: ItemKind { self == .dictionary ? .dictionary : .set }
    @inline(__always)
    var hasValues: Bool { self == .dictionary }
}

/// Reads of a packed blob, and splices from one blob to another.
enum PackedHashed {
    /// Packed up to here, both inclusive.
    static let maximumBytes = 4096
    static let maximumCount = 512
    /// A tree is packed again from here on.
    static let repackedBytes = 1024
    static let repackedCount = 64

    /// Where an entry lies in its blob.
    struct Entry {
        var start: Int
        /// Where the value begins, its length included; the entry's end in a set.
        var valueStart: Int
        var end: Int
        var value: UnsafeRawBufferPointer
    }

    static var nothing: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

    /// Where the bytes of the piece at a place lie: what ``PackedReader`` reads, without a buffer for each.
    @inline(__always)
    private static func piece(
        at position: Int, in blob: UnsafeRawBufferPointer, _ base: UnsafeRawPointer
    ) throws(MartletError) -> (start: Int, end: Int) {
        let length = Int(base.load(fromByteOffset: position, as: UInt8.self))
        let start = position &+ 1
        let end = start &+ length
        if length < 254, end <= blob.count { return (start, end) }
        return try longPiece(at: position, in: blob)
    }

    @inline(never)
    private static func longPiece(
        at position: Int, in blob: UnsafeRawBufferPointer
    ) throws(MartletError) -> (start: Int, end: Int) {
        var reader = PackedReader(blob, at: position)
        let count = try reader.next().count
        return (reader.position - count, reader.position)
    }

    /// Looks for a key. `passed` is how many entries lie before it, or all of them if it is not there.
    ///
    /// The hot part of every operation on one field: a pass over the lengths, bytes compared only where they agree.
    @inline(__always)
    static func find(
        _ key: UnsafeRawBufferPointer, in blob: UnsafeRawBufferPointer, _ form: HashedForm
    ) throws(MartletError) -> (entry: Entry?, passed: Int) {
        guard let base = blob.baseAddress else { return (nil, 0) }
        var position = 0
        var passed = 0
        while position < blob.count {
            let found = try piece(at: position, in: blob, base)
            var value = (start: found.end, end: found.end)
            if form.hasValues {
                guard found.end < blob.count else { throw PackedReader.damaged }
                value = try piece(at: found.end, in: blob, base)
            }
            if found.end &- found.start == key.count, areEqual(blob, found.start, key) {
                let bytes = UnsafeRawBufferPointer(rebasing: blob[value.start..<value.end])
                return (Entry(start: position, valueStart: found.end, end: value.end, value: bytes), passed)
            }
            position = value.end
            passed &+= 1
        }
        return (nil, passed)
    }

    /// Whether a key's bytes lie at a place that has room for them.
    @inline(__always)
    private static func areEqual(
        _ blob: UnsafeRawBufferPointer, _ start: Int, _ key: UnsafeRawBufferPointer
    ) -> Bool {
        guard let base = blob.baseAddress, let other = key.baseAddress else { return true }
        return memcmp(base + start, other, key.count) == 0
    }

    @inline(__always)
    static func areEqual(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        guard left.count == right.count else { return false }
        guard left.count > 0, let one = left.baseAddress, let other = right.baseAddress else { return true }
        return memcmp(one, other, left.count) == 0
    }

    static func count(_ blob: UnsafeRawBufferPointer, _ form: HashedForm) throws(MartletError) -> Int {
        guard let base = blob.baseAddress else { return 0 }
        var position = 0
        var pieces = 0
        while position < blob.count {
            position = try piece(at: position, in: blob, base).end
            pieces &+= 1
        }
        guard form.hasValues else { return pieces }
        guard pieces % 2 == 0 else { throw PackedReader.damaged }
        return pieces / 2
    }

    /// All entries in order, with the place where each begins.
    @inline(__always)
    static func forEach(
        _ blob: UnsafeRawBufferPointer, _ form: HashedForm,
        _ body: (_ start: Int, UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(MartletError) -> Void
    ) throws(MartletError) {
        var reader = PackedReader(blob)
        while !reader.isAtEnd {
            let start = reader.position
            let key = try reader.next()
            let value = form.hasValues ? try reader.next() : nothing
            try body(start, key, value)
        }
    }

    /// The entry that begins at a place which an earlier pass has told.
    static func entry(
        at start: Int, in blob: UnsafeRawBufferPointer, _ form: HashedForm
    ) throws(MartletError) -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, end: Int) {
        var reader = PackedReader(blob, at: start)
        let key = try reader.next()
        let value = form.hasValues ? try reader.next() : nothing
        return (key, value, reader.position)
    }

    /// What an entry takes.
    @inline(__always)
    static func size(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ form: HashedForm) -> Int {
        PackedWriter.size(of: key.count) + (form.hasValues ? PackedWriter.size(of: value.count) : 0)
    }

    @inline(__always)
    static func append(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ form: HashedForm,
        to scratch: inout ScratchBytes
    ) {
        PackedWriter.append(key, to: &scratch)
        if form.hasValues { PackedWriter.append(value, to: &scratch) }
    }

    /// The size of `blob` once `key` has that value there, in the place of `entry` or behind the last.
    @inline(__always)
    static func size(
        of blob: UnsafeRawBufferPointer, replacing entry: Entry?, _ key: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer, _ form: HashedForm
    ) -> Int {
        guard let entry else { return blob.count + size(key, value, form) }
        return blob.count - (entry.end - entry.valueStart) + (form.hasValues ? PackedWriter.size(of: value.count) : 0)
    }

    /// Writes that blob.
    @inline(__always)
    static func splice(
        _ blob: UnsafeRawBufferPointer, replacing entry: Entry?, _ key: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer, _ form: HashedForm, into scratch: inout ScratchBytes
    ) {
        guard let entry else {
            scratch.append(blob)
            append(key, value, form, to: &scratch)
            return
        }
        scratch.append(UnsafeRawBufferPointer(rebasing: blob[..<entry.valueStart]))
        if form.hasValues { PackedWriter.append(value, to: &scratch) }
        scratch.append(UnsafeRawBufferPointer(rebasing: blob[entry.end...]))
    }

    /// Writes the blob without the bytes of some entries.
    @inline(__always)
    static func cut(_ range: Range<Int>, of blob: UnsafeRawBufferPointer, into scratch: inout ScratchBytes) {
        scratch.append(UnsafeRawBufferPointer(rebasing: blob[..<range.lowerBound]))
        scratch.append(UnsafeRawBufferPointer(rebasing: blob[range.upperBound...]))
    }
}
