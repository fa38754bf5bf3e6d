import Synchronization
import Tenancy

/// Making room: in this cache for a write of its own, or at the process's demand for a write of another.
extension EngineCache {
    /// How many items are evicted in one go, under one lock.
    static let evictionBatch = 16
    /// After so many rounds in which other threads took the room that was made, a write gives up.
    private static let mostAttempts = 1000

    /// Makes the room that a write lacked, or finds that it cannot be made.
    func makeRoom(for shortage: Shortage, attempts: Int) throws(MartletError) {
        guard attempts < Self.mostAttempts else { throw .memoryExhausted }
        guard shortage.reservation == .cacheIsFull else {
            return try core.makeRoom(for: shortage, in: self)
        }
        while !hasRoom(for: shortage) {
            let evicted = evict(atMost: Self.evictionBatch, sparing: shortage.spared) { !self.hasRoom(for: shortage) }
            // Nothing to evict, and still no room unless another thread has just made some.
            if evicted == 0, !hasRoom(for: shortage) { throw .memoryExhausted }
        }
    }

    private func hasRoom(for shortage: Shortage) -> Bool {
        liveBytes + shortage.bytes <= byteCeiling.load(ordering: .relaxed)
            && items.load(ordering: .relaxed) + shortage.items <= itemCeiling.load(ordering: .relaxed)
    }

    /// Evicts from the first stripe that has something to give, beginning with another one each time.
    /// - Parameter isNeeded: asked before each item.
    /// - Returns: how many items went; 0 if there was none.
    func evict(atMost limit: Int, sparing spared: Item?, while isNeeded: () -> Bool) -> Int {
        let mask = Int(stripeMask.load(ordering: .relaxed))
        let start = evictionCursor.wrappingAdd(1, ordering: .relaxed).newValue
        for offset in 0...mask {
            let evicted = stripes[(start &+ offset) & mask].pointee.contents.withLock { contents in
                var evicted = 0
                while evicted < limit, isNeeded(), evictOne(from: &contents, sparing: spared) { evicted += 1 }
                return evicted
            }
            if evicted > 0 { return evicted }
        }
        return 0
    }

    /// Evicts the stripe's next victim.
    func evictOne(from contents: inout StripeContents, sparing spared: Item?) -> Bool {
        guard let victim = contents.queue.chooseVictim(sparing: spared) else { return false }
        discard(victim, hash: contents.index.hash(of: victim), from: &contents)
        evictions.wrappingAdd(1, ordering: .relaxed)
        return true
    }

    /// How far the cache is above what is reserved for it.
    var excessBytes: Int {
        liveBytes - reservedBytes.load(ordering: .relaxed)
    }

    // MARK: In the background

    /// Frees expired items. Each item looked at, and each stripe, is one of `budget`.
    func expire(now: Timestamp, budget: inout Int) {
        let slice = 64
        for position in 0...Int(stripeMask.load(ordering: .relaxed)) {
            var isFinished = false
            while !isFinished, budget > 0 {
                var left = min(slice, budget)
                budget -= left
                stripes[position].pointee.contents.withLock { contents in
                    while let item = contents.wheel.nextExpired(now: now, budget: &left) {
                        discard(item, hash: contents.index.hash(of: item), from: &contents)
                        expirations.wrappingAdd(1, ordering: .relaxed)
                    }
                }
                isFinished = left > 0
                budget += left
            }
        }
        budget -= 1
    }

    /// Brings a cache whose limits were lowered down to them. Each item evicted is one of `budget`.
    func trim(budget: inout Int) {
        let maxBytes = maxBytes.load(ordering: .relaxed)
        let maxItems = maxItems.load(ordering: .relaxed)
        func isOver() -> Bool {
            liveBytes > maxBytes || items.load(ordering: .relaxed) > maxItems
        }
        while budget > 0, isOver() {
            let evicted = evict(atMost: min(Self.evictionBatch, budget), sparing: nil, while: isOver)
            guard evicted > 0 else { break }
            budget -= evicted
        }
        let byteCeiling = byteCeiling.load(ordering: .relaxed)
        if byteCeiling > maxBytes {
            self.byteCeiling.store(min(byteCeiling, max(maxBytes, liveBytes)), ordering: .relaxed)
        }
        let itemCeiling = itemCeiling.load(ordering: .relaxed)
        if itemCeiling > maxItems {
            self.itemCeiling.store(
                min(itemCeiling, max(maxItems, items.load(ordering: .relaxed))), ordering: .relaxed)
        }
    }
}
