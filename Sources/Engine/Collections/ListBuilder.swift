import Tenancy

/// A list that is put together outside of any item, in as many turns as it takes: packed as long as it is small, then a
/// tree. What is not committed is given back.
///
/// A tree's pages are charged to the cache as they are taken. One thread at a time.
package final class ListBuilder {
    private let cache: EngineCache
    private let elements: ElementSealer
    private var packed = ScratchBytes()
    private var tree: PositionalTree?
    /// How many elements it has.
    package private(set) var count = 0

    /// - Parameter key: under which the list is to be stored.
    package init(for key: UnsafeRawBufferPointer, in cache: EngineCache) {
        self.cache = cache
        let hash = cache.hash(of: key)
        let stripe = cache.lockStripe(of: hash)
        defer { stripe.unlock() }
        elements = ElementSealer(
            sealer: stripe.contents.pointee.sealer, binding: cache.core.nextBinding(), lane: EngineCache.lane(hash))
    }

    deinit {
        if let handle = tree?.handle { cache.source.bury(handle) }
    }

    /// How much memory the elements take.
    package var byteCount: Int { tree?.handle.bytes ?? packed.count }

    /// Adds an element at the end. O(log n).
    package func append(_ element: UnsafeRawBufferPointer) throws(MartletError) {
        if tree == nil {
            let bytes = packed.count + PackedWriter.size(of: element.count)
            if ItemAccess.staysPackedList(bytes: bytes, count: count + 1) {
                PackedWriter.append(element, to: &packed)
                count += 1
                return
            }
            try plant()
        }
        try tree?.insert(element, at: count, sealedBy: elements)
        count += 1
    }

    /// Goes over to a tree.
    private func plant() throws(MartletError) {
        tree = PositionalTree(TreeHandle(), source: cache.source)
        var reader = PackedReader(packed.bytes)
        var place = 0
        while !reader.isAtEnd {
            try tree?.insert(try reader.next(), at: place, sealedBy: elements)
            place += 1
        }
    }

    /// Makes an item this list, whatever it was before; an empty one removes it. To be called once.
    ///
    /// A cache that was flushed since the builder was made has a new key, with which these elements could not be read: the
    /// list then counts as stored before the flush, and is gone with it.
    package func commit(to item: inout ItemAccess, expiresAt: Timestamp?) throws(MartletError) {
        if item.kind != nil { item.remove() }
        guard count > 0, item.stripe.contents.pointee.sealer === elements.sealer else { return }
        guard let tree = tree.take() else { return try item.store(.list, packed.bytes, expiresAt: expiresAt) }
        item.adopt(
            .list, LargeCollection(first: tree.handle, binding: elements.binding), expiresAt: expiresAt)
    }
}
