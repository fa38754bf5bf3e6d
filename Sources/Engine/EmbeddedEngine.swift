import Synchronization
import Tenancy

// The embedded engine: what holds the items when they are held in this process.
//
//     EmbeddedEngine -- EngineCore (configuration, books of the process, registry, graveyard)
//                           |
//                       EngineCache (limits, books of the cache) . . . one for each cache
//                           |
//                       1 or 8 x Stripe: lock [ HashIndex  SieveQueue  TimingWheel ]
//                                                     \        |        /
//                                                       items: one blob each
//
// An operation runs on the caller's thread: it hashes the key, takes the lock of one stripe, and is done. So isolation,
// accounting, flushing and deleting are properties of the structure: a cache's stripes hold its items and no others.
//
// The life of an item: made outside the lock by a write; placed by the hash of its key; read; replaced, deleted, or
// evicted because its cache or the process is full; or its time comes, from which millisecond on no reader sees it, and
// within moments a tick frees it.
//
// The books: every byte that a cache causes is charged to it, at what the allocator takes for it: items, its share of
// index and wheels, and its fixed cost. What is charged to a cache is charged to the process in the same step, so the
// caches' sum is the process's figure whenever no operation is under way. Charges are made before memory is used and
// never exceed a ceiling; only a cache that is opened in a full process is let in over it, and the next tick makes up.

/// The store of all caches in this process. Any thread may call any method.
package final class EmbeddedEngine: Sendable {
    let core: EngineCore

    package init(configuration: EngineConfiguration) {
        core = EngineCore(configuration: configuration)
    }

    deinit {
        core.shutDown()
    }

    /// Makes an empty cache. The engine holds it until ``closeCache(_:)``; handles to it may outlive that.
    ///
    /// The engine does not look caches up and does not compare identities: whoever opens two of one identity has two.
    /// Cost: one allocation of 2 KiB or so, which is charged to the cache.
    package func openCache(_ id: CacheID, limits: EngineCacheLimits) -> EngineCache {
        core.open(id, limits: limits)
    }

    /// Ends a cache: later reads of the handle miss, later writes throw ``MartletError/cacheNotFound``.
    /// Cost: as ``EngineCache/flush()``. Closing twice does nothing.
    package func closeCache(_ cache: EngineCache) {
        core.close(cache)
    }

    /// Does a bounded piece of background work: frees what flushing and closing left and what has expired, and brings
    /// caches and process down to limits that were lowered. To be called every 100 ms or so, from one thread.
    ///
    /// - Returns: whether more work waits, so that the caller should soon call again.
    package func tick(now: Timestamp) -> Bool {
        core.tick(now: now)
    }

    /// Everything that all caches are charged, what is still being freed after a flush or a close included.
    package var accountedBytes: Int {
        core.accounted.load(ordering: .relaxed)
    }

    /// The ceiling that ``accountedBytes`` is held to.
    package var memoryBytes: Int { core.configuration.memoryBytes }

    /// The hash that the engine reports for a value of these bytes. Cost: about 0.4 ns a byte.
    package func hash(of value: UnsafeRawBufferPointer) -> ValueHash {
        core.valueHash(of: value)
    }
}

extension EmbeddedEngine {
    /// Checks everything that must hold while no operation is under way. For tests: walks over every item.
    /// - Returns: what does not hold, in words; empty when all is well.
    package func checkInvariants() -> [String] {
        let (caches, graveyard) = core.registry.withLock { ($0.caches, $0.graveyard) }
        var found: [String] = []
        var sum = 0
        var detached: [ObjectIdentifier: Int] = [:]
        for contents in graveyard {
            let bytes = contents.contents.chargedBytes
            detached[ObjectIdentifier(contents.cache), default: 0] += bytes
            if contents.cache.isClosed.load(ordering: .relaxed) { sum += bytes }
            if bytes != contents.contents.actualBytes { found.append("detached contents are charged wrongly") }
        }
        for cache in caches {
            let name = "cache \(cache.id.rawValue): "
            found += cache.violations(detached: detached[ObjectIdentifier(cache)] ?? 0).map { name + $0 }
            sum += cache.statistics.bytes
        }
        if sum != accountedBytes { found.append("\(accountedBytes) bytes are accounted, the caches' sum is \(sum)") }
        return found
    }
}

extension EngineCache {
    fileprivate func violations(detached: Int) -> [String] {
        var found: [String] = []
        var charged = Self.fixedCharge + detached + attachedBytes.load(ordering: .relaxed)
        var counted = 0
        let mask = stripeMask.load(ordering: .relaxed)
        for position in 0..<StripeArray.count {
            stripes[position].pointee.contents.withLock { contents in
                found += contents.violations().map { "stripe \(position): " + $0 }
                charged += contents.chargedBytes
                counted += contents.queue.count
                var current = contents.queue.oldest
                while let item = current {
                    if Self.stripe(of: contents.index.hash(of: item), mask: mask) != position {
                        found.append("an item in stripe \(position) belongs to another")
                    }
                    current = item.header.pointee.newer
                }
            }
        }
        let statistics = statistics
        if statistics.bytes != charged { found.append("\(charged) bytes are charged as \(statistics.bytes)") }
        if statistics.items != counted { found.append("\(counted) items are counted as \(statistics.items)") }
        if statistics.bytesBeingFreed != detached { found.append("\(detached) bytes are being freed, not as booked") }
        // What is attached is not refused, and items give way to it later.
        let ownBytes = liveBytes - statistics.bytesAttached
        if ownBytes > byteCeiling.load(ordering: .relaxed), counted > 0 { found.append("over its limit of bytes") }
        if counted > itemCeiling.load(ordering: .relaxed) { found.append("over its limit of items") }
        return found
    }
}
