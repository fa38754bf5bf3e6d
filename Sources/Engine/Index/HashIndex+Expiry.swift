import Tenancy

// What expires next.
//
// The index is the expiry structure: each bucket keeps the earliest expiry of its items, each chunk of 32 buckets the
// earliest of its buckets, and the stripe the earliest of its chunks: a tree of minima, three levels deep and very wide.
//
//     stripe      [ 17:04:10 ]
//     chunks      [ 17:04:10 ][ 17:31:02 ][ 17:09:55 ] ...      4 bytes for 32 buckets, some 180 items
//     buckets     [ 17:20:00 ][ 17:04:10 ][ never ] ...         4 bytes of the bucket's own line
//     items       exact, to the millisecond, in their records
//
// A write lowers the minima on its way, three comparisons. A removal leaves them: they are lower bounds, and a visit that
// finds nothing due makes them exact again. To find what is due a tick goes down only where a minimum has passed, so it
// reads no chunk and no record in which nothing is due, and whatever it reads it does once: the times are rounded up to
// `ExpiryMinima.tickMilliseconds`, so a visit never comes too early.
//
// Why not a timing wheel: a wheel takes a link of eight bytes or more for each item, and an item that was replaced must
// be unlinked, which takes two. This takes four bytes for a bucket of five or six. Why not segments by TTL: they tie the
// order of eviction to that of expiry. What it costs: after an item expired, the records of the four others of its
// bucket are read for their times: some 0.3 us.

/// The upper two levels of minima. Times are in ticks since the engine's first moment.
struct ExpiryMinima {
    static let never = UInt32.max
    static let tickMilliseconds: Int64 = 128

    private var minima: UnsafeMutablePointer<UInt32>?
    private var capacity = 0
    private(set) var count = 0
    /// The earliest of all.
    var earliest = never

    var chargedBytes: Int { PageSource.tableCharge(capacity * 4) }

    @inline(__always)
    subscript(chunk: Int) -> UInt32 {
        get { minima.unsafelyUnwrapped[chunk] }
        nonmutating set { minima.unsafelyUnwrapped[chunk] = newValue }
    }

    /// Follows the number of chunks.
    mutating func cover(chunks: Int, _ source: PageSource) {
        guard chunks != count else { return }
        if chunks > capacity || chunks == 0 || chunks < capacity / 4 {
            resize(to: chunks == 0 ? 0 : max(4, chunks > capacity ? capacity * 2 : capacity / 2), source)
        }
        while count < chunks {
            self[count] = Self.never
            count += 1
        }
        count = chunks
        if chunks == 0 { earliest = Self.never }
    }

    private mutating func resize(to newCapacity: Int, _ source: PageSource) {
        guard newCapacity != capacity else { return }
        source.resizeTable(&minima, kept: count, from: capacity, to: newCapacity)
        capacity = newCapacity
    }

    /// The first tick by which an item has expired for certain, or `never`. Ticks count from 1 at `epoch`; whatever
    /// expires before it does so at 1, and nothing has passed in 0.
    @inline(__always)
    static func tick(of expiresAt: Timestamp?, epoch: Int64) -> UInt32 {
        guard let expiresAt else { return never }
        let ticks = (expiresAt.milliseconds &- epoch &+ (tickMilliseconds - 1)) / tickMilliseconds
        // Beyond the range, 17 years, a bucket is looked at in vain, until the engine is started again.
        return ticks <= 0 ? 1 : UInt32(min(ticks, Int64(never - 2))) + 1
    }

    /// The last tick that has passed by `now`.
    static func passed(by now: Timestamp, epoch: Int64) -> UInt32 {
        guard now.milliseconds >= epoch else { return 0 }
        return UInt32(min((now.milliseconds - epoch) / tickMilliseconds, Int64(never - 3))) + 1
    }
}

extension HashIndex {
    /// Takes note that an item of a bucket expires at a tick.
    @inline(__always)
    mutating func note(_ tick: UInt32, inBucket bucket: Int) {
        guard tick != ExpiryMinima.never else { return }
        let line = buckets[bucket]
        if tick < Common.earliest(line) { Common.setEarliest(line, tick) }
        let chunk = bucket / LineArray.linesPerChunk
        if tick < expiry[chunk] { expiry[chunk] = tick }
        if tick < expiry.earliest { expiry.earliest = tick }
    }

    /// The next bucket, from `cursor` on, in which something may be due; the minima that are met are made exact first.
    /// - Parameter budget: each chunk and bucket looked at is one.
    /// - Returns: nil when nothing more is due, or the budget is used up.
    mutating func nextDueBucket(_ passed: UInt32, cursor: inout Int, budget: inout Int) -> Int? {
        while budget > 0, cursor < buckets.count {
            let chunk = cursor / LineArray.linesPerChunk
            if expiry[chunk] > passed {
                cursor = (chunk + 1) * LineArray.linesPerChunk
                // A look at four bytes of 32 buckets is a fraction of a look at one.
                if chunk % 32 == 31 { budget -= 1 }
                continue
            }
            budget -= 1
            let bucket = cursor
            if Common.earliest(buckets[bucket]) <= passed { return bucket }
            cursor += 1
            if cursor % LineArray.linesPerChunk == 0 || cursor == buckets.count { settleChunk(chunk) }
        }
        if cursor >= buckets.count { settleEarliest() }
        return nil
    }

    /// After a due bucket was worked on: what is left in it says when it is due again.
    mutating func settleBucket(_ bucket: Int, epoch: Int64) {
        guard bucket < buckets.count else { return }
        var earliest = ExpiryMinima.never
        forEachSlot(of: bucket) { slot in
            earliest = min(earliest, ExpiryMinima.tick(of: Slot.record(slot).nextExpiry, epoch: epoch))
        }
        Common.setEarliest(buckets[bucket], earliest)
    }

    private func settleChunk(_ chunk: Int) {
        var earliest = ExpiryMinima.never
        let first = chunk * LineArray.linesPerChunk
        for bucket in first..<min(first + LineArray.linesPerChunk, buckets.count) {
            earliest = min(earliest, Common.earliest(buckets[bucket]))
        }
        expiry[chunk] = earliest
    }

    private mutating func settleEarliest() {
        var earliest = ExpiryMinima.never
        for chunk in 0..<expiry.count { earliest = min(earliest, expiry[chunk]) }
        expiry.earliest = earliest
    }

    /// Visits the slots of a bucket. The body must not change the index.
    @inline(__always)
    func forEachSlot(of bucket: Int, _ body: (UInt64) -> Void) {
        var current: Line? = buckets[bucket]
        while let line = current {
            for position in 0..<Self.slotsPerLine {
                let slot = line[position]
                if slot == 0 { return }
                body(slot)
            }
            current = next(line)
        }
    }
}
