/// Growing and shrinking, one bucket at a time.
extension HashIndex {
    var wantsToGrow: Bool { count >= bucketCount * Self.growthLoad }

    /// Whether the index has more buckets than its items need. Never below one chunk: only the last item frees that.
    var wantsToShrink: Bool {
        bucketCount > Self.bucketsPerChunk && count < bucketCount * Self.shrinkLoad
    }

    /// What ``grow()`` adds to ``chargedBytes``: a chunk now and then, and seldom a larger directory. Splitting needs
    /// no overflow bucket: two chains never need more of them than the one that they come from.
    var bytesToGrow: Int {
        guard bucketCount % Self.bucketsPerChunk == 0 else { return 0 }
        guard chunkCount == directoryCapacity else { return Self.chunkCharge }
        return Self.chunkCharge + Self.directoryCharge(directoryCapacity * 2)
            - Self.directoryCharge(directoryCapacity)
    }

    /// Splits one bucket in two.
    mutating func grow() {
        if bucketCount % Self.bucketsPerChunk == 0 { addChunk() }
        if bucketCount > Int(highMask) { highMask = highMask << 1 | 1 }
        let source = bucketCount - Int(highMask + 1) / 2
        bucketCount += 1
        spread(bucket(at: source), and: nil)
    }

    /// What ``shrink()`` may add to ``chargedBytes`` before it gives anything back.
    static var mostBytesToShrink: Int { 2 * overflowCharge }

    /// Merges the last bucket into the one that it was split from. Two chains that become one need at most two
    /// overflow buckets more than they had.
    mutating func shrink() {
        let last = bucketCount - 1
        let merged = bucket(at: last)
        let target = bucket(at: last - Int(highMask + 1) / 2)
        bucketCount -= 1
        if bucketCount == Int(highMask + 1) / 2 { highMask >>= 1 }
        spread(target, and: merged)
        if bucketCount % Self.bucketsPerChunk == 0 { removeChunk() }
    }

    /// Takes the words of one or two chains and puts each where its hash belongs now.
    private mutating func spread(_ first: Bucket, and second: Bucket?) {
        let length = chainLength(first) + (second.map { chainLength($0) } ?? 0)
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: length) { words in
            var filled = 0
            func take(_ word: UInt64) {
                words.initializeElement(at: filled, to: word)
                filled += 1
            }
            emptyChain(first, take)
            if let second { emptyChain(second, take) }
            for position in 0..<filled {
                append(words[position], to: bucket(for: hash(of: Word.item(words[position]))))
            }
        }
        freeSpares()
    }

    // MARK: Chunks

    /// Adds an empty chunk after the last.
    mutating func addChunk() {
        let chunks = chunkCount
        if chunks == directoryCapacity { resizeDirectory(to: max(Self.smallestDirectory, directoryCapacity * 2)) }
        directory.unsafelyUnwrapped[chunks] = Self.allocateBuckets(Self.bucketsPerChunk, alignment: 64)
    }

    /// Frees the chunk after the last bucket, which holds nothing.
    private mutating func removeChunk() {
        let chunks = chunkCount
        UnsafeMutableRawPointer(directory.unsafelyUnwrapped[chunks]).deallocate()
        if directoryCapacity > Self.smallestDirectory, chunks <= directoryCapacity / 4 {
            resizeDirectory(to: directoryCapacity / 2)
        }
    }

    private mutating func resizeDirectory(to capacity: Int) {
        let larger = UnsafeMutablePointer<Bucket>.allocate(capacity: capacity)
        if let directory {
            larger.moveInitialize(from: directory, count: min(chunkCount, capacity))
            directory.deallocate()
        }
        directory = larger
        directoryCapacity = capacity
    }

    /// Gives back all memory of an index that holds no item any more.
    mutating func freeEverything() {
        var budget = Int.max
        abandonBuckets(&budget)
    }

    /// Frees from the end, whatever the buckets still say, for an index whose items are freed already. One bucket is
    /// one unit of `budget`. Nothing may be searched in it afterwards.
    mutating func abandonBuckets(_ budget: inout Int) {
        while bucketCount > 0, budget > 0 {
            budget -= 1
            emptyChain(bucket(at: bucketCount - 1)) { _ in }
            freeSpares()
            bucketCount -= 1
            if bucketCount % Self.bucketsPerChunk == 0 {
                UnsafeMutableRawPointer(directory.unsafelyUnwrapped[chunkCount]).deallocate()
            }
        }
        guard bucketCount == 0 else { return }
        directory?.deallocate()
        directory = nil
        directoryCapacity = 0
        highMask = 0
    }
}
