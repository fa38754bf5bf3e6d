import Synchronization
import Tenancy

extension EngineCache {
    /// Runs `body` with one item under its stripe's lock.
    ///
    /// - Parameter reserving: an upper guess of the bytes that the item will take more than now, room for which is made
    ///   before. The body may take more: then room is made after it.
    /// - Throws: ``MartletError/cacheNotFound`` when the cache is closed, ``MartletError/memoryExhausted`` when so much
    ///   does not fit, and what `body` throws.
    package func withItem<Result>(
        _ key: UnsafeRawBufferPointer, reserving: Int = 0, now: Timestamp,
        _ body: (inout ItemAccess) throws(MartletError) -> Result
    ) throws(MartletError) -> Result {
        guard key.count <= Record.largestKey else { throw .memoryExhausted }
        // What only looks or removes needs no room, and is not refused for the lack of it.
        let written =
            reserving == 0
            ? 0 : try prepare(keyBytes: key.count, storedBytes: min(reserving, Record.largestValue), now: now)
        let result = try withLockedItem(key, now: now, body)
        finish(written: written, now: now)
        return result
    }

    private func withLockedItem<Result>(
        _ key: UnsafeRawBufferPointer, now: Timestamp, _ body: (inout ItemAccess) throws(MartletError) -> Result
    ) throws(MartletError) -> Result {
        let hash = hash(of: key)
        let stripe = lockStripe(of: hash)
        defer { stripe.unlock() }
        guard !stripe.contents.pointee.isClosed else { throw .cacheNotFound }
        var access = ItemAccess(self, stripe, key, hash, now)
        let result = try body(&access)
        if stripe.isCleaning { _ = stripe.clean(limit: Self.recordsCleanedByWrite, now: now, self) }
        return result
    }

    /// Runs `body` with several items at once, under the locks of all their stripes: nobody sees a part of what it does.
    /// `transaction[i]` is the access to `keys[i]`; equal keys name one item.
    ///
    /// Parameters and errors as for ``withItem(_:reserving:now:_:)``. What `body` did before it throws stays done: it
    /// checks first and changes then.
    package func transact<Result>(
        _ keys: [UnsafeRawBufferPointer], reserving: Int = 0, now: Timestamp,
        _ body: (inout Transaction) throws(MartletError) -> Result
    ) throws(MartletError) -> Result {
        let longest = keys.reduce(0) { max($0, $1.count) }
        guard longest <= Record.largestKey else { throw .memoryExhausted }
        let written =
            reserving == 0
            ? 0 : try prepare(keyBytes: longest, storedBytes: min(reserving, Record.largestValue), now: now)
        let result = try withLockedItems(keys, now: now, body)
        finish(written: written, now: now)
        return result
    }

    private func withLockedItems<Result>(
        _ keys: [UnsafeRawBufferPointer], now: Timestamp, _ body: (inout Transaction) throws(MartletError) -> Result
    ) throws(MartletError) -> Result {
        let hashes = keys.map { hash(of: $0) }
        let locked = lockStripes(of: hashes)
        defer { for stripe in locked.stripes { stripe.unlock() } }
        var transaction = Transaction(
            cache: self,
            items: zip(keys, hashes).map { key, hash in
                ItemAccess(self, StripeTable.stripe(of: hash, locked.word), key, hash, now)
            })
        for stripe in locked.stripes where stripe.contents.pointee.isClosed { throw .cacheNotFound }
        return try body(&transaction)
    }

    /// The stripes of some hashes, locked in the order of their places, so that two callers never wait for each other.
    func lockStripes(of hashes: [UInt64]) -> (stripes: [StripeReference], word: UInt) {
        while true {
            let word = stripes.word.load(ordering: .acquiring)
            var isUsed: UInt64 = 0
            for hash in hashes { isUsed |= 1 &<< (hash & UInt64(word & 63)) }
            let locked = (0..<UInt64(64)).filter { isUsed &>> $0 & 1 != 0 }.map { StripeTable.stripe(of: $0, word) }
            for stripe in locked { stripe.lock() }
            if stripes.word.load(ordering: .relaxed) == word { return (locked, word) }
            for stripe in locked { stripe.unlock() }
        }
    }
}

/// Several items of a cache under their locks. See ``EngineCache/transact(_:reserving:now:_:)``.
package struct Transaction {
    let cache: EngineCache
    private var items: [ItemAccess]

    init(cache: EngineCache, items: [ItemAccess]) {
        self.cache = cache
        self.items = items
    }

    /// The access to the item of that key. What was changed through another index is seen.
    package subscript(index: Int) -> ItemAccess {
        get {
            var item = items[index]
            item.refresh()
            return item
        }
        set { items[index] = newValue }
    }

    package var count: Int { items.count }
}
