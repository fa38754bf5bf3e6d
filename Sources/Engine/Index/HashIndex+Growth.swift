/// Growing and shrinking, one bucket at a time.
extension HashIndex {
    mutating func start(from source: PageSource) {
        while buckets.count < Self.smallestBucketCount { addBucket(from: source) }
        bucketCount = Self.smallestBucketCount
        highMask = UInt64(Self.smallestBucketCount - 1)
    }

    var wantsToGrow: Bool { count &* 10 >= bucketCount &* Self.growthLoad }

    private mutating func addBucket(from source: PageSource) {
        buckets.append(from: source)
        Common.setEarliest(buckets[buckets.count - 1], ExpiryMinima.never)
        expiry.cover(chunks: buckets.chunkCount, source)
    }

    /// Splits the next bucket in two. What the old bucket knows of expiry holds for both.
    mutating func grow(from source: PageSource) {
        let new = bucketCount
        if UInt64(new) > highMask { highMask = highMask &<< 1 | 1 }
        let old = new & Int(highMask &>> 1)
        addBucket(from: source)
        bucketCount = new + 1
        let first = buckets[old]
        note(Common.earliest(first), inBucket: new)

        // Slots that stay close up; those that go are appended to the new chain.
        let level = UInt64((~highMask).trailingZeroBitCount - 1)
        var (target, targetPosition) = (first, 0)
        var current: Line? = first
        while let line = current {
            current = next(line)
            for position in 0..<Self.slotsPerLine {
                let slot = line[position]
                if slot == 0 { break }
                line[position] = 0
                if isSet(level, of: slot) {
                    append(slot, to: new, from: source)
                } else {
                    if targetPosition == Self.slotsPerLine, let next = next(target) {
                        (target, targetPosition) = (next, 0)
                    }
                    target[targetPosition] = slot
                    targetPosition += 1
                }
            }
        }
        freeEmptyLines(of: old, to: source)
    }

    /// A bit of the hash, counted from where the bucket's bits begin.
    @inline(__always)
    private func isSet(_ level: UInt64, of slot: UInt64) -> Bool {
        // Bit 48 of the slot is bit 12 of the hash, which is the bucket's bit 8.
        if level >= 8, level < 24 { return slot &>> (level &+ 40) & 1 != 0 }
        return hash(Slot.record(slot)) &>> (level &+ Self.bucketShift) & 1 != 0
    }

    mutating func shrinkIfSparse(to source: PageSource) {
        while bucketCount > Self.smallestBucketCount, count * 10 < bucketCount * Self.shrinkLoad { shrink(to: source) }
    }

    /// Merges the last bucket into the one that it was split from.
    private mutating func shrink(to source: PageSource) {
        let last = bucketCount - 1
        bucketCount = last
        if last & (last - 1) == 0 { highMask &>>= 1 }
        let target = last ^ 1 << (Int.bitWidth - 1 - last.leadingZeroBitCount)
        note(Common.earliest(buckets[last]), inBucket: target)
        var current: Line? = buckets[last]
        while let line = current {
            for position in 0..<Self.slotsPerLine {
                let slot = line[position]
                if slot == 0 { break }
                line[position] = 0
                append(slot, to: target, from: source)
            }
            current = next(line)
        }
        freeEmptyLines(of: last, to: source)
        buckets.removeLast(to: source)
        expiry.cover(chunks: buckets.chunkCount, source)
    }

    /// Frees the lines at the end of a chain that hold nothing.
    private mutating func freeEmptyLines(of bucket: Int, to source: PageSource) {
        while true {
            var line = buckets[bucket]
            var previous: Line?
            while let next = next(line) {
                previous = line
                line = next
            }
            guard let previous, line[0] == 0 else { return }
            freeOverflow(after: previous, of: bucket, to: source)
        }
    }

    /// Frees all lines. Cost: one step for each chunk of 32.
    mutating func removeEverything(to source: PageSource) {
        var budget = Int.max
        removeLines(to: source, budget: &budget)
    }

    /// Frees lines without a look at what they hold, each chunk one of `budget`; the index is of no use afterwards
    /// before it is empty.
    mutating func removeLines(to source: PageSource, budget: inout Int) {
        bucketCount = 0
        highMask = 0
        count = 0
        while budget > 0, overflow.count > 0 {
            overflow.removeChunk(to: source)
            budget -= 1
        }
        while budget > 0, buckets.count > 0 {
            buckets.removeChunk(to: source)
            budget -= 1
        }
        if buckets.count == 0 { expiry.cover(chunks: 0, source) }
    }
}
