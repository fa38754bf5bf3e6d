import Tenancy

// A stripe: one index, one eviction queue, one timing wheel, over one set of items, behind one short lock.
//
//                    +----------------------- item ------------------------+
//     HashIndex ---> | links of the queue | links of the wheel | key | value |
//                    +-----------------------------------------------------+
//     SieveQueue ------^                    ^
//     TimingWheel --------------------------'  (items that expire)
//
// Every item is in the index and the queue, and in the wheel if it expires.
//
// The books: `actualBytes` is what the three structures and the items take now; `chargedBytes` is what the cache and the
// process have been charged for this stripe. A write first reserves what it may need, which moves the charge up against
// the ceilings, then changes things, then settles: the difference goes back. Whenever the lock is free the two agree.

/// What a stripe's lock guards.
// Only the holder of the stripe's lock reaches it, and after a flush only the one thread that took it over.
struct StripeContents: ~Copyable, @unchecked Sendable {
    var index: HashIndex
    var queue = SieveQueue()
    var wheel = TimingWheel()
    private(set) var itemBytes = 0
    var chargedBytes = 0
    /// The cache is closed: nothing is stored any more.
    var isClosed = false

    init(hashKey: SipHashKey) {
        index = HashIndex(hashKey: hashKey)
    }

    var actualBytes: Int { itemBytes + index.chargedBytes + wheel.chargedBytes }

    /// The item of that key if it is served at `now`.
    @inline(__always)
    func findLive(_ key: UnsafeRawBufferPointer, hash: UInt64, now: Timestamp) -> Item? {
        guard let item = index.find(key, hash: hash), !item.isExpired(at: now) else { return nil }
        return item
    }

    /// The most that storing `new` in the place of `old`, or of nothing, adds to ``actualBytes``.
    func bytesToStore(_ new: Item, replacing old: Item?, hash: UInt64) -> Int {
        var bytes = new.charge
        if let old {
            bytes -= old.charge
        } else {
            bytes += index.bytesToInsert(hash: hash)
        }
        if new.isVolatile, wheel.count == 0 { bytes += TimingWheel.blockCharge }
        return bytes
    }

    /// Adds an item whose key is absent.
    mutating func insert(_ item: Item, hash: UInt64, now: Timestamp) {
        index.insert(item, hash: hash)
        queue.insert(item)
        if item.isVolatile { wheel.file(item, now: now) }
        itemBytes += item.charge
    }

    /// Puts an item in the place of another of the same key, which the caller then deallocates.
    mutating func replace(_ old: Item, with new: Item, hash: UInt64, now: Timestamp) {
        index.replace(old, with: new, hash: hash)
        queue.replace(old, with: new)
        if new.isVolatile { wheel.file(new, now: now) }
        if old.isVolatile { wheel.remove(old) }
        itemBytes += new.charge - old.charge
    }

    /// Takes an item out, which the caller then deallocates.
    mutating func remove(_ item: Item, hash: UInt64) {
        index.remove(item, hash: hash)
        queue.remove(item)
        if item.isVolatile { wheel.remove(item) }
        itemBytes -= item.charge
        // Merging two buckets may first take an overflow bucket or two: only out of what was just given up.
        if index.wantsToShrink, chargedBytes - actualBytes >= HashIndex.mostBytesToShrink {
            index.shrink()
        }
    }

    /// Hands every item to `take`, oldest first, and frees the rest of the stripe. The contents are empty then.
    mutating func giveAway(_ take: (Item, UInt64) -> Void) {
        var current = queue.oldest
        while let item = current {
            // Before `take` links the item elsewhere.
            current = item.header.pointee.newer
            take(item, index.hash(of: item))
        }
        queue = SieveQueue()
        itemBytes = 0
        wheel.abandon()
        var budget = Int.max
        index.abandonBuckets(&budget)
        chargedBytes = 0
    }

    /// Frees items and then the rest, for contents that were detached. Each item or bucket is one of `budget`.
    mutating func dismantle(_ budget: inout Int) {
        while budget > 0, let item = queue.oldest {
            budget -= 1
            queue.remove(item)
            itemBytes -= item.charge
            item.deallocate()
        }
        guard queue.count == 0 else { return }
        wheel.abandon()
        index.abandonBuckets(&budget)
    }

    var isDismantled: Bool { queue.count == 0 && index.bucketCount == 0 }

    // MARK: Invariants

    /// Everything that must hold whenever the lock is free, for tests. Cost: a walk over all items.
    func violations() -> [String] {
        var found = wheel.violations()
        var items = 0
        var volatileItems = 0
        var bytes = 0
        var newer: Item?
        var current = queue.newest
        while let item = current {
            items += 1
            bytes += item.charge
            if item.isVolatile { volatileItems += 1 }
            if item.header.pointee.newer != newer { found.append("the queue's links disagree") }
            if index.find(item.key, hash: index.hash(of: item)) != item { found.append("an item is not in the index") }
            newer = item
            current = item.header.pointee.older
        }
        if queue.oldest != newer { found.append("the queue does not end at its oldest item") }
        if queue.count != items { found.append("a queue of \(items) items counts \(queue.count)") }
        if index.count != items { found.append("the index counts \(index.count) items, the queue \(items)") }
        if wheel.count != volatileItems { found.append("the wheel counts \(wheel.count) of \(volatileItems) items") }
        if itemBytes != bytes { found.append("items of \(bytes) bytes are booked as \(itemBytes)") }
        if chargedBytes != actualBytes { found.append("\(actualBytes) bytes are charged as \(chargedBytes)") }
        found += index.violations()
        return found
    }
}

extension HashIndex {
    /// What is wrong with the index itself, for tests.
    func violations() -> [String] {
        var found: [String] = []
        var words = 0
        var overflows = 0
        for position in 0..<bucketCount {
            var current: Bucket? = bucket(at: position)
            while let bucket = current {
                current = nil
                var ended = false
                for slot in 0..<Self.wordsPerBucket {
                    let word = bucket[slot]
                    if word == 0 {
                        ended = true
                    } else if Word.isLink(word) {
                        if slot != Self.wordsPerBucket - 1 { found.append("a link in the middle of a bucket") }
                        overflows += 1
                        current = Word.bucket(word)
                    } else {
                        words += 1
                        if ended { found.append("a gap in a bucket") }
                        if self.bucket(for: hash(of: Word.item(word))) != self.bucket(at: position) {
                            found.append("an item in another bucket than its hash's")
                        }
                    }
                }
            }
        }
        if words != count { found.append("an index of \(words) items counts \(count)") }
        if overflows != overflowCount { found.append("\(overflows) overflow buckets are counted as \(overflowCount)") }
        return found
    }
}
