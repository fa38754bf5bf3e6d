import Access
import Admission
import Catalog
import Metering
import Tenancy

/// A verified caller as one event loop remembers it, with what it may do in the caches that it used last. Belongs to
/// its loop.
package final class LaneCaller {
    package let caller: Caller
    /// The label of the credential, as subscribers see it beside what it publishes; empty for none.
    let publisherID: [UInt8]
    /// The catalog version against which the caller was last held.
    var version: UInt64
    /// Most callers use one cache; the few that use more find theirs in a short list.
    var grants: [CacheGrant] = []
    static let grantCount = 8
    var nextGrant = 0
    /// Its tenant as this lane serves it; found when it is needed first.
    var flow: FairFlow?

    /// The hash of the root key that was shown, so that a rotation ends it.
    let rootKeyHash: [UInt8]?

    init(_ caller: Caller, rootKeyHash: [UInt8]?, version: UInt64) {
        self.caller = caller
        publisherID = caller.tokenID.map { Array($0.utf8) } ?? []
        self.rootKeyHash = rootKeyHash
        self.version = version
    }
}

/// What one caller may do in one cache, found once per catalog version.
package final class CacheGrant {
    package let cacheName: [UInt8]
    let scope: ItemScope
    /// Nil when no such cache exists: known only after the permission was checked.
    let cache: LaneCache?
    let version: UInt64
    /// Whether the answer to a read may depend on what the caller takes beside a value as it is. Kept here, where a door
    /// finds it with one load.
    package let variesByEncoding: Bool

    init(cacheName: [UInt8], scope: ItemScope, cache: LaneCache?, version: UInt64) {
        self.cacheName = cacheName
        self.scope = scope
        self.cache = cache
        self.version = version
        variesByEncoding = cache?.variesByEncoding ?? false
    }

    /// Whether both are for the very same cache: one that was deleted and made again under its name is another.
    package func isForSameCache(as other: CacheGrant) -> Bool {
        cache?.record.id == other.cache?.record.id
    }
}

/// One cache as one event loop uses it: the engine's handle, the limits in force, the meter rows of its own. Belongs to
/// its loop.
final class LaneCache {
    let record: CacheRecord
    let shared: SharedCache
    let sizes: SizeLimits
    let ttl: TTLRules
    let version: UInt64
    /// Whether the cache may hold values as zstd frames, which are sent so to whoever takes that.
    let variesByEncoding: Bool
    /// Which operations are looked at for hot keys.
    var sampler: KeySampler
    private var rows: (MeterRow?, MeterRow?, MeterRow?, MeterRow?, MeterRow?, MeterRow?)

    init(
        record: CacheRecord, shared: SharedCache, sizes: SizeLimits, ttl: TTLRules, version: UInt64,
        variesByEncoding: Bool, sampler: KeySampler
    ) {
        self.sampler = sampler
        self.record = record
        self.shared = shared
        self.sizes = sizes
        self.ttl = ttl
        self.version = version
        self.variesByEncoding = variesByEncoding
    }

    /// The counters of this cache, loop and door.
    @inline(__always)
    func row(_ door: Door) -> MeterRow? {
        switch door {
        case .rest: rows.0
        case .grpc: rows.1
        case .grpcWeb: rows.2
        case .webSocket: rows.3
        case .resp: rows.4
        case .webhook: rows.5
        }
    }

    func setRow(_ door: Door, _ row: MeterRow) {
        switch door {
        case .rest: rows.0 = row
        case .grpc: rows.1 = row
        case .grpcWeb: rows.2 = row
        case .webSocket: rows.3 = row
        case .resp: rows.4 = row
        case .webhook: rows.5 = row
        }
    }
}
