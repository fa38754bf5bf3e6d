import Access
import CacheService
import Catalog
import Engine
import Foundation
import Metering
import Synchronization
import Tenancy

/// A whole service without a wire, whose clock stands still: a cache `free` with limits that nothing meets, and a cache
/// `shut` that has used up its only operation.
final class Stage {
    private let directory: URL
    private let service: CacheService
    private let lane: ServiceLane
    private let caller: LaneCaller
    private let value = [UInt8](repeating: 0x76, count: 100)
    private let into = UnsafeMutableRawBufferPointer.allocate(byteCount: 128, alignment: 16)

    init() throws {
        let clock = ManualClock(Timestamp(seconds: 500_000_000))
        directory = FileManager.default.temporaryDirectory.appending(path: "martlet-admission-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let catalog = try Catalog(path: directory.appending(path: "catalog.sqlite").path, clock: clock) { _, _ in }
        let meters = try MeterFile(path: directory.appending(path: "meters").path)
        let ledger = try Ledger(
            path: directory.appending(path: "ledger.sqlite").path, counters: meters, clock: clock)
        let authority = TokenAuthority(issuer: "https://martlet.test", audience: "martlet")
        guard let tenant = catalog.snapshot.tenant(try TenantName(Catalog.defaultTenantName)) else {
            fail("there is no default tenant")
        }
        let key = SipHashKey(k0: 1, k1: 2)
        service = CacheService(
            catalog: catalog,
            engine: try EmbeddedEngine(
                configuration: EngineConfiguration(
                    memoryBytes: 64 << 20, indexKey: key, valueHashKey: key, seals: false)),
            choice: .embedded, meters: meters, verifier: TokenVerifier(authority: authority),
            verification: VerificationQueue(capacity: 16), failures: FailureMemory(now: clock.now()),
            sizes: SizeDefaults(), clock: clock, defaultTenant: tenant.id, bodyBytes: 64 << 20)
        let control = ControlPlane(
            service: service, ledger: ledger, signer: TokenSigner(authority: authority), endpoint: "cache.test")
        try control.ensureSigningKey(now: clock.now())
        let root = Caller.root(defaultTenant: tenant.id)
        for (name, operations) in [("free", 1_000_000_000_000), ("shut", 1)] as [(String, UInt64)] {
            var change = CacheChange()
            change.limits = [
                .maxOperationsPerSecond: operations, .maxBytesInPerSecond: 1_000_000_000_000,
                .maxBytesOutPerSecond: 1_000_000_000_000,
            ]
            _ = try control.putCache(try CacheName(name), change, caller: root)
        }
        let order = KeyOrder(format: .v2, grant: .permissions(.allDataReadWrite))
        let credential = Array(try control.mintKey(order, caller: root).secret.presented.utf8)
        lane = ServiceLane(service: service, index: 0) { $0() }
        var allowance = CheckAllowance(.init(burst: 1, perSecond: 1), now: lane.now)
        let lane = lane
        let identity = credential.withUnsafeBytes {
            lane.identify($0, address: [], allowance: &allowance) { { _ in } }
        }
        guard case .known(let known) = identity else { fail("the key is not known") }
        caller = known
        try store()
    }

    deinit {
        into.deallocate()
        try? FileManager.default.removeItem(at: directory)
    }

    private func grant(_ cache: String, _ operation: CacheOperation) throws(MartletError) -> CacheGrant {
        try Array(cache.utf8).withUnsafeBufferPointer { (name) throws(MartletError) in
            try lane.permit(
                caller, cacheName: UnsafeRawBufferPointer(name), operation: operation, key: nil, door: .rest)
        }
    }

    /// Stores the value; in the cache that is shut this uses up what there is.
    private func store() throws {
        for cache in ["free", "shut"] {
            let grant = try grant(cache, .set)
            let ttl = try TTL(milliseconds: 600_000, field: "ttl")
            [0x6B].withUnsafeBytes { key in
                value.withUnsafeBytes { value in
                    _ = lane.set(grant, .rest, key: key, value: value, ttl: ttl, condition: .always) { { _ in } }
                }
            }
        }
    }

    func cases() throws -> [Case] {
        [
            get("service, GET", try grant("free", .get), isServed: true),
            get("service, GET refused", try grant("shut", .get), isServed: false),
            try command("commands, GET", "free", isServed: true),
            try command("commands, GET refused", "shut", isServed: false),
        ]
    }

    private func get(_ name: String, _ grant: CacheGrant, isServed: Bool) -> Case {
        Case(name: name) { [self] calls in
            var served = 0
            [0x6B].withUnsafeBytes { key in
                for _ in 0..<calls {
                    let reply = lane.get(grant, .rest, key: key) { count in
                        UnsafeMutableRawBufferPointer(rebasing: into[..<count])
                    } later: {
                        { _ in }
                    }
                    if case .here(.some) = reply { served += 1 }
                }
            }
            guard served == (isServed ? calls : 0) else { fail("\(name): \(served) of \(calls)") }
        }
    }

    private func command(_ name: String, _ cache: String, isServed: Bool) throws -> Case {
        let owned = OwnedArguments([Array("GET".utf8), [0x6B]])
        let identity = try Array(cache.utf8).withUnsafeBufferPointer { (name) throws(MartletError) in
            try lane.openCommands(caller, cacheName: UnsafeRawBufferPointer(name))
        }
        let writer = ReplyWriter()
        guard let call = lane.makeCall(identity, owned.arguments, reply: writer),
            let get = CommandTable.shared.command(named: owned.arguments[0])
        else { fail("\(cache) takes no commands") }
        return Case(name: name) { [self] calls in
            var served = 0
            for _ in 0..<calls {
                _ = lane.perform(get, call, owned.arguments, for: identity) { { _ in } }
                if writer.bytes[0] == 0x24 { served += 1 }
                writer.clear()
            }
            guard served == (isServed ? calls : 0) else { fail("\(name): \(served) of \(calls)") }
        }
    }
}
