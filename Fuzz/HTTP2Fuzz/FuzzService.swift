import Access
import Admission
import CacheService
import Catalog
import Engine
import Foundation
import Logging
import Metering
import NIOEmbedded
import Tenancy

@testable import Gateway

/// A lane over a whole service in a directory of its own, made once for the process.
///
/// Unchecked: libFuzzer calls its target on one thread.
final class FuzzService: @unchecked Sendable {
    static let shared: FuzzService = {
        do { return try FuzzService() } catch { preconditionFailure("no service to test: \(error)") }
    }()

    let loop = EmbeddedEventLoop()
    let lane: GatewayLane
    private let service: CacheService
    private let credential: [UInt8]

    var bytesInFlight: Int { service.bodyBudget.inUse }

    private struct Status: SystemStatus {
        var readiness: (isReady: Bool, reason: String) { (true, "ready") }
        var jwks: [UInt8] { [] }
        func metrics() -> [UInt8] { [] }
    }

    /// The control plane is not what is tested here.
    private struct NoRoutes: AdminRouting {
        func respond(to request: AdminRequest) throws(MartletError) -> AdminResponse { throw .notFound("Path") }
    }

    private init() throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "martlet-fuzz-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let clock = ManualClock(Timestamp(seconds: 500_000_000))
        let catalog = try Catalog(path: directory.appending(path: "catalog.sqlite").path, clock: clock)
        let meters = try MeterFile(path: directory.appending(path: "meters").path)
        let tenant = try TenantName(Catalog.defaultTenantName)
        guard let account = catalog.snapshot.tenant(tenant) else { throw MartletError.cacheNotFound }
        _ = try catalog.putCache(CacheName("shop"), tenant: account.id, owner: "fuzz", actor: "fuzz")
        let root = try APIKeys.issueRoot()
        try catalog.setRootKeyHash(root.hash.bytes, actor: "fuzz")
        credential = Array(root.presented.utf8)
        let key = SipHashKey(k0: 1, k1: 2)
        let authority = TokenAuthority(issuer: "martlet", audience: "martlet")
        service = CacheService(
            catalog: catalog,
            engine: try EmbeddedEngine(
                configuration: EngineConfiguration(memoryBytes: 64 << 20, indexKey: key, valueHashKey: key)),
            choice: .embedded, meters: meters, verifier: TokenVerifier(authority: authority),
            verification: VerificationQueue(capacity: 1), failures: FailureMemory(now: clock.now()),
            sizes: SizeDefaults(), clock: clock, defaultTenant: account.id, bodyBytes: 64 << 20)
        let executor = ControlExecutor(capacity: 0)
        let router = HTTPRouter(
            rest: RESTDoor(), admin: AdminDoor(routes: NoRoutes(), executor: executor),
            system: SystemDoor(status: Status(), servesMetrics: false, executor: executor))
        lane = GatewayLane(
            eventLoop: loop, service: ServiceLane(service: service, index: 0) { _ in }, limits: GatewayLimits(),
            router: router, logger: Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() })
    }

    /// The bytes with `@KEY@` replaced, so that an input is good in every run.
    func withCredentials(_ bytes: Slice<UnsafeRawBufferPointer>) -> [UInt8] {
        let mark = Array("@KEY@".utf8)
        var result: [UInt8] = []
        var index = bytes.startIndex
        while index < bytes.endIndex {
            if bytes[index] == mark[0], bytes[index...].starts(with: mark) {
                result += credential
                index += mark.count
            } else {
                result.append(bytes[index])
                index += 1
            }
        }
        return result
    }
}

/// The threads' queue of ``ControlExecutor`` lies behind a pointer with a tag, which the leak checker takes for none.
@_cdecl("__lsan_is_turned_off")
package func isLeakCheckOff() -> CInt { 1 }
