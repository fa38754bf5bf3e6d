import Tenancy

/// A range of scores, each end part of it or not.
package struct ScoreRange: Equatable, Sendable {
    package struct Bound: Equatable, Sendable {
        package var score: Double
        package var isExclusive: Bool

        package init(_ score: Double, isExclusive: Bool = false) {
            self.score = score
            self.isExclusive = isExclusive
        }
    }

    package var minimum: Bound
    package var maximum: Bound

    /// Unbounded where nothing is given, infinities included.
    package init(
        minimum: Bound = Bound(-.infinity), maximum: Bound = Bound(.infinity)
    ) {
        self.minimum = minimum
        self.maximum = maximum
    }
}

/// An end of a range of members in the order of their bytes.
package enum MemberBound: Equatable, Sendable {
    /// Before all members (`-`).
    case lowest
    /// After all members (`+`).
    case highest
    case inclusive([UInt8])
    case exclusive([UInt8])
}

/// A part of a sorted set as ZRANGE and its relatives name it.
package struct SortedSetSelection: Equatable, Sendable {
    package enum Bounds: Equatable, Sendable {
        /// Ranks are counted from the end where the order begins.
        case ranks(SliceBounds)
        case scores(ScoreRange)
        /// Makes sense where all scores are equal.
        case members(minimum: MemberBound, maximum: MemberBound)
    }

    package var bounds: Bounds
    /// From the highest to the lowest: the exact reverse, of equal scores too.
    package var isReversed: Bool
    /// How many of what `bounds` names are passed over; all are if it is negative.
    package var offset: Int
    /// How many follow at most; negative: all.
    package var limit: Int

    package init(_ bounds: Bounds, isReversed: Bool = false, offset: Int = 0, limit: Int = -1) {
        self.bounds = bounds
        self.isReversed = isReversed
        self.offset = offset
        self.limit = limit
    }
}

// From bounds to ranks. Whatever names elements, the operations take one range of ascending ranks.
extension ItemAccess {
    /// The ascending ranks of what `selection` names; nil if there is no sorted set. Large: O(log n); packed: a walk.
    /// Go over them with ``visitSortedSet(_:reversed:_:)`` in the selection's direction.
    ///
    /// - Throws: ``MartletError/wrongType``; ``MartletError/invalidArgument(field:reason:)`` for a NaN.
    package func sortedSetRanks(_ selection: SortedSetSelection) throws(MartletError) -> Range<Int>? {
        let ranks: Range<Int>?
        switch selection.bounds {
        case .ranks(let bounds):
            ranks = try sortedSetCount().map { count in
                let resolved = bounds.resolved(count: count)
                return selection.isReversed ? resolved.mirrored(in: count) : resolved
            }
        case .scores(let scores):
            ranks = try sortedSetRanks(of: scores)
        case .members(let minimum, let maximum):
            ranks = try sortedSetRanks(from: minimum, to: maximum)
        }
        return ranks?.page(offset: selection.offset, limit: selection.limit, fromEnd: selection.isReversed)
    }

    /// The ranks of the elements whose scores are in the range (ZCOUNT is their number).
    package func sortedSetRanks(of scores: ScoreRange) throws(MartletError) -> Range<Int>? {
        guard !scores.minimum.score.isNaN, !scores.maximum.score.isNaN else {
            throw .invalidArgument(field: "score", reason: "must be a number")
        }
        guard try sortedSetCount(isChecked: true) != nil else { return nil }
        let lower = try countBelow(scores.minimum.score, orEqual: scores.minimum.isExclusive)
        let upper = try countBelow(scores.maximum.score, orEqual: !scores.maximum.isExclusive)
        return lower..<max(lower, upper)
    }

    /// The ranks of the members between two (ZLEXCOUNT is their number), where all scores are equal.
    package func sortedSetRanks(
        from minimum: MemberBound, to maximum: MemberBound
    ) throws(MartletError) -> Range<Int>? {
        guard let count = try sortedSetCount() else { return nil }
        let lower = min(try position(of: minimum, isUpper: false, count: count), count)
        let upper = min(try position(of: maximum, isUpper: true, count: count), count)
        return lower..<max(lower, upper)
    }

    private func countBelow(_ score: Double, orEqual: Bool) throws(MartletError) -> Int {
        if isLarge { return ScoredTree(trees.1, source: source).count(below: score + 0.0, orEqual: orEqual) }
        return try withValue { (bytes) throws(MartletError) in
            try PackedSortedSet(bytes).countWhile { orEqual ? $0.score <= score : $0.score < score }
        } ?? 0
    }

    private func position(of bound: MemberBound, isUpper: Bool, count: Int) throws(MartletError) -> Int {
        switch bound {
        case .lowest: 0
        case .highest: count
        case .inclusive(let member): try countBelow(member, orEqual: isUpper)
        case .exclusive(let member): try countBelow(member, orEqual: !isUpper)
        }
    }

    private func countBelow(_ member: [UInt8], orEqual: Bool) throws(MartletError) -> Int {
        let outcome = member.withUnsafeBytes { member -> Result<Int, MartletError> in
            do throws(MartletError) {
                if isLarge {
                    let tree = ScoredTree(trees.1, source: source)
                    return .success(tree.countLexicographically(below: member, orEqual: orEqual))
                }
                return .success(
                    try withValue { (bytes) throws(MartletError) in
                        try PackedSortedSet(bytes).countWhile {
                            let order = compareBytes($0.member, member)
                            return order < 0 || (orEqual && order == 0)
                        }
                    } ?? 0)
            } catch {
                return .failure(error)
            }
        }
        return try outcome.get()
    }
}
