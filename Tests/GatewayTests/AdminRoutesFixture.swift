import Access
import Admission
import CacheService
import Catalog
import Engine
import Foundation
import Metering
import Tenancy
import Testing

@testable import Gateway

/// The control plane's routes over a catalog, a ledger and counters in a directory of their own. No socket, and a clock
/// that stands still.
final class AdminRoutesFixture {
    let clock = ManualClock(Timestamp(seconds: 500_000_000))
    let directory: URL
    let catalog: Catalog
    let meters: MeterFile
    let control: ControlPlane
    let routes: AdminRoutes
    let root: Caller

    init() throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "martlet-admin-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        catalog = try Catalog(path: directory.appending(path: "catalog.sqlite").path, clock: clock)
        meters = try MeterFile(path: directory.appending(path: "meters").path)
        let ledger = try Ledger(
            path: directory.appending(path: "ledger.sqlite").path, counters: meters, clock: clock)
        let authority = TokenAuthority(issuer: "https://martlet.test", audience: "martlet")
        let tenant = try #require(catalog.snapshot.tenant(try TenantName(Catalog.defaultTenantName)))
        let key = SipHashKey(k0: 1, k1: 2)
        let service = CacheService(
            catalog: catalog,
            engine: try EmbeddedEngine(
                configuration: EngineConfiguration(memoryBytes: 16 << 20, indexKey: key, valueHashKey: key)),
            choice: .embedded, meters: meters, verifier: TokenVerifier(authority: authority),
            verification: VerificationQueue(capacity: 4), failures: FailureMemory(now: clock.now()),
            sizes: SizeDefaults(), clock: clock, defaultTenant: tenant.id, bodyBytes: 16 << 20)
        control = ControlPlane(
            service: service, ledger: ledger, signer: TokenSigner(authority: authority), endpoint: "cache.test")
        try control.ensureSigningKey(now: clock.now())
        routes = AdminRoutes(control: control)
        root = .root(defaultTenant: tenant.id)
    }

    deinit { try? FileManager.default.removeItem(at: directory) }

    /// What a request is answered.
    struct Answer {
        let status: Int
        let json: JSONValue
        let text: String
        let contentType: ContentType
        let extra: [(name: String, value: String)]

        /// The field that an error names.
        var field: String? { json["field"]?.string }

        /// The members of an object, in their order.
        var names: [String] { json.object?.map(\.name) ?? [] }

        /// A text of each item of a list.
        func each(_ list: String, _ name: String) -> [String?] {
            json[list]?.array?.map { $0[name]?.string } ?? []
        }
    }

    /// Performs a request as the door does, errors included.
    ///
    /// - Parameters:
    ///   - target: What follows `/v1/admin/`, not percent-encoded.
    ///   - caller: Nil for root.
    func perform(
        _ method: HTTPMethod, _ target: String, _ body: String = "", as caller: Caller? = nil, csv: Bool = false
    ) throws -> Answer {
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let query = parts.dropFirst().first.map { $0.split(separator: "&") } ?? []
        let request = AdminRequest(
            method: method, path: parts[0].split(separator: "/", omittingEmptySubsequences: false).map(String.init),
            query: query.map { pair in
                let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                return (String(sides[0]), sides.count > 1 ? String(sides[1]) : "")
            },
            body: Array(body.utf8), caller: caller ?? root, wantsCSV: csv, now: clock.now())
        do throws(MartletError) {
            let response = try routes.respond(to: request)
            let isJSON = response.contentType == .json
            return Answer(
                status: response.status, json: isJSON ? try JSONParser.parse(response.body, ceiling: 1 << 20) : .null,
                text: String(decoding: response.body, as: UTF8.self), contentType: response.contentType,
                extra: response.extra)
        } catch {
            var members = [JSONValue.Member("code", .string(error.row.code))]
            members.append(.init("message", .string(error.message)))
            if let field = error.field { members.append(.init("field", .string(field))) }
            return Answer(
                status: error.row.httpStatus, json: .object(members), text: error.message, contentType: .json, extra: []
            )
        }
    }

    /// A new tenant's super-user.
    func makeTenant(_ name: String) throws -> Caller {
        let key = try #require(try control.putTenant(TenantName(name), TenantChange(), caller: root).key)
        return .apiKey(
            id: key.record.id, tenant: key.record.tenant, tokenID: nil, expiresAt: nil, grant: .superUser)
    }

    /// Counts one operation of a cache, as the data path does.
    func count(_ cache: String, of tenant: String = "default", door: Door = .rest) throws {
        let account = try #require(catalog.snapshot.tenant(try TenantName(tenant)))
        let record = try #require(catalog.snapshot.cache(tenant: account.id, name: try CacheName(cache)))
        try meters.row(lane: 0, tenant: account.id, cache: record.id, door: door)
            .recordRead(keyBytes: 3, valueBytes: 10)
    }
}
