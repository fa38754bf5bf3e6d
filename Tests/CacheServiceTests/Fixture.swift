import Access
import Admission
import Catalog
import Engine
import Foundation
import Metering
import Synchronization
import Tenancy
import Testing

@testable import CacheService

/// A whole service without a wire: a catalog, a ledger and counters in a directory of their own, and a clock that stands
/// still. Its directory goes with it.
final class Fixture {
    let clock: ManualClock
    let directory: URL
    let catalog: Catalog
    let ledger: Ledger
    let service: CacheService
    let control: ControlPlane
    let lane: ServiceLane
    let root: Caller

    /// - Parameter start: Of the clock. Early enough for a rate limiter, which reaches 18 years from zero.
    init(
        start: Timestamp = Timestamp(seconds: 500_000_000), choice: EngineChoice = .embedded, seals: Bool = false
    ) throws {
        let clock = ManualClock(start)
        let directory = FileManager.default.temporaryDirectory.appending(path: "martlet-service-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let publication = Publication()
        let catalog = try Catalog(path: directory.appending(path: "catalog.sqlite").path, clock: clock) {
            publication.publish($0, $1)
        }
        let meters = try MeterFile(path: directory.appending(path: "meters").path)
        let ledger = try Ledger(
            path: directory.appending(path: "ledger.sqlite").path, counters: meters, clock: clock)
        let authority = TokenAuthority(issuer: "https://martlet.test", audience: "martlet")
        let tenant = try #require(catalog.snapshot.tenant(try TenantName(Catalog.defaultTenantName)))
        let key = SipHashKey(k0: 1, k1: 2)
        let service = CacheService(
            catalog: catalog,
            engine: try EmbeddedEngine(
                configuration: EngineConfiguration(
                    memoryBytes: 64 << 20, indexKey: key, valueHashKey: key, seals: seals)),
            choice: choice, meters: meters, verifier: TokenVerifier(authority: authority),
            verification: VerificationQueue(capacity: 16), failures: FailureMemory(now: start), sizes: SizeDefaults(),
            clock: clock, defaultTenant: tenant.id, bodyBytes: 64 << 20)
        publication.connect(service)
        let control = ControlPlane(
            service: service, ledger: ledger, signer: TokenSigner(authority: authority), endpoint: "cache.test")
        try control.ensureSigningKey(now: start)
        self.clock = clock
        self.directory = directory
        self.catalog = catalog
        self.ledger = ledger
        self.service = service
        self.control = control
        // Late answers come on the verifying thread, while the test's own waits for them.
        lane = ServiceLane(service: service, index: 0) { $0() }
        root = .root(defaultTenant: tenant.id)
    }

    deinit { try? FileManager.default.removeItem(at: directory) }

    /// Tells the service what the catalog has published, as the server does.
    private final class Publication: Sendable {
        private struct Reader {
            // The service holds the catalog, which holds this.
            weak var service: CacheService?
        }

        private let reader = Mutex(Reader())

        func connect(_ service: CacheService) {
            reader.withLock { $0.service = service }
        }

        func publish(_ snapshot: CatalogSnapshot, _ change: CatalogChange) {
            reader.withLock { $0.service }?.catalogChanged(snapshot)
        }
    }
}

extension Fixture {
    /// A new tenant's super-user, as it is known by its key.
    func makeTenant(_ name: String, _ change: TenantChange = TenantChange()) throws -> Caller {
        let key = try #require(try control.putTenant(TenantName(name), change, caller: root).key)
        return try identify(key.secret.presented)
    }

    /// The holder of a new data key of the caller's tenant.
    func makeDataKey(_ caller: Caller) throws -> Caller {
        let order = KeyOrder(format: .v2, grant: .permissions(.allDataReadWrite))
        return try identify(try control.mintKey(order, caller: caller).secret.presented)
    }

    /// The holder of a new token of the caller's tenant.
    func makeToken(_ caller: Caller) throws -> Caller {
        let order = TokenOrder(permissions: .allDataReadWrite, ttlSeconds: 600)
        return try identify(try control.mintToken(order, caller: caller).presented)
    }

    /// Who holds a credential.
    func identify(_ credential: String) throws -> Caller {
        try remember(credential).caller
    }

    func remember(_ credential: String) throws -> LaneCaller {
        lane.beginTick()
        let answer = Mutex<Result<LaneBound<LaneCaller>, MartletError>?>(nil)
        let isHere = DispatchSemaphore(value: 0)
        var allowance = CheckAllowance(.init(burst: 1000, perSecond: 1000), now: lane.now)
        let identity = Array(credential.utf8).withUnsafeBytes { bytes in
            lane.identify(bytes, address: [127, 0, 0, 1], allowance: &allowance) {
                return { result in
                    let result = result.map { LaneBound($0) }
                    answer.withLock { $0 = result }
                    isHere.signal()
                }
            }
        }
        switch identity {
        case .known(let caller): return caller
        case .refused(let error): throw error
        case .later:
            isHere.wait()
            return try #require(answer.withLock { $0 }).get().value
        }
    }

    /// Stores an item in a cache that the credential may write.
    func set(_ key: String, _ value: String, in cache: String, with credential: String) throws {
        let grant = try permit(credential, .set, key, in: cache)
        let ttl = try TTL(milliseconds: 600_000, field: "ttl")
        let reply = Array(key.utf8).withUnsafeBytes { key in
            Array(value.utf8).withUnsafeBytes { value in
                lane.set(grant, .rest, key: key, value: value, ttl: ttl, condition: .always) { return { _ in } }
            }
        }
        switch reply {
        case .here: break
        case .refused(let error): throw error
        case .later: throw MartletError.internalFailure("the embedded engine answers at once")
        }
    }

    /// The item's length; nil for a miss.
    func length(of key: String, in cache: String, with credential: String) throws -> Int? {
        let grant = try permit(credential, .getWithHash, key, in: cache)
        let reply = Array(key.utf8).withUnsafeBytes { lane.facts(grant, .rest, key: $0) { return { _ in } } }
        switch reply {
        case .here(let facts): return facts?.byteCount
        case .refused(let error): throw error
        case .later: throw MartletError.internalFailure("the embedded engine answers at once")
        }
    }

    private func permit(
        _ credential: String, _ operation: CacheOperation, _ key: String, in cache: String
    ) throws -> CacheGrant {
        let caller = try remember(credential)
        return try Array(cache.utf8).withUnsafeBytes { cache in
            try Array(key.utf8).withUnsafeBytes { key in
                try lane.permit(caller, cacheName: cache, operation: operation, key: key, door: .rest)
            }
        }
    }
}
