import Access
import Catalog
import Tenancy
import Testing

@testable import CacheService

/// Plans in force, and what is used of limits.
@Suite struct ControlPlanTests {
    private let fixture: Fixture
    private let gold: PlanName
    private let acme: Caller
    private let secret: String

    init() throws {
        fixture = try Fixture()
        gold = try PlanName("gold")
        var change = TenantChange()
        change.plan = "gold"
        acme = try fixture.makeTenant("acme", change)
        secret = try fixture.control.mintKey(
            KeyOrder(format: .v1, grant: .permissions(.allDataReadWrite)), caller: acme
        ).secret.presented
        _ = try fixture.control.putCache(try CacheName("shop"), CacheChange(), caller: acme)
    }

    private func setPlan(_ limits: LimitChanges) throws {
        _ = try fixture.control.putPlan(gold, limits, caller: fixture.root)
    }

    private func setOwn(_ limits: LimitChanges) throws {
        var change = TenantChange()
        change.limits = limits
        _ = try fixture.control.putTenant(try TenantName("acme"), change, caller: fixture.root)
    }

    private func refusal(_ key: String = "k", _ value: String = "v") -> MartletError? {
        do {
            try fixture.set(key, value, in: "shop", with: secret)
            return nil
        } catch {
            return error as? MartletError
        }
    }

    @Test func aPlanIsInForceWhenItIsAnswered() throws {
        #expect(refusal() == nil)
        try setPlan([.maxOperationsPerSecond: 0])
        #expect(refusal()?.limit?.name == "max_operations_per_second")
        try setPlan([.maxOperationsPerSecond: nil, .maxItemBytes: 10])
        #expect(refusal("k", "0123456789") == .tooLarge(limit: .maxItemBytes, value: 10))
        try setPlan([.maxItemBytes: 11])
        #expect(refusal("k", "0123456789") == nil)
        try setOwn([.maxItemBytes: 5])
        #expect(refusal("k", "0123456789") == .tooLarge(limit: .maxItemBytes, value: 5))
        try setOwn([.maxItemBytes: nil])
        #expect(refusal("k", "0123456789") == nil)
    }

    @Test func burstsAreThePlansToo() throws {
        try setPlan([.maxOperationsPerSecond: 1, .burstOperations: 7])
        #expect((0..<20).filter { _ in refusal() == nil }.count == 7)
    }

    @Test func tokensAndCachesAreThePlansToo() throws {
        try setPlan([.maxTokensPerSecond: 1, .maxTokenTTLSeconds: 600, .maxCaches: 1])
        let permissions = PermissionSet.allDataReadWrite
        let long = #expect(throws: MartletError.self) {
            try fixture.control.mintToken(TokenOrder(permissions: permissions, ttlSeconds: 601), caller: acme)
        }
        #expect(long?.field == "ttl_seconds")
        _ = try fixture.control.mintToken(TokenOrder(permissions: permissions, ttlSeconds: 600), caller: acme)
        let second = #expect(throws: MartletError.self) {
            try fixture.control.mintToken(TokenOrder(permissions: permissions, ttlSeconds: 600), caller: acme)
        }
        #expect(second?.limit?.name == "max_tokens_per_second")
        let use = try fixture.control.tenant(try TenantName("acme"), caller: acme).use
        #expect(use.first { $0.name == .maxTokensPerSecond } == .init(name: .maxTokensPerSecond, limit: 1, used: 1))
        #expect(throws: MartletError.countLimited(limit: .maxCaches, value: 1)) {
            try fixture.control.putCache(try CacheName("two"), CacheChange(), caller: acme)
        }
    }

    @Test func aCacheMeetsTheSmallerOfItsOwnAndThePlans() throws {
        try setPlan([.maxOperationsPerSecond: 50, .maxMessageBytes: 1_000])
        let report = try fixture.control.cache(try CacheName("shop"), caller: acme)
        #expect(report.limitsInForce[.maxOperationsPerSecond] == 50)
        #expect(report.limitsInForce[.maxMessageBytes] == 1_000)
        #expect(report.record.limits == Limits())
    }

    @Test func useIsShownBesideTheLimitsOfItsLevel() throws {
        var change = CacheChange()
        change.limits = [.maxItems: 5, .maxOperationsPerSecond: 10]
        _ = try fixture.control.putCache(try CacheName("shop"), change, caller: acme)
        _ = try fixture.control.putCache(try CacheName("desk"), CacheChange(), caller: acme)
        try setPlan([.maxBytes: 1_000_000, .maxCaches: 4])
        for number in 0..<3 { try fixture.set("k\(number)", "value", in: "shop", with: secret) }
        try fixture.set("k", "value", in: "desk", with: secret)

        let cache = try fixture.control.cache(try CacheName("shop"), caller: acme)
        let shown = Dictionary(uniqueKeysWithValues: cache.use.map { ($0.name, $0) })
        #expect(shown[.maxItems] == LimitUse(name: .maxItems, limit: 5, used: 3))
        #expect(
            shown[.maxOperationsPerSecond] == LimitUse(name: .maxOperationsPerSecond, limit: 10, used: 3))
        #expect(shown[.maxBytes]?.limit == nil && (shown[.maxBytes]?.used ?? 0) > 0)
        #expect(shown[.maxConnections] == LimitUse(name: .maxConnections, limit: nil, used: 0))
        #expect(shown.count == 8)

        let tenant = try fixture.control.tenant(try TenantName("acme"), caller: fixture.root)
        let sums = Dictionary(uniqueKeysWithValues: tenant.use.map { ($0.name, $0) })
        #expect(sums[.maxItems] == LimitUse(name: .maxItems, limit: nil, used: 4))
        #expect(sums[.maxBytes]?.limit == 1_000_000)
        #expect((sums[.maxBytes]?.used ?? 0) > (shown[.maxBytes]?.used ?? 0))
        #expect(sums[.maxCaches] == LimitUse(name: .maxCaches, limit: 4, used: 2))
        #expect(sums.count == 10)
        let listed = try fixture.control.tenants(PageRequest(), caller: fixture.root).items
        #expect(listed.first { $0.record.name.text == "acme" }?.use == tenant.use)
        #expect(listed.first { $0.record.name.text == "default" }?.use.allSatisfy { $0.used == 0 } == true)
    }

    @Test func aChangeElsewhereForgivesNoDebt() throws {
        try setPlan([.maxOperationsPerSecond: 2])
        #expect((0..<5).filter { _ in refusal() == nil }.count == 2)
        for number in 0..<5 {
            _ = try fixture.control.putCache(try CacheName("c\(number)"), CacheChange(), caller: acme)
        }
        #expect(refusal() != nil)
    }
}
