import Access
import Admission
import CacheService
import Catalog
import Engine
import Foundation
import Metering
import Synchronization
import Tenancy
import Testing

@testable import Gateway

/// A whole service without a connection: a catalog and counters in a directory of their own, and a clock that stands
/// still.
final class ServiceFixture {
    let clock = ManualClock(Timestamp(seconds: 500_000_000))
    let directory: URL
    let catalog: Catalog
    let meters: MeterFile
    let service: CacheService
    let control: ControlPlane
    let root: Caller
    /// The root key as it is presented: it may do everything in the caches of tenant `default`.
    let rootKey: String
    let isLate: Bool

    /// - Parameter choice: Makes the engine that answers, around the embedded one.
    init(
        heartbeatMilliseconds: Int64 = 10_000, isEmulator: Bool = false, developmentCache: String? = nil,
        choice: (EmbeddedEngine) -> EngineChoice = { _ in .embedded }
    ) throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "martlet-gateway-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let publication = Publication()
        catalog = try Catalog(path: directory.appending(path: "catalog.sqlite").path, clock: clock) { snapshot, _ in
            publication.publish(snapshot)
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
            bodyBytes: 256 << 20, heartbeatMilliseconds: heartbeatMilliseconds, isEmulator: isEmulator,
            developmentCache: try developmentCache.map { try CacheName($0) })
        publication.connect(service)
        control = ControlPlane(
            service: service, ledger: ledger, signer: TokenSigner(authority: authority), endpoint: "cache.test")
        try control.ensureSigningKey(now: clock.now())
        let issued = try APIKeys.issueRoot()
        try catalog.setRootKeyHash(issued.hash.bytes, actor: "test")
        rootKey = issued.presented
        root = .root(defaultTenant: tenant.id)
    }

    deinit {
        try? FileManager.default.removeItem(at: directory)
    }

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

        func publish(_ snapshot: CatalogSnapshot) {
            reader.withLock { $0.service }?.catalogChanged(snapshot)
        }
    }
}
