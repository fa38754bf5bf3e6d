import Tenancy

// Combining sorted sets: ZUNION, ZINTER, ZDIFF, ZINTERCARD, their STORE forms, ZRANGESTORE and SortedSetUnionStore.
//
//     begin    under the lock of all sources: a snapshot of each, O(1) where it is large
//     step     without a lock, a bounded piece in each call:
//                gather   a source's elements go into a tree by hash, with the score combined so far
//                         (union: every source in turn; intersection: the smallest, each element looked up in the
//                         others; difference: the first, likewise; range: the elements of the chosen ranks)
//                order    the tree by hash is gone over once and the tree by score built from it
//     commit   under the lock of all keys: if every source is still what it was, the two trees become the destination
//              in O(1), or a blob if they are small
//
// So a union of a million elements holds a lock twice for a moment. The trees that are being built are charged to the
// cache from the beginning, and given up with the merge.
//
// Scores are combined as Valkey does it: what is no number (infinity by 0, infinity less infinity) counts as 0.

/// What a combination does with its sources.
package enum SortedSetOperation: Equatable, Sendable {
    case union
    case intersection
    /// The elements of the first source that are in none of the others, with their scores there.
    case difference
    /// The elements of one source that a selection names.
    case range(SortedSetSelection)
}

/// How the scores of one member in several sources become one.
package enum SortedSetAggregate: Sendable {
    case sum, minimum, maximum

    @inline(__always)
    func combine(_ left: Double, _ right: Double) -> Double {
        switch self {
        case .sum:
            let sum = left + right
            return sum.isNaN ? 0 : sum + 0.0
        case .minimum: return min(left, right)
        case .maximum: return max(left, right)
        }
    }
}

/// One combination on its way. Used by one thread at a time: ``SortedSetCombination`` drives it.
// Unchecked: it is handed from one thread to the next and never used by two at once; its owner sees to that.
final class SortedSetMerge: @unchecked Sendable {
    private enum Phase {
        case gathering(source: Int, place: UInt64)
        case ordering(cursor: UInt64)
        case done
    }

    private let operation: SortedSetOperation
    private let aggregate: SortedSetAggregate
    private let weights: [Double]
    /// Only the number of elements is wanted, and no more than that: ZINTERCARD.
    private let countLimit: Int?
    private let source: PageSource
    private let hashKey: SipHashKey

    private var sources: [SortedSetMergeSource] = []
    /// Packed sources by hash, made when they are first looked into.
    private var indexes: [TreeHandle?] = []
    private var ranks = 0..<0
    private var phase = Phase.done
    private var hashed = TreeHandle()
    private var scored = TreeHandle()
    /// How many elements the result has, as far as it is known.
    private(set) var count = 0

    /// How much memory the result takes so far.
    var bytes: Int { hashed.bytes + scored.bytes }

    /// Takes snapshots of `items`, which are all locked.
    ///
    /// - Throws: ``MartletError/wrongType`` if one is neither a sorted set nor a set.
    init(
        _ operation: SortedSetOperation, aggregate: SortedSetAggregate, weights: [Double], countLimit: Int?,
        of items: Range<Int>, in transaction: borrowing Transaction
    ) throws(MartletError) {
        self.operation = operation
        self.aggregate = aggregate
        self.weights = weights
        self.countLimit = countLimit
        source = transaction[items.lowerBound].source
        hashKey = transaction[items.lowerBound].hashKey
        for index in items { sources.append(try SortedSetMergeSource(transaction[index])) }
        indexes = Array(repeating: nil, count: sources.count)
        switch operation {
        case .union:
            phase = .gathering(source: 0, place: 0)
        case .intersection:
            if sources.allSatisfy({ $0.count > 0 }) {
                let smallest = sources.indices.min { sources[$0].count < sources[$1].count } ?? 0
                phase = .gathering(source: smallest, place: 0)
            }
        case .difference:
            phase = .gathering(source: 0, place: 0)
        case .range(let selection):
            ranks = try transaction[items.lowerBound].sortedSetRanks(selection) ?? 0..<0
            phase = .gathering(source: 0, place: UInt64(ranks.lowerBound))
        }
    }

    deinit {
        discard(&hashed)
        discard(&scored)
        for index in indexes {
            if var index { discard(&index) }
        }
    }

    private func discard(_ handle: inout TreeHandle) {
        if handle != TreeHandle() { source.bury(handle) }
        handle = TreeHandle()
    }

    /// Goes on by about `budget` elements.
    ///
    /// - Returns: true when the result is complete.
    func step(budget: Int) throws(MartletError) -> Bool {
        var budget = max(budget, 1)
        while budget > 0 {
            switch phase {
            case .gathering(let index, let place):
                phase = try gather(from: index, at: place, &budget)
            case .ordering(let cursor):
                phase = order(from: cursor, &budget)
            case .done:
                return true
            }
        }
        if case .done = phase { return true }
        return false
    }

    /// Goes over the result, which must be complete.
    func visit(_ ranks: Range<Int>, reversed: Bool, _ body: (Double, UnsafeRawBufferPointer) -> Bool) {
        let ranks = ranks.clamped(to: 0..<scored.count)
        guard !ranks.isEmpty else { return }
        ScoredTree(scored, source: source).visit(
            from: reversed ? ranks.upperBound - 1 : ranks.lowerBound, count: ranks.count, reversed: reversed, body)
    }

    /// Makes the result the value of `destination`, whatever that was, if the sources are still what they were. The
    /// merge is empty afterwards.
    ///
    /// - Returns: false, and nothing done, if one has been changed.
    func commit(
        of items: Range<Int>, to destination: Int, in transaction: inout Transaction, expiresAt: Timestamp?
    ) throws(MartletError) -> Bool {
        for (source, index) in zip(sources, items) {
            guard try source.isCurrent(transaction[index]) else { return false }
        }
        try transaction[destination].replaceSortedSet(&hashed, &scored, expiresAt: expiresAt)
        return true
    }

    // MARK: - Gathering

    private func gather(from index: Int, at place: UInt64, _ budget: inout Int) throws(MartletError) -> Phase {
        var result = HashedTree(hashed, source: source, hashKey: hashKey)
        // The handle is read back whatever happens, or a failure would leave the tree behind.
        defer { hashed = result.handle }
        var limit = budget
        if case .range = operation { limit = min(limit, ranks.upperBound - Int(truncatingIfNeeded: place)) }
        guard limit > 0 else { return .ordering(cursor: 0) }
        try indexPackedSources(besides: index)

        var spent = 1
        // Where the first of what follows stands: a packed source comes whole, wherever the range begins.
        var rank = Int(truncatingIfNeeded: place)
        if case .packed = sources[index].form { rank = 0 }
        let next = try sources[index].visit(from: place, limit: limit) { score, member in
            switch operation {
            case .union:
                var score = weighted(score, index)
                if let old = result.find(member).flatMap(ItemAccess.score(from:)) {
                    score = aggregate.combine(old, score)
                }
                put(score, member, &result)
                spent += 1
            case .intersection:
                if let score = intersectionScore(score, member, index) { put(score, member, &result) }
                spent += sources.count
            case .difference:
                let isElsewhere = sources.indices.contains { $0 != 0 && lookUp(member, in: $0) != nil }
                if !isElsewhere { put(score + 0.0, member, &result) }
                spent += sources.count
            case .range:
                if ranks.contains(rank) { put(score + 0.0, member, &result) }
                rank += 1
                spent += 1
            }
        }
        budget -= spent
        if let countLimit, countLimit > 0, count >= countLimit {
            count = countLimit
            return .done
        }
        if let next {
            if case .range = operation, next >= UInt64(ranks.upperBound) { return .ordering(cursor: 0) }
            return .gathering(source: index, place: next)
        }
        if case .union = operation, index + 1 < sources.count { return .gathering(source: index + 1, place: 0) }
        return countLimit == nil ? .ordering(cursor: 0) : .done
    }

    private func put(_ score: Double, _ member: UnsafeRawBufferPointer, _ result: inout HashedTree) {
        if countLimit != nil, operation != .union {
            // Each element comes once, and nobody asks for it.
            count += 1
        } else if withUnsafeBytes(of: score.bitPattern.littleEndian, { result.set(member, $0) }) {
            count += 1
        }
    }

    @inline(__always)
    private func weighted(_ score: Double, _ index: Int) -> Double {
        let product = weights[index] * score
        return product.isNaN ? 0 : product + 0.0
    }

    /// The combined score of a member of the source `index`; nil if it is not in all of them.
    private func intersectionScore(_ score: Double, _ member: UnsafeRawBufferPointer, _ index: Int) -> Double? {
        var combined: Double?
        for other in sources.indices {
            guard let found = other == index ? score : lookUp(member, in: other) else { return nil }
            let value = weighted(found, other)
            combined = combined.map { aggregate.combine($0, value) } ?? value
        }
        return combined
    }

    private func lookUp(_ member: UnsafeRawBufferPointer, in index: Int) -> Double? {
        guard let handle = indexes[index] else { return sources[index].score(of: member) }
        return HashedTree(handle, source: source, hashKey: hashKey).find(member).flatMap(ItemAccess.score(from:))
    }

    private func indexPackedSources(besides driver: Int) throws(MartletError) {
        switch operation {
        case .union, .range: return
        case .intersection, .difference: break
        }
        for index in sources.indices where index != driver && indexes[index] == nil {
            guard case .packed = sources[index].form else { continue }
            var tree = HashedTree(TreeHandle(), source: source, hashKey: hashKey)
            defer { indexes[index] = tree.handle }
            _ = try sources[index].visit(from: 0, limit: .max) { score, member in
                withUnsafeBytes(of: score.bitPattern.littleEndian) { _ = tree.set(member, $0) }
            }
        }
    }

    // MARK: - Ordering

    private func order(from cursor: UInt64, _ budget: inout Int) -> Phase {
        var result = ScoredTree(scored, source: source)
        let elements = HashedTree(hashed, source: source, hashKey: hashKey)
        var spent = 1
        let next = elements.visit(from: cursor, limit: budget) { member, score in
            spent += 1
            if let score = ItemAccess.score(from: score) { result.insert(score: score, member) }
        }
        scored = result.handle
        budget -= spent
        return next == 0 ? .done : .ordering(cursor: next)
    }
}
