import Synchronization
import Tenancy

// Several reads at once. What a read waits for is memory: a line of the index, then a record. Those of one read depend on
// each other and those of several do not, so a batch goes over all of its keys once for each: while the lines of one key
// are on their way, those of the next are asked for.

extension EngineCache {
    /// How many keys are read at once; more are read in several batches.
    package static let largestBatch = 16

    /// Reads several scalars in one step: no write comes between them.
    ///
    /// - Parameters:
    ///   - keys: any number of keys; batches of ``largestBatch`` are each one step.
    ///   - body: called for each key in order with its value, nil for a miss. The bytes are lent for that call, and it
    ///     must not call the engine: it runs under the locks.
    /// - Throws: ``MartletError/wrongType`` at the first collection, ``MartletError/internalFailure(_:)`` when a value is not
    ///   authentic.
    ///
    /// Cost: for keys far apart in memory less than half of what as many single reads cost.
    package func getBatch(
        _ keys: [UnsafeRawBufferPointer], now: Timestamp,
        _ body: (Int, UnsafeRawBufferPointer?, Timestamp?) throws(MartletError) -> Void
    ) throws(MartletError) {
        try keys.withUnsafeBufferPointer { (keys) throws(MartletError) in
            try getBatch(keys, skippingCollections: false, now: now, body)
        }
    }

    /// The same of keys that lie one behind the other.
    ///
    /// - Parameter skippingCollections: a collection is a miss, and nothing is thrown.
    package func getBatch(
        _ keys: UnsafeBufferPointer<UnsafeRawBufferPointer>, skippingCollections: Bool, now: Timestamp,
        _ body: (Int, UnsafeRawBufferPointer?, Timestamp?) throws(MartletError) -> Void
    ) throws(MartletError) {
        var start = 0
        while start < keys.count {
            let end = min(start + Self.largestBatch, keys.count)
            try getOneBatch(keys, start..<end, skippingCollections, now: now, body)
            start = end
        }
    }

    /// Asks memory for what the next operations on some keys will touch, so that they need not wait for it one after the
    /// other. Changes nothing, and tells nothing: another thread may change everything before them.
    ///
    /// - Parameter keys: At most ``largestBatch``; of more, the first are taken.
    /// Cost: some 30 ns for each key, and one wait for memory for all.
    package func warm(_ keys: UnsafeBufferPointer<UnsafeRawBufferPointer>) {
        let count = min(keys.count, Self.largestBatch)
        var hashes = InlineArray<16, UInt64>(repeating: 0)
        for position in 0..<count { hashes[position] = hash(of: keys[position]) }
        let (word, locked) = lockStripes(of: hashes, count: count)
        defer { unlockStripes(locked, word) }
        var touched: UInt64 = 0
        for position in 0..<count {
            let index = StripeTable.stripe(of: hashes[position], word).contents
            if index.pointee.index.count > 0 { touched |= index.pointee.index.firstWord(of: hashes[position]) }
        }
        for position in 0..<count {
            let contents = StripeTable.stripe(of: hashes[position], word).contents
            guard let record = contents.pointee.index.likely(hashes[position]) else { continue }
            touched |= record.start.loadUnaligned(as: UInt64.self)
        }
        lastTouched.store(touched, ordering: .relaxed)
    }

    private func getOneBatch(
        _ keys: UnsafeBufferPointer<UnsafeRawBufferPointer>, _ range: Range<Int>, _ skippingCollections: Bool,
        now: Timestamp,
        _ body: (Int, UnsafeRawBufferPointer?, Timestamp?) throws(MartletError) -> Void
    ) throws(MartletError) {
        var hashes = InlineArray<16, UInt64>(repeating: 0)
        for position in range { hashes[position - range.lowerBound] = hash(of: keys[position]) }
        let (word, locked) = lockStripes(of: hashes, count: range.count)
        defer { unlockStripes(locked, word) }

        // Reading a word of each line asks for it; that the sum is used keeps the compiler from leaving it out.
        var touched: UInt64 = 0
        for offset in 0..<range.count {
            let index = StripeTable.stripe(of: hashes[offset], word).contents
            if index.pointee.index.count > 0 { touched |= index.pointee.index.firstWord(of: hashes[offset]) }
        }
        var records = InlineArray<16, Record?>(repeating: nil)
        for offset in 0..<range.count {
            let contents = StripeTable.stripe(of: hashes[offset], word).contents
            guard let record = contents.pointee.index.likely(hashes[offset]) else { continue }
            records[offset] = record
            touched |= record.start.loadUnaligned(as: UInt64.self)
        }
        lastTouched.store(touched, ordering: .relaxed)

        for offset in 0..<range.count {
            let position = range.lowerBound + offset
            let stripe = StripeTable.stripe(of: hashes[offset], word)
            let hash = hashes[offset]
            let found: Record?
            if let record = records[offset], record.hasKey(keys[position]) {
                found = record
            } else {
                found = stripe.contents.pointee.index.find(keys[position], hash: hash)
            }
            guard let record = found, !record.isExpired(at: now) else {
                try body(position, nil, nil)
                continue
            }
            guard record.isScalar else {
                guard skippingCollections || record.isGone(at: now) else { throw .wrongType }
                try body(position, nil, nil)
                continue
            }
            record.markUsed()
            try withPlain(of: record, key: keys[position], hash: hash, sealer: stripe.contents.pointee.sealer) {
                plain throws(MartletError) in try body(position, plain, record.expiresAt)
            }
        }
    }

    /// Locks the stripes of some hashes, in the order of their places.
    /// - Returns: the table's word, and a bit for each stripe that is locked.
    private func lockStripes(of hashes: InlineArray<16, UInt64>, count: Int) -> (word: UInt, locked: UInt64) {
        while true {
            let word = stripes.word.load(ordering: .acquiring)
            var wanted: UInt64 = 0
            for offset in 0..<count { wanted |= 1 &<< (hashes[offset] & UInt64(word & 63)) }
            forEachStripe(wanted, word) { $0.lock() }
            if stripes.word.load(ordering: .relaxed) == word { return (word, wanted) }
            unlockStripes(wanted, word)
        }
    }

    private func unlockStripes(_ locked: UInt64, _ word: UInt) {
        forEachStripe(locked, word) { $0.unlock() }
    }

    @inline(__always)
    private func forEachStripe(_ bits: UInt64, _ word: UInt, _ body: (StripeReference) -> Void) {
        var left = bits
        while left != 0 {
            body(StripeTable.stripe(of: UInt64(left.trailingZeroBitCount), word))
            left &= left &- 1
        }
    }
}

extension HashIndex {
    /// A word of the line that a hash's bucket begins with.
    @inline(__always)
    fileprivate func firstWord(of hash: UInt64) -> UInt64 { buckets[bucketNumber(of: hash)][0] }

    /// The first record in a bucket's first line whose tag is that of the hash: in all likelihood the one of its key.
    @inline(__always)
    fileprivate func likely(_ hash: UInt64) -> Record? {
        guard count > 0 else { return nil }
        let tag = Slot.tag(of: hash)
        let line = buckets[bucketNumber(of: hash)]
        for position in 0..<Self.slotsPerLine {
            let slot = line[position]
            if slot == 0 { return nil }
            if (slot ^ tag) & Slot.tagMask == 0 { return Slot.record(slot) }
        }
        return nil
    }
}
