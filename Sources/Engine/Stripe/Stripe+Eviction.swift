import Tenancy

/// Taking segments apart: to evict, or to clean. Everything here is called by the holder of the lock.
extension StripeReference {
    /// What a piece of work on a segment came to.
    struct Progress: Sendable {
        /// Records looked at, in bytes.
        var bytes = 0
        var evicted = 0
        /// There was nothing to be done.
        var isExhausted = false
    }

    /// Evicts: looks at up to `limit` records of the segment whose turn it is, and drops those that were not read enough.
    ///
    /// - Parameters:
    ///   - mostEvicted: ends the work after so many items went.
    ///   - isForced: no item is spared for having been read.
    func evict(limit: Int, mostEvicted: Int = .max, isForced: Bool = false, now: Timestamp, _ cache: EngineCache)
        -> Progress
    {
        var progress = Progress()
        // A segment that is being cleaned is finished first: that makes room too.
        if contents.pointee.drain == nil, !beginEviction(cache.source) {
            progress.isExhausted = true
            return progress
        }
        work(limit: limit, mostEvicted: mostEvicted, isForced: isForced, now: now, cache, &progress)
        return progress
    }

    /// Takes the oldest segment off the log whose turn it is.
    private func beginEviction(_ source: PageSource) -> Bool {
        let stripe = contents
        let fromSmall =
            stripe.pointee.main.oldest == nil
            || stripe.pointee.small.oldest != nil && stripe.pointee.small.bytes * 10 >= stripe.pointee.logBytes
        guard let segment = fromSmall ? stripe.pointee.small.oldest : stripe.pointee.main.oldest else { return false }
        takeOff(segment)
        stripe.pointee.drain = Drain(segment: segment, log: fromSmall ? .small : .main)
        let logBytes = stripe.pointee.logBytes
        // Nothing was evicted before: the log was the queue of all, and to be read once is as good as in the main log.
        if stripe.pointee.small.bytes * 2 > logBytes { stripe.pointee.drain?.usesToStay = 1 }
        if fromSmall {
            stripe.pointee.ghosts.fit(items: stripe.pointee.index.count, bytes: logBytes * 9 / 10, source)
        }
        return true
    }

    /// Takes a segment out of its log.
    func takeOff(_ segment: Segment) {
        unlink(segment)
        segment.state = .draining
    }

    /// Takes a segment out of its log and out of the books of dead bytes.
    func unlink(_ segment: Segment) {
        if contents.pointee.cleaningCursor == segment { contents.pointee.cleaningCursor = segment.newer }
        if segment.state == .main {
            contents.pointee.main.remove(segment)
        } else {
            contents.pointee.small.remove(segment)
        }
        contents.pointee.deadBytes -= segment.dead
    }

    /// Goes on with the segment that is being taken apart.
    func work(
        limit: Int, mostEvicted: Int = .max, isForced: Bool = false, now: Timestamp, _ cache: EngineCache,
        _ progress: inout Progress
    ) {
        var recordsLeft = limit
        while let drain = contents.pointee.drain {
            guard let record = drain.segment.record(at: drain.offset) else { return finishSegment(cache.source) }
            guard recordsLeft > 0, progress.evicted < mostEvicted else { return }
            recordsLeft -= 1
            let byteCount = record.byteCount
            contents.pointee.drain?.offset += byteCount
            progress.bytes += byteCount
            if record.isDead { continue }
            let hash = contents.pointee.index.hash(record)
            if record.isExpired(at: now) {
                remove(record, hash: hash, .expired, cache)
                figures.pointee.addExpiration()
            } else if let target = drain.target {
                let new = placeInTarget(target, byteCount, drain.log, cache.source)
                move(record, hash: hash, to: new, uses: record.uses)
            } else if !isForced, drain.log == .small, record.uses >= drain.usesToStay {
                move(record, hash: hash, to: place(byteCount, inMain: true, cache.source), uses: 0)
            } else if !isForced, drain.log == .main, record.uses > 0 {
                move(record, hash: hash, to: place(byteCount, inMain: true, cache.source), uses: record.uses - 1)
            } else {
                if drain.log == .small { contents.pointee.ghosts.remember(hash, byteCount: byteCount) }
                remove(record, hash: hash, .evicted, cache)
                figures.pointee.addEviction()
                progress.evicted += 1
            }
        }
    }

    /// Copies a record to its new place and tells the index.
    private func move(_ record: Record, hash: UInt64, to place: Record, uses: UInt64) {
        place.start.copyMemory(from: record.start, byteCount: record.byteCount)
        place.setUses(uses)
        contents.pointee.index.replace(record, with: place, hash: hash)
        record.markDead()
    }

    /// Gives the segment back, whose records have all gone somewhere.
    private func finishSegment(_ source: PageSource) {
        guard var drain = contents.pointee.drain else { return }
        // The next of the run lies behind the target, where this one lay.
        let next = drain.segmentsLeft > 0 ? drain.target?.newer : nil
        source.deallocate(drain.segment.start, byteCount: drain.segment.capacity)
        guard let next else {
            contents.pointee.drain = nil
            if let target = drain.target { freeIfDead(target, source) }
            return
        }
        takeOff(next)
        drain.segment = next
        drain.offset = Segment.headerBytes
        drain.segmentsLeft -= 1
        contents.pointee.drain = drain
    }
}
