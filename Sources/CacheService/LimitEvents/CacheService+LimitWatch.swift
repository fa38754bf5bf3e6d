import Admission
import Catalog
import Engine
import Metering
import Synchronization
import Tenancy

/// Looks once a second at how far limits are used up, and tells tenants.
///
/// ```
/// Maintenance ─▶ watchLimits ─▶ samples ─▶ LimitWatch ─▶ crossings ─▶ SharedCache.tell ─▶ every door, webhooks
///                               bytes, items: engine       └▶ LimitBook ─▶ metrics
///                               rates: the counters that bill
///                               refusals: the limiters
/// ```
///
/// Rates come from the counters that are kept anyway, as their mean since the last look, so that the data path pays nothing;
/// only a refusal leaves a mark. A cache that nobody has used since the start is not looked at: it uses nothing.
extension CacheService {
    /// To be called every second, from one thread.
    ///
    /// Cost: for each open cache that has limits, some loads, and where they are of rates a lock and a look at its counters;
    /// where a tenant has limits, that for each of its open caches. Nothing where there are no limits, but a look at each
    /// record of the catalog after it has changed.
    package func watchLimits() {
        let snapshot = catalog.snapshot
        let now = clock.now()
        let nanoseconds = clock.uptimeNanoseconds()
        var events: [LimitEvent] = []
        let open = openCaches
        limitBook.contents.withLock { contents in
            if contents.limited.version != snapshot.version { contents.limited = LimitBook.Limited(snapshot) }
            measureRates(&contents, snapshot, open, nanoseconds)
            let milliseconds = Int64(nanoseconds / 1_000_000)
            let caches = watchCaches(&contents, snapshot, open, milliseconds)
            let tenants = watchTenants(&contents, snapshot, open, milliseconds)
            for (crossing, tenant, cache) in caches + tenants {
                contents.crossings[crossing.threshold, default: 0] &+= 1
                events.append(LimitEvent(crossing: crossing, tenant: tenant.name, cache: cache?.name, at: now))
            }
        }
        for event in events { tell(event, snapshot, open, now) }
    }

    /// Gives back the memory of hot keys that were forgotten. To be called every second or so. Cost: a lock for each open
    /// cache.
    package func trimHotKeys() {
        let now = Int64(clock.uptimeNanoseconds() / 1_000_000)
        for cache in openCaches.values { cache.hotKeys.trim(nowMilliseconds: now) }
    }

    private typealias Found = (crossing: LimitCrossing, tenant: TenantRecord, cache: CacheRecord?)

    /// Of a tenant's limit all its caches tell, for subscribers belong to a cache; of a cache's its own alone.
    private func tell(
        _ event: LimitEvent, _ snapshot: CatalogSnapshot, _ open: [CacheID: SharedCache], _ now: Timestamp
    ) {
        guard let topic = try? TopicName(LimitEvent.topic), let tenant = snapshot.tenant(event.tenant) else { return }
        let payload = event.payload
        if let name = event.cache {
            guard let id = snapshot.cache(tenant: tenant.id, name: name)?.id else { return }
            open[id]?.tell(payload, on: topic, now: now)
        } else {
            for (id, shared) in open where snapshot.cache(id)?.tenant == tenant.id {
                shared.tell(payload, on: topic, now: now)
            }
        }
    }

    // MARK: Rates

    private func measureRates(
        _ contents: inout LimitBook.Contents, _ snapshot: CatalogSnapshot, _ open: [CacheID: SharedCache],
        _ nanoseconds: UInt64
    ) {
        let passed = nanoseconds - min(nanoseconds, contents.lookedAt)
        // Two looks at one moment say nothing of what is used a second.
        guard passed > 0 else { return }
        contents.lookedAt = nanoseconds
        guard contents.limited.areRatesLimited else {
            contents.counts = [:]
            contents.rates = [:]
            return
        }
        let tenants = Set(contents.limited.tenants.filter { $0.watchedLimits.hasRates }.map(\.id))
        var (counts, rates): ([CacheID: LiveCounts], [CacheID: LiveCounts]) = ([:], [:])
        for id in open.keys {
            guard let record = snapshot.cache(id), record.limits.hasRates || tenants.contains(record.tenant) else {
                continue
            }
            let count = meters.liveCounts(of: id)
            counts[id] = count
            // What was counted before the first look was counted nobody knows when.
            if let before = contents.counts[id] { rates[id] = count.since(before).perSecond(of: passed) }
        }
        contents.counts = counts
        contents.rates = rates
    }

    // MARK: Samples

    private func watchCaches(
        _ contents: inout LimitBook.Contents, _ snapshot: CatalogSnapshot, _ open: [CacheID: SharedCache],
        _ milliseconds: Int64
    ) -> [Found] {
        var found: [Found] = []
        var owners: [CacheID: LimitBook.Owner] = [:]
        for record in contents.limited.caches {
            guard let shared = open[record.id], let tenant = snapshot.tenant(record.tenant) else { continue }
            var owner = contents.caches[record.id] ?? LimitBook.Owner()
            var use = WatchedUse()
            use.add(shared.admission.rates, shared.admission.topics, shared.admission.connections)
            use.add(contents.rates[record.id])
            use.add(shared.items.statistics)
            owner.take(use, record.limits)
            found += owner.watch.observe(owner.samples, nowMilliseconds: milliseconds).map { ($0, tenant, record) }
            owners[record.id] = owner
        }
        contents.caches = owners
        return found
    }

    private func watchTenants(
        _ contents: inout LimitBook.Contents, _ snapshot: CatalogSnapshot, _ open: [CacheID: SharedCache],
        _ milliseconds: Int64
    ) -> [Found] {
        guard !contents.limited.tenants.isEmpty else {
            contents.tenants = [:]
            return []
        }
        var uses: [TenantID: WatchedUse] = [:]
        for record in contents.limited.tenants {
            var use = WatchedUse()
            use.caches = UInt64(snapshot.cacheCount(of: record.id))
            if let admission = openedAdmission(of: record.id) {
                use.add(admission.rates, admission.topics, admission.connections)
            }
            uses[record.id] = use
        }
        for (id, shared) in open {
            guard let tenant = snapshot.cache(id)?.tenant, uses[tenant] != nil else { continue }
            uses[tenant]?.add(contents.rates[id])
            uses[tenant]?.add(shared.items.statistics)
        }
        var found: [Found] = []
        var owners: [TenantID: LimitBook.Owner] = [:]
        for record in contents.limited.tenants {
            guard let use = uses[record.id] else { continue }
            var owner = contents.tenants[record.id] ?? LimitBook.Owner()
            owner.take(use, record.watchedLimits)
            found += owner.watch.observe(owner.samples, nowMilliseconds: milliseconds).map { ($0, record, nil) }
            owners[record.id] = owner
        }
        contents.tenants = owners
        return found
    }
}

extension TenantRecord {
    /// Those that are in force for it.
    fileprivate var watchedLimits: Limits { limitsInForce }
}

extension LimitBook.Limited {
    /// Cost: O(caches + tenants).
    init(_ snapshot: CatalogSnapshot) {
        version = snapshot.version
        caches = snapshot.caches.filter(\.limits.hasWatched)
        tenants = snapshot.tenants.filter(\.watchedLimits.hasWatched)
        areRatesLimited = caches.contains(where: \.limits.hasRates) || tenants.contains(where: \.watchedLimits.hasRates)
    }
}

/// What one cache, or one tenant over its caches, uses at one moment of what can be limited.
struct WatchedUse {
    var bytes: UInt64 = 0
    var items: UInt64 = 0
    var evictions: UInt64 = 0
    var rates = LiveCounts()
    var subscriptions: UInt64 = 0
    var connections: UInt64 = 0
    var caches: UInt64 = 0
    /// Which limits have refused since the last look.
    var refusing: Set<LimitName> = []

    /// Looks at the limiters, and takes their marks.
    mutating func add(
        _ rates: borrowing RateLimits, _ topics: borrowing TopicAdmission, _ open: CountLimit
    ) {
        subscriptions = topics.subscriptions.count
        connections = open.count
        if open.takeRefused() { refusing.insert(.maxConnections) }
        if rates.operations.takeRefused() { refusing.insert(.maxOperationsPerSecond) }
        if rates.bytesIn.takeRefused() { refusing.insert(.maxBytesInPerSecond) }
        if rates.bytesOut.takeRefused() { refusing.insert(.maxBytesOutPerSecond) }
        if topics.publishes.takeRefused() { refusing.insert(.maxPublishPerSecond) }
        if topics.subscriptions.takeRefused() { refusing.insert(.maxSubscriptions) }
    }

    mutating func add(_ more: LiveCounts?) {
        if let more { rates += more }
    }

    /// What is on its way back to the system is not held against limits.
    mutating func add(_ statistics: EngineCacheStatistics) {
        bytes &+= UInt64(max(0, statistics.bytes - statistics.bytesBeingFreed))
        items &+= UInt64(max(0, statistics.items))
        evictions &+= statistics.evictions
    }

    func used(of limit: LimitName) -> UInt64? {
        switch limit {
        case .maxBytes: bytes
        case .maxItems: items
        case .maxOperationsPerSecond: rates.operations
        case .maxBytesInPerSecond: rates.bytesIn
        case .maxBytesOutPerSecond: rates.bytesOut
        case .maxPublishPerSecond: rates.publishes
        case .maxSubscriptions: subscriptions
        case .maxConnections: connections
        case .maxCaches: caches
        default: nil
        }
    }
}

extension LimitBook.Owner {
    /// Takes samples of the limits that are set.
    ///
    /// A cache at its ceiling evicts and stays a little below it. So one that is near its ceiling and has removed items since
    /// the last look counts as full.
    mutating func take(_ use: WatchedUse, _ limits: Limits) {
        let isEvicting = use.evictions > evictions
        evictions = use.evictions
        samples = LimitName.watched.compactMap { name in
            guard let value = limits[name], let used = use.used(of: name) else { return nil }
            let plain = LimitSample(name, value: value, used: used)
            let isFull =
                isEvicting && (name == .maxBytes || name == .maxItems)
                && plain.percent >= LimitThreshold.near.rawValue
            return LimitSample(
                name, value: value, used: used, isMomentary: name.isRateOfCalls,
                isRefusing: isFull || use.refusing.contains(name))
        }
    }
}

extension LiveCounts {
    /// The mean a second of what was counted within so many nanoseconds, rounded.
    fileprivate func perSecond(of nanoseconds: UInt64) -> LiveCounts {
        func mean(_ count: UInt64) -> UInt64 {
            UInt64(exactly: (Double(count) * 1e9 / Double(max(1, nanoseconds))).rounded()) ?? .max
        }
        var rates = LiveCounts()
        rates.operations = mean(operations)
        rates.bytesIn = mean(bytesIn)
        rates.bytesOut = mean(bytesOut)
        rates.publishes = mean(publishes)
        return rates
    }
}
