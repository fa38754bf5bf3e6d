// The index of a stripe: linear hashing over buckets of one cache line.
//
// What it is for: from the 64-bit hash of a key to its item, in one line of the index and one of the item; growing and
// shrinking one bucket at a time, so that no operation ever waits for a rehash, no second table stands beside the first
// while it grows, and the index is always in proportion to the items (no doubling, no lucky sizes).
//
//     directory                    chunk of 32 buckets           bucket of 64 bytes: 8 words
//     +-----+-----+-----+          +----+----+-- --+----+        +------+------+-- --+------+------+
//     |  *  |  *  |     |  ---->   | b0 | b1 | ... | 31 |  ----> | w0   | w1   | ... | w6   | w7   |
//     +-----+-----+-----+          +----+----+-- --+----+        +------+------+-- --+------+------+
//
//     word of an item     [ tag: 16 bits ][ address of the item: 48 bits ]       tag = top bits of the hash, never 0
//     word of a link      [ 0            ][ address of an overflow bucket | 1 ]  only ever w7
//     no word             0
//
// With N buckets and 2^k < N <= 2^(k+1), a hash belongs to bucket `hash mod 2^(k+1)` if that is below N, else to `hash
// mod 2^k`. Growing by one splits bucket N - 2^k in two; shrinking merges the last bucket back. A bucket with more than
// eight items links to an overflow bucket. A chain is dense: its words are filled from the front, so a search stops at
// the first 0, and a removal moves the chain's last word into the gap.
//
// Cost: a search reads one line of the index (seldom two), and an item only if 16 bits of the hash agree. At five items
// a bucket the index takes 13 to 16 bytes an item. An insert that grows the index hashes the five to ten keys of one
// bucket again.
//
// Reference: Litwin, "Linear hashing: a new tool for file and table addressing" (VLDB 1980).

/// Which bucket holds an item of which hash. Not synchronised: it belongs to the holder of the stripe's lock.
struct HashIndex: ~Copyable {
    typealias Bucket = UnsafeMutablePointer<UInt64>

    static let wordsPerBucket = 8
    static let bucketsPerChunk = 32
    static let smallestDirectory = 4
    /// Above this many items a bucket, on average, the index grows; below the other it shrinks.
    static let growthLoad = 5
    static let shrinkLoad = 3
    static let chunkCharge = Allocation.charge(bucketsPerChunk * 64 + 64)
    static let overflowCharge = Allocation.charge(64)

    private let hashKey: SipHashKey
    var directory: UnsafeMutablePointer<Bucket>?
    var directoryCapacity = 0
    var bucketCount = 0
    /// 2^(k+1) - 1.
    var highMask: UInt64 = 0
    private(set) var overflowCount = 0
    private(set) var count = 0
    /// Overflow buckets that were taken off a chain while it is rebuilt, linked through their first word.
    private var spares: Bucket?

    init(hashKey: SipHashKey) {
        self.hashKey = hashKey
    }

    var chunkCount: Int { (bucketCount + Self.bucketsPerChunk - 1) / Self.bucketsPerChunk }

    /// What the index is charged.
    var chargedBytes: Int {
        chunkCount * Self.chunkCharge + overflowCount * Self.overflowCharge + Self.directoryCharge(directoryCapacity)
    }

    static func directoryCharge(_ capacity: Int) -> Int {
        capacity == 0 ? 0 : Allocation.charge(capacity * 8)
    }

    func hash(of item: Item) -> UInt64 {
        SipHash.placement(of: item.key, key: hashKey)
    }

    // MARK: Search

    @inline(__always)
    func bucket(at position: Int) -> Bucket {
        // `position` is below `bucketCount`, so there is a directory and the chunk in it.
        directory.unsafelyUnwrapped[position / Self.bucketsPerChunk]
            + (position % Self.bucketsPerChunk) &* Self.wordsPerBucket
    }

    @inline(__always)
    func bucket(for hash: UInt64) -> Bucket {
        var position = Int(truncatingIfNeeded: hash & highMask)
        if position >= bucketCount { position = Int(truncatingIfNeeded: hash & (highMask &>> 1)) }
        return bucket(at: position)
    }

    /// The item of that key, expired or not. Called by every operation, under the stripe's lock.
    @inline(__always)
    func find(_ key: UnsafeRawBufferPointer, hash: UInt64) -> Item? {
        guard bucketCount > 0 else { return nil }
        let tag = Word.tag(of: hash)
        var bucket = bucket(for: hash)
        while true {
            var next: Bucket?
            for position in 0..<Self.wordsPerBucket {
                let word = bucket[position]
                if word == 0 { return nil }
                if (word ^ tag) &>> 48 == 0 {
                    let item = Word.item(word)
                    if item.hasKey(key) { return item }
                } else if Word.isLink(word) {
                    next = Word.bucket(word)
                }
            }
            guard let next else { return nil }
            bucket = next
        }
    }

    // MARK: Change

    /// What ``insert(_:hash:)`` of an absent key adds to ``chargedBytes``.
    func bytesToInsert(hash: UInt64) -> Int {
        guard bucketCount > 0 else { return Self.chunkCharge + Self.directoryCharge(Self.smallestDirectory) }
        var bytes = chainIsFull(bucket(for: hash)) ? Self.overflowCharge : 0
        if wantsToGrow { bytes += bytesToGrow }
        return bytes
    }

    /// Adds an item whose key is absent.
    mutating func insert(_ item: Item, hash: UInt64) {
        if bucketCount == 0 {
            addChunk()
            bucketCount = Self.bucketsPerChunk
            highMask = UInt64(Self.bucketsPerChunk - 1)
        } else if wantsToGrow {
            grow()
        }
        append(Word.of(item, hash: hash), to: bucket(for: hash))
        count += 1
    }

    /// Puts another item of the same key into an item's place.
    mutating func replace(_ old: Item, with new: Item, hash: UInt64) {
        let place = place(of: old, hash: hash)
        place.bucket[place.position] = Word.of(new, hash: hash)
    }

    /// Takes an item out. The last one takes the whole index with it.
    mutating func remove(_ item: Item, hash: UInt64) {
        let place = place(of: item, hash: hash)
        let (last, lastPosition, previous) = end(of: bucket(for: hash))
        place.bucket[place.position] = last[lastPosition]
        last[lastPosition] = 0
        // An overflow bucket that is down to one item gives it back to the word that links to it.
        if let previous, lastPosition == 1 {
            previous[Self.wordsPerBucket - 1] = last[0]
            freeOverflow(last)
        }
        count -= 1
        if count == 0 { freeEverything() }
    }

    private func place(of item: Item, hash: UInt64) -> (bucket: Bucket, position: Int) {
        let word = Word.of(item, hash: hash)
        var bucket = bucket(for: hash)
        while true {
            for position in 0..<Self.wordsPerBucket where bucket[position] == word {
                return (bucket, position)
            }
            let last = bucket[Self.wordsPerBucket - 1]
            // The item is in the index: callers got it from there or from the queue, which holds the same items.
            precondition(Word.isLink(last), "an item that is not in its index")
            bucket = Word.bucket(last)
        }
    }

    /// The last filled word of a chain that is not empty.
    private func end(of head: Bucket) -> (bucket: Bucket, position: Int, previous: Bucket?) {
        var bucket = head
        var previous: Bucket?
        while Word.isLink(bucket[Self.wordsPerBucket - 1]) {
            previous = bucket
            bucket = Word.bucket(bucket[Self.wordsPerBucket - 1])
        }
        var position = Self.wordsPerBucket - 1
        while position > 0, bucket[position] == 0 { position -= 1 }
        return (bucket, position, previous)
    }

    private func chainIsFull(_ head: Bucket) -> Bool {
        var bucket = head
        while Word.isLink(bucket[Self.wordsPerBucket - 1]) {
            bucket = Word.bucket(bucket[Self.wordsPerBucket - 1])
        }
        return bucket[Self.wordsPerBucket - 1] != 0
    }

    mutating func append(_ word: UInt64, to head: Bucket) {
        var bucket = head
        while Word.isLink(bucket[Self.wordsPerBucket - 1]) {
            bucket = Word.bucket(bucket[Self.wordsPerBucket - 1])
        }
        for position in 0..<Self.wordsPerBucket where bucket[position] == 0 {
            bucket[position] = word
            return
        }
        let overflow = makeOverflow()
        overflow[0] = bucket[Self.wordsPerBucket - 1]
        overflow[1] = word
        bucket[Self.wordsPerBucket - 1] = Word.link(to: overflow)
    }

    // MARK: Overflow buckets

    private mutating func makeOverflow() -> Bucket {
        if let spare = spares {
            spares = Bucket(bitPattern: UInt(spare[0]))
            spare[0] = 0
            return spare
        }
        overflowCount += 1
        return HashIndex.allocateBuckets(1, alignment: 16)
    }

    private mutating func freeOverflow(_ bucket: Bucket) {
        overflowCount -= 1
        UnsafeMutableRawPointer(bucket).deallocate()
    }

    static func allocateBuckets(_ buckets: Int, alignment: Int) -> Bucket {
        let words = buckets * wordsPerBucket
        let address = UnsafeMutableRawPointer.allocate(byteCount: words * 8, alignment: alignment)
        let bucket = address.bindMemory(to: UInt64.self, capacity: words)
        bucket.initialize(repeating: 0, count: words)
        return bucket
    }

    /// Empties a chain: its items' words go to `take`, its overflow buckets to the spares.
    mutating func emptyChain(_ head: Bucket, _ take: (UInt64) -> Void) {
        var bucket: Bucket? = head
        while let current = bucket {
            bucket = nil
            for position in 0..<Self.wordsPerBucket {
                let word = current[position]
                current[position] = 0
                if Word.isLink(word) {
                    bucket = Word.bucket(word)
                } else if word != 0 {
                    take(word)
                }
            }
            if current != head {
                current[0] = UInt64(UInt(bitPattern: spares))
                spares = current
            }
        }
    }

    mutating func freeSpares() {
        while let spare = spares {
            spares = Bucket(bitPattern: UInt(spare[0]))
            freeOverflow(spare)
        }
    }

    /// How many items the chain that begins at `head` holds.
    func chainLength(_ head: Bucket) -> Int {
        var bucket = head
        var length = 0
        while Word.isLink(bucket[Self.wordsPerBucket - 1]) {
            length += Self.wordsPerBucket - 1
            bucket = Word.bucket(bucket[Self.wordsPerBucket - 1])
        }
        for position in 0..<Self.wordsPerBucket where bucket[position] != 0 { length += 1 }
        return length
    }
}

extension HashIndex {
    /// How references are packed into words.
    enum Word {
        private static let addressMask: UInt64 = (1 << 48) - 1

        /// The tag in its place. Never zero, so that neither "no word" nor a link can be taken for an item.
        @inline(__always)
        static func tag(of hash: UInt64) -> UInt64 {
            (hash | 1 &<< 48) & ~addressMask
        }

        static func of(_ item: Item, hash: UInt64) -> UInt64 {
            let address = UInt64(UInt(bitPattern: item.header))
            // Linux gives a process addresses above 2^47 only if it asks for one by name, which nobody here does.
            precondition(address <= addressMask, "an address of more than 48 bits")
            return tag(of: hash) | address
        }

        @inline(__always)
        static func item(_ word: UInt64) -> Item {
            // A word of an item was made from an address that is not nil.
            Item(
                header: UnsafeMutablePointer<ItemHeader>(bitPattern: UInt(word & addressMask)).unsafelyUnwrapped)
        }

        @inline(__always)
        static func isLink(_ word: UInt64) -> Bool { word & 1 != 0 }

        static func link(to bucket: Bucket) -> UInt64 { UInt64(UInt(bitPattern: bucket)) | 1 }

        @inline(__always)
        static func bucket(_ word: UInt64) -> Bucket {
            // A link was made from an address that is not nil.
            Bucket(bitPattern: UInt(word & ~1)).unsafelyUnwrapped
        }
    }
}
