#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif
import Tenancy

// A small list is one blob: its elements in order, each behind its length.
//
//     | length | element | length | element | ...                    length: 1, 3 or 5 bytes, see PackedBytes.swift
//
// Nothing else is kept, not even the number of elements: a list of a hundred elements of 16 bytes takes 1,700 bytes,
// where a listpack takes 1,807. The price is that every operation walks the blob, which its limits (4 KiB and 512
// elements) hold below a microsecond. A blob is never changed in place; an edit writes the next one into scratch memory.
//
// All reading goes through `PackedReader`, so a damaged blob throws. Costs below are in elements walked.

/// What a packed list's blob says.
struct PackedList {
    /// A list is packed while its blob is no longer than `maximumBytes` and it has no more than `maximumCount` elements.
    /// It is packed again when it has shrunk below both of the lower figures; the gap keeps it from going to and fro.
    static let maximumBytes = 4096
    static let maximumCount = 512
    static let repackedBytes = 1024
    static let repackedCount = 64

    let bytes: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    /// How many elements there are. O(n).
    func count() throws(MartletError) -> Int {
        try countAndLast().count
    }

    /// The same, and where the last of them begins.
    @inline(__always)
    func countAndLast() throws(MartletError) -> (count: Int, last: Int) {
        var reader = PackedReader(bytes)
        var count = 0
        var last = 0
        while !reader.isAtEnd {
            last = reader.position
            _ = try reader.next()
            count += 1
        }
        return (count, last)
    }

    /// Where element `index` begins in the blob; for the index after the last, the blob's end. O(index).
    func offset(of index: Int) throws(MartletError) -> Int {
        var reader = PackedReader(bytes)
        var left = index
        while left > 0 {
            _ = try reader.next()
            left -= 1
        }
        return reader.position
    }

    /// The bytes of the blob that hold the elements of `range`.
    func span(of range: Range<Int>) throws(MartletError) -> Range<Int> {
        let lower = try offset(of: range.lowerBound)
        var reader = PackedReader(bytes, at: lower)
        for _ in range { _ = try reader.next() }
        return lower..<reader.position
    }

    /// Hands out the elements of `range`, the last one first if `reversed`; `body` ends it by returning false.
    func visit(
        _ range: Range<Int>, reversed: Bool, _ body: (UnsafeRawBufferPointer) throws(MartletError) -> Bool
    ) throws(MartletError) {
        var reader = PackedReader(bytes, at: try offset(of: range.lowerBound))
        guard reversed, range.count > 1 else {
            for _ in range {
                guard try body(try reader.next()) else { return }
            }
            return
        }
        // Lengths stand before their elements only, so going backwards needs to know where each one begins.
        var starts: [Int] = []
        starts.reserveCapacity(min(range.count, bytes.count))
        for _ in range {
            starts.append(reader.position)
            _ = try reader.next()
        }
        for start in starts.reversed() {
            reader = PackedReader(bytes, at: start)
            guard try body(try reader.next()) else { return }
        }
    }

    /// Writes the list that has `value` (nothing, if nil) in the place of the elements of `range`. `value` must not lie
    /// in `result`.
    func replacing(
        _ range: Range<Int>, with value: UnsafeRawBufferPointer?, into result: inout ScratchBytes
    ) throws(MartletError) {
        let span = try span(of: range)
        result.append(UnsafeRawBufferPointer(rebasing: bytes[..<span.lowerBound]))
        if let value { PackedWriter.append(value, to: &result) }
        result.append(UnsafeRawBufferPointer(rebasing: bytes[span.upperBound...]))
    }

    /// Writes the list without the elements of `ranges`, which ascend and do not touch the same element twice.
    func removing(_ ranges: [Range<Int>], into result: inout ScratchBytes) throws(MartletError) {
        var reader = PackedReader(bytes)
        var index = 0
        for range in ranges {
            let start = reader.position
            while index < range.lowerBound {
                _ = try reader.next()
                index += 1
            }
            result.append(UnsafeRawBufferPointer(rebasing: bytes[start..<reader.position]))
            while index < range.upperBound {
                _ = try reader.next()
                index += 1
            }
        }
        result.append(UnsafeRawBufferPointer(rebasing: bytes[reader.position...]))
    }
}

/// Whether two runs of bytes are the same.
@inline(__always)
package func equalBytes(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
    guard left.count == right.count else { return false }
    guard let leftBase = left.baseAddress, let rightBase = right.baseAddress else { return true }
    return left.count == 0 || memcmp(leftBase, rightBase, left.count) == 0
}

/// Runs every reader and every edit of a packed list over arbitrary bytes: for a fuzzer. Whatever they hold, the worst
/// that may happen is an error, which is swallowed here.
package func fuzzPackedList(_ bytes: UnsafeRawBufferPointer) {
    let list = PackedList(bytes)
    func attempt(_ body: () throws(MartletError) -> Void) {
        do throws(MartletError) { try body() } catch {}
    }
    var sum = 0
    attempt { () throws(MartletError) in
        let count = try list.count()
        precondition(count <= bytes.count, "an element takes a byte at least")
        try list.visit(0..<count, reversed: true) { element in
            sum &+= element.count
            return true
        }
        // A readable blob is rebuilt by its own edits.
        var copy = ScratchBytes()
        try list.removing([], into: &copy)
        precondition(equalBytes(copy.bytes, bytes))
    }
    for index in [0, 1, 2, 7, 511, 4096] {
        attempt { () throws(MartletError) in _ = try list.offset(of: index) }
        for reversed in [false, true] {
            attempt { () throws(MartletError) in
                try list.visit(index..<index + 3, reversed: reversed) { element in
                    sum &+= element.reduce(0) { $0 &+ Int($1) }
                    return true
                }
            }
        }
        var result = ScratchBytes()
        attempt { () throws(MartletError) in try list.replacing(index..<index + 2, with: bytes, into: &result) }
        result.removeAll()
        attempt { () throws(MartletError) in try list.removing([0..<1, index + 1..<index + 2], into: &result) }
    }
    withExtendedLifetime(sum) {}
}
