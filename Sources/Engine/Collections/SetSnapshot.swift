import Tenancy

/// A set as it was at one moment, read in slices and without any lock while the item goes on changing. Holds the tree's
/// old nodes in memory, charged to the cache, until it goes.
package struct SetSnapshot: Sendable {
    let entries: HashedEntries

    init(_ entries: HashedEntries) {
        self.entries = entries
    }

    package var count: Int { entries.count }

    package func contains(_ member: UnsafeRawBufferPointer) throws(MartletError) -> Bool {
        try entries.withView { (view) throws(MartletError) in try view.find(member) != nil }
    }

    /// Lends the member at a position in an order of the snapshot's own, `0 <= rank < count`. O(log n); O(bytes) where
    /// packed.
    package func withMember(
        at rank: Int, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) {
        guard rank >= 0, rank < count else { return }
        try entries.withView { (view) throws(MartletError) in
            try view.at(rank) { (member, _) in body(member) }
        }
    }

    /// Lends about `limit` members from a cursor on, 0 at first; returns the cursor to go on from, 0 at the end. Each
    /// member is handed out exactly once.
    package func visit(
        from cursor: UInt64, limit: Int, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> UInt64 {
        try entries.withView { (view) throws(MartletError) in
            try view.visit(from: cursor, limit: limit) { (member, _) in body(member) }
        }
    }
}
