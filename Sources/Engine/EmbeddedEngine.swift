import Synchronization
import Tenancy

// The embedded engine: what holds the items when they are held in this process.
//
//     EmbeddedEngine -- EngineCore (configuration, pool, books of the process, registry, graveyard)
//                           |
//                       EngineCache (limits, books of the cache) . . . one for each cache; those of one tenant share an
//                           |                                          EngineGroup (limits, books of the group)
//                           |
//                       1 or 16 x stripe: lock [ HashIndex   small log   main log   ghosts ]
//                                                     |         |           |
//                                                     '-----> records: one for each item ----> trees of a large collection
//
// An operation runs on the caller's thread: it hashes the key, takes the lock of one stripe, and is done. So isolation,
// accounting, flushing and deleting are properties of the structure: a cache's stripes hold its items and no others.
//
// The life of an item: appended to the small log of its stripe by a write; found by the hash of its key; read; replaced or
// removed, and then dead where it lies until its segment goes; moved to the main log, or evicted, when its segment is the
// oldest; or its time comes, from which millisecond on no reader sees it, and within moments a tick frees it.
//
// The books: every byte that a cache causes is charged to it, in the blocks of the pool: segments, its index, its
// ghosts, its collections' pages, and its fixed cost. What is charged to a cache is charged to its group and to the process
// in the same step, so the caches' sums are their figures whenever no operation is under way.

/// The store of all caches in this process. Any thread may call any method.
package final class EmbeddedEngine: Sendable {
    let core: EngineCore

    /// - Throws: ``MartletError/unavailable(_:)`` when the system does not reserve the addresses that the memory takes.
    package init(configuration: EngineConfiguration) throws(MartletError) {
        core = try EngineCore(configuration: configuration)
    }

    deinit {
        core.shutDown()
    }

    /// Makes an empty cache. The engine holds it until ``closeCache(_:)``; handles to it may outlive that.
    ///
    /// The engine does not look caches up and does not compare identities: whoever opens two of one identity has two.
    /// Cost: one allocation of 2 KiB or so, which is charged to the cache.
    package func openCache(
        _ id: CacheID, in group: EngineGroup? = nil, limits: EngineCacheLimits, compression: CompressionMode = .off
    ) -> EngineCache {
        core.open(id, in: group, limits: limits, compression: compression)
    }

    /// Makes a group without caches: what ``openCache(_:in:limits:compression:)`` puts in it shares its limits. The engine
    /// holds it until ``closeGroup(_:)``. A cache stays in its group.
    package func openGroup(limits: EngineCacheLimits) -> EngineGroup {
        core.openGroup(limits: limits)
    }

    /// Ends a group and closes the caches that are in it; one that is opened in it later is closed at once. What they held
    /// is charged to the group until it is freed. Closing twice does nothing.
    package func closeGroup(_ group: EngineGroup) {
        core.closeGroup(group)
    }

    /// Ends a cache: later reads of the handle miss, later writes throw ``MartletError/cacheNotFound``.
    /// Cost: as ``EngineCache/flush()``. Closing twice does nothing.
    package func closeCache(_ cache: EngineCache) {
        core.close(cache)
    }

    /// Does a bounded piece of background work: frees what flushing and closing left and what has expired, and brings
    /// caches, groups and process down to limits that were lowered. To be called every 100 ms or so, from one thread.
    ///
    /// - Returns: whether more work waits, so that the caller should soon call again.
    package func tick(now: Timestamp) -> Bool {
        core.tick(now: now)
    }

    /// Everything that all caches are charged, what is still being freed after a flush or a close included.
    package var accountedBytes: Int {
        core.accounted.load(ordering: .relaxed)
    }

    /// The figures of the engine. Cost: a lock and a few loads.
    package var statistics: EngineStatistics {
        EngineStatistics(
            accountedBytes: accountedBytes,
            residentBytes: core.pool.residentBytes + core.attached.load(ordering: .relaxed),
            expiryLagMilliseconds: core.expiryLag.load(ordering: .relaxed), isSealing: core.configuration.seals)
    }

    /// The ceiling that ``accountedBytes`` is held to.
    package var memoryBytes: Int { core.configuration.memoryBytes }

    /// The hash that the engine reports for a value of these bytes. Cost: about 0.4 ns a byte.
    package func hash(of value: UnsafeRawBufferPointer) -> ValueHash {
        core.valueHash(of: value)
    }
}
