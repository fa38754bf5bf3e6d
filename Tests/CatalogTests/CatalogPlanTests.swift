import GRDB
import Tenancy
import Testing

@testable import Catalog

struct CatalogPlanTests {
    let directory: TestDirectory
    let catalog: Catalog
    let gold: PlanName

    init() throws {
        directory = try TestDirectory()
        catalog = try Catalog(path: directory.path, clock: testClock)
        gold = try PlanName("gold")
    }

    private func tenant(_ name: String) throws -> TenantRecord {
        try #require(catalog.snapshot.tenant(try tenantName(name)))
    }

    @Test func aPlanIsDefinedChangedAndDeletedWithItsEvents() throws {
        let (made, created) = try catalog.putPlan(gold, limits: makeLimits([.maxCaches: 3]), actor: "root")
        #expect(created && made.limits[.maxCaches] == 3)
        #expect(catalog.snapshot.plan(gold) == made && catalog.snapshot.planCount == 1)
        let (same, again) = try catalog.putPlan(gold, actor: "root")
        #expect(!again && same == made)
        let (changed, _) = try catalog.putPlan(gold, limits: makeLimits([.maxItems: 9]), actor: "root")
        #expect(changed.limits == makeLimits([.maxItems: 9]) && changed.createdAt == made.createdAt)
        try catalog.deletePlan(gold, actor: "root")
        #expect(catalog.snapshot.plan(gold) == nil)
        #expect(throws: MartletError.notFound("Plan")) { try catalog.deletePlan(gold, actor: "root") }
        #expect(
            try catalog.actions() == [
                "plan.delete gold", "plan.update gold", "plan.create gold", "tenant.create default",
            ])
        let events = try catalog.audit(of: nil, PageRequest()).items
        #expect(events[1].detail == #"{"limits":{"max_items":9}}"# && events[1].tenant == nil)
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
    }

    @Test func aTenantHasItsOwnLimitsOverThoseOfItsPlan() throws {
        _ = try catalog.putPlan(gold, limits: makeLimits([.maxCaches: 3, .maxItems: 5, .weight: 200]), actor: "root")
        let (made, _) = try catalog.putTenant(
            try tenantName("team"), limits: makeLimits([.maxItems: 50]), plan: "gold", actor: "root")
        #expect(made.limits == makeLimits([.maxItems: 50]))
        #expect(made.planLimits == makeLimits([.maxCaches: 3, .maxItems: 5, .weight: 200]))
        #expect(made.limitsInForce == makeLimits([.maxCaches: 3, .maxItems: 50, .weight: 200]))
        let (own, _) = try catalog.putTenant(made.name, limits: makeLimits([.maxCaches: 1]), actor: "root")
        #expect(own.limitsInForce == makeLimits([.maxCaches: 1, .maxItems: 5, .weight: 200]))
        let (left, _) = try catalog.putTenant(made.name, plan: "", actor: "root")
        #expect(left.planLimits == nil && left.limitsInForce == makeLimits([.maxCaches: 1]))
    }

    @Test func aChangeOfAPlanReachesItsTenantsAndNoOthers() throws {
        for (name, plan) in [("a", "gold"), ("b", "gold"), ("c", "silver"), ("d", "")] {
            _ = try catalog.putTenant(try tenantName(name), plan: plan, actor: "root")
        }
        #expect(try tenant("a").planLimits == nil, "a plan that is not defined has no effect")
        _ = try catalog.putPlan(gold, limits: makeLimits([.maxItems: 5]), actor: "root")
        for limit in [UInt64(5), 6, 4] {
            _ = try catalog.putPlan(gold, limits: makeLimits([.maxItems: limit]), actor: "root")
            #expect(try tenant("a").limitsInForce[.maxItems] == limit)
            #expect(try tenant("b").limitsInForce[.maxItems] == limit)
        }
        #expect(try tenant("c").limitsInForce == Limits() && tenant("d").limitsInForce == Limits())
        #expect(catalog.snapshot.tenantCounts(of: [gold]) == [gold: 2])
        let listed = try catalog.tenants(PageRequest()).items
        #expect(listed.map(\.limitsInForce[.maxItems]) == [4, 4, nil, nil, nil])
    }

    @Test func aPlanInUseStays() throws {
        _ = try catalog.putPlan(gold, actor: "root")
        for name in ["a", "b"] { _ = try catalog.putTenant(try tenantName(name), plan: "gold", actor: "root") }
        let version = catalog.currentVersion
        #expect(throws: MartletError.inUse("the plan has 2 tenants: put them on another plan first")) {
            try catalog.deletePlan(gold, actor: "root")
        }
        #expect(catalog.currentVersion == version)
        _ = try catalog.putTenant(try tenantName("a"), plan: "silver", actor: "root")
        #expect(throws: MartletError.inUse("the plan has a tenant: put them on another plan first")) {
            try catalog.deletePlan(gold, actor: "root")
        }
        try catalog.deleteTenant(try tenantName("b"), actor: "root")
        try catalog.deletePlan(gold, actor: "root")
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
    }

    @Test func aPlansMaxCachesHoldsForItsTenants() throws {
        _ = try catalog.putPlan(gold, limits: makeLimits([.maxCaches: 1]), actor: "root")
        let (team, _) = try catalog.putTenant(try tenantName("team"), plan: "gold", actor: "root")
        _ = try catalog.putCache(try cacheName("one"), tenant: team.id, owner: "o", actor: "a")
        #expect(throws: MartletError.countLimited(limit: .maxCaches, value: 1)) {
            try catalog.putCache(try cacheName("two"), tenant: team.id, owner: "o", actor: "a")
        }
        _ = try catalog.putPlan(gold, limits: makeLimits([.maxCaches: 2]), actor: "root")
        _ = try catalog.putCache(try cacheName("two"), tenant: team.id, owner: "o", actor: "a")
    }

    @Test func plansAreListedPageByPageAndAreNotWithoutBound() throws {
        // All at once: a change for each would sync the disk a thousand times.
        try catalog.pool.write { database in
            for number in 0..<PlanLimits.perInstallation {
                try database.execute(
                    sql: "INSERT INTO plans (name, limits, created_at) VALUES (?, '{}', 1)",
                    arguments: ["p\(1000 + number)"])
            }
        }
        try catalog.close()
        let catalog = try Catalog(path: directory.path, clock: testClock)
        #expect(throws: MartletError.tooMany("plans", limit: 1000)) {
            try catalog.putPlan(try PlanName("one more"), actor: "root")
        }
        var names: [String] = []
        var next: String?
        repeat {
            let page = try catalog.plans(PageRequest(limit: 300, nextToken: next))
            names += page.items.map(\.name.text)
            next = page.nextToken
        } while next != nil
        #expect(names == (1000..<2000).map { "p\($0)" })
    }

    @Test func plansSurviveARestart() throws {
        _ = try catalog.putPlan(gold, limits: makeLimits([.maxItems: 5, .burstOperations: 7]), actor: "root")
        _ = try catalog.putTenant(try tenantName("team"), plan: "gold", actor: "root")
        let state = catalog.snapshot.state
        try catalog.close()
        let again = try Catalog(path: directory.path, clock: testClock)
        #expect(again.snapshot.state == state)
        #expect(again.snapshot.tenant(try tenantName("team"))?.limitsInForce[.burstOperations] == 7)
    }

    /// A file as versions without plans left it: its tenants may name plans.
    @Test func aCatalogWithoutPlansOpensAndGetsThem() throws {
        let old = try TestDirectory()
        let queue = try DatabaseQueue(path: old.path)
        try queue.writeWithoutTransaction { database in
            try database.execute(sql: "PRAGMA application_id = \(CatalogSchema.applicationID)")
        }
        try CatalogSchema.migrator.migrate(queue, upTo: "webhooks")
        try queue.write { database in
            #expect(try !database.tableExists("plans"))
            try database.execute(
                sql: """
                    INSERT INTO tenants (name, limits, plan, labels, created_at)
                        VALUES ('default', '{}', NULL, '{}', 1), ('team', '{"max_items":3}', 'gold', '{}', 1)
                    """)
        }
        try queue.close()

        let opened = try Catalog(path: old.path, clock: testClock)
        let team = try #require(opened.snapshot.tenant(try tenantName("team")))
        #expect(team.plan == "gold" && team.planLimits == nil && team.limitsInForce == makeLimits([.maxItems: 3]))
        _ = try opened.putPlan(gold, limits: makeLimits([.maxItems: 9, .maxCaches: 2]), actor: "root")
        #expect(opened.snapshot.tenant(team.id)?.limitsInForce == makeLimits([.maxItems: 3, .maxCaches: 2]))
        try opened.close()
    }

    @Test func theLargestMessageLimitOfATenantsCachesIsKnown() throws {
        let tenant = try catalog.defaultTenant
        #expect(catalog.snapshot.largestMessageLimit(of: tenant) == nil)
        for (name, limit) in [("a", UInt64(10)), ("b", 30), ("c", 20)] {
            _ = try catalog.putCache(
                try cacheName(name), tenant: tenant, limits: makeLimits([.maxMessageBytes: limit]), owner: "o",
                actor: "a")
        }
        #expect(catalog.snapshot.largestMessageLimit(of: tenant) == 30)
        try catalog.deleteCache(try cacheName("b"), tenant: tenant, actor: "a")
        #expect(catalog.snapshot.largestMessageLimit(of: tenant) == 20)
        for name in ["a", "c"] {
            _ = try catalog.putCache(
                try cacheName(name), tenant: tenant, limits: Limits(), owner: "o", actor: "a")
        }
        #expect(catalog.snapshot.largestMessageLimit(of: tenant) == nil)
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
    }
}
