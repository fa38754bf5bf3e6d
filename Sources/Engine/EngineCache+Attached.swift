import Synchronization

/// What a cache holds outside the engine. Only its figure is known here: whoever holds it frees it.
extension EngineCache {
    /// Says how many bytes the cache holds outside the engine now: its topics. They are charged to the cache, its group and
    /// the process like items, but cannot be evicted from here and are not refused: where they take a ceiling's room, items
    /// give way at the next write or tick.
    ///
    /// Calls that come one after another leave the last one's figure. After the cache was closed a call changes
    /// nothing, and what was charged is given back. Cost: six atomic operations, no lock.
    package func setAttachedBytes(_ count: Int) {
        let count = max(0, count)
        book(count - attachedBytes.exchange(count, ordering: .sequentiallyConsistent))
        // Closing marks the cache before it gives back, so one of the two sees what the other did.
        if isClosed.load(ordering: .sequentiallyConsistent) { detachAttachedBytes() }
    }

    /// Gives back what is charged for what the cache holds outside.
    func detachAttachedBytes() {
        book(-attachedBytes.exchange(0, ordering: .sequentiallyConsistent))
    }

    private func book(_ difference: Int) {
        source.chargeFixed(difference)
        core.attached.wrappingAdd(difference, ordering: .relaxed)
    }
}
