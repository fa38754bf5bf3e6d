import Tenancy

// Cleaning: when a quarter of a stripe's bytes are dead, a run of neighbouring segments is copied together.
//
//     log     [##..#.][#.#..#][######][#####.] ...          # live   . dead
//                 '------.-------'
//             [########][######][#####.] ...                as long as what is live, to the page
//
// A hand goes round the segments, a few at a time, and stops at one of which a quarter is dead; the run goes on as long as
// the neighbours are dead enough and all fits into one segment. The new segment stands where the run stood: nobody's turn comes sooner or later for it.

extension StripeReference {
    /// One part in so many of a stripe's bytes may be dead.
    private static let deadPart = 4
    /// A neighbour joins a run if at least one part in so many of it is dead.
    private static let neighbourPart = 8

    /// Cleans, if there is enough to clean or a segment is being cleaned.
    /// - Parameter limit: how many records are looked at.
    /// - Returns: whether there is more to do.
    func clean(limit: Int, now: Timestamp, _ cache: EngineCache) -> Bool {
        var progress = Progress()
        if contents.pointee.drain == nil {
            guard needsCleaning, beginCleaning(cache.source) else { return false }
        }
        guard contents.pointee.drain?.target != nil else { return false }
        work(limit: limit, now: now, cache, &progress)
        return contents.pointee.drain != nil || needsCleaning
    }

    @inline(__always)
    var needsCleaning: Bool {
        contents.pointee.deadBytes > contents.pointee.cleaningThreshold
            && contents.pointee.deadBytes &* Self.deadPart > contents.pointee.logBytes
    }

    /// Whether a segment is being cleaned, or one should be.
    @inline(__always)
    var isCleaning: Bool { contents.pointee.drain?.target != nil || needsCleaning }

    /// How many segments one call looks at: each is a line of memory that is not at hand.
    private static let segmentsOfLook = 8

    private func beginCleaning(_ source: PageSource) -> Bool {
        // A segment that is being evicted frees memory anyway.
        guard let run = nextRun() else { return false }
        let state = run.first.state
        let older = run.first.older
        takeOff(run.first)
        let target = insertTarget(run.targetBytes, after: older, state, source)
        contents.pointee.drain = Drain(segment: run.first, log: state, target: target, segmentsLeft: run.count - 1)
        return true
    }

    private func insertTarget(
        _ capacity: Int, after older: Segment?, _ state: SegmentState, _ source: PageSource
    ) -> Segment {
        let target = Segment.make(in: source.allocate(byteCount: capacity), capacity: capacity, state: state)
        if state == .main {
            contents.pointee.main.insert(target, after: older)
        } else {
            contents.pointee.small.insert(target, after: older)
        }
        return target
    }

    /// The place for a record in the segment that is being filled, or in the next one.
    func placeInTarget(_ target: Segment, _ byteCount: Int, _ log: SegmentState, _ source: PageSource) -> Record {
        if target.free >= byteCount { return target.append(byteCount) }
        let capacity = max(target.capacity, PageSource.charge(byteCount: byteCount + Segment.headerBytes))
        let next = insertTarget(capacity, after: target, log, source)
        contents.pointee.drain?.target = next
        freeIfDead(target, source)
        return next.append(byteCount)
    }

    /// Frees a segment that was filled and of which everything has died meanwhile.
    func freeIfDead(_ segment: Segment, _ source: PageSource) {
        guard segment.live == 0 else { return }
        takeOff(segment)
        source.deallocate(segment.start, byteCount: segment.capacity)
    }

    /// Neighbouring segments, and how large the segments are that their live records go to.
    private struct Run {
        let first: Segment
        let count: Int
        let targetBytes: Int
    }

    /// The next run that is dead enough, from where the last look ended. Nil when it was not found in this look; after a whole round in vain, when as much again has died.
    private func nextRun() -> Run? {
        let stripe = contents
        let segmentCount = stripe.pointee.small.count + stripe.pointee.main.count
        for _ in 0..<min(Self.segmentsOfLook, segmentCount) {
            guard let segment = stripe.pointee.cleaningCursor else {
                // From the end of one log to the beginning of the other.
                let isMain = stripe.pointee.cleansMain
                stripe.pointee.cleaningCursor = isMain ? stripe.pointee.small.oldest : stripe.pointee.main.oldest
                stripe.pointee.cleansMain = !isMain
                continue
            }
            stripe.pointee.cleaningCursor = segment.newer
            stripe.pointee.looksInVain += 1
            if segment.dead * Self.deadPart >= segment.capacity, let run = run(from: segment) {
                stripe.pointee.looksInVain = 0
                stripe.pointee.cleaningThreshold = 0
                return run
            }
        }
        if stripe.pointee.looksInVain > segmentCount {
            stripe.pointee.looksInVain = 0
            stripe.pointee.cleaningThreshold = stripe.pointee.deadBytes + max(1024, stripe.pointee.logBytes / 16)
        }
        return nil
    }

    /// The run that begins with a segment, if to clean it gains anything.
    ///
    /// Targets are as large as the segments, so that blocks of one size go round; a run too short for that gets one
    /// target, as large as what is live, to the page.
    private func run(from first: Segment) -> Run? {
        var (count, live, held) = (1, first.live, PageSource.charge(byteCount: first.capacity))
        var last = first
        while count < Self.segmentsOfLook, let next = last.newer, next.dead * Self.neighbourPart >= next.capacity {
            count += 1
            live += next.live
            held += PageSource.charge(byteCount: next.capacity)
            last = next
        }
        // A record that does not fit ends a target: reckon with a sixteenth.
        let room = (first.capacity - Segment.headerBytes) * 15 / 16
        let targets = (live + room - 1) / room
        if targets * PageSource.charge(byteCount: first.capacity) < held {
            return Run(first: first, count: count, targetBytes: first.capacity)
        }
        let exact = PageSource.charge(byteCount: first.live + Segment.headerBytes)
        guard exact < PageSource.charge(byteCount: first.capacity) else { return nil }
        return Run(first: first, count: 1, targetBytes: exact)
    }
}
