import Synchronization
import Tenancy

// Room is made around a write, not in it: before, the process must have as much free as the item takes, or the write is
// refused and nothing has changed; after, the cache, its group and the process are brought back to their ceilings. In between, the
// write takes what it takes. So a write never fails half done, holds one lock once, and goes over a ceiling by no more
// than its own item and the segment begun for it, and only until it returns.
//
// What a write evicts is in proportion to what it wrote: as long as a cache is within the last few segments below its
// ceiling, a write looks at about twice its own bytes of the segment whose turn it is. So eviction is spread evenly over
// the writes, and no write, and no reader behind its lock, waits for a whole segment to be taken apart.

extension EngineCache {
    /// How many records are looked at under one lock: two microseconds' worth, since readers wait for it.
    static let recordsOfSlice = 4
    /// After so many slices in one write, items are no longer spared for having been read; and after so many it leaves the
    /// rest to the next writes and to ticks. Only what takes room without asking can make so much work: topics that grow.
    private static let slicesBeforeForce = 1024
    private static let mostSlices = 2048

    /// Refuses at once what cannot fit however much is evicted, and makes room in the process.
    /// - Returns: the bytes of the record.
    @inline(__always)
    func prepare(keyBytes: Int, storedBytes: Int, now: Timestamp) throws(MartletError) -> Int {
        guard keyBytes <= Record.largestKey, storedBytes <= Record.largestValue else { throw .memoryExhausted }
        let recordBytes = Record.byteCount(keyBytes: keyBytes, storedBytes: storedBytes)
        try prepare(recordBytes, now: now)
        return recordBytes
    }

    @inline(__always)
    func prepare(_ byteCount: Int, now: Timestamp) throws(MartletError) {
        let charge = PageSource.charge(byteCount: byteCount + Segment.headerBytes)
        let least = leastBytes + Self.firstItemOverhead + charge
        guard
            least <= maxBytes.load(ordering: .relaxed), least <= core.configuration.memoryBytes,
            maxItems.load(ordering: .relaxed) > 0, group?.mayHold(charge, in: self) ?? true
        else { throw isClosed.load(ordering: .relaxed) ? .cacheNotFound : .memoryExhausted }
        if core.accounted.load(ordering: .relaxed) + charge > core.configuration.memoryBytes {
            try core.makeRoom(for: charge, in: self, now: now)
        }
    }

    /// What the cache is charged when every item is evicted.
    var leastBytes: Int {
        ownBytes + attachedBytes.load(ordering: .relaxed) + codingBytes.load(ordering: .relaxed)
            + observationBytes.load(ordering: .relaxed)
    }

    /// What the cache itself takes.
    var ownBytes: Int { Self.fixedCharge + (stripes.isDivided ? StripeTable.divisionCharge : 0) }

    /// Keeps the ceilings after a write of so many bytes.
    @inline(__always)
    func finish(written: Int, now: Timestamp) {
        let isNearOwnCeiling =
            liveBytes + evictionZone > byteCeiling.load(ordering: .relaxed)
            || itemCeiling.load(ordering: .relaxed) != .max
        if isNearOwnCeiling { keepCeilings(written: written, now: now) }
        group?.finish(written: written, by: self, now: now)
        if core.accounted.load(ordering: .relaxed) > core.configuration.memoryBytes {
            core.relieve(for: self, now: now)
        }
        if !stripes.isDivided { divideIfCrowded(now: now) }
    }

    /// How far below its ceiling a cache begins to evict with each write.
    @inline(__always)
    private var evictionZone: Int {
        min(
            (stripes.isDivided ? StripeTable.mostStripes : 2) * StripeReference.usualSegment,
            maxBytes.load(ordering: .relaxed) &>> 5)
    }

    private func keepCeilings(written: Int, now: Timestamp) {
        // Never so much that the item just written would be all that is left, and then go too.
        let room =
            byteCeiling.load(ordering: .relaxed) - leastBytes - Self.firstItemOverhead
            - PageSource.charge(byteCount: written + Segment.headerBytes)
        let zone = min(evictionZone, max(0, room / 2))
        var progress = 0
        var slices = 0
        while true {
            let live = liveBytes
            let ceiling = byteCeiling.load(ordering: .relaxed)
            let itemCeiling = itemCeiling.load(ordering: .relaxed)
            let items = itemCeiling == .max ? 0 : itemCount
            let isOver = live > ceiling || items > itemCeiling
            guard isOver || live + zone > ceiling && progress < written * 2, slices < Self.mostSlices + written / 64
            else { return }
            let slice = evict(
                mostEvicted: live + zone > ceiling ? .max : items - itemCeiling,
                isForced: slices > Self.slicesBeforeForce, now: now)
            guard !slice.isExhausted else { return }
            progress += slice.bytes
            slices += 1
        }
    }

    /// Evicts a few items, from the stripe in which a segment is being evicted, or the next one.
    func evict(
        limit: Int = recordsOfSlice, mostEvicted: Int = .max, isForced: Bool = false, now: Timestamp
    ) -> StripeReference.Progress {
        let word = stripes.word.load(ordering: .acquiring)
        let count = Int(word & 63) + 1
        let start = evictionCursor.load(ordering: .relaxed)
        for offset in 0..<count {
            let position = (start &+ offset) % count
            let stripe = StripeTable.stripe(of: UInt64(position), word)
            // Who has exclusive access lets nobody in between.
            if !stripe.isExclusivelyHeld { stripe.giveWay() }
            stripe.lock()
            let progress = stripe.evict(
                limit: limit, mostEvicted: mostEvicted, isForced: isForced, now: now, self)
            let isSegmentDone = stripe.contents.pointee.drain == nil
            stripe.unlock()
            if isSegmentDone { evictionCursor.store((position + 1) % count, ordering: .relaxed) }
            if !progress.isExhausted { return progress }
        }
        var exhausted = StripeReference.Progress()
        exhausted.isExhausted = true
        return exhausted
    }

    /// What the cache keeps when it is down to its reservation.
    var keptBytes: Int { min(liveBytes, max(reservedBytes.load(ordering: .relaxed), leastBytes)) }

    /// How far the cache is above what is reserved for it.
    var excessBytes: Int { liveBytes - reservedBytes.load(ordering: .relaxed) }

    /// The same, less what it may lose beside: memory comes in segments, and a cache that is above its reservation by less
    /// than one would lose what is reserved.
    var spareBytes: Int {
        guard reservedBytes.load(ordering: .relaxed) > 0 else { return excessBytes }
        return excessBytes - min(StripeReference.usualSegment, liveBytes / 8)
    }

    // MARK: In the background

    /// Frees expired items and cleans segments. Each bucket or record looked at, and each stripe, is one of `budget`.
    ///
    /// Goes round the stripes a slice at a time, so that no stripe's readers meet it twice in a row.
    func maintain(now: Timestamp, budget: inout Int, latest: inout Int64) {
        let word = stripes.word.load(ordering: .acquiring)
        var unfinished: UInt64 = (1 &<< UInt64((word & 63) + 1)) &- 1
        while unfinished != 0, budget > 0 {
            for position in 0...UInt64(word & 63) where unfinished &>> position & 1 != 0 && budget > 0 {
                var left = Self.recordsOfSlice
                let stripe = StripeTable.stripe(of: position, word)
                stripe.giveWay()
                stripe.lock()
                var isFinished = stripe.expire(now: now, budget: &left, latest: &latest, self)
                if isFinished, left > 0, stripe.isCleaning {
                    isFinished = !stripe.clean(limit: left, now: now, self)
                    left = 0
                }
                stripe.unlock()
                budget -= Self.recordsOfSlice - left
                if isFinished { unfinished &= ~(1 &<< position) }
            }
        }
        budget -= 1
    }

    /// Brings a cache whose limits were lowered down to them. Each record looked at is one of `budget`.
    func trim(budget: inout Int, now: Timestamp) {
        let maxBytes = maxBytes.load(ordering: .relaxed)
        let maxItems = maxItems.load(ordering: .relaxed)
        while budget > 0 {
            let items = maxItems == .max ? 0 : itemCount
            guard liveBytes > maxBytes || items > maxItems else { break }
            let slice = evict(mostEvicted: liveBytes > maxBytes ? .max : items - maxItems, now: now)
            guard !slice.isExhausted else { break }
            budget -= Self.recordsOfSlice
        }
        let byteCeiling = byteCeiling.load(ordering: .relaxed)
        if byteCeiling > maxBytes {
            self.byteCeiling.store(min(byteCeiling, max(maxBytes, liveBytes)), ordering: .relaxed)
        }
        let itemCeiling = itemCeiling.load(ordering: .relaxed)
        if itemCeiling > maxItems {
            self.itemCeiling.store(min(itemCeiling, max(maxItems, itemCount)), ordering: .relaxed)
        }
    }
}
