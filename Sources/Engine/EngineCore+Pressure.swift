import Synchronization
import Tenancy

// When the process is full, who gives?
//
// Each cache's fair share is what is reserved for it, and an equal part of what is reserved for nobody. That part is the
// same for all, so the cache furthest above its fair share is simply the one with the most bytes above its reservation.
// It gives first, by its own eviction order; a cache within its reservation gives nothing to others. Only when nobody is
// above, because more is reserved than there is, a cache pays for its own write.
//
//     bytes   |      ____
//             |     |xxxx|             x gives, until it is level with y
//             |     |xxxx|  ____
//             |     |    | |yyyy|
//     ........|.....|....|.|....|..... what nobody reserved
//             |____ |rrrr| |    |
//             |rrrr||rrrr| |    |     r reserved
//
// To find it, all caches are looked at: some ten nanoseconds each. So it is remembered until it has come down to the
// runner-up, and each time a little more room is made than was asked for (`slackBytes`): the search and the lock around
// it are paid once in many writes.

extension EngineCore {
    /// What is remembered from one shortage to the next.
    struct Pressure: Sendable {
        var victim: EngineCache?
        /// The victim gives until its excess is down to this.
        var floorBytes = 0
        var usesLeft = 0
    }

    /// How many uses of one search of the caches.
    private static let usesOfSearch = 256
    /// How often a victim may turn out to be empty, because others emptied it, before the write gives up on it.
    private static let mostFruitlessUses = 8

    /// How much more than needed is freed at once.
    private var slackBytes: Int { min(configuration.memoryBytes / 1024, 32 << 10) }

    /// Makes room in the process for a write of `cache`. Serialised: while the process is full, one write at a time
    /// chooses who gives.
    /// - Throws: ``MartletError/memoryExhausted`` when what the others are reserved leaves too little for the item.
    func makeRoom(for shortage: EngineCache.Shortage, in cache: EngineCache) throws(MartletError) {
        try pressure.withLock { (pressure) throws(MartletError) in
            let wanted = shortage.bytes + slackBytes
            var budget = 4096
            dismantleGraveyard(budget: &budget) { !hasRoom(for: wanted) }
            guard !hasRoom(for: shortage.bytes) else { return }
            // A small item is not worth the look at all caches: if it does not fit, little was evicted in vain.
            if shortage.itemCharge > slackBytes { try checkFits(shortage.itemCharge, in: cache) }
            takeFromTheFurthestAbove(until: wanted, for: cache, sparing: shortage.spared, &pressure)
            while !hasRoom(for: shortage.bytes) {
                let evicted = cache.evict(atMost: EngineCache.evictionBatch, sparing: shortage.spared) {
                    !hasRoom(for: shortage.bytes)
                }
                guard evicted > 0 || hasRoom(for: shortage.bytes) else { throw .memoryExhausted }
            }
        }
    }

    private func hasRoom(for byteCount: Int) -> Bool {
        accounted.load(ordering: .relaxed) + byteCount <= configuration.memoryBytes
    }

    /// Evicts from whoever is furthest above its reservation, until there is room for `wanted` bytes or nobody is above.
    private func takeFromTheFurthestAbove(
        until wanted: Int, for cache: EngineCache?, sparing spared: Item?, _ pressure: inout Pressure
    ) {
        var isOwnExhausted = false
        var fruitlessUses = 0
        while !hasRoom(for: wanted), fruitlessUses < Self.mostFruitlessUses {
            // Down to the runner-up of the search, or below the one who asks, whose growth is what brings it down.
            let victimExcess = pressure.victim?.excessBytes ?? 0
            if pressure.usesLeft == 0 || victimExcess <= pressure.floorBytes
                || victimExcess + slackBytes < (cache?.excessBytes ?? 0)
            {
                search(&pressure, excluding: isOwnExhausted ? cache : nil)
            }
            guard let victim = pressure.victim else { break }
            pressure.usesLeft -= 1
            let evicted = victim.evict(atMost: EngineCache.evictionBatch, sparing: victim === cache ? spared : nil) {
                !hasRoom(for: wanted) && victim.excessBytes > 0
            }
            guard evicted == 0 else { continue }
            pressure.usesLeft = 0
            fruitlessUses += 1
            // It holds nothing any more but the item that the write is about to replace.
            if victim === cache { isOwnExhausted = true }
        }
        if isOwnExhausted { pressure.usesLeft = 0 }
    }

    /// Finds the cache furthest above its reservation, among those that have an item to give.
    private func search(_ pressure: inout Pressure, excluding excluded: EngineCache?) {
        var best: EngineCache?
        var bestExcess = 0
        var secondExcess = 0
        registry.withLock { registry in
            for candidate in registry.caches where candidate !== excluded {
                let excess = candidate.excessBytes
                guard excess > secondExcess, candidate.items.load(ordering: .relaxed) > 0 else { continue }
                if excess > bestExcess {
                    secondExcess = bestExcess
                    bestExcess = excess
                    best = candidate
                } else {
                    secondExcess = excess
                }
            }
        }
        pressure.victim = best
        pressure.floorBytes = max(0, secondExcess - slackBytes)
        pressure.usesLeft = Self.usesOfSearch
    }

    /// Whether an item of a cache fits when every other cache is down to its reservation and this one is empty.
    private func checkFits(_ itemCharge: Int, in cache: EngineCache) throws(MartletError) {
        let kept = registry.withLock { registry in
            registry.caches.reduce(0) { kept, other in
                guard other !== cache else { return kept }
                let reserved = other.reservedBytes.load(ordering: .relaxed)
                return kept + min(other.liveBytes, max(reserved, other.leastBytes))
            }
        }
        let least = cache.leastBytes + EngineCache.firstItemOverhead + itemCharge
        guard kept + least <= configuration.memoryBytes else { throw .memoryExhausted }
    }

    /// Brings the process down to its ceiling where something went over it that could not be refused: a cache that was
    /// opened while the process was full. Each round is bounded by the number of caches.
    func relieve() {
        guard !hasRoom(for: 0) else { return }
        pressure.withLock { pressure in
            takeFromTheFurthestAbove(until: 0, for: nil, sparing: nil, &pressure)
        }
    }
}
