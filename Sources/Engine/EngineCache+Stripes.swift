import Synchronization
import Tenancy

/// Changes of all stripes at once: flushing, closing, dividing.
extension EngineCache {
    /// Removes every item, and destroys the key that values were sealed with. Cost: a few locks and exchanges, whatever
    /// the cache holds; ``EmbeddedEngine/tick(now:)`` frees the memory. Complete for every operation that begins after
    /// it returned.
    package func flush() {
        core.bury(detachContents(closing: false))
    }

    /// Exchanges the contents of all stripes for empty ones.
    func detachContents(closing: Bool) -> [DetachedContents] {
        withAllLocked { stripes in
            let isClosed = closing || stripes[0].contents.pointee.isClosed
            let sealer =
                core.configuration.seals && !isClosed
                ? CacheSealer(cacheID: id.rawValue, laneCount: stripes.count) : nil
            var detached: [DetachedContents] = []
            for stripe in stripes {
                var contents = StripeContents(hashKey: core.configuration.indexKey)
                contents.isClosed = isClosed
                contents.sealer = sealer
                contents.observers = stripe.contents.pointee.observers
                swap(&contents, &stripe.contents.pointee)
                // The key goes with the last that holds it, and nothing here needs it.
                contents.sealer = nil
                contents.observers = nil
                addItems(-contents.index.count, to: stripe)
                let box = DetachedContents(contents, of: self)
                if box.bytes > 0 {
                    source.addDetached(box.bytes)
                    detached.append(box)
                }
            }
            tellFlushed(stripes)
            if isClosed { endObservation(stripes) }
            return detached
        }
    }

    /// Runs `body` while the locks of all stripes are held.
    func withAllLocked<Result>(_ body: ([StripeReference]) -> Result) -> Result {
        while true {
            let word = stripes.word.load(ordering: .acquiring)
            let all = (0...(word & 63)).map { StripeTable.stripe(of: UInt64($0), word) }
            for stripe in all { stripe.lock() }
            defer { for stripe in all { stripe.unlock() } }
            if stripes.word.load(ordering: .relaxed) == word { return body(all) }
        }
    }

    // MARK: Dividing

    private static let itemsToDivide = 4096
    private static let bytesToDivide = 8 << 20

    /// Divides a cache that has grown too large for one stripe, if it has the room; asked after each write, and done
    /// once in its life.
    @inline(__always)
    func divideIfCrowded(now: Timestamp) {
        let stripe = StripeTable.stripe(of: 0, stripes.word.load(ordering: .acquiring))
        let items = stripe.figures.pointee.items.load(ordering: .relaxed)
        if items >= Self.itemsToDivide || items >= 64 && liveBytes > Self.bytesToDivide { divide(now: now) }
    }

    /// Deals the items of the one stripe out to many, segment by segment: about a millisecond, under the one lock.
    private func divide(now: Timestamp) {
        // The new stripes' locks would be free for all. When exclusive access ends, this is asked again.
        guard !isExclusivelyHeld else { return }
        // A chunk of index and two segments for each, and one segment of the old ones that is not free yet.
        let needed = StripeTable.divisionCharge + StripeTable.mostStripes * 8192 + StripeReference.largestSegment
        guard liveBytes + needed <= byteCeiling.load(ordering: .relaxed),
            core.accounted.load(ordering: .relaxed) + needed <= core.configuration.memoryBytes,
            group.map({ $0.byteCeiling == .max || $0.liveBytes + needed <= $0.byteCeiling }) ?? true
        else { return }
        let word = stripes.word.load(ordering: .acquiring)
        guard word & 63 == 0 else { return }
        let old = StripeTable.stripe(of: 0, word)
        old.lock()
        defer { old.unlock() }
        guard stripes.word.load(ordering: .relaxed) == word, !old.contents.pointee.isClosed else { return }
        source.chargeFixed(StripeTable.divisionCharge)
        let newWord = StripeTable.makeMany(hashKey: core.configuration.indexKey)
        deal(old, newWord, now: now)
        stripes.word.store(newWord, ordering: .releasing)
    }

    private func deal(_ old: StripeReference, _ word: UInt, now: Timestamp) {
        let sealer = old.contents.pointee.sealer
        sealer?.widen(to: StripeTable.mostStripes)
        for position in 0..<StripeTable.mostStripes {
            StripeTable.stripe(of: UInt64(position), word).contents.pointee.sealer = sealer
        }
        let epoch = core.epoch(now)
        let drained = old.contents.pointee.drain
        for state in [SegmentState.small, .main] {
            // What was being taken apart goes first: it is the oldest.
            if let drained, drained.log == state { deal(drained.segment, from: drained.offset, state, word, epoch) }
            let log = state == .main ? old.contents.pointee.main : old.contents.pointee.small
            var current = log.oldest
            while let segment = current {
                current = segment.newer
                deal(segment, from: Segment.headerBytes, state, word, epoch)
            }
        }
        let new = StripeTable.stripe(of: 0, word)
        new.figures.pointee.evictions.store(
            old.figures.pointee.evictions.load(ordering: .relaxed), ordering: .relaxed)
        new.figures.pointee.expirations.store(
            old.figures.pointee.expirations.load(ordering: .relaxed), ordering: .relaxed)
        old.contents.pointee.index.removeEverything(to: source)
        old.contents.pointee.ghosts.free(source)
        old.contents.pointee.observers?.deal(to: word)
        old.contents.pointee = StripeContents(hashKey: core.configuration.indexKey)
    }

    /// Deals a segment's live records out and frees it.
    private func deal(_ segment: Segment, from start: Int, _ state: SegmentState, _ word: UInt, _ epoch: Int64) {
        var offset = start
        while let record = segment.record(at: offset) {
            let byteCount = record.byteCount
            offset += byteCount
            guard !record.isDead else { continue }
            let hash = hash(of: record.key)
            let stripe = StripeTable.stripe(of: hash, word)
            let place = stripe.place(byteCount, inMain: state == .main, source)
            place.start.copyMemory(from: record.start, byteCount: byteCount)
            stripe.contents.pointee.index.insert(
                place, hash: hash, tick: ExpiryMinima.tick(of: place.nextExpiry, epoch: epoch), from: source)
            stripe.figures.pointee.addItems(1)
            if place.isLarge {
                let trees = place.trees
                stripe.contents.pointee.treeBytes += trees.0.bytes + trees.1.bytes
            }
        }
        source.deallocate(segment.start, byteCount: segment.capacity)
    }
}

/// Contents of a stripe that no operation can reach any more, on their way back to the pool.
// One thread at a time has it: the one that detached it, then the one that took it from the graveyard.
final class DetachedContents: @unchecked Sendable {
    private let cache: EngineCache
    private var contents: StripeContents
    /// What is left of it in the cache's detached bytes.
    private(set) var bytes: Int

    init(_ contents: StripeContents, of cache: EngineCache) {
        self.contents = contents
        self.cache = cache
        bytes = contents.chargedBytes
    }

    /// Frees a part and gives its bytes back. Each segment, chunk of the index, and tree is one of `budget`.
    /// - Returns: whether nothing is left.
    func dismantle(_ budget: inout Int) -> Bool {
        defer {
            let left = contents.chargedBytes
            cache.source.addDetached(left - bytes)
            bytes = left
        }
        while budget > 0, let segment = takeSegment() {
            budget -= 1
            if contents.treeBytes > 0 || cache.compressor != nil { release(segment, &budget) }
            cache.source.deallocate(segment.start, byteCount: segment.capacity)
        }
        guard contents.logBytes == 0 else { return false }
        contents.ghosts.free(cache.source)
        contents.index.removeLines(to: cache.source, budget: &budget)
        return contents.chargedBytes == 0
    }

    private func takeSegment() -> Segment? {
        if let drain = contents.drain {
            contents.drain = nil
            return drain.segment
        }
        if let segment = contents.small.oldest {
            contents.small.remove(segment)
            return segment
        }
        guard let segment = contents.main.oldest else { return nil }
        contents.main.remove(segment)
        return segment
    }

    /// Gives up what a segment's records hold elsewhere. The trees' bytes are among the detached ones already.
    private func release(_ segment: Segment, _ budget: inout Int) {
        let compressor = cache.compressor
        var offset = Segment.headerBytes
        while let record = segment.record(at: offset) {
            offset += record.byteCount
            guard !record.isDead else { continue }
            if record.isLarge {
                budget -= 1
                let trees = record.trees
                contents.treeBytes -= trees.0.bytes + trees.1.bytes
                // From here on they are booked as buried trees, which `bury` adds.
                cache.source.bury(trees.0)
                cache.source.bury(trees.1)
            } else if record.encoding == .zstdDictionary, let version = record.stored.first {
                compressor?.release(version: version)
            }
        }
    }

    var source: PageSource { cache.source }

    /// Whether the books agree, for tests.
    var isBookedRightly: Bool { bytes == contents.chargedBytes }
}
