import Synchronization
import Tenancy

/// What the caches of one engine share: the configuration, the process's books, and who exists. The caches hold it;
/// ``EmbeddedEngine`` holds it too and breaks the circle when it goes.
///
/// Order of locks: `ticking`, then `pressure`, then either `registry` or the lock of a stripe, never both.
final class EngineCore: Sendable {
    let configuration: EngineConfiguration
    /// Everything charged to all caches.
    let accounted = Atomic<Int>(0)
    let registry = Mutex(Registry())
    let pressure = Mutex(Pressure())
    let ticking = Mutex(Ticking())

    struct Registry: Sendable {
        var caches: [EngineCache] = []
        var positions: [ObjectIdentifier: Int] = [:]
        /// Contents that wait to be freed.
        var graveyard: [DetachedContents] = []
    }

    init(configuration: EngineConfiguration) {
        self.configuration = configuration
    }

    func valueHash(of value: UnsafeRawBufferPointer) -> ValueHash {
        let hash = SipHash.value(of: value, key: configuration.valueHashKey)
        return ValueHash(low: hash.low, high: hash.high)
    }

    // MARK: Books

    /// Charges more bytes if that keeps within the ceiling.
    func reserve(_ byteCount: Int) -> Bool {
        var current = accounted.load(ordering: .relaxed)
        while current + byteCount <= configuration.memoryBytes {
            let (isExchanged, original) = accounted.weakCompareExchange(
                expected: current, desired: current + byteCount, ordering: .relaxed)
            if isExchanged { return true }
            current = original
        }
        return false
    }

    func charge(_ difference: Int) {
        accounted.wrappingAdd(difference, ordering: .relaxed)
    }

    // MARK: Caches

    func open(_ id: CacheID, limits: EngineCacheLimits) -> EngineCache {
        let cache = EngineCache(id: id, limits: limits, core: self)
        charge(EngineCache.fixedCharge)
        registry.withLock { registry in
            registry.positions[ObjectIdentifier(cache)] = registry.caches.count
            registry.caches.append(cache)
        }
        return cache
    }

    func close(_ cache: EngineCache) {
        guard !cache.isClosed.exchange(true, ordering: .sequentiallyConsistent) else { return }
        let contents = cache.detachContents(closing: true)
        cache.charge(-EngineCache.fixedCharge)
        cache.detachAttachedBytes()
        registry.withLock { registry in
            registry.graveyard += contents
            guard let position = registry.positions.removeValue(forKey: ObjectIdentifier(cache)) else { return }
            // The last takes the place of the one that goes.
            let last = registry.caches.removeLast()
            if last !== cache {
                registry.caches[position] = last
                registry.positions[ObjectIdentifier(last)] = position
            }
        }
    }

    func bury(_ contents: [DetachedContents]) {
        registry.withLock { $0.graveyard += contents }
    }

    /// Frees what flushing and closing left, as long as `isNeeded` and within `budget`.
    func dismantleGraveyard(budget: inout Int, while isNeeded: () -> Bool = { true }) {
        while budget > 0, isNeeded() {
            guard let contents = registry.withLock({ $0.graveyard.popLast() }) else { return }
            var slice = min(256, budget)
            budget -= slice
            let isFinished = contents.dismantle(&slice)
            budget += slice
            if !isFinished { bury([contents]) }
        }
    }

    /// Closes every cache and frees everything, for the end of the engine.
    func shutDown() {
        for cache in registry.withLock({ $0.caches }) { close(cache) }
        var budget = Int.max
        dismantleGraveyard(budget: &budget)
        pressure.withLock { $0 = Pressure() }
    }
}
