import Synchronization
import Tenancy

/// What the caches of one engine share: the configuration, the pool, the process's books, and who exists. The caches
/// hold it; ``EmbeddedEngine`` holds it too and breaks the circle when it goes.
///
/// Order of locks: `ticking`, then `pressure`, then a group's `pressure` (of one group at a time), then the locks of stripes,
/// then `registry`, then a group's `members`, or `graveyard`, then the pool's.
final class EngineCore: Sendable {
    let configuration: EngineConfiguration
    let pool: BlockPool
    /// Everything charged to all caches.
    let accounted = Atomic<Int>(0)
    /// That part of it which lies outside of the engine: what is attached to caches.
    let attached = Atomic<Int>(0)
    let registry = Guarded(Registry())
    /// What waits to be freed.
    let graveyard = Guarded<[Buried]>([])
    let pressure = Guarded(Pressure())
    let ticking = Guarded(Ticking())
    let expiryLag = Atomic<Int64>(0)
    private let firstMoment = Atomic<Int64>(.min)

    struct Registry {
        var caches: [EngineCache] = []
        var positions: [ObjectIdentifier: Int] = [:]
        var groups: [EngineGroup] = []
        var groupPositions: [ObjectIdentifier: Int] = [:]
    }

    enum Buried {
        case contents(DetachedContents)
        case tree(BuriedTree)
    }

    init(configuration: EngineConfiguration) throws(MartletError) {
        self.configuration = configuration
        pool = try BlockPool(memoryBytes: configuration.memoryBytes)
    }

    func valueHash(of value: UnsafeRawBufferPointer) -> ValueHash {
        let hash = SipHash.value(of: value, key: configuration.valueHashKey)
        return ValueHash(low: hash.low, high: hash.high)
    }

    /// What the pool may hold, with blocks that nobody uses.
    var poolBudget: Int { configuration.memoryBytes - attached.load(ordering: .relaxed) }

    /// The moment that ticks of expiry are counted from: the first that anyone named.
    @inline(__always)
    func epoch(_ now: Timestamp) -> Int64 {
        let epoch = firstMoment.load(ordering: .relaxed)
        return epoch == .min ? beginEpoch(now) : epoch
    }

    private func beginEpoch(_ now: Timestamp) -> Int64 {
        // Not before 2020, which a clock that was not set yet may say: from there the ticks would not reach the present. And
        // far enough from the ends of the range for the sums that are made with it.
        let moment = min(max(now.milliseconds, 1_577_836_800_000), 1 << 50)
        let (isFirst, original) = firstMoment.compareExchange(expected: .min, desired: moment, ordering: .relaxed)
        return isFirst ? moment : original
    }

    private let lastBinding = Atomic<UInt64>(0)

    /// A number that no other large collection of this engine has.
    func nextBinding() -> UInt64 { lastBinding.wrappingAdd(1, ordering: .relaxed).newValue }

    // MARK: Caches

    func open(
        _ id: CacheID, in group: EngineGroup?, limits: EngineCacheLimits, compression: CompressionMode
    ) -> EngineCache {
        let cache = EngineCache(id: id, group: group, limits: limits, compression: compression, core: self)
        registry.withLock { registry in
            registry.positions[ObjectIdentifier(cache)] = registry.caches.count
            registry.caches.append(cache)
        }
        if let group, !group.add(cache) { close(cache) }
        return cache
    }

    func close(_ cache: EngineCache) {
        guard !cache.isClosed.exchange(true, ordering: .sequentiallyConsistent) else { return }
        bury(cache.detachContents(closing: true))
        cache.source.chargeFixed(-cache.ownBytes - cache.codingBytes.exchange(0, ordering: .sequentiallyConsistent))
        cache.detachAttachedBytes()
        cache.reserve(0)
        registry.withLock { registry in
            guard let position = registry.positions.removeValue(forKey: ObjectIdentifier(cache)) else { return }
            // The last takes the place of the one that goes.
            let last = registry.caches.removeLast()
            if last !== cache {
                registry.caches[position] = last
                registry.positions[ObjectIdentifier(last)] = position
            }
        }
        cache.group?.remove(cache)
    }

    // MARK: Groups

    func openGroup(limits: EngineCacheLimits) -> EngineGroup {
        let group = EngineGroup(limits: limits)
        registry.withLock { registry in
            registry.groupPositions[ObjectIdentifier(group)] = registry.groups.count
            registry.groups.append(group)
        }
        return group
    }

    func closeGroup(_ group: EngineGroup) {
        for cache in group.end() { close(cache) }
        registry.withLock { registry in
            guard let position = registry.groupPositions.removeValue(forKey: ObjectIdentifier(group)) else { return }
            let last = registry.groups.removeLast()
            if last !== group {
                registry.groups[position] = last
                registry.groupPositions[ObjectIdentifier(last)] = position
            }
        }
    }

    func bury(_ contents: [DetachedContents]) {
        graveyard.withLock { $0 += contents.map(Buried.contents) }
    }

    /// Frees what flushing and closing left, as long as `isNeeded` and within `budget`.
    func dismantleGraveyard(budget: inout Int, while isNeeded: () -> Bool = { true }) {
        while budget > 0, isNeeded() {
            guard let buried = graveyard.withLock({ $0.popLast() }) else { return }
            var slice = min(256, budget)
            budget -= slice
            let offered = slice
            let rest = dismantle(buried, &slice)
            budget += slice
            guard let rest else { continue }
            graveyard.withLock { $0.append(rest) }
            // What takes no work and does not end is left for the next tick.
            if slice >= offered { return }
        }
    }

    /// Frees a part of something.
    /// - Returns: what is left of it.
    private func dismantle(_ buried: Buried, _ budget: inout Int) -> Buried? {
        switch buried {
        case .contents(let contents):
            return contents.dismantle(&budget) ? nil : buried
        case .tree(var tree):
            let isGone = TreeCore.dismantle(&tree.handle, source: tree.source, budget: &budget)
            // Pages that a reader's snapshot shares are given back by it; they are no longer this tree's.
            let left = isGone ? 0 : min(tree.bytes, tree.handle.bytes)
            tree.source.addDetached(left - tree.bytes)
            tree.bytes = left
            return isGone ? nil : .tree(tree)
        }
    }

    /// Closes every cache and frees everything, for the end of the engine.
    func shutDown() {
        for cache in registry.withLock({ $0.caches }) { close(cache) }
        for group in registry.withLock({ $0.groups }) { closeGroup(group) }
        var budget = Int.max
        dismantleGraveyard(budget: &budget)
        pressure.withLock { $0 = Pressure() }
    }
}
