/// A part of an ordered collection as a caller names it, before the length is known. Both conventions end in one
/// `Range<Int>` of positions that exist, which is all that the operations take.
package enum SliceBounds: Equatable, Sendable {
    case all
    /// As gRPC has it (Python's rules): negative numbers count from the end, nil is unbounded, `end` is left out.
    case halfOpen(start: Int?, end: Int?)
    /// As RESP has it: negative numbers count from the end, `stop` is part of it.
    case inclusive(start: Int, stop: Int)

    /// The positions of a collection of `count` elements. Never fails: what lies outside is clamped, and what is the
    /// wrong way around is empty.
    package func resolved(count: Int) -> Range<Int> {
        let count = max(count, 0)
        switch self {
        case .all:
            return 0..<count
        case .halfOpen(let start, let end):
            let lower = Self.fromEnd(start ?? 0, count)
            let upper = Self.fromEnd(end ?? count, count)
            return min(lower, count)..<max(min(lower, count), min(upper, count))
        case .inclusive(let start, let stop):
            let lower = min(Self.fromEnd(start, count), count)
            // A stop before the first element is before all of them, which clamping to zero would hide.
            let last = stop < 0 ? stop + count : min(stop, count - 1)
            return lower..<max(lower, last + 1)
        }
    }

    /// The position that an index names where a negative one counts from the end; nil if there is none.
    package static func position(_ index: Int, count: Int) -> Int? {
        let position = index < 0 ? index + count : index
        return position >= 0 && position < count ? position : nil
    }

    private static func fromEnd(_ index: Int, _ count: Int) -> Int {
        index < 0 ? max(0, index + count) : index
    }
}

extension Range<Int> {
    /// The same elements counted from the other end of a collection of `count`.
    package func mirrored(in count: Int) -> Range<Int> {
        (count - upperBound)..<(count - lowerBound)
    }

    /// What is left after `offset` elements, and of that at most `limit` (all, if negative), from the end where
    /// `fromEnd` starts.
    func page(offset: Int, limit: Int, fromEnd: Bool) -> Range<Int> {
        guard offset >= 0, offset < count else { return lowerBound..<lowerBound }
        let length = limit < 0 ? count - offset : Swift.min(limit, count - offset)
        return fromEnd
            ? (upperBound - offset - length)..<(upperBound - offset)
            : (lowerBound + offset)..<(lowerBound + offset + length)
    }
}
