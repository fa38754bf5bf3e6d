import Tenancy

/// A combination of sets that becomes an item: SUNIONSTORE, SINTERSTORE, SDIFFSTORE.
///
/// Small inputs are combined and stored under one lock, in the first step. Large ones are taken as snapshots, combined
/// in slices without a lock, and stored under the lock of all keys if no source has changed meanwhile; otherwise it
/// begins again, and the third time it does everything under the lock, so that it ends. Until the last step nothing
/// can be seen of it; whoever drops it before has changed nothing.
///
/// One thread at a time.
package struct SetStoring: ~Copyable {
    /// As many members are combined under the lock without a thought.
    static let smallCount = 1024
    static let maximumAttempts = 3

    private let cache: EngineCache
    private let operation: SetOperation
    private let keys: SetStoringKeys
    private let expiresAt: Timestamp?
    private var attempts = 0
    private var sets: [SetSnapshot?] = []
    private var combination: SetCombination?
    private var builder: SetBuilder?

    /// - Parameters:
    ///   - destination: replaced whatever it holds, or removed if the result is empty; may be among the sources.
    ///   - expiresAt: the destination's.
    package init(
        _ operation: SetOperation, of sources: [UnsafeRawBufferPointer], into destination: UnsafeRawBufferPointer,
        expiresAt: Timestamp?, cache: EngineCache
    ) {
        self.operation = operation
        self.expiresAt = expiresAt
        self.cache = cache
        keys = SetStoringKeys(sources, destination)
    }

    /// The memory that the result takes so far where it is large.
    package var builtBytes: Int { builder?.treeBytes ?? 0 }

    /// Does about `budget` looks at a member. Returns nil if there is more to do, else the number of members stored.
    /// After an error it is over, and nothing was changed.
    package mutating func step(budget: Int, now: Timestamp) throws(MartletError) -> Int? {
        guard combination != nil, let builder else { return try begin(now: now) }
        let isDone = try combination?.advance(budget: budget) { (member) throws(MartletError) in
            try builder.add(member)
        }
        guard isDone == true else { return nil }
        let sets = sets
        let expiresAt = expiresAt
        combination = nil
        self.builder = nil
        return try keys.withKeys { (keys) throws(MartletError) in
            try cache.transact(keys, reserving: PackedHashed.maximumBytes, now: now) {
                (transaction) throws(MartletError) -> Int? in
                for (index, set) in sets.enumerated() {
                    if let set {
                        guard try set.entries.isCurrent(transaction[index], .set) else { return nil }
                    } else if transaction[index].kind != nil {
                        return nil
                    }
                }
                return try builder.commit(to: &transaction[keys.count - 1], expiresAt: expiresAt)
            }
        }
    }

    private mutating func begin(now: Timestamp) throws(MartletError) -> Int? {
        attempts += 1
        let isLast = attempts >= Self.maximumAttempts
        let operation = operation
        let expiresAt = expiresAt
        let begun = try keys.withKeys { (keys) throws(MartletError) in
            try cache.transact(keys, reserving: PackedHashed.maximumBytes, now: now) {
                (transaction) throws(MartletError) -> SetStoringBegun in
                let target = keys.count - 1
                let sets = try transaction.setSnapshots(0..<target)
                let builder = SetBuilder(source: transaction[target].source, hashKey: transaction[target].hashKey)
                var combination = try SetCombination(operation, of: sets, limit: .max, repeats: true)
                guard isLast || combination.inputCount <= Self.smallCount else {
                    return SetStoringBegun(sets: sets, combination: combination, builder: builder, stored: nil)
                }
                var isDone = false
                while !isDone {
                    isDone = try combination.advance(budget: .max) { (member) throws(MartletError) in
                        try builder.add(member)
                    }
                }
                let stored = try builder.commit(to: &transaction[target], expiresAt: expiresAt)
                return SetStoringBegun(sets: [], combination: combination, builder: builder, stored: stored)
            }
        }
        if let stored = begun.stored { return stored }
        sets = begun.sets
        combination = begun.combination
        builder = begun.builder
        return nil
    }
}

/// What a beginning brings out of the lock.
// The builder was made under the lock for the caller alone and goes to nobody else.
private struct SetStoringBegun: @unchecked Sendable {
    var sets: [SetSnapshot?]
    var combination: SetCombination
    var builder: SetBuilder
    var stored: Int?
}

/// Copies of the sources' keys and the destination's, one behind the other.
private struct SetStoringKeys: Sendable {
    private var bytes: [UInt8] = []
    private var ends: [Int] = []

    init(_ sources: [UnsafeRawBufferPointer], _ destination: UnsafeRawBufferPointer) {
        for key in sources + [destination] {
            bytes.append(contentsOf: key)
            ends.append(bytes.count)
        }
    }

    /// The destination is the last.
    func withKeys<R>(
        _ body: ([UnsafeRawBufferPointer]) throws(MartletError) -> R
    ) throws(MartletError) -> R {
        try bytes.span.bytes.withUnsafeBytes { (all) throws(MartletError) in
            var start = 0
            return try body(
                ends.map { end in
                    defer { start = end }
                    return UnsafeRawBufferPointer(rebasing: all[start..<end])
                })
        }
    }
}
