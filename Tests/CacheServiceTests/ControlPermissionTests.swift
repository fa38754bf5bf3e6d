import Access
import Catalog
import Tenancy
import Testing

@testable import CacheService

/// Who may do what in the control plane, as one table.
struct ControlPermissionTests {
    /// What a caller tries: in the tenant of that name, or in the one that it gets without naming any.
    typealias Attempt = @Sendable (ControlPlane, Caller, TenantName?) throws -> Void

    struct Row: Sendable, CustomTestStringConvertible {
        let name: String
        let isForTenants: Bool
        let attempt: Attempt

        var testDescription: String { name }

        init(_ name: String, tenants isForTenants: Bool, _ attempt: @escaping Attempt) {
            self.name = name
            self.isForTenants = isForTenants
            self.attempt = attempt
        }
    }

    static let rows: [Row] = [
        Row("make a tenant", tenants: false) { control, caller, _ in
            _ = try control.putTenant(try TenantName("new"), TenantChange(), caller: caller)
        },
        Row("change its tenant", tenants: false) { control, caller, tenant in
            _ = try control.putTenant(try tenant ?? TenantName("acme"), TenantChange(), caller: caller)
        },
        Row("list tenants", tenants: false) { control, caller, _ in
            _ = try control.tenants(PageRequest(), caller: caller)
        },
        Row("delete its tenant", tenants: false) { control, caller, tenant in
            try control.deleteTenant(try tenant ?? TenantName("acme"), caller: caller)
        },
        Row("see its tenant", tenants: true) { control, caller, tenant in
            _ = try control.tenant(try tenant ?? TenantName("acme"), caller: caller)
        },
        Row("define a plan", tenants: false) { control, caller, _ in
            _ = try control.putPlan(try PlanName("new"), [:], caller: caller)
        },
        Row("see a plan", tenants: false) { control, caller, _ in
            _ = try control.plan(try PlanName("gold"), caller: caller)
        },
        Row("list plans", tenants: false) { control, caller, _ in
            _ = try control.plans(PageRequest(), caller: caller)
        },
        Row("delete a plan", tenants: false) { control, caller, _ in
            try control.deletePlan(try PlanName("gold"), caller: caller)
        },
        Row("make a cache", tenants: true) { control, caller, tenant in
            _ = try control.putCache(try CacheName("new"), CacheChange(), tenant: tenant, caller: caller)
        },
        Row("reserve memory for a cache", tenants: false) { control, caller, tenant in
            var change = CacheChange()
            change.limits = [.reservedBytes: 1]
            _ = try control.putCache(try CacheName("shop"), change, tenant: tenant, caller: caller)
        },
        Row("see a cache", tenants: true) { control, caller, tenant in
            _ = try control.cache(try CacheName("shop"), tenant: tenant, caller: caller)
        },
        Row("list caches", tenants: true) { control, caller, tenant in
            _ = try control.caches(PageRequest(), tenant: tenant, caller: caller)
        },
        Row("flush a cache", tenants: true) { control, caller, tenant in
            try control.flushCache(try CacheName("shop"), tenant: tenant, caller: caller)
        },
        Row("delete a cache", tenants: true) { control, caller, tenant in
            try control.deleteCache(try CacheName("shop"), tenant: tenant, caller: caller)
        },
        Row("make a data key", tenants: true) { control, caller, tenant in
            let order = KeyOrder(format: .v1, grant: .permissions(.allDataReadWrite))
            _ = try control.mintKey(order, tenant: tenant, caller: caller)
        },
        Row("make a super-user key", tenants: false) { control, caller, tenant in
            _ = try control.mintKey(KeyOrder(format: .v1, grant: .superUser), tenant: tenant, caller: caller)
        },
        Row("list keys", tenants: true) { control, caller, tenant in
            _ = try control.keys(PageRequest(), tenant: tenant, caller: caller)
        },
        Row("make a token", tenants: true) { control, caller, tenant in
            let order = TokenOrder(permissions: .allDataReadWrite, ttlSeconds: 60)
            _ = try control.mintToken(order, tenant: tenant, caller: caller)
        },
        Row("revoke tokens by label", tenants: true) { control, caller, tenant in
            try control.revokeTokens(tokenID: "label", tenant: tenant, caller: caller)
        },
        Row("list signing keys", tenants: true) { control, caller, _ in
            _ = try control.signingKeys(caller: caller)
        },
        Row("rotate signing keys", tenants: false) { control, caller, _ in
            _ = try control.rotateSigningKey(caller: caller)
        },
        Row("create a cache", tenants: true) { control, caller, tenant in
            try control.createCache(try CacheName("new"), tenant: tenant, caller: caller)
        },
        Row("make a signing key of the tenant", tenants: true) { control, caller, tenant in
            _ = try control.createTenantSigningKey(ttlMinutes: 5, tenant: tenant, caller: caller)
        },
        Row("list signing keys of the tenant", tenants: true) { control, caller, tenant in
            _ = try control.tenantSigningKeys(PageRequest(), tenant: tenant, caller: caller)
        },
        Row("read usage", tenants: true) { control, caller, tenant in
            _ = try control.usage(UsageRequest(), tenant: tenant, caller: caller)
        },
        Row("read the audit log", tenants: true) { control, caller, tenant in
            _ = try control.audit(PageRequest(), tenant: tenant, caller: caller)
        },
    ]

    private static func makeWorld() throws -> (fixture: Fixture, superUser: Caller, acme: TenantName) {
        let fixture = try Fixture()
        let superUser = try fixture.makeTenant("acme")
        _ = try fixture.control.putCache(try CacheName("shop"), CacheChange(), caller: superUser)
        _ = try fixture.control.putPlan(try PlanName("gold"), [:], caller: fixture.root)
        return (fixture, superUser, try TenantName("acme"))
    }

    /// What becomes of an attempt: nil when it succeeds.
    private static func refusal(_ attempt: () throws -> Void) -> MartletError? {
        do {
            try attempt()
            return nil
        } catch {
            return error as? MartletError ?? .internalFailure("\(error)")
        }
    }

    private static func isDenied(_ error: MartletError?) -> Bool {
        if case .permissionDenied = error { true } else { false }
    }

    @Test("the root key may do everything in every tenant", arguments: rows)
    func rootMayDoEverything(_ row: Row) throws {
        let (fixture, _, acme) = try Self.makeWorld()
        #expect(Self.refusal { try row.attempt(fixture.control, fixture.root, acme) } == nil)
    }

    @Test("a super-user may do what is a tenant's, in its own", arguments: rows)
    func superUserMayDoWhatIsATenants(_ row: Row) throws {
        let (fixture, superUser, acme) = try Self.makeWorld()
        let error = Self.refusal { try row.attempt(fixture.control, superUser, acme) }
        if row.isForTenants { #expect(error == nil) } else { #expect(Self.isDenied(error)) }
    }

    @Test("a super-user need not name its tenant", arguments: rows.filter(\.isForTenants))
    func superUserNeedNotNameItsTenant(_ row: Row) throws {
        let (fixture, superUser, _) = try Self.makeWorld()
        #expect(Self.refusal { try row.attempt(fixture.control, superUser, nil) } == nil)
    }

    @Test(
        "a super-user may do nothing in another tenant, and does not learn whether it exists",
        arguments: rows.filter { $0.isForTenants && $0.name != "list signing keys" }, ["other", "nobody"])
    func superUserMayDoNothingElsewhere(_ row: Row, _ tenant: String) throws {
        let (fixture, superUser, _) = try Self.makeWorld()
        let other = try fixture.makeTenant("other")
        _ = try fixture.control.putCache(try CacheName("shop"), CacheChange(), caller: other)
        let name = try TenantName(tenant)
        let error = Self.refusal { try row.attempt(fixture.control, superUser, name) }
        #expect(error == .permissionDenied("this credential belongs to another tenant"))
    }

    @Test("data keys and tokens may do nothing", arguments: rows)
    func dataKeysAndTokensMayDoNothing(_ row: Row) throws {
        let (fixture, superUser, acme) = try Self.makeWorld()
        for caller in [try fixture.makeDataKey(superUser), try fixture.makeToken(superUser)] {
            #expect(Self.isDenied(Self.refusal { try row.attempt(fixture.control, caller, acme) }))
            #expect(Self.isDenied(Self.refusal { try row.attempt(fixture.control, caller, nil) }))
        }
    }

    @Test("a credential that is revoked or has expired since may do nothing", arguments: rows)
    func deadCredentialsMayDoNothing(_ row: Row) throws {
        let (fixture, superUser, acme) = try Self.makeWorld()
        let order = KeyOrder(format: .v1, grant: .superUser, ttlSeconds: 60)
        let minted = try fixture.control.mintKey(order, tenant: acme, caller: fixture.root)
        let shortLived = try fixture.identify(minted.secret.presented)
        try fixture.control.revokeKey(id: superUser.credentialID, caller: superUser)
        #expect(Self.refusal { try row.attempt(fixture.control, superUser, acme) } == .revokedCredential)
        fixture.clock.advance(milliseconds: 60_000)
        #expect(Self.refusal { try row.attempt(fixture.control, shortLived, acme) } == .expiredCredential)
    }

    @Test func rootPicksDefaultWhenItPicksNone() throws {
        let (fixture, _, _) = try Self.makeWorld()
        let (report, created) = try fixture.control.putCache(try CacheName("here"), CacheChange(), caller: fixture.root)
        #expect(created)
        #expect(report.tenant.text == "default")
    }

    @Test func aTenantThatNobodyHasIsNotFoundByRoot() throws {
        let (fixture, _, _) = try Self.makeWorld()
        #expect(throws: MartletError.notFound("Tenant")) {
            try fixture.control.caches(PageRequest(), tenant: try TenantName("nobody"), caller: fixture.root)
        }
    }
}
