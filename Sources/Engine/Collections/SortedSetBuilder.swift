import Tenancy

/// A sorted set that is put together outside of any item and without a lock, some elements at a time. What is not
/// committed is given back.
///
/// Its trees' pages are charged to the cache as they are taken. One thread at a time.
// Unchecked: it is handed from one thread to the next and never used by two at once; its owner sees to that.
package final class SortedSetBuilder: @unchecked Sendable {
    private let cache: EngineCache
    private let hashKey: SipHashKey
    private var hashed = TreeHandle()
    private var scored = TreeHandle()

    package init(cache: EngineCache) {
        self.cache = cache
        hashKey = cache.core.configuration.indexKey
    }

    deinit {
        for handle in [hashed, scored] where handle != TreeHandle() { cache.source.bury(handle) }
    }

    /// Adds an element, or gives it another score. The score must be a number. O(log n).
    package func add(_ score: Double, _ member: UnsafeRawBufferPointer) {
        var trees = SortedSetTrees((hashed, scored), source: cache.source, hashKey: hashKey)
        let old = trees.hashed.find(member).flatMap(ItemAccess.score(from:))
        trees.put(score + 0.0, member, replacing: old)
        (hashed, scored) = (trees.hashed.handle, trees.scored.handle)
    }

    /// Makes the item of a key this sorted set, whatever it was before; an empty one removes it. To be called once.
    ///
    /// - Throws: As ``EngineCache/withItem(_:reserving:now:_:)``. The item is what it was then.
    package func commit(
        to key: UnsafeRawBufferPointer, expiresAt: Timestamp?, now: Timestamp
    ) throws(MartletError) {
        try cache.withItem(key, reserving: PackedSortedSet.maximumBytes, now: now) { (item) throws(MartletError) in
            try item.replaceSortedSet(&hashed, &scored, expiresAt: expiresAt)
        }
    }
}

extension ItemAccess {
    /// Makes the item the sorted set of two trees that belong to no other, packed if it is small; it removes it if they
    /// are empty. The handles are empty afterwards.
    mutating func replaceSortedSet(
        _ hashed: inout TreeHandle, _ scored: inout TreeHandle, expiresAt: Timestamp?
    ) throws(MartletError) {
        let count = scored.count
        guard count > 0 else { return remove() }
        var packed = ScratchBytes(capacity: PackedSortedSet.maximumBytes)
        if count <= PackedSortedSet.maximumCount {
            ScoredTree(scored, source: source).visit(from: 0, count: count, reversed: false) { score, member in
                PackedSortedSet.append(score, member, to: &packed)
                return packed.count <= PackedSortedSet.maximumBytes
            }
            if Self.staysPackedSortedSet(bytes: packed.count, count: count) {
                try store(.sortedSet, packed.bytes, expiresAt: expiresAt)
                source.bury(hashed)
                source.bury(scored)
                (hashed, scored) = (TreeHandle(), TreeHandle())
                return
            }
        }
        // Trees that it has would be taken for what the new ones were before.
        remove()
        storeTrees(.sortedSet, hashed, scored, expiresAt: expiresAt)
        (hashed, scored) = (TreeHandle(), TreeHandle())
    }
}
