import Synchronization
import Tenancy

/// Changes of all stripes at once: flushing, closing, dividing.
extension EngineCache {
    /// Removes every item. Cost: a few locks and exchanges, whatever the cache holds; ``EmbeddedEngine/tick(now:)``
    /// frees the memory. Complete for every operation that begins after it returned.
    package func flush() {
        core.bury(detachContents(closing: false))
    }

    /// Exchanges the contents of all stripes for empty ones.
    func detachContents(closing: Bool) -> [DetachedContents] {
        let boxes = (0..<StripeArray.count).map { _ in DetachedContents(of: self) }
        stripes.withAllLocked(
            entering: { _, _ in },
            leaving: { position, contents in
                swap(&contents, &boxes[position].contents)
                contents.isClosed = closing || boxes[position].contents.isClosed
                let detached = boxes[position].contents.chargedBytes
                if detached > 0 {
                    detachedBytes.wrappingAdd(detached, ordering: .relaxed)
                    items.wrappingSubtract(boxes[position].contents.queue.count, ordering: .relaxed)
                }
            })
        return boxes.filter { $0.contents.chargedBytes > 0 }
    }

    // MARK: Dividing

    private static let itemsToDivide = 1024
    private static let mostItemsToDivide = 16384

    /// Whether a cache that uses one stripe should use all. Asked after each insert; yes at every doubling, so that a
    /// cache that found no room to divide tries again, until dividing would take too long under its lock.
    func isCrowded(_ contents: borrowing StripeContents) -> Bool {
        let count = contents.index.count
        return count >= Self.itemsToDivide && count <= Self.mostItemsToDivide && count & (count - 1) == 0
            && stripeMask.load(ordering: .relaxed) == 0
    }

    /// Deals the items of the first stripe out to all. Once in the life of a cache, about 0.2 ms at a thousand items;
    /// left undone when there is no room for eight indexes in the place of one.
    func divide(now: Timestamp) {
        let reserved = StripeArray.count * (Self.firstItemOverhead + 8 * HashIndex.overflowCharge)
        guard reserve(bytes: reserved, items: 0) == .granted else { return }
        let old = DetachedContents(of: self)
        let parts = (0..<StripeArray.count).map { _ in DetachedContents(of: self) }
        var isDivided = false
        stripes.withAllLocked(
            entering: { position, contents in
                if position == 0, stripeMask.load(ordering: .relaxed) == 0, !contents.isClosed {
                    swap(&contents, &old.contents)
                    isDivided = true
                }
                // Now all locks are held.
                if position == StripeArray.count - 1, isDivided {
                    deal(&old.contents, to: parts, reserved: reserved, now: now)
                    stripeMask.store(UInt64(StripeArray.count - 1), ordering: .relaxed)
                }
            },
            leaving: { position, contents in
                if isDivided { swap(&contents, &parts[position].contents) }
            })
        if !isDivided { charge(-reserved) }
    }

    private func deal(
        _ old: inout StripeContents, to parts: [DetachedContents], reserved: Int, now: Timestamp
    ) {
        let charged = old.chargedBytes
        let mask = UInt64(StripeArray.count - 1)
        old.giveAway { item, hash in
            parts[Self.stripe(of: hash, mask: mask)].contents.insert(item, hash: hash, now: now)
        }
        var actual = 0
        for part in parts {
            part.contents.chargedBytes = part.contents.actualBytes
            actual += part.contents.chargedBytes
        }
        charge(actual - charged - reserved)
    }
}

/// Contents of a stripe that no operation can reach any more, on their way back to the allocator.
// One thread at a time has it: the one that detached it, then the one that took it from the graveyard.
final class DetachedContents: @unchecked Sendable {
    let cache: EngineCache
    var contents: StripeContents

    /// Empty contents, to be exchanged for those of a stripe.
    init(of cache: EngineCache) {
        self.cache = cache
        contents = StripeContents(hashKey: cache.core.configuration.indexKey)
    }

    /// Frees a part and gives its bytes back. Each item or bucket is one of `budget`.
    /// - Returns: whether nothing is left.
    func dismantle(_ budget: inout Int) -> Bool {
        contents.dismantle(&budget)
        let freed = contents.chargedBytes - contents.actualBytes
        contents.chargedBytes -= freed
        cache.detachedBytes.wrappingSubtract(freed, ordering: .relaxed)
        cache.charge(-freed)
        return contents.isDismantled
    }
}
