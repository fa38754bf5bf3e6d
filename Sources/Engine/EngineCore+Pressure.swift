import Synchronization
import Tenancy

// When the process is full, who gives?
//
// Each cache's fair share is what is reserved for it, and an equal part of what is reserved for nobody. That part is the
// same for all, so the cache furthest above its fair share is simply the one with the most bytes above its reservation.
// It gives first, by its own eviction order; a cache within its reservation gives nothing to others. Only when nobody is
// above, because more is reserved than there is, a cache pays for its own write, or its group does.
//
// Caches of a group (EngineGroup.swift) give no more than the group has above what is reserved for it as a whole.
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
    struct Pressure {
        var victim: EngineCache?
        /// The victim gives until its excess is down to this.
        var floorBytes = 0
        var usesLeft = 0
        /// Nobody has a whole segment to spare: whoever is above its reservation at all gives.
        var isTight = false

        /// What a cache has above its reservation, and no more than its group has above its own.
        func excess(_ cache: EngineCache) -> Int {
            let own = isTight ? cache.excessBytes : cache.spareBytes
            guard let group = cache.group else { return own }
            return min(own, isTight ? group.excessBytes : group.spareBytes)
        }
    }

    /// How many uses of one search of the caches.
    private static let usesOfSearch = 1024
    /// How many slices one relief takes at most; ticks go on.
    private static let slicesOfRelief = 2048
    /// How often a victim may turn out to be empty, because others emptied it, before the write gives up on it.
    private static let mostFruitlessUses = 8
    /// After so many slices of one cache, its items are no longer spared for having been read.
    private static let slicesBeforeForce = 2048

    /// How much more than needed is freed at once.
    private var slackBytes: Int { min(configuration.memoryBytes / 1024, 32 << 10) }

    /// Makes room in the process for a write of `cache`. Serialised: while the process is full, one write at a time
    /// chooses who gives.
    /// - Throws: ``MartletError/memoryExhausted`` when what the others are reserved leaves too little for the item.
    func makeRoom(for byteCount: Int, in cache: EngineCache, now: Timestamp) throws(MartletError) {
        if cache.isExclusivelyHeld { return try makeRoomInside(cache, for: byteCount, now: now) }
        try pressure.withLock { (pressure) throws(MartletError) in
            let wanted = byteCount + slackBytes
            var budget = 4096
            dismantleGraveyard(budget: &budget) { !hasRoom(for: wanted) }
            guard !hasRoom(for: byteCount) else { return }
            try checkFits(byteCount, in: cache)
            takeFromTheFurthestAbove(until: wanted, for: cache, now: now, &pressure)
            cache.group?.give(to: cache, now: now) { hasRoom(for: byteCount) }
            take(from: cache, until: byteCount, now: now)
            guard hasRoom(for: byteCount) else { throw .memoryExhausted }
        }
    }

    /// Makes room for a write of a cache to which this thread has exclusive access: what was reserved for it is taken
    /// even where others have filled the process meanwhile, and what goes beyond is paid with items of its own.
    ///
    /// The lock of `pressure` comes before those of stripes: here it cannot be had any more. So others give when exclusive
    /// access has ended.
    private func makeRoomInside(_ cache: EngineCache, for byteCount: Int, now: Timestamp) throws(MartletError) {
        func isAllowed() -> Bool {
            hasRoom(for: byteCount)
                || cache.liveBytes + byteCount <= cache.exclusiveCeiling.load(ordering: .relaxed)
        }
        guard !isAllowed() else { return }
        var budget = 4096
        dismantleGraveyard(budget: &budget) { !isAllowed() }
        var slices = 0
        while !isAllowed() {
            let slice = cache.evict(isForced: slices > Self.slicesBeforeForce, now: now)
            guard !slice.isExhausted else { throw .memoryExhausted }
            slices += 1
        }
    }

    /// Whether so many more bytes fit; the holes of shared pages are nobody's, and are memory all the same.
    private func hasRoom(for byteCount: Int) -> Bool {
        accounted.load(ordering: .relaxed) + pool.holeBytes + byteCount <= configuration.memoryBytes
    }

    /// Evicts from one cache, whatever is reserved for it, until there is room or nothing is left of it.
    private func take(from cache: EngineCache, until byteCount: Int, now: Timestamp) {
        var slices = 0
        while !hasRoom(for: byteCount) {
            let slice = cache.evict(isForced: slices > Self.slicesBeforeForce, now: now)
            guard !slice.isExhausted else { return }
            slices += 1
        }
    }

    /// Evicts from whoever is furthest above its reservation, until there is room for `wanted` bytes or nobody is above.
    private func takeFromTheFurthestAbove(
        until wanted: Int, for cache: EngineCache?, now: Timestamp, mostSlices: Int = .max, _ pressure: inout Pressure
    ) {
        var fruitlessUses = 0
        var slices = 0
        while !hasRoom(for: wanted), fruitlessUses < Self.mostFruitlessUses, slices < mostSlices {
            // Down to the runner-up of the search, or below the one who asks, whose growth is what brings it down.
            let victimExcess = pressure.victim.map(pressure.excess) ?? 0
            if pressure.usesLeft == 0 || victimExcess <= pressure.floorBytes
                || victimExcess + slackBytes < (cache.map(pressure.excess) ?? 0)
            {
                search(&pressure)
            }
            guard let victim = pressure.victim else { return }
            pressure.usesLeft -= 1
            slices += 1
            let slice = victim.evict(isForced: slices > Self.slicesBeforeForce, now: now)
            guard slice.isExhausted else { continue }
            pressure.usesLeft = 0
            fruitlessUses += 1
        }
    }

    /// Finds the cache furthest above its reservation, among those that have an item to give.
    private func search(_ pressure: inout Pressure) {
        pressure.isTight = false
        find(&pressure)
        guard pressure.victim == nil else { return }
        pressure.isTight = true
        find(&pressure)
    }

    private func find(_ pressure: inout Pressure) {
        var best: EngineCache?
        var bestExcess = 0
        var bestOwnExcess = 0
        var secondExcess = 0
        registry.withLock { registry in
            for candidate in registry.caches {
                let excess = pressure.excess(candidate)
                guard excess > 0, excess >= secondExcess, candidate.itemCount > 0 else { continue }
                // What a group has above its reservation is the figure of all its larger caches: the largest of them gives.
                if excess > bestExcess || excess == bestExcess && candidate.excessBytes > bestOwnExcess {
                    secondExcess = bestExcess
                    bestExcess = excess
                    bestOwnExcess = candidate.excessBytes
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
    private func checkFits(_ byteCount: Int, in cache: EngineCache) throws(MartletError) {
        let kept = registry.withLock { registry in
            let alone = registry.caches.reduce(0) { kept, other in
                other === cache || other.group != nil ? kept : kept + other.keptBytes
            }
            return registry.groups.reduce(alone) { kept, group in
                let sum = group.keptBytes(beside: cache)
                // The item is one of its own group, whose other caches may give for it.
                return kept + (group === cache.group ? sum : max(sum, min(group.liveBytes, group.reservedBytes)))
            }
        }
        let least = cache.leastBytes + EngineCache.firstItemOverhead + byteCount
        guard kept + least <= configuration.memoryBytes else { throw .memoryExhausted }
    }

    /// Brings the process down to its ceiling where something went over it: a write by what it needed beside its item, a
    /// cache that was opened while the process was full, topics that grew. The writer gives where nobody else may.
    func relieve(for cache: EngineCache?, now: Timestamp) {
        // Asked again when exclusive access ends.
        if cache?.isExclusivelyHeld == true { return }
        pressure.withLock { pressure in
            var budget = 4096
            dismantleGraveyard(budget: &budget) { !hasRoom(for: 0) }
            takeFromTheFurthestAbove(until: 0, for: cache, now: now, mostSlices: Self.slicesOfRelief, &pressure)
            if pressure.victim == nil, let cache {
                cache.group?.give(to: cache, now: now) { hasRoom(for: 0) }
                take(from: cache, until: 0, now: now)
            }
        }
    }
}
