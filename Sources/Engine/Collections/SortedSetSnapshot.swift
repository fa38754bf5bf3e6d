import Tenancy

/// A sorted set as it was at one moment, for handing out many elements in slices without holding a lock. Taking one of a
/// large sorted set is O(1), of a packed one a copy of its blob.
package struct SortedSetSnapshot: Sendable {
    private enum Form: Sendable {
        case packed([UInt8])
        case large(byHash: HashedSnapshot, byScore: ScoredSnapshot)
    }

    package let count: Int
    private let form: Form

    init?(_ item: borrowing ItemAccess) throws(MartletError) {
        guard let count = try item.sortedSetCount() else { return nil }
        self.count = count
        if item.isLarge {
            form = .large(
                byHash: HashedTree(item.trees.0, source: item.source, hashKey: item.hashKey).snapshot(),
                byScore: ScoredTree(item.trees.1, source: item.source).snapshot())
        } else {
            form = .packed(try item.withValue { (bytes) throws(MartletError) in Array(bytes) } ?? [])
        }
    }

    /// Hands out the elements of ascending ranks, cut to what there is, the highest first if `reversed`. Any thread.
    /// Callers bound the range, so that each slice is short. O(log n + ranks) for a large sorted set.
    package func visit(
        _ ranks: Range<Int>, reversed: Bool = false, _ body: (Double, UnsafeRawBufferPointer) -> Bool
    ) throws(MartletError) {
        let ranks = ranks.clamped(to: 0..<count)
        guard !ranks.isEmpty else { return }
        switch form {
        case .packed(let bytes):
            try bytes.span.bytes.withUnsafeBytes { (bytes) throws(MartletError) in
                try PackedSortedSet(bytes).visit(ranks, reversed: reversed, body)
            }
        case .large(_, let snapshot):
            snapshot.visit(
                from: reversed ? ranks.upperBound - 1 : ranks.lowerBound, count: ranks.count, reversed: reversed, body)
        }
    }

    /// A member's place counted from 0 and its score; nil if it is not there. Large: O(log n); packed: a walk.
    package func rank(
        of member: UnsafeRawBufferPointer
    ) throws(MartletError) -> (rank: Int, score: Double)? {
        switch form {
        case .packed(let bytes):
            return try bytes.span.bytes.withUnsafeBytes { (bytes) throws(MartletError) in
                try PackedSortedSet(bytes).find(member).map { ($0.rank, $0.score) }
            }
        case .large(let byHash, let byScore):
            guard let stored = byHash.find(member) else { return nil }
            guard let score = ItemAccess.score(from: stored), let rank = byScore.rank(score: score, member) else {
                throw ItemAccess.disagreement
            }
            return (rank, score)
        }
    }

    /// The ranks of the elements that have a score. Costs as of ``rank(of:)``.
    package func ranks(scored score: Double) throws(MartletError) -> Range<Int> {
        switch form {
        case .packed(let bytes):
            return try bytes.span.bytes.withUnsafeBytes { (bytes) throws(MartletError) -> Range<Int> in
                let set = PackedSortedSet(bytes)
                return try set.countWhile { $0.score < score }..<set.countWhile { $0.score <= score }
            }
        case .large(_, let byScore):
            return byScore.count(below: score, orEqual: false)..<byScore.count(below: score, orEqual: true)
        }
    }
}

extension ItemAccess {
    /// The sorted set as it is now, to be read after the lock is given back; nil if there is none.
    package func sortedSetSnapshot() throws(MartletError) -> SortedSetSnapshot? {
        try SortedSetSnapshot(self)
    }
}
