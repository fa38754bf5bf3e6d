import Synchronization
import Tenancy

/// What happens beside the operations, a bounded piece at a time.
extension EngineCore {
    struct Ticking: Sendable {
        /// The cache that the next tick begins with.
        var cursor = 0
    }

    /// How many items, buckets and caches one tick looks at: about a millisecond.
    private static let workOfTick = 8192

    /// See ``EmbeddedEngine/tick(now:)``.
    func tick(now: Timestamp) -> Bool {
        // A second caller has nothing to do while the first is at it.
        ticking.withLockIfAvailable { ticking in
            var graveyardBudget = Self.workOfTick / 2
            dismantleGraveyard(budget: &graveyardBudget)
            relieve()
            var budget = Self.workOfTick / 2 + graveyardBudget
            var isRoundComplete = false
            var visited = 0
            while budget > 0 {
                guard let cache = nextCache(&ticking, visited: visited) else {
                    isRoundComplete = true
                    break
                }
                cache.expire(now: now, budget: &budget)
                cache.trim(budget: &budget)
                visited += 1
                // A cache that used the budget up may have more to do: it is the first of the next tick.
                if budget > 0 { ticking.cursor += 1 }
            }
            return !isRoundComplete || registry.withLock { !$0.graveyard.isEmpty }
        } ?? true
    }

    /// The cache at the cursor, or nil when the round is complete.
    private func nextCache(_ ticking: inout Ticking, visited: Int) -> EngineCache? {
        registry.withLock { registry in
            guard visited < registry.caches.count else { return nil }
            if ticking.cursor >= registry.caches.count { ticking.cursor = 0 }
            return registry.caches[ticking.cursor]
        }
    }
}
