import Synchronization

/// Being told of changes.
///
/// What is told: every write, removal, expiry and eviction, exactly once and where it happens, under the lock of the item's
/// stripe; so who observes a key, and then reads it, learns of everything that is done after the read. What is not: reads,
/// and the moves of items from place to place.
///
/// The cache holds its observers until they are removed or it is closed.
extension EngineCache {
    /// From here on `observer` is told of each change of that key, whether it has an item or not. Observing a key twice is
    /// observing it once. In a closed cache nothing happens any more, and nothing is kept.
    ///
    /// Cost: a lock and an entry in a table, which is charged to the cache. Keys are told apart by their hashes: once in
    /// 2^64 another key's change is told too, under that key.
    /// - Returns: false, and nothing is observed, where the cache, its group or the process is full: an entry cannot be evicted, and is
    ///   to cost nobody an item.
    @discardableResult
    package func observe(_ key: UnsafeRawBufferPointer, by observer: any KeyObserver) -> Bool {
        let mayBe = byteCeiling.load(ordering: .relaxed)
        guard mayBe == .max || liveBytes < mayBe - mayBe / 16,
            core.accounted.load(ordering: .relaxed) < core.configuration.memoryBytes, group?.isAlmostFull != true
        else { return false }
        let hash = hash(of: key)
        let stripe = lockStripe(of: hash)
        defer { stripe.unlock() }
        guard !stripe.contents.pointee.isClosed else { return true }
        if stripe.makeObservers().add(observer, hash) { bookObservation(1) }
        return true
    }

    /// Ends what ``observe(_:by:)`` began. Nothing is told any more after it returned. Cost: a lock, and a look at each
    /// other observer of the key.
    package func stopObserving(_ key: UnsafeRawBufferPointer, by observer: any KeyObserver) {
        let hash = hash(of: key)
        let stripe = lockStripe(of: hash)
        defer { stripe.unlock() }
        guard stripe.contents.pointee.observers?.remove(observer, hash) == true else { return }
        stripe.dropEmptyObservers()
        bookObservation(-1)
    }

    /// Ends the observation of all keys by `observer`; as a listener it stays. Cost: the locks of all stripes, and as
    /// ``stopObserving(_:by:)`` for each key.
    package func stopObserving(by observer: any KeyObserver) {
        withAllLocked { stripes in
            var ended = 0
            for stripe in stripes {
                ended += stripe.contents.pointee.observers?.removeAll(of: observer) ?? 0
                stripe.dropEmptyObservers()
            }
            bookObservation(-ended)
        }
    }

    /// From here on `listener` is told of each change of every key. Cost: the locks of all stripes; then every change pays
    /// for each listener.
    package func addListener(_ listener: any KeyObserver) {
        withAllLocked { stripes in
            for stripe in stripes where !stripe.contents.pointee.isClosed {
                stripe.makeObservers().add(listener: listener)
            }
        }
    }

    /// Ends what ``addListener(_:)`` began; the keys that it observes it goes on observing.
    package func removeListener(_ listener: any KeyObserver) {
        withAllLocked { stripes in
            for stripe in stripes {
                stripe.contents.pointee.observers?.remove(listener: listener)
                stripe.dropEmptyObservers()
            }
        }
    }

    // MARK: Flushing and closing, under the locks of all stripes

    /// Tells everybody, once, that all items went.
    func tellFlushed(_ stripes: [StripeReference]) {
        var all: [ObjectIdentifier: any KeyObserver] = [:]
        for stripe in stripes { stripe.contents.pointee.observers?.gather(into: &all) }
        for observer in all.values { observer.cacheFlushed() }
    }

    /// Lets go of all observers.
    func endObservation(_ stripes: [StripeReference]) {
        for stripe in stripes {
            bookObservation(-(stripe.contents.pointee.observers?.count ?? 0))
            stripe.contents.pointee.observers = nil
        }
    }

    private func bookObservation(_ count: Int) {
        guard count != 0 else { return }
        observationBytes.wrappingAdd(count * StripeObservers.entryBytes, ordering: .relaxed)
        source.chargeFixed(count * StripeObservers.entryBytes)
    }
}
