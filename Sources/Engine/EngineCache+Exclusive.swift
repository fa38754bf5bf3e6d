import Synchronization
import Tenancy

// Exclusive access: several operations as one step.
//
// The locks of all stripes are held, in the order of their places as always. What is called inside takes and gives back
// the same locks: a stripe knows the thread that has exclusive access and lets it in again (Stripe.swift). All but three
// things go on as usual inside:
//
// - The pressure of the process and of the group. Its lock comes before those of stripes, since whoever holds it evicts from any cache: two
//   threads with exclusive access that waited for it would wait for each other. So room is made in the process before, as
//   much as was reserved; inside, the cache may grow by that much, whatever others do meanwhile, and beyond it evicts items
//   of its own; and after, the process is brought back to its ceiling. It is over it by no more than was reserved.
// - Dividing the cache, which would make locks that nobody holds. It is done after.
// - Giving way to those who wait for a stripe: there is nothing to give.

extension EngineCache {
    /// Runs `body` while no other thread can read or change the cache. In it, this thread may call any operation of this
    /// cache, this one included, and of no other; what it observes is settled. Whoever else comes to the cache waits, and
    /// while the process is full perhaps whoever writes to another: `body` must be bounded.
    ///
    /// - Parameter reserving: an upper guess of the bytes that the cache will take more than now, for which room is made in
    ///   the process before. What is more than the cache may ever hold is not counted. 0 for what only reads and removes.
    /// - Throws: ``MartletError/cacheNotFound`` when the cache is closed, ``MartletError/memoryExhausted`` when there is no
    ///   room for what is reserved, and what `body` throws. What `body` did before it throws stays done.
    ///
    /// Cost: the locks of all stripes; and for each lock inside a failed attempt to take it.
    package func withExclusiveAccess<Result>(
        reserving byteCount: Int, now: Timestamp, _ body: () throws(MartletError) -> Result
    ) throws(MartletError) -> Result {
        if isExclusivelyHeld { return try body() }
        let reserved = try reserve(byteCount, now: now)
        let outcome = withAllLocked { stripes -> Swift.Result<Result, MartletError> in
            guard !stripes[0].contents.pointee.isClosed else { return .failure(.cacheNotFound) }
            // Each stripe may begin a segment, which is a part of what it holds.
            let segments = min(liveBytes / 16, StripeTable.mostStripes * StripeReference.usualSegment)
            exclusiveCeiling.store(
                liveBytes + reserved + segments + StripeReference.usualSegment, ordering: .relaxed)
            for stripe in stripes { stripe.beginExclusiveAccess() }
            defer { for stripe in stripes { stripe.endExclusiveAccess() } }
            do throws(MartletError) {
                return .success(try body())
            } catch {
                return .failure(error)
            }
        }
        finish(written: 0, now: now)
        return try outcome.get()
    }

    /// Makes room in the group and in the process.
    /// - Returns: for how much.
    private func reserve(_ byteCount: Int, now: Timestamp) throws(MartletError) -> Int {
        let ceiling = min(maxBytes.load(ordering: .relaxed), core.configuration.memoryBytes)
        var reserved = min(byteCount, ceiling - leastBytes - Self.firstItemOverhead)
        if let group { reserved = min(reserved, group.maxBytes - group.leastBytes - Self.firstItemOverhead) }
        guard reserved > 0 else { return 0 }
        group?.makeRoom(for: reserved, in: self, now: now)
        if core.accounted.load(ordering: .relaxed) + reserved > core.configuration.memoryBytes {
            try core.makeRoom(for: reserved, in: self, now: now)
        }
        return reserved
    }

    /// Whether this thread has exclusive access.
    var isExclusivelyHeld: Bool {
        StripeTable.stripe(of: 0, stripes.word.load(ordering: .acquiring)).isExclusivelyHeld
    }
}
