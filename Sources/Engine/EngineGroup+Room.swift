import Synchronization
import Tenancy

// When a group is at its ceiling, who gives?
//
// The rule of the whole process (EngineCore+Pressure.swift), among the caches of the group: the one with the most bytes
// above its own reservation; where the group has too many items, the one with the most items among those that are above
// their reservations. Where nobody is above, the cache that writes pays for itself.
//
// Room is made as for a cache at its own ceiling (EngineCache+Room.swift): before a write it is asked only whether the item
// can fit at all; after it the group is brought back, and within the last segments below the ceiling each write looks at
// about twice its own bytes of whoever gives. The search for it is remembered until it has come down to the runner-up less
// some slack, so that it is paid once in many writes however many caches there are.

extension EngineGroup {
    /// What is remembered from one shortage to the next.
    struct Pressure {
        fileprivate var bytes = Search()
        fileprivate var items = Search()
        fileprivate(set) var looks = 0

        mutating func forget(_ cache: EngineCache) {
            if bytes.victim === cache { bytes = Search() }
            if items.victim === cache { items = Search() }
        }
    }

    /// Who may give.
    fileprivate enum Rank {
        /// Whoever has a whole segment above its reservation.
        case spare
        /// Whoever is above it at all.
        case above
        /// Everybody, for a tick: reservations that together are more than the group may hold do not keep it above.
        case all
    }

    fileprivate struct Search {
        var victim: EngineCache?
        var rank = Rank.spare
        /// The victim gives until its figure is down to this.
        var floor = 0
        var usesLeft = 0
    }

    /// What is to be done in one hold of the lock.
    private struct Relief {
        /// Whose write it is; nil: a tick's.
        let cache: EngineCache?
        let now: Timestamp
        /// How far below the ceiling the group is brought.
        var wanted = 0
        /// How far below it work begins that is in proportion to what was written, and how much that is.
        var zone = 0
        var written = 0
        let mostSlices: Int

        /// What was just written is no reason that its cache gives: it is counted as it was before.
        func spared(_ candidate: EngineCache) -> Int { candidate === cache ? written : 0 }
    }

    private static let usesOfSearch = 1024
    private static let mostFruitlessUses = 8
    /// As for a cache: after so many slices nothing is spared for having been read, and after so many the rest is left.
    private static let slicesBeforeForce = 1024
    private static let mostSlices = 2048
    /// How many slices a tick takes in one hold of the lock, for which the tenant's writes wait.
    private static let slicesOfTick = 16

    /// How far one cache may come below the next before another gives.
    private var slackBytes: Int { min(byteCeiling / 256, 32 << 10) }
    private var slackItems: Int { max(1, itemCeiling / 1024) }

    /// How far below its ceiling the group begins to evict with each write.
    @inline(__always)
    private var evictionZone: Int {
        min(StripeTable.mostStripes * StripeReference.usualSegment, maxBytes &>> 5)
    }

    // MARK: Before a write

    /// Whether an item of `cache` that is charged so much fits when whatever may go has gone. Cost: a few loads; a look at
    /// each cache where the group is full and more is reserved for its caches than it may hold.
    @inline(__always)
    func mayHold(_ charge: Int, in cache: EngineCache) -> Bool {
        let most = maxBytes
        if most != .max {
            let least = leastBytes + EngineCache.firstItemOverhead + charge
            guard least <= most else { return false }
            let reserved = lines.charges.pointee.reservedByCaches.load(ordering: .relaxed)
            if reserved > 0, least + reserved > most, liveBytes + charge > byteCeiling {
                return mayHoldBesideReservations(charge, in: cache)
            }
        }
        return maxItems > 0
    }

    private func mayHoldBesideReservations(_ charge: Int, in cache: EngineCache) -> Bool {
        keptBytes(beside: cache) + cache.leastBytes + EngineCache.firstItemOverhead + charge <= maxBytes
            && maxItems > 0
    }

    /// What the other caches keep when each is down to its reservation.
    func keptBytes(beside cache: EngineCache?) -> Int {
        members.withLock { members in
            members.caches.reduce(0) { $1 === cache ? $0 : $0 + $1.keptBytes }
        }
    }

    /// Makes room for what a cache is going to take while it is held exclusively.
    func makeRoom(for byteCount: Int, in cache: EngineCache, now: Timestamp) {
        guard byteCeiling != .max, liveBytes + byteCount > byteCeiling else { return }
        let most = Self.mostSlices + byteCount / 64
        pressure.withLock { pressure in
            _ = relieve(Relief(cache: cache, now: now, wanted: byteCount, mostSlices: most), &pressure)
        }
    }

    // MARK: After a write

    /// Keeps the ceilings after a write of so many bytes. Not limited, the group costs a look at one line that nobody writes.
    @inline(__always)
    func finish(written: Int, by cache: EngineCache, now: Timestamp) {
        let byteCeiling = byteCeiling
        let itemCeiling = itemCeiling
        if byteCeiling != .max && liveBytes + evictionZone > byteCeiling
            || itemCeiling != .max && itemCount > itemCeiling
        {
            keepCeilings(written: written, by: cache, now: now)
        }
    }

    private func keepCeilings(written: Int, by cache: EngineCache, now: Timestamp) {
        if cache.isExclusivelyHeld { return payInside(cache, now: now) }
        // Never so much that the item just written would be all that is left, and then go too.
        let room =
            byteCeiling - leastBytes - EngineCache.firstItemOverhead
            - PageSource.charge(byteCount: written + Segment.headerBytes)
        let relief = Relief(
            cache: cache, now: now, zone: min(evictionZone, max(0, room / 2)), written: written,
            mostSlices: Self.mostSlices + written / 64)
        if liveBytes > byteCeiling || itemCount > itemCeiling {
            pressure.withLock { _ = relieve(relief, &$0) }
        } else {
            // Nobody waits to work ahead.
            _ = pressure.withLockIfAvailable { relieve(relief, &$0) }
        }
    }

    /// This thread has exclusive access: the lock of `pressure` comes before those of stripes. What the cache takes beyond
    /// what was reserved it pays itself; the others give when the access has ended.
    private func payInside(_ cache: EngineCache, now: Timestamp) {
        var slices = 0
        while liveBytes > byteCeiling, slices < Self.mostSlices,
            cache.liveBytes > cache.exclusiveCeiling.load(ordering: .relaxed)
        {
            let slice = cache.evict(isForced: slices > Self.slicesBeforeForce, now: now)
            guard !slice.isExhausted else { return }
            slices += 1
        }
    }

    // MARK: In the background

    /// Brings a group whose limits were lowered, or whose topics grew, down to them. Each record looked at is one of
    /// `budget`.
    /// - Returns: whether there is nothing more to do.
    func trim(budget: inout Int, now: Timestamp) -> Bool {
        budget -= 1
        guard liveBytes > maxBytes || itemCount > maxItems || byteCeiling > maxBytes || itemCeiling > maxItems else {
            return true
        }
        while budget > 0 {
            let isDone = pressure.withLock { pressure in
                // Whoever writes meanwhile is held to what is there now.
                lowerCeilings()
                let isDone = relieve(Relief(cache: nil, now: now, mostSlices: Self.slicesOfTick), &pressure)
                lowerCeilings()
                return isDone
            }
            budget -= Self.slicesOfTick * EngineCache.recordsOfSlice
            if isDone { return true }
        }
        return false
    }

    private func lowerCeilings() {
        lines.ceilings.pointee.byteCeiling.store(
            min(byteCeiling, max(maxBytes, liveBytes)), ordering: .relaxed)
        lines.ceilings.pointee.itemCeiling.store(
            min(itemCeiling, max(maxItems, itemCount)), ordering: .relaxed)
    }

    // MARK: For the process

    /// How far the group is above what is reserved for it.
    var excessBytes: Int { liveBytes - reservedBytes }

    /// The same, less what it may lose beside: memory comes in segments.
    var spareBytes: Int {
        guard reservedBytes > 0 else { return excessBytes }
        return excessBytes - min(StripeReference.usualSegment, liveBytes / 8)
    }

    /// Lets the caches of the group give to one of them while the process is full and nobody else may, until `isEnough`.
    func give(to cache: EngineCache, now: Timestamp, until isEnough: () -> Bool) {
        pressure.withLock { pressure in
            let relief = Relief(cache: cache, now: now, mostSlices: Self.mostSlices)
            var (slices, vain) = (0, 0)
            while !isEnough(), vain < Self.mostFruitlessUses, slices < relief.mostSlices {
                guard let victim = victim(.bytes, for: relief, &pressure.bytes, &pressure.looks) else { return }
                slices += 1
                let slice = victim.evict(isForced: slices > Self.slicesBeforeForce, now: now)
                guard slice.isExhausted else { continue }
                pressure.bytes.usesLeft = 0
                vain += 1
            }
        }
    }

    // MARK: Who gives

    private enum Measure { case bytes, items }

    /// Evicts as asked.
    /// - Returns: whether it is done, or nothing more can be.
    private func relieve(_ relief: Relief, _ pressure: inout Pressure) -> Bool {
        var (slices, progress, vain) = (0, 0, 0)
        while true {
            // A tick goes down to the limit itself.
            let ceiling = (relief.cache == nil ? maxBytes : byteCeiling) - relief.wanted
            let live = liveBytes
            let mostItems = relief.cache == nil ? maxItems : itemCeiling
            let tooMany = mostItems == .max ? 0 : itemCount - mostItems
            let isNear = live > ceiling - relief.zone
            guard live > ceiling || tooMany > 0 || isNear && progress < relief.written * 2 else { return true }
            guard slices < relief.mostSlices else { return false }
            let chosen =
                isNear
                ? victim(.bytes, for: relief, &pressure.bytes, &pressure.looks)
                : victim(.items, for: relief, &pressure.items, &pressure.looks)
            guard let giver = chosen ?? relief.cache else { return true }
            let slice = giver.evict(
                mostEvicted: isNear ? .max : tooMany, isForced: slices > Self.slicesBeforeForce, now: relief.now)
            slices += 1
            progress += slice.bytes
            guard slice.isExhausted else { continue }
            vain += 1
            guard chosen != nil, vain < Self.mostFruitlessUses else { return true }
            // Others emptied it.
            if isNear { pressure.bytes.usesLeft = 0 } else { pressure.items.usesLeft = 0 }
        }
    }

    private func figure(_ measure: Measure, _ rank: Rank, _ cache: EngineCache, _ relief: Relief) -> Int {
        let held =
            switch rank {
            case .spare: cache.spareBytes
            case .above: cache.excessBytes
            case .all: cache.liveBytes
            }
        guard measure == .items, held > 0 else { return held - relief.spared(cache) }
        return cache.itemCount
    }

    /// Who gives next; nil when nobody may.
    private func victim(
        _ measure: Measure, for relief: Relief, _ search: inout Search, _ looks: inout Int
    ) -> EngineCache? {
        let slack = measure == .bytes ? slackBytes : slackItems
        let cache = relief.cache
        let asking = cache.map { figure(measure, search.rank, $0, relief) } ?? 0
        let isKnown: Bool
        if let victim = search.victim {
            let figure = figure(measure, search.rank, victim, relief)
            // Down to the runner-up, or below the one who asks, whose growth is what brings it down.
            isKnown =
                search.usesLeft > 0 && figure > search.floor && figure + slack >= asking
                && (search.rank != .all || cache == nil)
        } else {
            // That nobody is above is remembered too, as long as the one who asks is not.
            isKnown = search.usesLeft > 0 && asking <= 0 && cache != nil
        }
        if !isKnown {
            for rank in cache == nil ? [Rank.spare, .above, .all] : [.spare, .above] {
                find(measure, rank, slack, relief, &search, &looks)
                if search.victim != nil { break }
            }
        }
        search.usesLeft -= 1
        return search.victim
    }

    private func find(
        _ measure: Measure, _ rank: Rank, _ slack: Int, _ relief: Relief, _ search: inout Search, _ looks: inout Int
    ) {
        var best: EngineCache?
        var (bestFigure, secondFigure) = (0, 0)
        members.withLock { members in
            looks += members.caches.count
            for candidate in members.caches {
                let figure = figure(measure, rank, candidate, relief)
                guard figure > secondFigure, candidate.itemCount > 0 else { continue }
                if figure > bestFigure {
                    secondFigure = bestFigure
                    bestFigure = figure
                    best = candidate
                } else {
                    secondFigure = figure
                }
            }
        }
        search = Search(victim: best, rank: rank, floor: max(0, secondFigure - slack), usesLeft: Self.usesOfSearch)
    }
}
