import Tenancy

// Between the two forms of a sorted set. The large one is two trees over the same members: by hash, to find the score of
// a member, and by score, for ranks and ranges.

/// The two halves of a large sorted set while they are changed.
struct SortedSetTrees: ~Copyable {
    var hashed: HashedTree
    var scored: ScoredTree

    /// Empty ones.
    init(source: PageSource, hashKey: SipHashKey) {
        self.init((TreeHandle(), TreeHandle()), source: source, hashKey: hashKey)
    }

    init(_ handles: (TreeHandle, TreeHandle), source: PageSource, hashKey: SipHashKey) {
        hashed = HashedTree(handles.0, source: source, hashKey: hashKey)
        scored = ScoredTree(handles.1, source: source)
    }

    var count: Int { scored.count }

    /// Gives an element its score, `old` being the one that it has. The score must be normalised.
    @inline(__always)
    mutating func put(_ score: Double, _ member: UnsafeRawBufferPointer, replacing old: Double?) {
        if let old { _ = scored.remove(score: old, member) }
        scored.insert(score: score, member)
        withUnsafeBytes(of: score.bitPattern.littleEndian) { _ = hashed.set(member, $0) }
    }
}

extension ItemAccess {
    @inline(__always)
    static func staysPackedSortedSet(bytes: Int, count: Int) -> Bool {
        bytes <= PackedSortedSet.maximumBytes && count <= PackedSortedSet.maximumCount
    }

    /// The halves of a large sorted set.
    func sortedSetTrees() -> SortedSetTrees {
        SortedSetTrees(trees, source: source, hashKey: hashKey)
    }

    /// New trees with the elements of a blob. On an error nothing is left of them.
    func sortedSetTrees(from packed: UnsafeRawBufferPointer) throws(MartletError) -> SortedSetTrees {
        var built = SortedSetTrees(source: source, hashKey: hashKey)
        do throws(MartletError) {
            var reader = PackedSortedSet.EntryReader(packed)
            while !reader.isAtEnd {
                let entry = try reader.next()
                // A member that stands there twice would leave the halves of different sizes.
                guard built.hashed.find(entry.member) == nil else { throw PackedReader.damaged }
                built.put(entry.score, entry.member, replacing: nil)
            }
        } catch {
            source.bury(built.hashed.handle)
            source.bury(built.scored.handle)
            throw error
        }
        return built
    }

    /// Writes changed trees back: removes the item if nothing is left, packs what has become small.
    mutating func storeSortedSet(_ changed: borrowing SortedSetTrees, hasShrunk: Bool, expiresAt: Timestamp?) {
        let count = changed.count
        storeTrees(.sortedSet, changed.hashed.handle, changed.scored.handle, expiresAt: expiresAt)
        if count == 0 { return remove() }
        // No more large: its new time has removed it.
        guard hasShrunk, count <= PackedSortedSet.repackedCount, isLarge else { return }
        var packed = ScratchBytes()
        changed.scored.visit(from: 0, count: count, reversed: false) { score, member in
            PackedSortedSet.append(score, member, to: &packed)
            return packed.count <= PackedSortedSet.repackedBytes
        }
        guard packed.count <= PackedSortedSet.repackedBytes else { return }
        // If it cannot be stored so, it stays as it is.
        try? store(.sortedSet, packed.bytes, expiresAt: expiresAt)
    }
}
