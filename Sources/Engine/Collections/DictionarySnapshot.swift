import Tenancy

/// A dictionary as it was at one moment, read in slices and without any lock while the item goes on changing. Holds the
/// tree's old nodes in memory, charged to the cache, until it goes.
package struct DictionarySnapshot: Sendable {
    private let entries: HashedEntries
    private let elements: ElementSealer

    init(_ entries: HashedEntries, elements: ElementSealer) {
        self.entries = entries
        self.elements = elements
    }

    package var count: Int { entries.count }

    /// Lends about `limit` entries from a cursor on, 0 at first; returns the cursor to go on from, 0 at the end. Each
    /// entry is handed out exactly once.
    package func visit(
        from cursor: UInt64, limit: Int, _ parts: DictionaryParts = .pairs,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> UInt64 {
        var opened = ScratchBytes()
        return try entries.withView { (view) throws(MartletError) in
            try view.visit(from: cursor, limit: limit) { (field, stored) throws(MartletError) in
                try lend(field, stored, parts, &opened, body)
            }
        }
    }

    /// Lends `count` random entries, each drawn from all: one may come several times. O(log n) for each.
    package func random(
        _ count: Int, _ parts: DictionaryParts = .pairs, using generator: inout some RandomNumberGenerator,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) {
        var opened = ScratchBytes()
        try entries.withView { (view) throws(MartletError) in
            try view.random(count, isDistinct: false, using: &generator) { (field, stored) throws(MartletError) in
                try lend(field, stored, parts, &opened, body)
            }
        }
    }

    private func lend(
        _ field: UnsafeRawBufferPointer, _ stored: UnsafeRawBufferPointer, _ parts: DictionaryParts,
        _ opened: inout ScratchBytes, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) {
        guard entries.isTree, elements.isSealing, parts == .pairs else {
            return body(field, parts == .pairs ? stored : PackedHashed.nothing)
        }
        opened.removeAll()
        try elements.open(stored, context: field, into: &opened)
        body(field, opened.bytes)
    }
}
