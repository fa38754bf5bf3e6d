import Access
import Admission
import Catalog
import Engine
import Metering
import Synchronization
import Tenancy
import Topics

/// The one place where the six steps of a request stand, for every door: identify, resolve, permit, admit, execute,
/// meter. This type is what all event loops share; each loop works through a ``ServiceLane`` of its own.
package final class CacheService: Sendable {
    package let catalog: Catalog
    package let engine: EmbeddedEngine
    /// The engine elsewhere that holds the items; nil when ``engine`` does.
    let lateEngine: (any LateEngine)?
    package let topics: TopicHub
    package let meters: MeterFile
    package let verifier: TokenVerifier
    package let verification: VerificationQueue
    package let failures: FailureMemory
    package let sizes: SizeDefaults
    package let clock: any WallClock
    /// The tenant whose data the root key may use.
    package let defaultTenant: TenantID
    /// Whoever shows no credential where the server stands in for the emulator of client libraries; nil everywhere else.
    package let emulatorCaller: Caller?
    /// Whoever shows no credential to the RESP door on the loopback of a server for development; nil everywhere else.
    let developmentCaller: Caller?
    /// Bytes of request bodies that all connections of the process may hold.
    package let bodyBudget: SharedByteBudget
    let heartbeatMilliseconds: Int64
    /// After how many ticks of a lane each subscription has had a heartbeat.
    let heartbeatTicks: Int
    private let open = Mutex<[CacheID: SharedCache]>([:])
    private let tenants = Mutex<[TenantID: TenantAdmission]>([:])
    /// What the caches of each tenant hold together. Taken within ``open``, never around it.
    private let groups = Mutex<[TenantID: EngineGroup]>([:])
    /// What the caches compressed that are gone.
    private let closed = Mutex(CompressionTotals())
    package let webhookCounters = WebhookCounters()
    package let loads = LaneLoads()
    /// How far limits are used up.
    package let limitBook = LimitBook()
    /// Whether what caches hold is encrypted.
    package let isSealing: Bool

    package init(
        catalog: Catalog, engine: EmbeddedEngine, choice: EngineChoice, meters: MeterFile, verifier: TokenVerifier,
        verification: VerificationQueue, failures: FailureMemory, sizes: SizeDefaults, clock: any WallClock,
        defaultTenant: TenantID, bodyBytes: Int, topics: TopicHub = TopicHub(limits: TopicLimits()),
        heartbeatMilliseconds: Int64 = 10_000, isEmulator: Bool = false, developmentCache: CacheName? = nil
    ) {
        self.catalog = catalog
        self.engine = engine
        isSealing = engine.statistics.isSealing
        if case .late(let late) = choice { lateEngine = late } else { lateEngine = nil }
        self.topics = topics
        // A tenth early, so that a tick that comes late is not too late.
        self.heartbeatMilliseconds = heartbeatMilliseconds
        heartbeatTicks = max(1, Int(heartbeatMilliseconds * 9 / 10 / ServiceLane.topicTickMilliseconds))
        self.meters = meters
        self.verifier = verifier
        self.verification = verification
        self.failures = failures
        self.sizes = sizes
        self.clock = clock
        self.defaultTenant = defaultTenant
        developmentCaller = developmentCache.map { .development(defaultTenant: defaultTenant, cache: $0) }
        emulatorCaller = isEmulator ? .emulator(defaultTenant: defaultTenant) : nil
        self.bodyBudget = SharedByteBudget(limit: bodyBytes)
    }

    /// What all lanes share of one cache, made when it is first used.
    ///
    /// - Returns: nil when the catalog does not hold the cache any more.
    func shared(_ id: CacheID) -> SharedCache? {
        open.withLock { (open) -> SharedCache? in
            if let shared = open[id] { return shared }
            // Read under the lock: a cache that was deleted meanwhile is not made again by a late request.
            let snapshot = catalog.snapshot
            guard let record = snapshot.cache(id), let tenant = snapshot.tenant(record.tenant) else { return nil }
            let items = engine.openCache(
                id, in: group(of: tenant), limits: EngineCacheLimits(record.limits),
                compression: CompressionMode(record.compression))
            let topics = topics.openSpace(
                id, maxBytes: Self.maxBytes(record, of: tenant),
                sealer: isSealing ? CacheMessageSealer(items: items) : nil
            ) { items.setAttachedBytes($0) }
            let shared = SharedCache(
                items: items, topics: topics,
                admission: CacheAdmission(tenant: admission(of: tenant), limits: record.limits),
                compression: record.compression)
            open[id] = shared
            return shared
        }
    }

    func admission(of tenant: TenantRecord) -> TenantAdmission {
        tenants.withLock { tenants in
            if let known = tenants[tenant.id] { return known }
            // Read under the lock: the caller's record may be older than a change that has been handed on already.
            let snapshot = catalog.snapshot
            let limits = (snapshot.tenant(tenant.id) ?? tenant).limitsInForce
            let made = TenantAdmission(limits: limits, bytesInFlight: bodyBudget.limit / 4, process: bodyBudget)
            made.update(
                limits: limits, reservedByCaches: Self.reservedOperations(snapshot)[tenant.id] ?? 0,
                nowNanoseconds: clock.uptimeNanoseconds())
            tenants[tenant.id] = made
            return made
        }
    }

    /// What a tenant's caches share of the engine, made with the first of them.
    private func group(of tenant: TenantRecord) -> EngineGroup {
        groups.withLock { groups in
            if let known = groups[tenant.id] { return known }
            let made = engine.openGroup(limits: EngineCacheLimits(tenant.limitsInForce))
            groups[tenant.id] = made
            return made
        }
    }

    /// What the caches of each tenant have reserved together, in operations a second. Cost: O(caches).
    private static func reservedOperations(_ snapshot: CatalogSnapshot) -> [TenantID: UInt64] {
        var sums: [TenantID: UInt64] = [:]
        for cache in snapshot.caches {
            guard let reserved = cache.limits[.reservedOperationsPerSecond] else { continue }
            // No sum of limits that the control plane takes comes near the end of the range.
            sums[cache.tenant, default: 0] &+= reserved
        }
        return sums
    }

    /// What a cache may hold in all, by its own limit and its tenant's.
    private static func maxBytes(_ cache: CacheRecord, of tenant: TenantRecord?) -> Int? {
        [cache.limits[.maxBytes], tenant?.limitsInForce[.maxBytes]].compactMap { $0 }.min().map { Int(clamping: $0) }
    }

    /// What a tenant's caches hold together now, as its limits count it; nothing when none was used since the start.
    /// Cost: a lock and a few loads.
    package func tenantStatistics(_ id: TenantID) -> (bytes: Int, items: Int) {
        guard let statistics = groups.withLock({ $0[id] })?.statistics else { return (0, 0) }
        return (statistics.liveBytes, statistics.items)
    }

    /// Takes in what the catalog has published: closes caches that are gone, hands changed limits on. Called by the
    /// catalog within the change, so that whoever made it finds it in force. Cost: O(caches).
    package func catalogChanged(_ snapshot: CatalogSnapshot) {
        let now = clock.uptimeNanoseconds()
        let reserved = Self.reservedOperations(snapshot)
        tenants.withLock { tenants in
            for (id, admission) in tenants {
                if let record = snapshot.tenant(id) {
                    admission.update(
                        limits: record.limitsInForce, reservedByCaches: reserved[id] ?? 0, nowNanoseconds: now)
                } else {
                    tenants[id] = nil
                }
            }
        }
        open.withLock { open in
            for (id, shared) in open {
                if let record = snapshot.cache(id) {
                    shared.items.setLimits(EngineCacheLimits(record.limits))
                    shared.setCompression(record.compression)
                    shared.topics.setMaxBytes(Self.maxBytes(record, of: snapshot.tenant(record.tenant)))
                    shared.admission.update(limits: record.limits, nowNanoseconds: now)
                } else {
                    let compression = shared.items.statistics.compression
                    closed.withLock { $0.add(compression) }
                    engine.closeCache(shared.items)
                    topics.closeSpace(shared.topics)
                    forget(id)
                    meters.retire(cache: id)
                    open[id] = nil
                }
            }
            // Within the lock of `open`, so that no cache is opened in a group that goes.
            groups.withLock { groups in
                for (id, group) in groups {
                    if let record = snapshot.tenant(id) {
                        group.setLimits(EngineCacheLimits(record.limitsInForce))
                    } else {
                        engine.closeGroup(group)
                        groups[id] = nil
                    }
                }
            }
        }
    }

    /// Empties a cache of its items and of the messages that its topics retain. Complete for every read that begins after it returns. Cost: O(1).
    package func flush(_ id: CacheID) {
        let shared = shared(id)
        shared?.items.flush()
        shared?.topics.flush()
        shared?.hotKeys.clear()
        forget(id)
    }

    private func forget(_ id: CacheID) {
        lateEngine?.forget(id)
    }

    /// What a cache meets at its door; nil when nobody has used it since the start.
    func openedAdmission(of id: CacheID) -> CacheAdmission? {
        open.withLock { $0[id] }?.admission
    }

    /// What a cache holds now; nil when nobody has used it since the start.
    package func statistics(_ id: CacheID) -> CacheStatistics? {
        open.withLock { $0[id] }.map { shared in
            CacheStatistics(
                items: shared.items.statistics,
                topics: shared.topics.statistics.adding(subscriptions: shared.channels.subscriptions),
                unsupportedCommands: shared.commands.unsupported.counts)
        }
    }

    /// What a tenant uses over all its caches; nil when nobody has used any since the start.
    func openedAdmission(of tenant: TenantID) -> TenantAdmission? {
        tenants.withLock { $0[tenant] }
    }

    /// The caches that somebody has used since the start.
    var openCaches: [CacheID: SharedCache] { open.withLock { $0 } }

    /// The keys that take the most operations of a cache, the hottest first.
    func hotKeys(_ id: CacheID, limit: Int) -> HotKeyReport {
        let now = Int64(clock.uptimeNanoseconds() / 1_000_000)
        return open.withLock { $0[id] }?.hotKeys.report(limit: limit, nowMilliseconds: now)
            ?? HotKeyReport(windowSeconds: 1, samples: 0, keys: [])
    }

    /// What all caches compressed since the start. Cost: O(open caches).
    package var compressionTotals: CompressionTotals {
        open.withLock { open in
            var totals = closed.withLock { $0 }
            for shared in open.values {
                let compression = shared.items.statistics.compression
                totals.add(compression)
                totals.dictionaryBytes += compression.dictionaryBytes
            }
            return totals
        }
    }
}

/// Sums over the caches of the process.
package struct CompressionTotals: Equatable, Sendable {
    /// What was compressed, before and after it was.
    package private(set) var plainBytes: UInt64 = 0
    package private(set) var storedBytes: UInt64 = 0
    package private(set) var trainings: UInt64 = 0
    /// The dictionaries that there are now.
    package fileprivate(set) var dictionaryBytes = 0

    fileprivate mutating func add(_ statistics: CompressionStatistics) {
        plainBytes += statistics.plainBytes
        storedBytes += statistics.storedBytes
        trainings += statistics.trainings
    }
}

/// What a cache holds.
package struct CacheStatistics: Sendable {
    /// The bytes of the topics are among its bytes.
    package let items: EngineCacheStatistics
    package let topics: TopicStatistics
    /// How often each command of the Redis protocol was asked for that is refused, since the start, by name.
    package let unsupportedCommands: [String: UInt64]
}

/// What all event loops share of one cache.
package final class SharedCache: Sendable {
    let items: EngineCache
    let topics: TopicSpace
    let admission: CacheAdmission
    /// What the Redis protocol keeps beside the items.
    let commands = CommandState()
    /// Who listens to what by the commands of the Redis protocol.
    let channels = ChannelBoard()
    let blocked = BlockedCommands()
    let hotKeys = HotKeys()
    private let compression: Mutex<CacheCompression>
    private let mayHoldFrames: Atomic<Bool>

    init(items: EngineCache, topics: TopicSpace, admission: CacheAdmission, compression: CacheCompression) {
        self.compression = Mutex(compression)
        mayHoldFrames = Atomic(compression != .off)
        self.items = items
        self.topics = topics
        self.admission = admission
        commands.events.connect(channels)
    }

    /// Whether items may lie here as plain zstd frames: beside a dictionary too, for what it does not fit; and what was
    /// compressed stays so when the cache compresses otherwise from then on.
    var hasHeldFrames: Bool { mayHoldFrames.load(ordering: .relaxed) }

    /// Compresses what is written from now on in that way; what lies there stays as it is.
    func setCompression(_ new: CacheCompression) {
        compression.withLock { present in
            guard present != new else { return }
            present = new
            // Before the first of them lies here.
            if new != .off { mayHoldFrames.store(true, ordering: .relaxed) }
            items.setCompression(CompressionMode(new))
        }
    }
}

extension CompressionMode {
    init(_ compression: CacheCompression) {
        switch compression {
        case .off: self = .off
        case .zstd: self = .zstd
        case .zstdDictionary: self = .zstdDictionary
        }
    }
}

extension EngineCacheLimits {
    init(_ limits: Limits) {
        self.init(
            maxBytes: limits[.maxBytes].map { Int(clamping: $0) },
            reservedBytes: limits[.reservedBytes].map { Int(clamping: $0) } ?? 0,
            maxItems: limits[.maxItems].map { Int(clamping: $0) })
    }
}
