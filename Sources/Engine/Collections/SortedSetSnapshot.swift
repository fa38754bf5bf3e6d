import Tenancy

/// A sorted set as it was at one moment, for handing out many elements in slices without holding a lock. Taking one of a
/// large sorted set is O(1), of a packed one a copy of its blob.
package struct SortedSetSnapshot: Sendable {
    private enum Form: Sendable {
        case packed([UInt8])
        case large(ScoredSnapshot)
    }

    package let count: Int
    private let form: Form

    init?(_ item: borrowing ItemAccess) throws(MartletError) {
        guard let count = try item.sortedSetCount() else { return nil }
        self.count = count
        if item.isLarge {
            form = .large(ScoredTree(item.trees.1, source: item.source).snapshot())
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
            let outcome = bytes.withUnsafeBytes { bytes -> Result<Void, MartletError> in
                do throws(MartletError) {
                    return .success(try PackedSortedSet(bytes).visit(ranks, reversed: reversed, body))
                } catch {
                    return .failure(error)
                }
            }
            try outcome.get()
        case .large(let snapshot):
            snapshot.visit(
                from: reversed ? ranks.upperBound - 1 : ranks.lowerBound, count: ranks.count, reversed: reversed, body)
        }
    }
}

extension ItemAccess {
    /// The sorted set as it is now, to be read after the lock is given back; nil if there is none.
    package func sortedSetSnapshot() throws(MartletError) -> SortedSetSnapshot? {
        try SortedSetSnapshot(self)
    }
}
