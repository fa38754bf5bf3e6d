import Tenancy

/// A combination of sorted sets (and sets) of one cache, done in slices: each call of ``step(budget:now:)`` does a
/// bounded piece, and between two calls the thread is free for others. See ``SortedSetOperation`` and the essay in
/// SortedSetMerge.swift. Under a transaction's locks there is ``Transaction/combineSortedSets(_:of:weights:aggregate:to:expiresAt:)``.
///
/// If a source is changed before the result could be stored, all begins again; after three times it is done in one piece
/// under the lock.
// Unchecked: it is handed from one thread to the next and never used by two at once; its owner sees to that.
package final class SortedSetCombination: @unchecked Sendable {
    private enum Phase {
        case beginning
        case merging
        case done
    }

    private static let attempts = 3

    private let cache: EngineCache
    private let operation: SortedSetOperation
    private let aggregate: SortedSetAggregate
    private let weights: [Double]
    private let countLimit: Int?
    private let expiresAt: Timestamp?
    private let hasDestination: Bool
    private let largestBytes: Int
    /// The sources' keys and, last, the destination's, in one piece of memory that outlives every transaction.
    private let keyMemory: UnsafeMutableRawBufferPointer
    private let keys: [UnsafeRawBufferPointer]

    private var phase = Phase.beginning
    private var merge: SortedSetMerge?
    private var attempt = 0
    /// How many elements the result has, once it is complete; for a count with a limit, no more than that.
    package private(set) var count = 0

    /// - Parameters:
    ///   - weights: what the scores of each source are multiplied by (union and intersection); nil: 1 each.
    ///   - countLimit: only counts the result, to that number at most (ZINTERCARD with LIMIT); 0: without limit; nil:
    ///     the elements are wanted.
    ///   - destination: where the result is stored, in the place of whatever is there. It is no source by that.
    ///   - largestBytes: how much memory the result may take; beyond that it is refused.
    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` without sources, with a weight for each missing, or one
    ///   that is not a number.
    package init(
        cache: EngineCache, _ operation: SortedSetOperation, of sources: [[UInt8]], weights: [Double]? = nil,
        aggregate: SortedSetAggregate = .sum, countLimit: Int? = nil, to destination: [UInt8]? = nil,
        expiresAt: Timestamp? = nil, largestBytes: Int = .max
    ) throws(MartletError) {
        self.largestBytes = largestBytes
        self.weights = try Self.checked(weights, sourceCount: sources.count, operation)
        self.cache = cache
        self.operation = operation
        self.aggregate = aggregate
        self.countLimit = countLimit
        self.expiresAt = expiresAt
        hasDestination = destination != nil
        let all = sources + (destination.map { [$0] } ?? [])
        let memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(all.reduce(0) { $0 + $1.count }, 1), alignment: 1)
        var offset = 0
        keys = all.map { key in
            let place = memory[offset..<offset + key.count]
            UnsafeMutableRawBufferPointer(rebasing: place).copyBytes(from: key)
            offset += key.count
            return UnsafeRawBufferPointer(UnsafeMutableRawBufferPointer(rebasing: place))
        }
        keyMemory = memory
    }

    deinit { keyMemory.deallocate() }

    static func checked(
        _ weights: [Double]?, sourceCount: Int, _ operation: SortedSetOperation
    ) throws(MartletError) -> [Double] {
        guard sourceCount > 0 else { throw .invalidArgument(field: "sources", reason: "must not be empty") }
        if case .range = operation, sourceCount != 1 {
            throw .invalidArgument(field: "sources", reason: "must be one for a range")
        }
        guard let weights else { return Array(repeating: 1, count: sourceCount) }
        guard weights.count == sourceCount else {
            throw .invalidArgument(field: "weights", reason: "must be as many as the sources")
        }
        guard weights.allSatisfy({ !$0.isNaN }) else {
            throw .invalidArgument(field: "weights", reason: "must be numbers")
        }
        return weights
    }

    private var sources: Range<Int> { 0..<(hasDestination ? keys.count - 1 : keys.count) }

    /// Goes on by about `budget` elements (a microsecond or so each).
    ///
    /// - Returns: true when it is done.
    /// - Throws: ``MartletError/wrongType``; nothing is stored then.
    package func step(budget: Int, now: Timestamp) throws(MartletError) -> Bool {
        switch phase {
        case .beginning:
            try begin(now: now)
            return phase == .done
        case .merging:
            guard let merge else { return false }
            let isComplete = try merge.step(budget: budget)
            // Its elements lie in both halves.
            guard merge.bytes / 2 <= largestBytes else {
                throw .tooLarge(limit: .maxItemBytes, value: UInt64(largestBytes))
            }
            guard isComplete else { return false }
            if !hasDestination {
                count = merge.count
                phase = .done
                return true
            }
            let isStored = try cache.transact(keys, reserving: 0, now: now) {
                (transaction) throws(MartletError) -> Bool in
                try merge.commit(of: sources, to: keys.count - 1, in: &transaction, expiresAt: expiresAt)
            }
            if isStored {
                finish(merge.count)
            } else {
                self.merge = nil
                phase = .beginning
            }
            return isStored
        case .done:
            return true
        }
    }

    /// Goes over the result of a combination that is done and has no destination, by ascending ranks.
    package func visit(
        _ ranks: Range<Int>, reversed: Bool = false, _ body: (Double, UnsafeRawBufferPointer) -> Bool
    ) {
        guard phase == .done else { return }
        merge?.visit(ranks, reversed: reversed, body)
    }

    private func begin(now: Timestamp) throws(MartletError) {
        attempt += 1
        let isLast = attempt > Self.attempts
        let stored = try cache.transact(keys, reserving: 0, now: now) { (transaction) throws(MartletError) -> Int? in
            let merge = try SortedSetMerge(
                operation, aggregate: aggregate, weights: weights, countLimit: countLimit, of: sources,
                in: transaction)
            guard isLast, hasDestination else {
                self.merge = merge
                return nil
            }
            while try !merge.step(budget: .max) {}
            _ = try merge.commit(of: sources, to: keys.count - 1, in: &transaction, expiresAt: expiresAt)
            return merge.count
        }
        if let stored { finish(stored) } else { phase = .merging }
    }

    private func finish(_ count: Int) {
        self.count = count
        merge = nil
        phase = .done
    }
}

extension Transaction {
    /// Combines sorted sets (and sets) in one go while their locks are held: for small ones, and within a larger
    /// transaction. See ``SortedSetCombination`` for the parameters.
    ///
    /// - Returns: how many elements the result has.
    package mutating func combineSortedSets(
        _ operation: SortedSetOperation, of sources: Range<Int>, weights: [Double]? = nil,
        aggregate: SortedSetAggregate = .sum, countLimit: Int? = nil, to destination: Int? = nil,
        expiresAt: Timestamp? = nil, _ body: (Double, UnsafeRawBufferPointer) -> Void = { _, _ in }
    ) throws(MartletError) -> Int {
        let weights = try SortedSetCombination.checked(weights, sourceCount: sources.count, operation)
        let merge = try SortedSetMerge(
            operation, aggregate: aggregate, weights: weights, countLimit: countLimit, of: sources, in: self)
        while try !merge.step(budget: .max) {}
        let count = merge.count
        if countLimit == nil {
            merge.visit(0..<count, reversed: false) { score, member in
                body(score, member)
                return true
            }
        }
        if let destination {
            _ = try merge.commit(of: sources, to: destination, in: &self, expiresAt: expiresAt)
        }
        return count
    }
}
