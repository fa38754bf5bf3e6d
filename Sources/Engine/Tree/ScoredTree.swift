/// Entries (score, member) in the order of scores, and of member bytes among equal scores: one half of a sorted set.
/// See TreeHandle.swift; as to its use, `HashedTree`.
///
/// Scores are kept as 64-bit integers of the same order. -0.0 is taken as 0.0; not-a-number must not come in.
struct ScoredTree: ~Copyable, ScoredReading {
    private var core: TreeCore

    init(_ handle: TreeHandle, source: PageSource) {
        core = TreeCore(handle, order: .scored, source: source)
    }

    /// What names the tree now.
    @inline(__always)
    var handle: TreeHandle { core.handle }
    @inline(__always)
    var root: TreeNode? { core.root }

    /// The tree as it is now, for readers without the lock. O(1).
    func snapshot() -> ScoredSnapshot { ScoredSnapshot(snapshot: core.snapshot()) }

    /// Adds an entry. O(log n).
    ///
    /// - Returns: false if the very same entry was there.
    @discardableResult
    mutating func insert(score: Double, _ member: UnsafeRawBufferPointer) -> Bool {
        let entry = TreeEntry(
            prefix: ScoreOrder.prefix(of: score), key: member, value: UnsafeRawBufferPointer(start: nil, count: 0))
        guard let root = core.root else {
            core.insertFirst(entry)
            return true
        }
        var isPresent = false
        var path = TreePath(from: root, prefix: entry.prefix, key: member, isEqual: &isPresent)
        guard !isPresent else { return false }
        core.insert(entry, at: &path)
        return true
    }

    /// Removes an entry. O(log n).
    ///
    /// - Returns: whether it was there.
    @discardableResult
    mutating func remove(score: Double, _ member: UnsafeRawBufferPointer) -> Bool {
        guard let root = core.root else { return false }
        var isPresent = false
        var path = TreePath(from: root, prefix: ScoreOrder.prefix(of: score), key: member, isEqual: &isPresent)
        guard isPresent else { return false }
        core.remove(at: &path)
        return true
    }

    /// Removes the entries of some ranks, each of which is shown to the body before anything is removed. O(log n), and
    /// the visits.
    mutating func removeRanks(_ range: Range<Int>, _ removed: (Double, UnsafeRawBufferPointer) -> Void) {
        let range = range.clamped(to: 0..<count)
        visit(from: range.lowerBound, count: range.count, reversed: false) { score, member in
            removed(score, member)
            return true
        }
        core.removeSubrange(range)
    }

    /// The same without looking at them: O(log n).
    mutating func removeRanks(_ range: Range<Int>) { core.removeSubrange(range) }

    /// Frees a bounded part of a tree that nobody reads any more, see `TreeCore.dismantle`.
    static func dismantle(_ handle: inout TreeHandle, source: PageSource, budget: inout Int) -> Bool {
        TreeCore.dismantle(&handle, source: source, budget: &budget)
    }
}

/// Scores as integers of the same order.
enum ScoreOrder {
    /// Positive numbers get the top bit, negative ones are turned round.
    @inline(__always)
    static func prefix(of score: Double) -> UInt64 {
        // Adding zero makes -0.0 positive.
        let bits = (score + 0.0).bitPattern
        return bits >> 63 == 0 ? bits | 1 << 63 : ~bits
    }

    @inline(__always)
    static func score(of prefix: UInt64) -> Double {
        Double(bitPattern: prefix >> 63 == 0 ? ~prefix : prefix & ~(1 << 63))
    }
}

/// One half of a sorted set as it was at one moment.
struct ScoredSnapshot: Sendable, ScoredReading {
    let snapshot: TreeSnapshot
    var root: TreeNode? { TreeNode(address: snapshot.handle.root) }
}

/// What can be read of a scored tree and of its snapshot. Ranks count from the lowest score, from 0.
protocol ScoredReading: ~Copyable {
    var root: TreeNode? { get }
}

extension ScoredReading where Self: ~Copyable {
    @inline(__always)
    var count: Int { root?.header.pointee.total ?? 0 }

    /// How many entries come before this one; nil if it is not there. O(log n).
    func rank(score: Double, _ member: UnsafeRawBufferPointer) -> Int? {
        guard let root else { return nil }
        let place = root.rank(prefix: ScoreOrder.prefix(of: score), key: member)
        return place.isEqual ? place.rank : nil
    }

    /// How many entries have a score below a bound, or equal to it if `orEqual`: the rank to begin a range of scores
    /// with. O(log n).
    func count(below score: Double, orEqual: Bool) -> Int {
        guard let root else { return 0 }
        // The prefix of infinity is far from the last one, so adding 1 does not overflow.
        let prefix = ScoreOrder.prefix(of: score) + (orEqual ? 1 : 0)
        return root.rank(prefix: prefix, key: UnsafeRawBufferPointer(start: nil, count: 0)).rank
    }

    /// The same by member bytes; only for sets all of whose scores are equal. O(log n).
    func countLexicographically(below member: UnsafeRawBufferPointer, orEqual: Bool) -> Int {
        guard let root else { return 0 }
        let place = root.rank(prefix: root.firstPrefix, key: member)
        return place.rank + (orEqual && place.isEqual ? 1 : 0)
    }

    /// The entry at a rank, `0 <= rank < count`. O(log n).
    func entry(at rank: Int) -> (score: Double, member: UnsafeRawBufferPointer) {
        guard let entry = root?.entry(rank: rank) else { return (0, UnsafeRawBufferPointer(start: nil, count: 0)) }
        return (ScoreOrder.score(of: entry.prefix), entry.key)
    }

    /// Visits up to `count` entries from a rank on; `reversed`: rank, rank - 1, ... The body's false ends it.
    @inline(__always)
    func visit(from rank: Int, count: Int, reversed: Bool, _ body: (Double, UnsafeRawBufferPointer) -> Bool) {
        root?.visit(from: rank, count: count, reversed: reversed) { body(ScoreOrder.score(of: $0.prefix), $0.key) }
    }
}
