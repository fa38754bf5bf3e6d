import Synchronization
import Tenancy

/// One cache of the embedded engine. Any thread may call any method; each takes one short lock of one stripe, and never
/// waits for anything else but memory when a write needs room.
///
/// A small cache has one stripe; when it grows it is divided into ``StripeTable/mostStripes``, by the low bits of the
/// key's hash, which nothing else uses.
package final class EngineCache: Sendable {
    package let id: CacheID
    let core: EngineCore
    /// The caches that this one shares limits with.
    let group: EngineGroup?
    /// The books, and where memory comes from.
    let source: PageSource
    let stripes: StripeTable
    let attachedBytes = Atomic<Int>(0)

    let maxBytes: Atomic<Int>
    let maxItems: Atomic<Int>
    let reservedBytes: Atomic<Int>
    // What writes are held to: the limits, or, after a limit was lowered, what the cache holds until ticks have brought
    // it down. So no single write has to evict more than its own size.
    let byteCeiling: Atomic<Int>
    let itemCeiling: Atomic<Int>

    /// The stripe whose segment is being evicted.
    let evictionCursor = Atomic<Int>(0)
    let isClosed = Atomic<Bool>(false)
    /// Written by batches of reads, and read by nobody.
    let lastTouched = Atomic<UInt64>(0)
    /// How values are compressed. Kept when compression is switched off: older values may need it.
    private let coding = Guarded<CacheCompressor?>(nil)
    /// Whether values are compressed, so that a cache without compression asks no lock.
    let compresses = Atomic<Bool>(false)
    /// Whether there is a compressor, for the same reason.
    private let hasCompressor = Atomic<Bool>(false)
    /// What is charged for samples, dictionaries and contexts of sealing.
    let codingBytes = Atomic<Int>(0)
    /// What is charged for knowing who observes which key.
    let observationBytes = Atomic<Int>(0)
    /// What whoever has exclusive access may bring the cache to while the process is full.
    let exclusiveCeiling = Atomic<Int>(0)

    /// What an empty cache is charged: this object, its books, one stripe, its place in the registry.
    static let fixedCharge = 1024 + StripeReference.byteCount
    /// The most that an otherwise empty cache takes beside an item's segment and ``fixedCharge``.
    static let firstItemOverhead = PageSource.charge(byteCount: LineArray.chunkBytes) + 96

    /// Only the engine makes caches.
    init(
        id: CacheID, group: EngineGroup?, limits: EngineCacheLimits, compression: CompressionMode, core: EngineCore
    ) {
        self.id = id
        self.core = core
        self.group = group
        source = PageSource(core: core, group: group)
        source.chargeFixed(Self.fixedCharge)
        stripes = StripeTable(hashKey: core.configuration.indexKey)
        maxBytes = Atomic(limits.maxBytes ?? .max)
        maxItems = Atomic(limits.maxItems ?? .max)
        reservedBytes = Atomic(0)
        byteCeiling = Atomic(limits.maxBytes ?? .max)
        itemCeiling = Atomic(limits.maxItems ?? .max)
        if core.configuration.seals {
            stripes.all[0].contents.pointee.sealer = CacheSealer(cacheID: id.rawValue, laneCount: 1)
        }
        reserve(limits.reservedBytes)
        setCompression(compression)
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
        reserve(limits.reservedBytes)
        // Closing marks the cache before it takes the reservation back, so one of the two sees what the other did.
        if isClosed.load(ordering: .sequentiallyConsistent) { reserve(0) }
        byteCeiling.store(max(limits.maxBytes ?? .max, liveBytes), ordering: .relaxed)
        itemCeiling.store(max(limits.maxItems ?? .max, itemCount), ordering: .relaxed)
    }

    func reserve(_ byteCount: Int) {
        let new = EngineCacheLimits.reservation(byteCount)
        let old = reservedBytes.exchange(new, ordering: .sequentiallyConsistent)
        group?.lines.charges.pointee.reservedByCaches.wrappingAdd(new - old, ordering: .relaxed)
    }

    /// Books items that came or went, for the holder of the stripe's lock.
    @inline(__always)
    func addItems(_ count: Int, to stripe: StripeReference) {
        stripe.figures.pointee.addItems(count)
        group?.addItems(count)
    }

    /// Changes how later writes are compressed. Values that are there stay readable as they are.
    package func setCompression(_ mode: CompressionMode) {
        coding.withLock { compressor in
            if let compressor {
                compressor.setMode(mode)
            } else if mode != .off {
                compressor = CacheCompressor(mode: mode)
                hasCompressor.store(true, ordering: .releasing)
            }
        }
        compresses.store(mode != .off, ordering: .releasing)
    }

    /// What values were or are compressed with; nil if none ever was.
    var compressor: CacheCompressor? {
        hasCompressor.load(ordering: .acquiring) ? coding.withLock { $0 } : nil
    }

    /// The cache's figures at this moment. Cost: a few loads for each stripe, and where values are compressed a lock.
    package var statistics: EngineCacheStatistics {
        var (evictions, expirations): (UInt64, UInt64) = (0, 0)
        for stripe in stripes.all {
            evictions += stripe.figures.pointee.evictions.load(ordering: .relaxed)
            expirations += stripe.figures.pointee.expirations.load(ordering: .relaxed)
        }
        return EngineCacheStatistics(
            items: itemCount, bytes: source.bytes.load(ordering: .relaxed),
            bytesBeingFreed: source.detachedBytes.load(ordering: .relaxed),
            bytesAttached: attachedBytes.load(ordering: .relaxed), evictions: evictions, expirations: expirations,
            compression: compressor?.statistics ?? CompressionStatistics())
    }

    /// Items held, those among them that have just expired included. Cost: a load for each stripe.
    package var itemCount: Int {
        var count = 0
        for stripe in stripes.all { count += stripe.figures.pointee.items.load(ordering: .relaxed) }
        return count
    }

    /// What counts against the cache's own limit and for its share of the process.
    @inline(__always)
    var liveBytes: Int {
        source.bytes.load(ordering: .relaxed) - source.detachedBytes.load(ordering: .relaxed)
    }

    /// Where a key is placed.
    @inline(__always)
    func hash(of key: UnsafeRawBufferPointer) -> UInt64 {
        SipHash.placement(of: key, key: core.configuration.indexKey)
    }

    /// The stripe that a hash belongs to, locked. The caller unlocks it.
    @inline(__always)
    func lockStripe(of hash: UInt64) -> StripeReference {
        while true {
            let word = stripes.word.load(ordering: .acquiring)
            let stripe = StripeTable.stripe(of: hash, word)
            stripe.lock()
            // Dividing changes the word under the lock of the stripe that it divides.
            if stripes.word.load(ordering: .relaxed) == word { return stripe }
            stripe.unlock()
        }
    }
}
