import Access
import Admission
import Catalog
import Engine
import Metering
import Tenancy
import Topics

/// The service as one event loop sees it: what it remembers, it remembers for itself, so that nothing on the data path
/// is shared but the engine's stripes and the rate limiters' words. Used on its loop alone.
///
/// ```
/// identify ─▶ permit (resolve, permit, exists) ─▶ get / set / publish / … (admit, execute, meter)
/// ServiceLane+Identify   ServiceLane+Permit             ServiceLane+Items, Collections/ServiceLane+Collections, …
/// ```
package final class ServiceLane {
    package let service: CacheService
    /// The place of this lane's counters in the meter file.
    package let index: Int
    /// Runs a closure on this lane's thread; callable from any.
    let schedule: @Sendable (@escaping @Sendable () -> Void) -> Void
    package private(set) var now: Timestamp
    package private(set) var nowNanoseconds: UInt64
    private(set) var snapshot: CatalogSnapshot
    /// For bodies of no cache.
    let bodyBudget: SharedByteBudget
    var topics: LaneTopics
    /// The subscribers of the Redis protocol.
    let channels: LaneChannels
    /// Asked to see to it that ``drainTopics(atMost:)`` is called; runs on this lane's thread.
    package var onTopicsReady: () -> Void = {}
    /// Asked to see to it that ``continueCalls()`` is called once the lane has seen to its sockets; runs on this lane's
    /// thread.
    package var onCallsLeft: (() -> Void)?
    /// Calls that are answered in turns.
    var slicedCalls: [SlicedCall] = []
    var nextSlicedCall = 0
    /// Whether of the two kinds of calls in turns it is that of the commands.
    var areCommandsNext = false
    var isTurnScheduled = false
    /// Commands of the Redis protocol that are answered in turns.
    var commandTurns: [SuspendedCommand] = []
    /// Commands of the Redis protocol that wait, and the catalog version under which all of them were last looked at.
    var blockedCommands: [BlockedCommand] = []
    var sweptBlockedVersion: UInt64 = 0
    /// What the transaction under way has written while others waited.
    var keysWrittenInTransaction: [[UInt8]] = []
    /// Refusals for load, as the Redis protocol tells them.
    var commandRefusals = RefusalMemory<[UInt8]>()
    var dice = Dice()
    /// Who waits for which token's check.
    var checksUnderWay: [SecretHash: [LateHandler<LaneCaller>]] = [:]
    var credentials = CredentialMemory<LaneCaller>(capacity: 8192)
    /// Stands for callers without a credential; nil unless the server stands in for the emulator, where there are any.
    /// Made once, and good for as long as the lane: no key of the catalog stands behind it that could be revoked. That
    /// nobody comes by it who should not is the doors' part (`EmulatorCredential`); why that will do, `Caller.emulator`
    /// says.
    package let emulatorCaller: LaneCaller?
    /// Stands for callers without a credential at the RESP door of a server for development; nil everywhere else.
    package let developmentCaller: LaneCaller?
    private var caches: [CacheID: LaneCache] = [:]
    /// Whose turn it is while there is more to do than the lane can.
    package var fairness: FairQueue
    /// Which calls are refused meanwhile.
    package var overload: OverloadControl
    /// Whoever has not said yet who it is.
    package let anonymousFlow = FairFlow(TenantAdmission())
    var flows: [TenantID: FairFlow] = [:]
    /// Whether a call was executed that may have taken long: whoever executes many looks at the clock, and takes it back.
    package var hasSlowCalls = false
    /// Calls that came to be admitted, whatever became of them.
    package internal(set) var calls: UInt64 = 0

    /// How far one tenant gets ahead of its share before it waits for the others.
    private static let quantumNanoseconds: UInt64 = 250_000

    /// - Parameter bodyBudget: For bodies that are kept before a cache is known, and those of the control plane; the
    ///   service's own by default. A lane with another is not refused them because the others' are many.
    package init(
        service: CacheService, index: Int, bodyBudget: SharedByteBudget? = nil,
        schedule: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void
    ) {
        self.bodyBudget = bodyBudget ?? service.bodyBudget
        self.service = service
        self.index = index
        self.schedule = schedule
        now = service.clock.now()
        nowNanoseconds = service.clock.uptimeNanoseconds()
        fairness = FairQueue(quantumNanoseconds: Self.quantumNanoseconds)
        overload = OverloadControl(nowNanoseconds: nowNanoseconds)
        snapshot = service.catalog.snapshot
        let version = snapshot.version
        emulatorCaller = service.emulatorCaller.map { LaneCaller($0, rootKeyHash: nil, version: version) }
        developmentCaller = service.developmentCaller.map { LaneCaller($0, rootKeyHash: nil, version: version) }
        let waking = LaneBound(Waking())
        channels = LaneChannels { schedule { waking.value.lane?.onTopicsReady() } }
        topics = LaneTopics(
            lane: TopicLane(heartbeatTicks: service.heartbeatTicks) { schedule { waking.value.lane?.onTopicsReady() } })
        waking.value.lane = self
    }

    /// The way back from the hub, which outlives lanes.
    private final class Waking {
        weak var lane: ServiceLane?
    }

    /// Reads the clock, and takes over what the catalog has published. Called once a loop tick.
    @inline(__always)
    package func beginTick() {
        now = service.clock.now()
        nowNanoseconds = service.clock.uptimeNanoseconds()
        refresh()
    }

    /// The monotonic clock now, for what takes longer than a moment within a tick.
    package func readNanoseconds() -> UInt64 { service.clock.uptimeNanoseconds() }

    /// The monotonic clock's reading of this tick.
    package var uptimeMilliseconds: Int64 { Int64(nowNanoseconds / 1_000_000) }

    /// Cost: one atomic load when nothing has changed.
    @inline(__always)
    func refresh() {
        if service.catalog.currentVersion != snapshot.version { adopt() }
    }

    private func adopt() {
        snapshot = service.catalog.snapshot
        for id in flows.keys where snapshot.tenant(id) == nil { flows[id] = nil }
        // What the catalog has dropped must not be kept alive by what this loop remembers.
        for id in caches.keys where snapshot.cache(id) == nil {
            caches[id] = nil
            stopClocks(of: id)
            // This loop adds to the cache's counters no more: they may be used for another once they are folded.
            service.meters.release(cache: id, lane: index)
        }
    }

    /// The cache of that id under the present snapshot.
    func laneCache(_ record: CacheRecord) -> LaneCache? {
        if let known = caches[record.id], known.version == snapshot.version { return known }
        guard let shared = service.shared(record.id), let tenant = snapshot.tenant(record.tenant) else { return nil }
        let cache = LaneCache(
            record: record, shared: shared,
            sizes: SizeLimits(cache: record.limits, tenant: tenant.limitsInForce, defaults: service.sizes),
            ttl: TTLRules(cache: record.limits, tenant: tenant.limitsInForce), version: snapshot.version,
            variesByEncoding: service.lateEngine == nil && (record.compression != .off || shared.hasHeldFrames),
            sampler: caches[record.id]?.sampler ?? KeySampler())
        caches[record.id] = cache
        return cache
    }

    /// Lets the choice of operations for hot keys follow a load that has sunk. Cost: O(caches used by this loop).
    func relaxSamplers() {
        for cache in caches.values { cache.sampler.relax(nowMilliseconds: uptimeMilliseconds) }
    }

    /// The counters of a cache for a door. Cost: a load, after the first time.
    @inline(__always)
    func row(_ cache: LaneCache, _ door: Door) throws(MartletError) -> MeterRow {
        if let row = cache.row(door) { return row }
        let row = try service.meters.row(lane: index, tenant: cache.record.tenant, cache: cache.record.id, door: door)
        cache.setRow(door, row)
        return row
    }
}
