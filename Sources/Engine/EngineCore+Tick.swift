import Synchronization
import Tenancy

/// What happens beside the operations, a bounded piece at a time.
extension EngineCore {
    struct Ticking {
        /// The cache that the next tick begins with.
        var cursor = 0
        /// The group that the next tick begins with.
        var groupCursor = 0
        /// When the round over all caches began.
        var roundBegan: Int64 = 0
        /// How late the latest expired item of this round was freed, in milliseconds; and when the published figure was.
        var latest: Int64 = 0
        var latestAt: Int64 = 0
        /// When the pool last gave memory back.
        var relaxedAt: Int64 = 0
    }

    /// How many records, buckets and caches one tick looks at: about a millisecond.
    private static let workOfTick = 8192

    /// See ``EmbeddedEngine/tick(now:)``.
    func tick(now: Timestamp) -> Bool {
        // A second caller has nothing to do while the first is at it.
        ticking.withLockIfAvailable { ticking in
            var graveyardBudget = Self.workOfTick / 2
            dismantleGraveyard(budget: &graveyardBudget)
            if accounted.load(ordering: .relaxed) > configuration.memoryBytes { relieve(for: nil, now: now) }
            if abs(now.milliseconds &- ticking.relaxedAt) >= Self.relaxMilliseconds {
                ticking.relaxedAt = now.milliseconds
                pool.relax(budget: poolBudget)
            }
            var budget = Self.workOfTick / 2 + graveyardBudget
            var isRoundComplete = false
            while budget > 0 {
                if ticking.cursor == 0 { ticking.roundBegan = now.milliseconds }
                guard let cache = nextCache(&ticking) else {
                    ticking.cursor = 0
                    isRoundComplete = true
                    // A round that began a while ago says nothing of what has come due since.
                    if now.milliseconds - ticking.roundBegan <= Self.roundMilliseconds { break }
                    isRoundComplete = false
                    continue
                }
                cache.maintain(now: now, budget: &budget, latest: &ticking.latest)
                if cache.maintainCoding() { budget -= Self.workOfTick / 4 }
                cache.trim(budget: &budget, now: now)
                // A cache that used the budget up may have more to do: it is the first of the next tick.
                if budget > 0 { ticking.cursor += 1 }
            }
            let areGroupsDone = trimGroups(&ticking, now: now)
            // What sealing and compression took was not asked for before.
            if accounted.load(ordering: .relaxed) > configuration.memoryBytes { relieve(for: nil, now: now) }
            if isRoundComplete {
                publishLag(&ticking, now: now)
            }
            return !isRoundComplete || !areGroupsDone || graveyard.withLock { !$0.isEmpty }
        } ?? true
    }

    /// Brings groups down to their limits, with work of its own: what expires elsewhere does not hold it up.
    /// - Returns: whether all were looked at and are within them.
    private func trimGroups(_ ticking: inout Ticking, now: Timestamp) -> Bool {
        var budget = Self.workOfTick / 4
        var groupsLeft = registry.withLock { $0.groups.count }
        while groupsLeft > 0, budget > 0 {
            let cursor = ticking.groupCursor
            let group = registry.withLock { cursor < $0.groups.count ? $0.groups[cursor] : nil }
            guard let group else {
                if cursor == 0 { return true }
                ticking.groupCursor = 0
                continue
            }
            guard group.trim(budget: &budget, now: now) else { return false }
            ticking.groupCursor += 1
            groupsLeft -= 1
        }
        return groupsLeft == 0
    }

    /// Keeps the worst lag for some seconds, so that who looks now and then sees it.
    private func publishLag(_ ticking: inout Ticking, now: Timestamp) {
        let isOld = now.milliseconds - ticking.latestAt > Self.lagMilliseconds
        if ticking.latest >= expiryLag.load(ordering: .relaxed) || isOld {
            expiryLag.store(ticking.latest, ordering: .relaxed)
            ticking.latestAt = now.milliseconds
        }
        ticking.latest = 0
    }

    private static let roundMilliseconds: Int64 = 40
    private static let relaxMilliseconds: Int64 = 50
    private static let lagMilliseconds: Int64 = 15_000

    /// The cache at the cursor, or nil when the round is complete, which may take several ticks.
    private func nextCache(_ ticking: inout Ticking) -> EngineCache? {
        registry.withLock { registry in
            ticking.cursor < registry.caches.count ? registry.caches[ticking.cursor] : nil
        }
    }
}
