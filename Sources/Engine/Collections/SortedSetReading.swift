import Tenancy

// Reading a sorted set. Members are lent to closures while the stripe's lock is held.
extension ItemAccess {
    /// How many elements there are; nil if there is no sorted set. Large: O(1); packed: one walk.
    ///
    /// - Throws: ``MartletError/wrongType``.
    package func sortedSetCount() throws(MartletError) -> Int? {
        try expectSortedSet()
        if isLarge { return trees.1.count }
        return try withValue { (bytes) throws(MartletError) in try PackedSortedSet(bytes).count() }
    }

    /// The same for where only its being there matters: a packed one is not counted, and the number is 0.
    func sortedSetCount(isChecked: Bool) throws(MartletError) -> Int? {
        try expectSortedSet()
        return kind == nil ? nil : isLarge ? trees.1.count : 0
    }

    /// A member's score (ZSCORE); nil if it is not there. Large: one search by hash.
    package func sortedSetScore(of member: UnsafeRawBufferPointer) throws(MartletError) -> Double? {
        try expectSortedSet()
        if isLarge { return try storedScore(of: member, in: HashedTree(trees.0, source: source, hashKey: hashKey)) }
        let found = try withValue { (bytes) throws(MartletError) in try PackedSortedSet(bytes).find(member)?.score }
        return found ?? nil
    }

    /// The scores of several members, in order, nil for one that is not there (ZMSCORE, SortedSetGetScore).
    ///
    /// - Returns: false, and nothing handed out, if there is no sorted set.
    package func sortedSetScores(
        of members: some Sequence<UnsafeRawBufferPointer>, _ body: (Double?) -> Void
    ) throws(MartletError) -> Bool {
        try expectSortedSet()
        guard kind != nil else { return false }
        if isLarge {
            let hashed = HashedTree(trees.0, source: source, hashKey: hashKey)
            for member in members { body(try storedScore(of: member, in: hashed)) }
        } else {
            _ = try withValue { (bytes) throws(MartletError) in
                let set = PackedSortedSet(bytes)
                for member in members { body(try set.find(member)?.score) }
            }
        }
        return true
    }

    /// A member's place counted from 0, from the highest if `reversed`, and its score (ZRANK, ZREVRANK,
    /// SortedSetGetRank); nil if it is not there, or there is no sorted set.
    package func sortedSetRank(
        of member: UnsafeRawBufferPointer, reversed: Bool = false
    ) throws(MartletError) -> (rank: Int, score: Double)? {
        try expectSortedSet()
        if isLarge {
            let hashed = HashedTree(trees.0, source: source, hashKey: hashKey)
            guard let score = try storedScore(of: member, in: hashed) else { return nil }
            let scored = ScoredTree(trees.1, source: source)
            guard let rank = scored.rank(score: score, member) else { throw Self.disagreement }
            return (reversed ? trees.1.count - 1 - rank : rank, score)
        }
        let found = try withValue { (bytes) throws(MartletError) -> (rank: Int, score: Double)? in
            let set = PackedSortedSet(bytes)
            guard let found = try set.find(member) else { return nil }
            return (reversed ? try set.count() - 1 - found.rank : found.rank, found.score)
        }
        return found ?? nil
    }

    /// Hands out the elements of ascending ranks, which must exist (see ``sortedSetRanks(_:)``), the highest first if
    /// `reversed`. `body` ends it by returning false. O(log n + ranks).
    package func visitSortedSet(
        _ ranks: Range<Int>, reversed: Bool = false, _ body: (Double, UnsafeRawBufferPointer) -> Bool
    ) throws(MartletError) {
        try expectSortedSet()
        guard !ranks.isEmpty else { return }
        if isLarge {
            ScoredTree(trees.1, source: source).visit(
                from: reversed ? ranks.upperBound - 1 : ranks.lowerBound, count: ranks.count, reversed: reversed, body)
        } else {
            _ = try withValue { (bytes) throws(MartletError) in
                try PackedSortedSet(bytes).visit(ranks, reversed: reversed, body)
            }
        }
    }

    /// Goes over the elements in no particular order, a part in each call (ZSCAN): what is there from the first call to
    /// the last is handed out at least once. A packed one is handed out whole, whatever the cursor.
    ///
    /// - Returns: the cursor for the next call; 0 at the end, and if there is no sorted set.
    package func scanSortedSet(
        from cursor: UInt64, limit: Int, _ body: (Double, UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> UInt64 {
        try expectSortedSet()
        if isLarge {
            let hashed = HashedTree(trees.0, source: source, hashKey: hashKey)
            return hashed.visit(from: cursor, limit: max(limit, 1)) { member, score in
                body(Self.score(from: score) ?? 0, member)
            }
        }
        guard let count = try sortedSetCount() else { return 0 }
        try visitSortedSet(0..<count) { score, member in
            body(score, member)
            return true
        }
        return 0
    }

    // MARK: - Parts

    static let disagreement = MartletError.internalFailure("the halves of a sorted set disagree")

    @inline(__always)
    func expectSortedSet() throws(MartletError) {
        guard let kind, kind != .sortedSet else { return }
        throw .wrongType
    }

    /// A score as the hashed half holds it: eight bytes.
    @inline(__always)
    static func score(from bytes: UnsafeRawBufferPointer) -> Double? {
        guard bytes.count == 8 else { return nil }
        return Double(bitPattern: UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self)))
    }

    @inline(__always)
    func storedScore(
        of member: UnsafeRawBufferPointer, in hashed: borrowing HashedTree
    ) throws(MartletError) -> Double? {
        guard let bytes = hashed.find(member) else { return nil }
        guard let score = Self.score(from: bytes) else { throw Self.disagreement }
        return score
    }
}
