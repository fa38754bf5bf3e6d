import Access
import Catalog
import Engine
import Metering
import Tenancy
import Testing

@testable import CacheService

/// Tenants, caches, usage and the audit log through the control plane.
struct ControlCatalogTests {
    @Test func newTenantComesWithItsSuperUserKeyAndAChangedOneWithout() throws {
        let fixture = try Fixture()
        var change = TenantChange()
        change.plan = "gold"
        change.labels = ["team": "a", "stage": "test"]
        change.limits = [.maxCaches: 2, .maxBytes: 1_000]
        let name = try TenantName("acme")
        let made = try fixture.control.putTenant(name, change, caller: fixture.root)
        let key = try #require(made.key)
        let caller = try fixture.identify(key.secret.presented)
        #expect(caller.kind == .superUser)
        #expect(caller.tenant == made.report.record.id)

        var second = TenantChange()
        second.limits = [.maxBytes: nil, .maxItems: 7]
        second.labels = ["stage": nil]
        let changed = try fixture.control.putTenant(name, second, caller: fixture.root)
        #expect(changed.key == nil)
        #expect(changed.report.record.limits[.maxCaches] == 2)
        #expect(changed.report.record.limits[.maxBytes] == nil)
        #expect(changed.report.record.limits[.maxItems] == 7)
        #expect(changed.report.record.plan == "gold")
        #expect(changed.report.record.labels == ["team": "a"])
    }

    @Test func deletedTenantTakesItsCachesAndCredentialsWithIt() throws {
        let fixture = try Fixture()
        let name = try TenantName("acme")
        let made = try fixture.control.putTenant(name, TenantChange(), caller: fixture.root)
        let secret = try #require(made.key).secret.presented
        let acme = try fixture.identify(secret)
        _ = try fixture.control.putCache(try CacheName("shop"), CacheChange(), caller: acme)
        let token = try fixture.control.mintToken(
            TokenOrder(permissions: .allDataReadWrite, ttlSeconds: 600), caller: acme)
        _ = try fixture.identify(token.presented)

        try fixture.control.deleteTenant(name, caller: fixture.root)
        #expect(throws: MartletError.revokedCredential) { try fixture.identify(secret) }
        #expect(throws: MartletError.revokedCredential) { try fixture.identify(token.presented) }
        #expect(throws: MartletError.revokedCredential) {
            try fixture.control.caches(PageRequest(), caller: acme)
        }
        let again = try fixture.makeTenant("acme")
        #expect(again.tenant != acme.tenant)
        #expect(try fixture.control.caches(PageRequest(), caller: again).items.isEmpty)
    }

    @Test func tenantDefaultStays() throws {
        let fixture = try Fixture()
        let error = #expect(throws: MartletError.self) {
            try fixture.control.deleteTenant(try TenantName("default"), caller: fixture.root)
        }
        #expect(error?.field == "tenant")
    }

    @Test func flushEmptiesOneCacheAndIsWrittenDown() throws {
        let fixture = try Fixture()
        let made = try fixture.control.putTenant(try TenantName("acme"), TenantChange(), caller: fixture.root)
        let secret = try #require(made.key).secret.presented
        let acme = try fixture.identify(secret)
        for cache in ["shop", "other"] {
            _ = try fixture.control.putCache(try CacheName(cache), CacheChange(), caller: acme)
            try fixture.set("k", "value", in: cache, with: secret)
        }
        #expect(try fixture.control.cache(try CacheName("shop"), caller: acme).statistics?.items.items == 1)

        try fixture.control.flushCache(try CacheName("shop"), caller: acme)
        #expect(try fixture.length(of: "k", in: "shop", with: secret) == nil)
        #expect(try fixture.length(of: "k", in: "other", with: secret) == 5)
        #expect(try fixture.control.cache(try CacheName("shop"), caller: acme).statistics?.items.items == 0)
        let event = try #require(try fixture.control.audit(PageRequest(limit: 1), caller: acme).rows.first)
        #expect(event.event.action == "cache.flush")
        #expect(event.event.subject == "shop")
        #expect(event.event.actor == acme.credentialID)
        #expect(throws: MartletError.cacheNotFound) {
            try fixture.control.flushCache(try CacheName("none"), caller: acme)
        }
    }

    @Test func cachesOfOneNameInTwoTenantsAreTwoCaches() throws {
        let fixture = try Fixture()
        let secrets = try ["acme", "other"].map { name in
            try #require(
                try fixture.control.putTenant(try TenantName(name), TenantChange(), caller: fixture.root).key
            ).secret.presented
        }
        for secret in secrets {
            _ = try fixture.control.putCache(
                try CacheName("shop"), CacheChange(), caller: try fixture.identify(secret))
        }
        try fixture.set("k", "value", in: "shop", with: secrets[0])
        #expect(try fixture.length(of: "k", in: "shop", with: secrets[0]) == 5)
        #expect(try fixture.length(of: "k", in: "shop", with: secrets[1]) == nil)
        try fixture.control.deleteCache(try CacheName("shop"), caller: try fixture.identify(secrets[1]))
        #expect(try fixture.length(of: "k", in: "shop", with: secrets[0]) == 5)
    }

    @Test func cacheKeepsWhatAChangeDoesNotName() throws {
        let fixture = try Fixture()
        let name = try CacheName("shop")
        var change = CacheChange()
        change.limits = [.maxItems: 5, .defaultTTLSeconds: 60]
        change.labels = ["team": "a"]
        change.compression = .zstd
        _ = try fixture.control.putCache(name, change, caller: fixture.root)
        var second = CacheChange()
        second.limits = [.maxItems: nil]
        let (report, created) = try fixture.control.putCache(name, second, caller: fixture.root)
        #expect(!created)
        #expect(report.record.limits.set.map(\.name) == [.defaultTTLSeconds])
        #expect(report.record.labels == ["team": "a"])
        #expect(report.record.compression == .zstd)
        #expect(report.record.owner == "root")
    }

    @Test(arguments: [LimitName.maxCaches, .maxTokensPerSecond, .maxTokenTTLSeconds, .weight])
    func limitsOfTenantsAreNotForCaches(_ limit: LimitName) throws {
        let fixture = try Fixture()
        var change = CacheChange()
        change.limits = [limit: 1]
        let error = #expect(throws: MartletError.self) {
            try fixture.control.putCache(try CacheName("shop"), change, caller: fixture.root)
        }
        #expect(error?.field == "limits.\(limit.rawValue)")
    }

    @Test func tenantHasNoMoreCachesThanItMay() throws {
        let fixture = try Fixture()
        var change = TenantChange()
        change.limits = [.maxCaches: 1]
        let acme = try fixture.makeTenant("acme", change)
        _ = try fixture.control.putCache(try CacheName("one"), CacheChange(), caller: acme)
        #expect(throws: MartletError.countLimited(limit: .maxCaches, value: 1)) {
            try fixture.control.putCache(try CacheName("two"), CacheChange(), caller: acme)
        }
    }

    @Test func usageNamesCachesThatAreGone() throws {
        let fixture = try Fixture()
        let name = try TenantName("acme")
        let made = try fixture.control.putTenant(name, TenantChange(), caller: fixture.root)
        let secret = try #require(made.key).secret.presented
        let acme = try fixture.identify(secret)
        _ = try fixture.control.putCache(try CacheName("shop"), CacheChange(), caller: acme)
        try fixture.set("k", "value", in: "shop", with: secret)
        try fixture.control.deleteCache(try CacheName("shop"), caller: acme)

        var request = UsageRequest()
        request.cache = try CacheName("shop")
        request.door = .rest
        let row = try #require(try fixture.control.usage(request, caller: acme).rows.first)
        #expect(row.tenant == "acme")
        #expect(row.cache == "shop")
        #expect(row.usage[.operations] == 1)
        #expect(row.usage[.bytesIn] == 6)
        request.door = .resp
        #expect(try fixture.control.usage(request, caller: acme).rows.isEmpty)
        request.cache = try CacheName("never")
        #expect(throws: MartletError.cacheNotFound) { try fixture.control.usage(request, caller: acme) }

        // Nobody else's, and the operator's even when the tenant is gone.
        #expect(try fixture.control.usage(UsageRequest(), caller: fixture.root).rows.isEmpty)
        try fixture.control.deleteTenant(name, caller: fixture.root)
        let rows = try fixture.control.usage(UsageRequest(), tenant: name, caller: fixture.root).rows
        #expect(rows.map(\.tenant) == ["acme"])
        #expect(throws: MartletError.notFound("Tenant")) {
            try fixture.control.usage(UsageRequest(), tenant: try TenantName("nobody"), caller: fixture.root)
        }
    }

    @Test func usageOfTheLastDayIncludesTheOpenMinuteAndNothingOlder() throws {
        let fixture = try Fixture()
        let key = try fixture.control.mintKey(
            KeyOrder(format: .v1, grant: .permissions(.allDataReadWrite)), caller: fixture.root)
        _ = try fixture.control.putCache(try CacheName("shop"), CacheChange(), caller: fixture.root)
        try fixture.set("k", "value", in: "shop", with: key.secret.presented)
        #expect(try fixture.control.usage(UsageRequest(), caller: fixture.root).rows.count == 1)
        fixture.clock.advance(milliseconds: 86_400_000 + 60_000)
        #expect(try fixture.control.usage(UsageRequest(), caller: fixture.root).rows.isEmpty)
        var request = UsageRequest()
        request.from = Timestamp(seconds: 0)
        request.window = .day
        #expect(try fixture.control.usage(request, caller: fixture.root).rows.count == 1)
        request.from = fixture.clock.now().adding(milliseconds: 1_000)
        let future = #expect(throws: MartletError.self) {
            try fixture.control.usage(request, caller: fixture.root)
        }
        #expect(future?.field == "from")
    }

    @Test func auditShowsEachTenantItsOwnAndRootAll() throws {
        let fixture = try Fixture()
        let acme = try fixture.makeTenant("acme")
        let other = try fixture.makeTenant("other")
        _ = try fixture.control.putCache(try CacheName("shop"), CacheChange(), caller: acme)
        _ = try fixture.control.putCache(try CacheName("desk"), CacheChange(), caller: other)
        _ = try fixture.control.rotateSigningKey(caller: fixture.root)
        let page = try PageRequest()
        let own = try fixture.control.audit(page, caller: acme).rows
        #expect(own.map(\.event.action) == ["cache.create", "key.create", "tenant.create"])
        #expect(own.map(\.tenant) == ["acme", "acme", "acme"])
        let all = try fixture.control.audit(page, caller: fixture.root).rows
        #expect(all.first?.event.action == "signing_key.rotate")
        #expect(all.first?.tenant == nil)
        #expect(all.first?.event.actor == "root")
        #expect(all.count > own.count + 3)
        let picked = try fixture.control.audit(page, tenant: try TenantName("acme"), caller: fixture.root).rows
        #expect(picked.map(\.event.sequence) == own.map(\.event.sequence))
    }

    @Test func changesAtOnceDoNotUndoEachOther() async throws {
        let fixture = try Fixture()
        let control = fixture.control
        let root = fixture.root
        try await withThrowingTaskGroup(of: Void.self) { group in
            for limit in LimitName.allCases where !limit.isOfTenantsOnly {
                group.addTask {
                    var change = CacheChange()
                    change.limits = [limit: 1]
                    _ = try control.putCache(try CacheName("shop"), change, caller: root)
                }
            }
            try await group.waitForAll()
        }
        let record = try control.cache(try CacheName("shop"), caller: root).record
        #expect(record.limits.set.count == LimitName.allCases.filter { !$0.isOfTenantsOnly }.count)
    }
}
