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
    let clock = ManualClock(Timestamp(seconds: 500_000_000))
    let mailbox = Mailbox()
    let directory: URL
    let catalog: Catalog
    let meters: MeterFile
    let service: CacheService
    let control: ControlPlane
    let executor = ControlExecutor(capacity: 4)
    let lane: GatewayLane
    let root: Caller
    /// The root key as it is presented: it may do everything in the caches of tenant `default`.
    let rootKey: String
    /// Whether the engine is a late one. Its answers are handed over when a test says so, and then run with the event
    /// loop; what the verifying thread hands over at its own time waits for ``takeLate(_:)``.
    private let isLate: Bool

    /// - Parameters:
    ///   - choice: Makes the engine that answers, around the embedded one.
    ///   - others: Doors beside the product's own, by the beginning of their paths.
    init(
        limits: GatewayLimits = GatewayLimits(), others: [(prefix: StaticString, door: any HTTPDoor)] = [],
        heartbeatMilliseconds: Int64 = 10_000, isEmulator: Bool = false,
        choice: (EmbeddedEngine) -> EngineChoice = { _ in .embedded }
    ) throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "martlet-gateway-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let publication = Publication()
        catalog = try Catalog(path: directory.appending(path: "catalog.sqlite").path, clock: clock) { snapshot, _ in
            publication.service.withLock { $0 }?.catalogChanged(snapshot)
        }
        meters = try MeterFile(path: directory.appending(path: "meters").path)
        let ledger = try Ledger(
            path: directory.appending(path: "ledger.sqlite").path, counters: meters, clock: clock)
        let authority = TokenAuthority(issuer: "https://martlet.test", audience: "martlet")
        let tenant = try #require(catalog.snapshot.tenant(try TenantName(Catalog.defaultTenantName)))
        let key = SipHashKey(k0: 1, k1: 2)
        let engine = try EmbeddedEngine(
            configuration: EngineConfiguration(memoryBytes: 256 << 20, indexKey: key, valueHashKey: key))
        let choice = choice(engine)
        if case .late = choice { isLate = true } else { isLate = false }
        service = CacheService(
            catalog: catalog, engine: engine, choice: choice, meters: meters,
            verifier: TokenVerifier(authority: authority), verification: VerificationQueue(capacity: 256),
            failures: FailureMemory(now: clock.now()), sizes: SizeDefaults(), clock: clock, defaultTenant: tenant.id,
            bodyBytes: 256 << 20, heartbeatMilliseconds: heartbeatMilliseconds, isEmulator: isEmulator)
        publication.service.withLock { [service] in $0 = service }
        control = ControlPlane(
            service: service, ledger: ledger, signer: TokenSigner(authority: authority), endpoint: "cache.test")
        try control.ensureSigningKey(now: clock.now())
        let issued = try APIKeys.issueRoot()
        try catalog.setRootKeyHash(issued.hash.bytes, actor: "test")
        rootKey = issued.presented
        root = .root(defaultTenant: tenant.id)

        var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        let router = HTTPRouter(
            rest: RESTDoor(),
            grpc: GRPCDoor(control: ControlRPCs(control: control), executor: executor),
            admin: AdminDoor(routes: AdminRoutes(control: control), executor: executor),
            system: SystemDoor(status: StillStatus(), servesMetrics: false, executor: executor), others: others)
        let mailbox = mailbox
        lane = GatewayLane(
            eventLoop: loop, service: ServiceLane(service: service, index: 0) { mailbox.put($0) }, limits: limits,
            router: router, logger: logger)
        try makeCache("shop")
    }

    deinit {
        lane.closeAll()
        loop.run()
        try? FileManager.default.removeItem(at: directory)
    }

    /// Tells the service what the catalog has published, as the server does.
    private final class Publication: Sendable {
        let service = Mutex<CacheService?>(nil)
    }

    private struct StillStatus: SystemStatus {
        var readiness: (isReady: Bool, reason: String) { (true, "ready") }
        var jwks: [UInt8] { Array("{\"keys\":[]}".utf8) }
        func metrics() -> [UInt8] { [] }
    }
}

extension GatewayFixture {
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
