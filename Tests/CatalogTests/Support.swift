import Foundation
import Tenancy

@testable import Catalog

/// A directory that is there as long as the test is.
final class TestDirectory {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "martlet-catalog-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    var path: String { file("catalog.sqlite") }

    func file(_ name: String) -> String { url.appending(path: name).path }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same seed gives the same test.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

let testClock = ManualClock()

func cacheName(_ text: String) throws -> CacheName { try CacheName(text) }
func tenantName(_ text: String) throws -> TenantName { try TenantName(text) }

extension Catalog {
    /// The id of the tenant that is always there.
    var defaultTenant: TenantID {
        get throws {
            guard let tenant = snapshot.tenant(try TenantName(Catalog.defaultTenantName)) else {
                throw MartletError.notFound("Tenant")
            }
            return tenant.id
        }
    }

    /// What a fresh start would load from the file as it is now.
    func freshlyLoadedState() throws -> CatalogState {
        try read { database in try CatalogState(loadingFrom: database) }
    }

    func actions() throws -> [String] {
        try audit(of: nil, PageRequest(limit: 1000)).items.map { "\($0.action) \($0.subject)" }
    }
}

func makeLimits(_ values: [LimitName: UInt64]) -> Limits {
    var limits = Limits()
    for (name, value) in values { limits[name] = value }
    return limits
}

/// A key whose hashes follow from its id.
func makeKey(
    _ id: String, tenant: TenantID, tokenID: String? = nil, description: String? = nil, expiresAt: Timestamp? = nil,
    isSuperUser: Bool = false
) -> APIKeyRecord {
    APIKeyRecord(
        id: id, tenant: tenant, hash: makeHash(id), refreshHash: makeHash("refresh " + id), format: .v2,
        grant: Array(#"{"all":true}"#.utf8), isSuperUser: isSuperUser, tokenID: tokenID, description: description,
        createdAt: testClock.now(), expiresAt: expiresAt, durationSeconds: expiresAt == nil ? nil : 3600)
}

/// Thirty-two bytes that differ for different texts; no real hash is needed.
func makeHash(_ text: String) -> [UInt8] {
    var generator = SeededGenerator(
        seed: text.utf8.reduce(14_695_981_039_346_656_037) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 })
    return (0..<32).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
}

func makeToken(
    _ id: String, tenant: TenantID, tokenID: String? = nil, lifetimeSeconds: Int64 = 600
) -> TokenRecord {
    let now = testClock.now()
    return TokenRecord(
        id: id, tenant: tenant, tokenID: tokenID, issuedAt: now,
        expiresAt: now.adding(milliseconds: lifetimeSeconds * 1000), mintedBy: "root")
}

func makeTenantSigningKey(
    _ kid: String, tenant: TenantID, createdAt: Timestamp = testClock.now(), lifetimeMinutes: Int64 = 30
) -> TenantSigningKeyRecord {
    TenantSigningKeyRecord(
        kid: kid, tenant: tenant, publicPEM: "public \(kid)", createdAt: createdAt,
        expiresAt: createdAt.adding(milliseconds: lifetimeMinutes * 60_000))
}

func makeSigningKey(_ kid: String, createdAt: Timestamp = testClock.now()) -> SigningKeyRecord {
    SigningKeyRecord(kid: kid, privatePEM: "private \(kid)", publicPEM: "public \(kid)", createdAt: createdAt)
}
