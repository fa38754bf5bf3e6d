import Tenancy

extension EngineCache {
    /// Copies the value of a live item out and says what it is.
    ///
    /// The hot read: no allocation, one lock, one copy. The value's hash is computed from the copy after the lock is
    /// given back, or was kept with a larger value. Nothing may be added under the lock.
    ///
    /// - Parameters:
    ///   - now: an item with `expiresAt` at or before this is a miss.
    ///   - reserve: gives memory of exactly the size it is asked for. Called at most once, only on a hit, and under the
    ///     stripe's lock: it must not call the engine. The engine does not keep the memory.
    /// - Returns: nil for a miss, and for every key of a closed cache.
    package func get(
        _ key: UnsafeRawBufferPointer, now: Timestamp, into reserve: (Int) -> UnsafeMutableRawBufferPointer
    ) -> ItemFacts? {
        let hash = SipHash.placement(of: key, key: core.configuration.indexKey)
        let found = withStripe(of: hash) { contents -> CopiedItem? in
            guard let item = contents.findLive(key, hash: hash, now: now) else { return nil }
            item.markVisited()
            let value = item.value
            let target = reserve(value.count)
            precondition(target.count == value.count, "memory of another size than was asked for")
            target.copyMemory(from: value)
            return CopiedItem(copy: target, storedHash: item.storedHash, expiresAt: item.expiresAt)
        }
        guard let found else { return nil }
        return ItemFacts(
            byteCount: found.copy.count,
            valueHash: found.storedHash ?? core.valueHash(of: UnsafeRawBufferPointer(found.copy)),
            expiresAt: found.expiresAt)
    }

    /// What is known of a live item, without its bytes. Does not count as a use of the item.
    /// Cost: as ``get(_:now:into:)``, with the hash of a small value computed under the lock.
    package func facts(_ key: UnsafeRawBufferPointer, now: Timestamp) -> ItemFacts? {
        let hash = SipHash.placement(of: key, key: core.configuration.indexKey)
        return withStripe(of: hash) { contents -> ItemFacts? in
            guard let item = contents.findLive(key, hash: hash, now: now) else { return nil }
            return ItemFacts(
                byteCount: item.valueLength, valueHash: item.valueHash(key: core.configuration.valueHashKey),
                expiresAt: item.expiresAt)
        }
    }
}

/// What a read brings out of the lock.
// The memory is the caller's own, lent to one call of `get` on the caller's thread, and goes no further.
private struct CopiedItem: @unchecked Sendable {
    let copy: UnsafeMutableRawBufferPointer
    let storedHash: ValueHash?
    let expiresAt: Timestamp?
}
