import Tenancy

// The index of a stripe: linear hashing over buckets of one cache line.
//
// What it is for: from the 64-bit hash of a key to its record, in one line of the index and one of the log; growing and
// shrinking one bucket at a time, so that no operation ever waits for a rehash, no second table stands beside the first
// while it grows, and the index is always in proportion to the items (no doubling, no lucky sizes). And it knows when the
// next of its items expires: see HashIndex+Expiry.swift.
//
//     line of 64 bytes: 7 slots and what they have in common
//     +------+------+------+------+------+------+------+-----------------------------+
//     | s0   | s1   | s2   | s3   | s4   | s5   | s6   | earliest expiry | next line |
//     +------+------+------+------+------+------+------+-----------------------------+
//
//     slot      [ tag: 16 bits of the hash ][ address of the record: 48 bits ]     0: empty
//
//     hash      63 ...         28 27 ...     12 11 ...      4 3 ...  0
//                                 '--- tag ---'               stripe
//               '----------- bucket, from its low end ------'
//
// With N buckets and 2^k < N <= 2^(k+1), a hash belongs to bucket `h mod 2^(k+1)` if that is below N, else to `h mod
// 2^k`, where h is the hash without the stripe's bits. Growing by one splits bucket N - 2^k in two; shrinking merges the
// last bucket back. A bucket with more than seven items goes on in an overflow line, which has a number in an array of
// its own. A chain of lines is dense: its slots are filled from the front, so a search stops at the first empty one, and
// a removal moves the chain's last slot into the gap.
//
// Whoever splits a bucket needs one more bit of each hash. From level 8 to 23 the tag has it, so that splitting reads
// lines of the index only, and not the keys.
//
// Cost: a search reads one line of the index, sometimes two, and a record only if 16 bits of the hash agree. At 5.7
// items a bucket the index takes 13 to 15 bytes an item.
//
// Reference: Litwin, "Linear hashing: a new tool for file and table addressing" (VLDB 1980).

/// Which record holds the item of which key. Not synchronised: it belongs to the holder of the stripe's lock.
struct HashIndex {
    typealias Line = LineArray.Line

    static let slotsPerLine = 7
    /// Above so many tenths of an item a bucket, on average, the index grows; below the other it shrinks.
    static let growthLoad = 57
    static let shrinkLoad = 30
    static let smallestBucketCount = 4
    /// Where the bucket's bits begin, above those of the stripe.
    static let bucketShift: UInt64 = 4

    var buckets = LineArray()
    /// How many of ``buckets`` hashes are spread over: all, but while two are made one.
    var bucketCount = 0
    var overflow = LineArray()
    /// 2^(k+1) - 1.
    var highMask: UInt64 = 0
    var count = 0
    var expiry = ExpiryMinima()

    var chargedBytes: Int { buckets.chargedBytes + overflow.chargedBytes + expiry.chargedBytes }

    // MARK: Slots

    enum Slot {
        static let addressMask: UInt64 = (1 << 48) - 1
        static let tagMask: UInt64 = ~addressMask

        @inline(__always)
        static func tag(of hash: UInt64) -> UInt64 { hash &<< 36 & tagMask }

        @inline(__always)
        static func make(_ record: Record, hash: UInt64) -> UInt64 {
            // The system gives a process addresses above 2^47 only if it asks for one by name, which nobody here does.
            tag(of: hash) | UInt64(UInt(bitPattern: record.start))
        }

        @inline(__always)
        static func record(_ slot: UInt64) -> Record {
            // A slot that is not empty was made from an address that is not nil.
            Record(start: UnsafeMutableRawPointer(bitPattern: UInt(slot & addressMask)).unsafelyUnwrapped)
        }
    }

    /// The last word of a line.
    enum Common {
        @inline(__always)
        static func earliest(_ line: Line) -> UInt32 { UInt32(truncatingIfNeeded: line[7]) }
        @inline(__always)
        static func setEarliest(_ line: Line, _ tick: UInt32) {
            line[7] = line[7] & ~0xffff_ffff | UInt64(tick)
        }
        /// The number of the next line, plus one.
        @inline(__always)
        static func link(_ line: Line) -> Int { Int(truncatingIfNeeded: line[7] &>> 32) }
        static func setLink(_ line: Line, _ link: Int) {
            line[7] = line[7] & 0xffff_ffff | UInt64(link) &<< 32
        }
    }

    // MARK: Search

    @inline(__always)
    func bucketNumber(of hash: UInt64) -> Int {
        let number = Int(truncatingIfNeeded: hash &>> Self.bucketShift & highMask)
        return number < bucketCount ? number : Int(truncatingIfNeeded: hash &>> Self.bucketShift & (highMask &>> 1))
    }

    @inline(__always)
    func next(_ line: Line) -> Line? {
        let link = Common.link(line)
        return link == 0 ? nil : overflow[link - 1]
    }

    /// The record of that key, expired or not. Called by every operation, under the stripe's lock.
    @inline(__always)
    func find(_ key: UnsafeRawBufferPointer, hash: UInt64) -> Record? {
        guard count > 0 else { return nil }
        let tag = Slot.tag(of: hash)
        var line = buckets[bucketNumber(of: hash)]
        while true {
            for position in 0..<Self.slotsPerLine {
                let slot = line[position]
                guard (slot ^ tag) & Slot.tagMask == 0 else { continue }
                // An empty slot looks like a tag of zero, and is the chain's end.
                if slot == 0 { return nil }
                let record = Slot.record(slot)
                if record.hasKey(key) { return record }
            }
            guard let next = next(line) else { return nil }
            line = next
        }
    }

    /// Where a record's slot is. The record is in the index.
    @inline(__always)
    func place(of record: Record, hash: UInt64) -> UnsafeMutablePointer<UInt64>? {
        let wanted = Slot.make(record, hash: hash)
        var line = buckets[bucketNumber(of: hash)]
        while true {
            for position in 0..<Self.slotsPerLine where line[position] == wanted { return line + position }
            guard let next = next(line) else { return nil }
            line = next
        }
    }

    // MARK: Change

    /// Adds a record whose key is absent. Cost: one line, and now and then the split of a bucket.
    ///
    /// - Parameter tick: When the item expires, for ``ExpiryMinima``.
    mutating func insert(_ record: Record, hash: UInt64, tick: UInt32, from source: PageSource) {
        if count == 0 { start(from: source) }
        if wantsToGrow { grow(from: source) }
        let bucket = bucketNumber(of: hash)
        append(Slot.make(record, hash: hash), to: bucket, from: source)
        note(tick, inBucket: bucket)
        count += 1
    }

    /// Puts another record of the same key into a record's place.
    @inline(__always)
    func replace(_ old: Record, with new: Record, hash: UInt64) {
        guard let place = place(of: old, hash: hash) else { return assertionFailure("a record that is not indexed") }
        place.pointee = Slot.make(new, hash: hash)
    }

    /// Takes a record out. The last one takes the whole index with it.
    mutating func remove(_ record: Record, hash: UInt64, to source: PageSource) {
        guard let place = place(of: record, hash: hash) else {
            return assertionFailure("a record that is not indexed")
        }
        count -= 1
        guard count > 0 else { return removeEverything(to: source) }
        let bucket = bucketNumber(of: hash)
        // The chain's last slot moves into the gap.
        var line = buckets[bucket]
        var previous: Line?
        while let next = next(line) {
            previous = line
            line = next
        }
        var position = Self.slotsPerLine - 1
        while position > 0, line[position] == 0 { position -= 1 }
        place.pointee = line[position]
        line[position] = 0
        if position == 0, let previous { freeOverflow(after: previous, of: bucket, to: source) }
        shrinkIfSparse(to: source)
    }

    mutating func append(_ slot: UInt64, to bucket: Int, from source: PageSource) {
        var line = buckets[bucket]
        while let next = next(line) { line = next }
        for position in 0..<Self.slotsPerLine where line[position] == 0 {
            line[position] = slot
            return
        }
        overflow.append(from: source)
        Common.setLink(line, overflow.count)
        overflow[overflow.count - 1][0] = slot
    }

    /// Takes the empty last line off a chain, and moves the last of all overflow lines into its number.
    mutating func freeOverflow(after previous: Line, of bucket: Int, to source: PageSource) {
        let number = Common.link(previous) - 1
        Common.setLink(previous, 0)
        let last = overflow.count - 1
        if number != last {
            let moved = overflow[last]
            // Its first item's key says which chain it is part of; an empty line is of the chain that is worked on.
            let owner = moved[0] == 0 ? bucket : bucketNumber(of: hash(Slot.record(moved[0])))
            var parent = buckets[owner]
            while Common.link(parent) != last + 1, let next = next(parent) { parent = next }
            overflow[number].update(from: moved, count: LineArray.wordsPerLine)
            Common.setLink(parent, number + 1)
        }
        overflow.removeLast(to: source)
    }

    // MARK: Hash

    /// The secret that hashes are made with.
    let hashKey: SipHashKey

    init(hashKey: SipHashKey) {
        self.hashKey = hashKey
    }

    @inline(__always)
    func hash(_ record: Record) -> UInt64 {
        SipHash.placement(of: record.key, key: hashKey)
    }
}
