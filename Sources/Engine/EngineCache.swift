import Synchronization
import Tenancy

/// One cache of the embedded engine. Any thread may call any method; each takes one short lock of one stripe, and never
/// waits for anything else but memory when a write needs room.
///
/// A small cache uses one stripe; when it grows it is divided into ``StripeArray/count``, by bits of the key's hash that
/// neither the buckets nor the tags use.
package final class EngineCache: Sendable {
    package let id: CacheID
    let core: EngineCore
    let stripes: StripeArray
    /// 0 while one stripe is in use, then `StripeArray.count - 1`. Changed under all locks, so that whoever holds the
    /// lock of a stripe and finds the mask it came with knows that the key belongs there.
    let stripeMask = Atomic<UInt64>(0)

    // The books. `bytes` is everything charged; `detachedBytes` that part of it which a flush left to be freed, and
    // `attachedBytes` that which the cache holds outside the engine.
    let bytes: Atomic<Int>
    let detachedBytes = Atomic<Int>(0)
    let attachedBytes = Atomic<Int>(0)
    let items = Atomic<Int>(0)

    let maxBytes: Atomic<Int>
    let maxItems: Atomic<Int>
    let reservedBytes: Atomic<Int>
    // What writes are held to: the limits, or, after a limit was lowered, what the cache holds until ticks have brought
    // it down. So no single write has to evict more than its own size.
    let byteCeiling: Atomic<Int>
    let itemCeiling: Atomic<Int>

    let evictions = Atomic<UInt64>(0)
    let expirations = Atomic<UInt64>(0)
    /// Where the next eviction that may choose its stripe begins.
    let evictionCursor = Atomic<Int>(0)
    let isClosed = Atomic<Bool>(false)

    /// What an empty cache is charged: its stripes, this object, its place in the registry.
    static let fixedCharge = StripeArray.charge + 384
    /// The most that an otherwise empty cache takes beside an item and ``fixedCharge``.
    static let firstItemOverhead =
        HashIndex.chunkCharge + HashIndex.directoryCharge(HashIndex.smallestDirectory) + TimingWheel.blockCharge

    /// Only the engine makes caches; it has charged ``fixedCharge`` to the process.
    init(id: CacheID, limits: EngineCacheLimits, core: EngineCore) {
        self.id = id
        self.core = core
        stripes = StripeArray(hashKey: core.configuration.indexKey)
        bytes = Atomic(Self.fixedCharge)
        maxBytes = Atomic(limits.maxBytes ?? .max)
        maxItems = Atomic(limits.maxItems ?? .max)
        reservedBytes = Atomic(max(0, limits.reservedBytes))
        byteCeiling = Atomic(limits.maxBytes ?? .max)
        itemCeiling = Atomic(limits.maxItems ?? .max)
    }

    deinit {
        // The engine detached and dismantled the contents before it let go of the cache.
        stripes.deallocate()
    }

    /// Changes the limits. A limit below what the cache holds stops its growth at once; later ticks bring it down.
    /// Cost: a few stores.
    package func setLimits(_ limits: EngineCacheLimits) {
        maxBytes.store(limits.maxBytes ?? .max, ordering: .relaxed)
        maxItems.store(limits.maxItems ?? .max, ordering: .relaxed)
        reservedBytes.store(max(0, limits.reservedBytes), ordering: .relaxed)
        byteCeiling.store(max(limits.maxBytes ?? .max, liveBytes), ordering: .relaxed)
        itemCeiling.store(max(limits.maxItems ?? .max, items.load(ordering: .relaxed)), ordering: .relaxed)
    }

    /// The cache's figures at this moment. Cost: six loads, no lock.
    package var statistics: EngineCacheStatistics {
        EngineCacheStatistics(
            items: items.load(ordering: .relaxed), bytes: bytes.load(ordering: .relaxed),
            bytesBeingFreed: detachedBytes.load(ordering: .relaxed),
            bytesAttached: attachedBytes.load(ordering: .relaxed), evictions: evictions.load(ordering: .relaxed),
            expirations: expirations.load(ordering: .relaxed))
    }

    /// What counts against the cache's own limit and for its share of the process.
    var liveBytes: Int {
        bytes.load(ordering: .relaxed) - detachedBytes.load(ordering: .relaxed)
    }

    /// Runs `body` on the contents of the stripe that a hash belongs to, under its lock.
    @inline(__always)
    func withStripe<Result: Sendable>(of hash: UInt64, _ body: (inout StripeContents) -> Result) -> Result {
        while true {
            let mask = stripeMask.load(ordering: .relaxed)
            let result: Result? = stripes[Self.stripe(of: hash, mask: mask)].pointee.contents.withLock { contents in
                guard stripeMask.load(ordering: .relaxed) == mask else { return nil }
                return body(&contents)
            }
            if let result { return result }
        }
    }

    @inline(__always)
    static func stripe(of hash: UInt64, mask: UInt64) -> Int {
        Int(truncatingIfNeeded: hash &>> 44 & mask)
    }
}
