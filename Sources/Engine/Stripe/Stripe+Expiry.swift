import Tenancy

/// Freeing what has expired. Called by the holder of the lock.
extension StripeReference {
    /// The most that one bucket's items are, beyond which the rest waits for another visit. A bucket holds six or so.
    private static let mostDue = 32

    /// Removes expired items and expired fields of dictionaries, beginning where the last call ended.
    ///
    /// - Parameters:
    ///   - budget: each bucket looked at and each item or field removed is one.
    ///   - latest: raised to how late an item was removed, in milliseconds.
    /// - Returns: whether everything that was due is gone.
    func expire(now: Timestamp, budget: inout Int, latest: inout Int64, _ cache: EngineCache) -> Bool {
        let epoch = cache.core.epoch(now)
        let passed = ExpiryMinima.passed(by: now, epoch: epoch)
        guard contents.pointee.index.count > 0, contents.pointee.index.expiry.earliest <= passed else {
            contents.pointee.expiryCursor = 0
            return true
        }
        while budget > 0, contents.pointee.index.expiry.earliest <= passed {
            var cursor = contents.pointee.expiryCursor
            let bucket = contents.pointee.index.nextDueBucket(passed, cursor: &cursor, budget: &budget)
            contents.pointee.expiryCursor = cursor
            if let bucket {
                removeExpired(inBucket: bucket, now: now, budget: &budget, latest: &latest, cache)
                contents.pointee.index.settleBucket(bucket, epoch: epoch)
            } else if budget > 0 {
                // At the end; again from the start if removals have moved what is due to where the cursor was before.
                contents.pointee.expiryCursor = 0
            }
        }
        let isFinished = contents.pointee.index.expiry.earliest > passed
        if isFinished { contents.pointee.expiryCursor = 0 }
        return isFinished
    }

    private func removeExpired(
        inBucket bucket: Int, now: Timestamp, budget: inout Int, latest: inout Int64, _ cache: EngineCache
    ) {
        // Collected first: a removal moves the bucket's slots about.
        withUnsafeTemporaryAllocation(of: Record.self, capacity: Self.mostDue) { due in
            var count = 0
            contents.pointee.index.forEachSlot(of: bucket) { slot in
                let record = HashIndex.Slot.record(slot)
                guard count < Self.mostDue, record.isDue(at: now) else { return }
                due.initializeElement(at: count, to: record)
                count += 1
            }
            for record in due[0..<count] {
                latest = max(latest, now.milliseconds - (record.nextExpiry?.milliseconds ?? now.milliseconds))
                guard record.isExpired(at: now) else {
                    expireFields(of: record, now: now, budget: &budget, cache)
                    continue
                }
                budget -= 1
                remove(record, hash: contents.pointee.index.hash(record), .expired, cache)
                figures.pointee.addExpiration()
            }
        }
    }

    private func expireFields(of record: Record, now: Timestamp, budget: inout Int, _ cache: EngineCache) {
        // A copy: what is left of the dictionary may be written to another record, and this one freed.
        var key = ScratchBytes(capacity: record.keyLength)
        key.append(record.key)
        key.withBytes { key in
            _ = ItemAccess(
                cache, self, key, contents.pointee.index.hash(record), now, expiringFields: EngineCache.recordsOfSlice)
            budget -= EngineCache.recordsOfSlice
        }
    }
}
