import Tenancy

// Taking elements out of a sorted set. One without elements is removed.
extension ItemAccess {
    /// Removes elements (ZREM, SortedSetRemove).
    ///
    /// - Returns: how many there were; nil if there is no sorted set.
    package mutating func removeFromSortedSet(
        _ members: some Sequence<UnsafeRawBufferPointer>
    ) throws(MartletError) -> Int? {
        try expectSortedSet()
        guard kind != nil else { return nil }
        var removed = 0
        if isLarge {
            var trees = sortedSetTrees()
            for member in members {
                guard let bytes = trees.hashed.find(member), let score = Self.score(from: bytes) else { continue }
                _ = trees.scored.remove(score: score, member)
                _ = trees.hashed.remove(member)
                removed += 1
            }
            if removed > 0 { storeSortedSet(trees, hasShrunk: true, expiresAt: expiresAt) }
            return removed
        }
        var packed = ScratchBytes(capacity: PackedSortedSet.maximumBytes)
        _ = try withValue { (bytes) throws(MartletError) in packed.append(bytes) }
        for member in members {
            guard let place = try PackedSortedSet.locate(member, in: packed).place else { continue }
            PackedSortedSet.remove(place.span, in: &packed)
            removed += 1
        }
        if removed > 0 { try storePackedSortedSet(packed) }
        return removed
    }

    /// Removes the elements of ascending ranks and hands them out as they go (ZREMRANGEBYRANK, ...BYSCORE, ...BYLEX with
    /// ``sortedSetRanks(_:)``). What lies outside is ignored.
    ///
    /// - Returns: how many were removed; nil if there is no sorted set.
    package mutating func removeFromSortedSet(
        ranks: Range<Int>, _ body: (Double, UnsafeRawBufferPointer) -> Void = { _, _ in }
    ) throws(MartletError) -> Int? {
        guard let count = try sortedSetCount() else { return nil }
        let ranks = ranks.clamped(to: 0..<count)
        try removeRanks(ranks, of: count, reversed: false, body)
        return ranks.count
    }

    /// Removes what a selection names; nil if there is no sorted set.
    package mutating func removeFromSortedSet(
        _ selection: SortedSetSelection
    ) throws(MartletError) -> Int? {
        guard let ranks = try sortedSetRanks(selection) else { return nil }
        return try removeFromSortedSet(ranks: ranks)
    }

    /// Removes up to `count` elements with the lowest scores (or the highest, these first) and hands them out (ZPOPMIN,
    /// ZPOPMAX).
    ///
    /// - Returns: how many are left; nil if there is no sorted set.
    package mutating func popFromSortedSet(
        highest: Bool, count: Int = 1, _ body: (Double, UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> Int? {
        guard let before = try sortedSetCount() else { return nil }
        let popped = min(max(count, 0), before)
        try removeRanks(highest ? before - popped..<before : 0..<popped, of: before, reversed: highest, body)
        return before - popped
    }

    // MARK: - Parts

    private mutating func removeRanks(
        _ ranks: Range<Int>, of count: Int, reversed: Bool, _ body: (Double, UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) {
        guard !ranks.isEmpty else { return }
        if reversed || ranks.count == count || !isLarge {
            try visitSortedSet(ranks, reversed: reversed) { score, member in
                body(score, member)
                return true
            }
        }
        if ranks.count == count { return remove() }
        if isLarge {
            var trees = sortedSetTrees()
            let (source, hashKey) = (self.source, self.hashKey)
            var hashed = HashedTree(trees.hashed.handle, source: source, hashKey: hashKey)
            trees.scored.removeRanks(ranks) { score, member in
                if !reversed { body(score, member) }
                _ = hashed.remove(member)
            }
            trees.hashed = hashed
            storeSortedSet(trees, hasShrunk: true, expiresAt: expiresAt)
            return
        }
        var packed = ScratchBytes(capacity: PackedSortedSet.maximumBytes)
        _ = try withValue { (bytes) throws(MartletError) in
            let set = PackedSortedSet(bytes)
            let lower = try set.offset(of: ranks.lowerBound)
            let upper = try set.offset(of: ranks.upperBound)
            packed.append(UnsafeRawBufferPointer(rebasing: bytes[..<lower]))
            packed.append(UnsafeRawBufferPointer(rebasing: bytes[upper...]))
        }
        try storePackedSortedSet(packed)
    }

    /// Stores a blob that has become shorter.
    private mutating func storePackedSortedSet(_ packed: borrowing ScratchBytes) throws(MartletError) {
        if packed.count == 0 { return remove() }
        try store(.sortedSet, packed.bytes, expiresAt: expiresAt)
    }
}
