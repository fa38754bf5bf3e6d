import Synchronization
import Tenancy

/// What can be asked of and done to an item of any kind.
extension EngineCache {
    /// The kind of a live item and when it expires; nil when there is none. Does not count as a use. Cost: a look.
    package func describe(_ key: UnsafeRawBufferPointer, now: Timestamp) -> (kind: ItemKind, expiresAt: Timestamp?)? {
        let hash = hash(of: key)
        let stripe = lockStripe(of: hash)
        defer { stripe.unlock() }
        guard let record = stripe.contents.pointee.index.find(key, hash: hash), !record.isGone(at: now) else {
            return nil
        }
        return (record.kind, record.expiresAt)
    }

    /// Changes when an item expires, or makes it never (nil), if the rule allows. A time that has passed removes it.
    package func setExpiry(
        _ key: UnsafeRawBufferPointer, _ expiresAt: Timestamp?, rule: ExpiryRule = .always, now: Timestamp
    ) throws(MartletError) -> ExpiryOutcome {
        try withItem(key, now: now) { item throws(MartletError) in
            guard item.kind != nil else { return .absent }
            guard rule.allows(from: item.expiresAt, to: expiresAt) else { return .kept }
            item.setExpiry(expiresAt)
            return .changed
        }
    }

    /// Calls `body` with the keys of live items, some at a time, in an order of the engine's own.
    ///
    /// - Parameters:
    ///   - cursor: 0 to begin, then what the last call returned.
    ///   - limit: about how many keys; a call may visit some more.
    ///   - body: under a lock: must not call the engine.
    /// - Returns: where to go on, 0 at the end. What is in the cache from the first call to the last is visited at least
    ///   once, whatever else is written and removed meanwhile; something may be visited twice.
    package func scan(
        from cursor: UInt64, limit: Int, now: Timestamp,
        _ body: (_ key: UnsafeRawBufferPointer, _ kind: ItemKind, _ expiresAt: Timestamp?) -> Void
    ) -> UInt64 {
        var position = ScanPosition(cursor)
        var left = max(1, limit)
        while left > 0 {
            let word = stripes.word.load(ordering: .acquiring)
            let isDivided = word & 63 != 0
            // The cache was divided since the last call: its order is another, and the scan begins again in it.
            if position.isDivided != isDivided { position = ScanPosition(isDivided: isDivided) }
            guard position.stripe <= word & 63 else { return 0 }
            let stripe = StripeTable.stripe(of: UInt64(position.stripe), word)
            stripe.lock()
            defer { stripe.unlock() }
            guard stripes.word.load(ordering: .relaxed) == word else { continue }
            let index = stripe.contents.pointee.index
            guard index.count > 0, let bucket = index.bucket(atReversed: position.reversed) else {
                if position.stripe == word & 63 { return 0 }
                position.enterNextStripe()
                continue
            }
            index.forEachSlot(of: bucket.number) { slot in
                let record = HashIndex.Slot.record(slot)
                guard !record.isGone(at: now) else { return }
                left -= 1
                body(record.key, record.kind, record.expiresAt)
            }
            left -= 1
            position.reversed = bucket.end
            if bucket.end == 0 {
                if position.stripe == word & 63 { return 0 }
                position.enterNextStripe()
            }
        }
        return position.cursor
    }

    /// Lends the key of a live item chosen at random, about evenly. Nil when there is none, or none was found in a
    /// bounded number of tries among expired ones.
    package func withRandomKey<Result>(
        now: Timestamp, using random: inout some RandomNumberGenerator, _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result? {
        for _ in 0..<100 {
            let word = stripes.word.load(ordering: .acquiring)
            let stripe = StripeTable.stripe(of: random.next(), word)
            stripe.lock()
            defer { stripe.unlock() }
            guard stripes.word.load(ordering: .relaxed) == word else { continue }
            let index = stripe.contents.pointee.index
            guard index.count > 0 else { continue }
            var candidates: [Record] = []
            for _ in 0..<100 where candidates.isEmpty {
                index.forEachSlot(of: Int.random(in: 0..<index.bucketCount, using: &random)) { slot in
                    let record = HashIndex.Slot.record(slot)
                    if !record.isGone(at: now) { candidates.append(record) }
                }
            }
            if let record = candidates.randomElement(using: &random) { return body(record.key) }
        }
        return nil
    }
}

extension ExpiryRule {
    func allows(from old: Timestamp?, to new: Timestamp?) -> Bool {
        switch self {
        case .always: return true
        case .onlyIfNone: return old == nil
        case .onlyIfSome: return old != nil
        case .onlyIfLater:
            guard let old else { return false }
            return new.map { $0 > old } ?? true
        case .onlyIfEarlier:
            guard let new else { return false }
            return old.map { new < $0 } ?? true
        }
    }
}

/// Where a scan is: a stripe, and in it a place in the order of reversed bucket bits.
///
///     63          62 ... 59    58 ... 0
///     divided     stripe       bucket bits of the hash, reversed, without the last five; the bit 0 set so that it is not 0
///
/// In that order a bucket is an interval, and a split or merge of buckets cuts or joins neighbouring intervals. So what
/// was visited stays behind the place and what was not stays before it (the idea of Redis's SCAN).
private struct ScanPosition {
    let isDivided: Bool
    private(set) var stripe: UInt
    /// The first bucket that was not visited begins here; its low bits are zero.
    var reversed: UInt64 = 0

    init(isDivided: Bool) {
        self.isDivided = isDivided
        stripe = 0
    }

    init(_ cursor: UInt64) {
        isDivided = cursor &>> 63 != 0
        stripe = UInt(cursor &>> 59 & 15)
        reversed = (cursor & ~1) &<< 5
    }

    var cursor: UInt64 {
        (isDivided ? 1 &<< 63 : 0) | UInt64(stripe) &<< 59 | reversed &>> 5 | 1
    }

    mutating func enterNextStripe() {
        stripe += 1
        reversed = 0
    }
}

extension HashIndex {
    /// The bucket whose interval holds a place in the order of reversed bits, and where the next interval begins: 0 after
    /// the last.
    fileprivate func bucket(atReversed reversed: UInt64) -> (number: Int, end: UInt64)? {
        guard bucketCount > 0 else { return nil }
        let bits = Self.reverse(reversed)
        // A bucket that is not split yet has the interval of both of its halves.
        let half = highMask &>> 1
        let isSplit = Int(bits & half | (half &+ 1)) < bucketCount
        let mask = isSplit ? highMask : half
        let number = Int(bits & mask)
        // The number's bits, reversed, are the top of the interval; it is as wide as the bits below.
        let width = (~mask).trailingZeroBitCount
        let start = Self.reverse(UInt64(number))
        return (number, width == 0 ? 0 : start &+ 1 &<< UInt64(64 - width))
    }

    private static func reverse(_ bits: UInt64) -> UInt64 {
        var (source, result): (UInt64, UInt64) = (bits, 0)
        for _ in 0..<64 {
            result = result &<< 1 | source & 1
            source &>>= 1
        }
        return result
    }
}
