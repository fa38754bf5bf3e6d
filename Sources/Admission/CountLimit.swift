import Synchronization

/// How many of something exist at one time, with a ceiling or without one.
///
/// A ceiling that sinks below the count takes nothing away: it refuses new ones until enough have gone.
///
/// Thread safety: any thread; one compare-and-exchange for each call, no lock.
package final class CountLimit: Sendable {
    private let taken = Atomic<UInt64>(0)
    /// `.max`: none is set. So many of anything fit nowhere, so the number is free to mean that.
    private let highest: Atomic<UInt64>
    private let hasRefused = Atomic<Bool>(false)

    /// - Parameter ceiling: nil for none, 0 to refuse everything.
    package init(ceiling: UInt64? = nil) {
        highest = Atomic(ceiling ?? .max)
    }

    /// The ceiling; nil if none is set.
    package var ceiling: UInt64? {
        let highest = highest.load(ordering: .relaxed)
        return highest == .max ? nil : highest
    }

    /// How many exist now. They are counted without a ceiling too, so that one that is set later finds them.
    package var count: UInt64 { taken.load(ordering: .relaxed) }

    /// Changes the ceiling, in force for every call that follows.
    package func setCeiling(_ ceiling: UInt64?) {
        highest.store(ceiling ?? .max, ordering: .relaxed)
    }

    /// Counts one more, if the ceiling allows it. Each that was taken is released once.
    /// - Returns: whether it was taken.
    package func take() -> Bool {
        let highest = highest.load(ordering: .relaxed)
        var current = taken.load(ordering: .relaxed)
        while true {
            guard current < highest else {
                if !hasRefused.load(ordering: .relaxed) { hasRefused.store(true, ordering: .relaxed) }
                return false
            }
            let (exchanged, original) = taken.weakCompareExchange(
                expected: current, desired: current + 1, ordering: .relaxed)
            if exchanged { return true }
            current = original
        }
    }

    /// Whether it has refused one since this was last asked. For one observer, on any thread.
    package func takeRefused() -> Bool {
        hasRefused.load(ordering: .relaxed) && hasRefused.exchange(false, ordering: .relaxed)
    }

    /// Counts one less.
    package func release() {
        var current = taken.load(ordering: .relaxed)
        while true {
            assert(current > 0, "more were released than were taken")
            let (exchanged, original) = taken.weakCompareExchange(
                expected: current, desired: current - min(1, current), ordering: .relaxed)
            if exchanged { return }
            current = original
        }
    }
}
