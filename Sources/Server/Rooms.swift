import Access
import Admission
import CacheService
import Catalog
import Delivery
import Engine
import Foundation
import Gateway
import Logging
import Metering
import Synchronization
import Tenancy
import Topics

/// Everything behind the doors, opened in the order in which it depends on each other.
final class Rooms: Sendable {
    let catalog: Catalog
    let meters: MeterFile
    let ledger: Ledger
    let engine: EmbeddedEngine
    let service: CacheService
    let control: ControlPlane
    let routes: AdminRoutes
    let executor: ControlExecutor
    /// The ops listener's own, so that requests on the main one cannot fill it.
    let operationsExecutor: ControlExecutor
    let handshakes = HandshakeCounters()
    let status: ServerStatus
    let limits = GatewayLimits()
    let clock: any WallClock = SystemClock()

    init(_ configuration: ServeConfiguration, logger: Logger) throws {
        try DataDirectory.prepare(configuration.dataDirectory)
        let relay = PublishRelay()
        do {
            catalog = try Catalog(path: configuration.path(of: "catalog.sqlite"), clock: clock) { snapshot, _ in
                relay.publish(snapshot)
            }
            meters = try MeterFile(path: configuration.path(of: "meters.bin"))
            ledger = try Ledger(path: configuration.path(of: "ledger.sqlite"), counters: meters, clock: clock)
        } catch {
            throw StartError("\(error)")
        }
        let now = clock.now()
        let snapshot = catalog.snapshot
        meters.retire { snapshot.cache($0) != nil }
        let secrets = try InstallationSecrets(catalog: catalog)
        let defaultName = try TenantName(Catalog.defaultTenantName)
        guard let defaultTenant = snapshot.tenant(defaultName)?.id else {
            throw StartError("the catalog has lost its tenant 'default'")
        }
        engine = try EmbeddedEngine(
            configuration: EngineConfiguration(
                memoryBytes: configuration.memoryBytes, indexKey: secrets.indexKey, valueHashKey: secrets.valueHashKey,
                seals: configuration.isSealing))
        // One installation's tokens mean nothing in another: its signing keys are its own.
        let authority = TokenAuthority(issuer: "martlet", audience: "martlet")
        service = CacheService(
            catalog: catalog, engine: engine, choice: .embedded, meters: meters,
            verifier: TokenVerifier(authority: authority), verification: VerificationQueue(capacity: 1024),
            failures: FailureMemory(now: now), sizes: configuration.sizes, clock: clock, defaultTenant: defaultTenant,
            bodyBytes: max(64 << 20, configuration.memoryBytes / 8),
            topics: TopicHub(limits: TopicLimits(configuration)),
            heartbeatMilliseconds: configuration.heartbeatMilliseconds, isEmulator: configuration.emulator != nil,
            developmentCache: configuration.isDevelopment ? try CacheName("default") : nil)
        relay.connect(service)
        control = ControlPlane(
            service: service, ledger: ledger, signer: TokenSigner(authority: authority),
            endpoint: configuration.endpoint, outboundGuard: AddressGuard(allowed: configuration.deliveryAllow))
        try control.ensureSigningKey(now: now)
        try RootKeyFile(path: configuration.rootKeyPath).ensure(in: catalog)
        if configuration.isDevelopment {
            let name = try CacheName("default")
            if snapshot.cache(tenant: defaultTenant, name: name) == nil {
                _ = try catalog.putCache(name, tenant: defaultTenant, owner: Catalog.ownActor, actor: Catalog.ownActor)
            }
        }
        routes = AdminRoutes(control: control)
        executor = ControlExecutor(capacity: limits.controlQueue)
        operationsExecutor = ControlExecutor(capacity: limits.controlQueue)
        status = ServerStatus(service: service, control: control, handshakes: handshakes)
        for damage in ledger.recovery.damage {
            logger.error(
                "a counter lies below what was billed; nothing is billed for it", metadata: ["row": "\(damage)"])
        }
    }

    /// Folds the last counts and closes the files.
    func close(logger: Logger) throws {
        do {
            _ = try ledger.fold(now: clock.now())
        } catch {
            logger.error("the last counts stay in the counter file", metadata: ["error": "\(error)"])
        }
        try catalog.close()
    }
}

/// Carries what the catalog publishes to the service, which is made after it.
private final class PublishRelay: Sendable {
    private let service = Mutex<CacheService?>(nil)

    func connect(_ service: CacheService) {
        self.service.withLock { $0 = service }
    }

    func publish(_ snapshot: CatalogSnapshot) {
        service.withLock { $0 }?.catalogChanged(snapshot)
    }
}

extension TopicLimits {
    fileprivate init(_ configuration: ServeConfiguration) {
        self.init()
        messagesPerTopic = configuration.topics.retainedMessages
        bytesPerTopic = configuration.topics.retainedBytes
        retentionMilliseconds = configuration.topics.retainedMilliseconds
        totalBytes = configuration.memoryBytes / 8
    }
}

enum DataDirectory {
    /// Makes the directory, readable by its owner alone.
    ///
    /// - Throws: ``StartError`` when it cannot be made or written.
    static func prepare(_ path: String) throws {
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw StartError("cannot make the data directory \(path): \(String(cString: strerror(errno)))")
        }
        guard access(path, W_OK | X_OK) == 0 else {
            throw StartError("cannot write to the data directory \(path): \(String(cString: strerror(errno)))")
        }
    }
}

/// Keys that the installation makes once and keeps in the catalog, and one that lives as long as the process.
struct InstallationSecrets {
    /// Hashes values for ETags: stable over restarts.
    let valueHashKey: SipHashKey
    /// Places keys in the index: fresh at every start.
    let indexKey: SipHashKey

    init(catalog: Catalog) throws {
        var generator = SystemRandomNumberGenerator()
        indexKey = SipHashKey(k0: generator.next(), k1: generator.next())
        let name = "value_hash_key"
        if let stored = try catalog.setting(name), stored.count == 16 {
            valueHashKey = stored.withUnsafeBytes {
                SipHashKey(
                    k0: UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
                    k1: UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
            }
        } else {
            let words = [generator.next(), generator.next()] as [UInt64]
            let bytes = words.flatMap { word in withUnsafeBytes(of: word.littleEndian) { Array($0) } }
            try catalog.setSetting(name, to: bytes, actor: Catalog.ownActor)
            valueHashKey = SipHashKey(k0: words[0], k1: words[1])
        }
    }
}
