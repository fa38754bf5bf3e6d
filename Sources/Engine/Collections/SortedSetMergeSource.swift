import Tenancy

/// One source of a combination as it was when the combination began: a sorted set, or a set, whose members count as
/// having the score 1.
struct SortedSetMergeSource: Sendable {
    enum Form: Sendable {
        case absent
        /// A blob of entries, or of members only.
        case packed([UInt8], isSet: Bool)
        case sortedSet(byHash: HashedSnapshot, byScore: ScoredSnapshot)
        case set(HashedSnapshot)
    }

    let form: Form
    let count: Int
    /// What the item's trees were called, to see later whether it has been changed. The snapshots keep the roots from
    /// being used again.
    private let handles: (TreeHandle, TreeHandle)

    init(_ item: borrowing ItemAccess) throws(MartletError) {
        switch item.kind {
        case nil:
            form = .absent
            count = 0
            handles = (TreeHandle(), TreeHandle())
        case .sortedSet?, .set?:
            let isSet = item.kind == .set
            guard item.isLarge else {
                let blob = try item.withValue { (bytes) throws(MartletError) in Array(bytes) } ?? []
                form = .packed(blob, isSet: isSet)
                count = try Self.count(blob, isSet: isSet)
                handles = (TreeHandle(), TreeHandle())
                return
            }
            let byHash = HashedTree(item.trees.0, source: item.source, hashKey: item.hashKey).snapshot()
            form =
                isSet
                ? .set(byHash)
                : .sortedSet(byHash: byHash, byScore: ScoredTree(item.trees.1, source: item.source).snapshot())
            count = item.trees.0.count
            handles = item.trees
        default:
            throw .wrongType
        }
    }

    /// Whether the item is still what it was.
    func isCurrent(_ item: borrowing ItemAccess) throws(MartletError) -> Bool {
        switch form {
        case .absent:
            return item.kind == nil
        case .packed(let blob, let isSet):
            guard item.kind == (isSet ? .set : .sortedSet), !item.isLarge else { return false }
            return try item.withValue { (bytes) throws(MartletError) in
                blob.withUnsafeBytes { equalBytes($0, bytes) }
            } ?? false
        case .sortedSet:
            return item.kind == .sortedSet && item.isLarge && isSame(item.trees)
        case .set:
            return item.kind == .set && item.isLarge && isSame(item.trees)
        }
    }

    private func isSame(_ trees: (TreeHandle, TreeHandle)) -> Bool {
        trees.0.root == handles.0.root && trees.0.count == handles.0.count && trees.1.root == handles.1.root
            && trees.1.count == handles.1.count
    }

    /// Hands out elements from a place on, about `limit` of them; packed ones all at once.
    ///
    /// - Parameter place: where to go on; 0 at the beginning.
    /// - Returns: where the next call goes on; nil at the end.
    func visit(
        from place: UInt64, limit: Int, _ body: (Double, UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> UInt64? {
        switch form {
        case .absent:
            return nil
        case .packed(let blob, let isSet):
            let outcome = blob.withUnsafeBytes { blob -> Result<Void, MartletError> in
                do throws(MartletError) {
                    return .success(try Self.visit(blob, isSet: isSet, body))
                } catch {
                    return .failure(error)
                }
            }
            try outcome.get()
            return nil
        case .sortedSet(_, let byScore):
            let rank = Int(place)
            let number = min(limit, count - rank)
            byScore.visit(from: rank, count: number, reversed: false) { score, member in
                body(score, member)
                return true
            }
            return rank + number < count ? UInt64(rank + number) : nil
        case .set(let snapshot):
            let next = snapshot.visit(from: place, limit: limit) { member, _ in body(1, member) }
            return next == 0 ? nil : next
        }
    }

    /// The score of a member of a large source; nil if it is not there, or the source is not large.
    func score(of member: UnsafeRawBufferPointer) -> Double? {
        switch form {
        case .absent, .packed: nil
        case .sortedSet(let byHash, _): byHash.find(member).flatMap(ItemAccess.score(from:))
        case .set(let snapshot): snapshot.find(member).map { _ in 1 }
        }
    }

    private static func count(_ blob: [UInt8], isSet: Bool) throws(MartletError) -> Int {
        var count = 0
        let outcome = blob.withUnsafeBytes { blob -> Result<Void, MartletError> in
            do throws(MartletError) {
                return .success(try visit(blob, isSet: isSet) { _, _ in count += 1 })
            } catch {
                return .failure(error)
            }
        }
        try outcome.get()
        return count
    }

    private static func visit(
        _ blob: UnsafeRawBufferPointer, isSet: Bool, _ body: (Double, UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) {
        if isSet {
            var reader = PackedReader(blob)
            while !reader.isAtEnd { body(1, try reader.next()) }
        } else {
            var reader = PackedSortedSet.EntryReader(blob)
            while !reader.isAtEnd {
                let entry = try reader.next()
                body(entry.score, entry.member)
            }
        }
    }
}
