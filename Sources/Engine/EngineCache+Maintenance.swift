import Synchronization

/// What sealing and compression need beside the items, brought up to date by ticks.
extension EngineCache {
    /// Trains a dictionary for the cache's values if one is due, and charges what samples, dictionaries and the contexts
    /// of sealing take now.
    /// - Returns: whether a dictionary was trained.
    func maintainCoding() -> Bool {
        guard !isClosed.load(ordering: .relaxed) else { return false }
        let compressor = compressor
        let isTrained = compresses.load(ordering: .relaxed) && compressor?.tick(heldBytes: liveBytes) == true
        let charge = (compressor?.chargedBytes ?? 0) + (presentSealer?.chargedBytes ?? 0)
        source.chargeFixed(charge - codingBytes.exchange(charge, ordering: .sequentiallyConsistent))
        // Closing marks the cache before it gives back, so one of the two sees what the other did.
        if isClosed.load(ordering: .sequentiallyConsistent) {
            source.chargeFixed(-codingBytes.exchange(0, ordering: .sequentiallyConsistent))
        }
        return isTrained
    }
}
