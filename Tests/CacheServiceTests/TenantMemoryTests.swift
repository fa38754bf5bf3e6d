import Access
import Catalog
import Engine
import Tenancy
import Testing

@testable import CacheService

/// A tenant's limits on memory, over all its caches.
@Suite struct TenantMemoryTests {
    private static let value = String(repeating: "v", count: 1000)
    private let fixture: Fixture

    init() throws {
        fixture = try Fixture()
    }

    /// A tenant with two caches, and who writes to them.
    private struct Tenant {
        let caller: Caller
        let id: TenantID
        let credential: String
        let name: String
    }

    private func makeTenant(_ name: String, _ limits: [LimitName: UInt64?] = [:]) throws -> Tenant {
        let caller = try fixture.makeTenant(name, change(limits))
        let credential = try fixture.control.mintKey(
            KeyOrder(format: .v2, grant: .permissions(.allDataReadWrite)), caller: caller
        ).secret.presented
        for cache in ["first", "second"] {
            _ = try fixture.control.putCache(CacheName(cache), CacheChange(), caller: caller)
        }
        let record = try #require(fixture.catalog.snapshot.tenant(try TenantName(name)))
        return Tenant(caller: caller, id: record.id, credential: credential, name: name)
    }

    private func change(_ limits: [LimitName: UInt64?]) -> TenantChange {
        var change = TenantChange()
        for (name, value) in limits { change.limits[name] = value }
        return change
    }

    private func set(_ limits: [LimitName: UInt64?], of tenant: Tenant) throws {
        _ = try fixture.control.putTenant(TenantName(tenant.name), change(limits), caller: fixture.root)
    }

    private func fill(_ tenant: Tenant, _ range: Range<Int>) throws {
        for number in range {
            try fixture.set(
                "k\(number)", Self.value, in: number % 2 == 0 ? "first" : "second", with: tenant.credential)
        }
    }

    private func settle() {
        var ticks = 0
        while fixture.service.engine.tick(now: fixture.clock.now()), ticks < 10_000 { ticks += 1 }
    }

    @Test func aTenantsLimitHoldsOverItsCachesAndForNobodyElse() throws {
        let small = try makeTenant("small", [.maxBytes: 200_000])
        let other = try makeTenant("other")
        #expect(fixture.service.tenantStatistics(small.id) == (0, 0))
        try fill(other, 0..<400)
        let before = fixture.service.tenantStatistics(other.id)
        #expect(before.items == 400)
        try fill(small, 0..<1000)
        let held = fixture.service.tenantStatistics(small.id)
        #expect(held.bytes <= 200_000 && held.bytes > 150_000)
        #expect(held.items < 200 && held.items > 100)
        #expect(fixture.service.tenantStatistics(other.id) == before)
        #expect(fixture.service.engine.checkInvariants() == [])
    }

    @Test func aChangedLimitIsInForceWhenItWasAnswered() throws {
        let tenant = try makeTenant("changing")
        try fill(tenant, 0..<400)
        try set([.maxItems: 100], of: tenant)
        try fill(tenant, 1000..<1050)
        #expect(fixture.service.tenantStatistics(tenant.id).items <= 400, "it grows no more")
        settle()
        #expect(fixture.service.tenantStatistics(tenant.id).items == 100)
        try fill(tenant, 2000..<2050)
        #expect(fixture.service.tenantStatistics(tenant.id).items <= 100)
        try set([.maxItems: nil, .maxBytes: 0], of: tenant)
        #expect(throws: MartletError.memoryExhausted) { try fill(tenant, 0..<1) }
        settle()
        #expect(fixture.service.tenantStatistics(tenant.id).items == 0)
        try set([.maxBytes: nil], of: tenant)
        try fill(tenant, 0..<400)
        #expect(fixture.service.tenantStatistics(tenant.id).items == 400)
    }

    @Test func aTenantThatIsGoneLeavesNothingBehind() throws {
        let before = fixture.service.engine.accountedBytes
        let tenant = try makeTenant("passing", [.maxBytes: 200_000, .reservedBytes: 100_000])
        try fill(tenant, 0..<1000)
        try fixture.control.deleteTenant(TenantName("passing"), caller: fixture.root)
        #expect(fixture.service.tenantStatistics(tenant.id) == (0, 0))
        settle()
        #expect(fixture.service.engine.accountedBytes == before)
        #expect(fixture.service.engine.checkInvariants() == [])
        // One of the same name is another, with limits of its own.
        let again = try makeTenant("passing")
        try fill(again, 0..<400)
        #expect(fixture.service.tenantStatistics(again.id).items == 400)
    }

    /// What is reserved for one of its caches lies within what is the tenant's.
    @Test func whatIsReservedForATenantStaysWhileAnotherFillsTheProcess() throws {
        let tenant = try makeTenant("reserved", [.reservedBytes: 8 << 20])
        try fill(tenant, 0..<2000)
        let before = fixture.service.tenantStatistics(tenant.id)
        let flood = try makeTenant("flood")
        let large = String(repeating: "x", count: 400_000)
        for number in 0..<400 {
            try fixture.set("k\(number)", large, in: "first", with: flood.credential)
        }
        #expect(fixture.service.engine.accountedBytes <= fixture.service.engine.memoryBytes)
        #expect(fixture.service.tenantStatistics(tenant.id) == before)
    }
}
