import Tenancy

/// A copy of a large collection in the making: of what it was at one moment, outside of any lock, and in as many turns as
/// it takes. What is not committed is given back. One thread at a time.
package final class CollectionCopy {
    private let snapshot: LargeSnapshot
    private let kind: ItemKind
    private let expiresAt: Timestamp?
    /// What the elements are sealed with.
    private let sealer: CacheSealer?
    private let source: PageSource
    private var hashed: HashedTree?
    private var scored: ScoredTree?
    private var positional: PositionalTree?
    private var times: FieldTimes?
    private var cursor: UInt64 = 0
    private var areEntriesDone: Bool
    private var position = 0

    init(_ snapshot: LargeSnapshot, of item: ItemAccess, _ kind: ItemKind) {
        self.snapshot = snapshot
        self.kind = kind
        expiresAt = item.expiresAt
        sealer = item.stripe.contents.pointee.sealer
        source = item.source
        if kind == .list {
            positional = PositionalTree(TreeHandle(), source: source)
        } else {
            hashed = HashedTree(TreeHandle(), source: source, hashKey: item.hashKey)
        }
        if kind == .sortedSet { scored = ScoredTree(TreeHandle(), source: source) }
        if snapshot.times != nil { times = FieldTimes(TreeHandle(), source: source, hashKey: item.hashKey) }
        areEntriesDone = kind == .list
    }

    deinit {
        if let handle = hashed?.handle { source.bury(handle) }
        if let handle = scored?.handle { source.bury(handle) }
        if let handle = positional?.handle { source.bury(handle) }
        if let handle = times?.handle { source.bury(handle) }
    }

    /// Copies about so many entries; says whether nothing is left. Cost: an insert for each.
    package func advance(entries: Int) -> Bool {
        let limit = max(1, entries)
        if !areEntriesDone, let (entries, _) = snapshot.entries {
            cursor = entries.visit(from: cursor, limit: limit) { key, value in hashed?.set(key, value) }
            areEntriesDone = cursor == 0
            return areEntriesDone && scored == nil && times == nil
        }
        let count = min(limit, secondCount - position)
        if let scores = snapshot.entries?.scores {
            scores.visit(from: position, count: count, reversed: false) { score, member in
                scored?.insert(score: score, member)
                return true
            }
        } else if let held = snapshot.times, var copy = times.take() {
            held.copy(from: position, count: count, into: &copy)
            times = consume copy
        } else if let elements = snapshot.elements {
            elements.visit(from: position, count: count, reversed: false) { element in
                positional?.append(element)
                return true
            }
        }
        position += count
        return position >= secondCount
    }

    /// How many there are of what is copied by its place: scores, times or the elements of a list.
    private var secondCount: Int {
        snapshot.entries?.scores?.count ?? snapshot.times?.count ?? snapshot.elements?.count ?? 0
    }

    /// Stores the copy, unless there is an item that is not to be overwritten; says whether it is stored. To be called
    /// once, when nothing is left.
    ///
    /// A cache that was flushed meanwhile has a new key, with which sealed elements could not be read: the copy then counts
    /// as made before the flush, and is gone with it.
    package func commit(
        to key: UnsafeRawBufferPointer, in cache: EngineCache, overwrites: Bool, now: Timestamp
    ) throws(MartletError) -> Bool {
        try cache.withItem(key, reserving: Record.treesBytes, now: now) { item throws(MartletError) in
            guard overwrites || item.kind == nil else { return false }
            guard item.stripe.contents.pointee.sealer === sealer else { return true }
            item.adopt(kind, take(), expiresAt: expiresAt)
            return true
        }
    }

    private func take() -> LargeCollection {
        var large = LargeCollection(binding: snapshot.binding)
        if let tree = positional.take() { large.first = tree.handle }
        if let tree = hashed.take() { large.first = tree.handle }
        if let tree = scored.take() { large.second = tree.handle }
        if let times = times.take() { large.second = times.handle }
        return large
    }
}
