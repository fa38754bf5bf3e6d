import Access
import Admission
import CacheService
import Catalog
import Engine
import Foundation
import Logging
import Metering
import NIOCore
import NIOEmbedded
import Synchronization
import Tenancy
import Testing

@testable import Gateway

/// One lane of a gateway over a whole service, on an event loop that a test turns by hand: a catalog and counters in a
/// directory of their own, a clock that stands still, and connections whose sockets are stand-ins.
final class GatewayFixture {
    let loop = EmbeddedEventLoop()
    let mailbox = Mailbox()
    let core: ServiceFixture
    let executor = ControlExecutor(capacity: 4)
    let handshakes = HandshakeCounters()
    let lane: GatewayLane
    /// Whether the engine is a late one. Its answers are handed over when a test says so, and then run with the event
    /// loop; what the verifying thread hands over at its own time waits for ``takeLate(_:)``.
    private let isLate: Bool

    /// - Parameters:
    ///   - choice: Makes the engine that answers, around the embedded one.
    ///   - others: Doors beside the product's own, by the beginning of their paths.
    init(
        limits: GatewayLimits = GatewayLimits(), others: [(prefix: StaticString, door: any HTTPDoor)] = [],
        heartbeatMilliseconds: Int64 = 10_000, isEmulator: Bool = false, developmentCache: String? = nil,
        choice: (EmbeddedEngine) -> EngineChoice = { _ in .embedded }
    ) throws {
        core = try ServiceFixture(
            heartbeatMilliseconds: heartbeatMilliseconds, isEmulator: isEmulator, developmentCache: developmentCache,
            choice: choice)
        isLate = core.isLate

        var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        let router = HTTPRouter(
            rest: RESTDoor(),
            grpc: GRPCDoor(control: ControlRPCs(control: core.control), executor: executor),
            admin: AdminDoor(routes: AdminRoutes(control: core.control), executor: executor),
            system: SystemDoor(status: StillStatus(), servesMetrics: false, executor: executor), others: others)
        let mailbox = mailbox
        lane = GatewayLane(
            eventLoop: loop, service: ServiceLane(service: core.service, index: 0) { mailbox.put($0) }, limits: limits,
            router: router, handshakes: handshakes, logger: logger)
        try makeCache("shop")
    }

    deinit {
        lane.closeAll()
        loop.run()
        // Its threads would outlive it.
        Task { [executor] in await executor.shutDown() }
    }

    private struct StillStatus: SystemStatus {
        var readiness: (isReady: Bool, reason: String) { (true, "ready") }
        var jwks: [UInt8] { Array("{\"keys\":[]}".utf8) }
        func metrics() -> [UInt8] { [] }
    }
}

extension GatewayFixture {
    var clock: ManualClock { core.clock }
    var catalog: Catalog { core.catalog }
    var meters: MeterFile { core.meters }
    var service: CacheService { core.service }
    var control: ControlPlane { core.control }
    var directory: URL { core.directory }
    var root: Caller { core.root }
    var rootKey: String { core.rootKey }

    func makeCache(_ name: String, _ limits: LimitChanges = [:]) throws {
        var change = CacheChange()
        change.limits = limits
        _ = try control.putCache(CacheName(name), change, caller: root)
    }

    /// A token that this lane has never seen: its signature is checked on another thread.
    func makeToken(isRevoked: Bool = false) throws -> String {
        let order = TokenOrder(permissions: .allDataReadWrite, ttlSeconds: 3600)
        let token = try control.mintToken(order, caller: root)
        if isRevoked { try control.revokeToken(id: token.claims.id, caller: root) }
        return token.presented
    }

    /// Connections that the lane knows.
    var connectionCount: Int { lane.connections.count }

    /// Bytes of request bodies that are reserved over all connections.
    var bodyBytesInFlight: Int { service.bodyBudget.inUse }

    /// The counters of a cache under one door.
    func counts(of cache: String = "shop", door: Door = .rest) throws -> [Meter: UInt64] {
        let record = try #require(
            catalog.snapshot.cache(tenant: service.defaultTenant, name: try CacheName(cache)))
        let row = try meters.row(lane: 0, tenant: service.defaultTenant, cache: record.id, door: door)
        return Dictionary(uniqueKeysWithValues: Meter.allCases.map { ($0, row.count(of: $0)) })
    }

    /// Moves the wall clock and the event loop's on together, and runs what falls due.
    func advance(milliseconds: Int64) {
        clock.advance(milliseconds: milliseconds)
        loop.advanceTime(by: .milliseconds(milliseconds))
        loop.run()
    }

    /// Runs what is queued on the event loop, and the answers that a late engine has handed over.
    func turn() {
        repeat { loop.run() } while isLate && mailbox.runAll() > 0
    }

    /// Waits until the verifying thread has handed over `count` answers, and runs them.
    func takeLate(_ count: Int = 1) {
        for _ in 0..<count { mailbox.runOne() }
        turn()
    }
}

/// Closures that other threads hand to the test's own, as an event loop's `execute` would.
final class Mailbox: Sendable {
    private struct Letter: Sendable {
        let work: @Sendable () -> Void
        let sender: pthread_t
    }

    private let waiting = Mutex<[Letter]>([])
    private let arrived = DispatchSemaphore(value: 0)

    func put(_ work: @escaping @Sendable () -> Void) {
        let letter = Letter(work: work, sender: pthread_self())
        waiting.withLock { $0.append(letter) }
        arrived.signal()
    }

    /// Waits for one closure and runs it.
    func runOne() {
        arrived.wait()
        take { _ in true }?()
    }

    /// Runs those that are here. Returns how many.
    func runAll() -> Int {
        run { _ in true }
    }

    /// Runs those that this thread has put in; those of others stay, however soon they came. Returns how many.
    func runOwn() -> Int {
        let reader = pthread_self()
        return run { pthread_equal($0, reader) != 0 }
    }

    private func run(_ isMeant: (pthread_t) -> Bool) -> Int {
        var count = 0
        while let work = take(isMeant) {
            arrived.wait()
            work()
            count += 1
        }
        return count
    }

    private func take(_ isMeant: (pthread_t) -> Bool) -> (@Sendable () -> Void)? {
        waiting.withLock { waiting in
            waiting.firstIndex { isMeant($0.sender) }.map { waiting.remove(at: $0).work }
        }
    }
}
