import Tenancy
import Testing

@testable import Catalog

struct CatalogTenantTests {
    let directory: TestDirectory
    let catalog: Catalog

    init() throws {
        directory = try TestDirectory()
        catalog = try Catalog(path: directory.path, clock: testClock)
    }

    @Test func putMakesAndThenChanges() throws {
        let name = try tenantName("team")
        let limits = makeLimits([.maxCaches: 3, .maxBytes: .max])
        let (made, created) = try catalog.putTenant(
            name, limits: limits, plan: "gold", labels: ["cost": "42"], actor: "root")
        #expect(created)
        #expect(made.limits == limits && made.plan == "gold" && made.labels == ["cost": "42"])
        #expect(catalog.snapshot.tenant(name) == made && catalog.snapshot.tenant(made.id) == made)

        let (changed, again) = try catalog.putTenant(name, labels: [:], actor: "root")
        #expect(!again)
        #expect(changed.id == made.id && changed.createdAt == made.createdAt)
        #expect(changed.limits == limits && changed.plan == "gold" && changed.labels.isEmpty)

        let (planless, _) = try catalog.putTenant(name, limits: Limits(), plan: "", actor: "root")
        #expect(planless.plan == nil && planless.limits == Limits())
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
        #expect(
            try catalog.actions() == [
                "tenant.update team", "tenant.update team", "tenant.create team", "tenant.create default",
            ])
    }

    @Test func aChangeThatChangesNothingWritesNothing() throws {
        let name = try tenantName("team")
        _ = try catalog.putTenant(name, plan: "gold", actor: "root")
        let version = catalog.currentVersion
        let events = try catalog.actions()
        let (_, created) = try catalog.putTenant(name, plan: "gold", labels: [:], actor: "root")
        #expect(!created)
        #expect(catalog.currentVersion == version)
        #expect(try catalog.actions() == events)
    }

    @Test func theFirstKeyIsStoredWithItsTenantOrNeitherIs() throws {
        let name = try tenantName("team")
        let (tenant, _) = try catalog.putTenant(name, actor: "root") { id throws(MartletError) in
            makeKey("first", tenant: id, isSuperUser: true)
        }
        #expect(catalog.snapshot.apiKey(id: "first")?.tenant == tenant.id)

        // A second PUT makes no second key.
        _ = try catalog.putTenant(name, plan: "gold", actor: "root") { _ throws(MartletError) in
            throw .internalFailure("must not be called")
        }

        let version = catalog.currentVersion
        #expect(throws: MartletError.alreadyExists("API key")) {
            try catalog.putTenant(try tenantName("other"), actor: "root") { id throws(MartletError) in
                makeKey("first", tenant: id)
            }
        }
        #expect(catalog.currentVersion == version)
        #expect(catalog.snapshot.tenant(try tenantName("other")) == nil)
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
    }

    @Test func deletingTakesEverythingOfTheTenantAndNothingOfOthers() throws {
        let name = try tenantName("team")
        let (tenant, _) = try catalog.putTenant(name, actor: "root")
        let home = try catalog.defaultTenant
        for owner in [tenant.id, home] {
            let suffix = owner == home ? "home" : "team"
            _ = try catalog.putCache(try cacheName("shop"), tenant: owner, owner: "o", actor: "a")
            try catalog.insertKey(makeKey("key \(suffix)", tenant: owner), actor: "a")
            try catalog.insertToken(makeToken("token \(suffix)", tenant: owner), actor: "a")
            try catalog.insertTenantSigningKey(makeTenantSigningKey("kid \(suffix)", tenant: owner), actor: "a")
        }
        try catalog.deleteTenant(name, actor: "root")
        let snapshot = catalog.snapshot
        #expect(snapshot.tenant(name) == nil && snapshot.tenant(tenant.id) == nil)
        #expect(snapshot.cache(tenant: tenant.id, name: try cacheName("shop")) == nil)
        #expect(snapshot.cacheCount(of: tenant.id) == 0)
        #expect(!snapshot.isLive(apiKeyID: "key team") && snapshot.apiKey(hash: makeHash("key team")) == nil)
        #expect(snapshot.isRevoked(tokenID: "token team"))
        #expect(snapshot.tenantSigningKey(kid: "kid team") == nil && snapshot.tenantSigningKey(kid: "kid home") != nil)

        #expect(snapshot.cache(tenant: home, name: try cacheName("shop")) != nil)
        #expect(snapshot.isLive(apiKeyID: "key home") && !snapshot.isRevoked(tokenID: "token home"))
        #expect(try catalog.freshlyLoadedState() == snapshot.state)

        let event = try #require(try catalog.audit(of: tenant.id, PageRequest(limit: 1)).items.first)
        #expect(event.action == "tenant.delete" && event.subject == "team")
        #expect(event.detail == #"{"caches":1,"keys":1,"signing_keys":1,"tokens":1}"#)
    }

    @Test func aLaterTenantOfTheSameNameIsAnother() throws {
        let name = try tenantName("team")
        let (first, _) = try catalog.putTenant(name, actor: "root")
        try catalog.deleteTenant(name, actor: "root")
        let (second, created) = try catalog.putTenant(name, actor: "root")
        #expect(created && second.id > first.id)
        #expect(try catalog.tenantIDs(name: name) == [first.id, second.id])
        #expect(
            try catalog.tenantNames([first.id, second.id, TenantID(rawValue: 999)]) == [
                first.id: name, second.id: name,
            ])
    }

    @Test func theDefaultTenantAndUnknownOnesCannotBeDeleted() throws {
        #expect(throws: MartletError.invalidArgument(field: "tenant", reason: "'default' cannot be deleted")) {
            try catalog.deleteTenant(try tenantName("default"), actor: "root")
        }
        #expect(throws: MartletError.notFound("Tenant")) {
            try catalog.deleteTenant(try tenantName("nobody"), actor: "root")
        }
    }

    @Test func labelsAndPlansHaveBounds() throws {
        let name = try tenantName("team")
        let most = Dictionary(uniqueKeysWithValues: (0..<64).map { ("key \($0)", "value") })
        let refused: [[String: String]] = [
            most.merging(["one more": ""]) { old, _ in old }, ["": "x"], [String(repeating: "k", count: 64): "x"],
            ["k": String(repeating: "v", count: 256)], [String(repeating: "é", count: 32): "x"],
        ]
        for labels in refused {
            let error = #expect(throws: MartletError.self) {
                try catalog.putTenant(name, labels: labels, actor: "root")
            }
            #expect(error?.field == "labels")
        }
        for plan in [String(repeating: "p", count: 256), "go\0ld"] {
            let error = #expect(throws: MartletError.self) { try catalog.putTenant(name, plan: plan, actor: "root") }
            #expect(error?.field == "plan")
        }
        #expect(catalog.snapshot.tenant(name) == nil)

        var largest = most
        largest["key 0"] = nil
        largest[String(repeating: "k", count: 63)] = String(repeating: "v", count: 254) + "\0"
        _ = try catalog.putTenant(name, labels: largest, actor: "root")
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
    }

    @Test func listsGiveEachTenantOnce() throws {
        for number in 0..<25 { _ = try catalog.putTenant(try tenantName("t\(number)"), actor: "root") }
        try catalog.deleteTenant(try tenantName("t7"), actor: "root")
        var names: [String] = []
        var page = try PageRequest(limit: 4)
        while true {
            let answer = try catalog.tenants(page)
            names += answer.items.map(\.name.text)
            guard let next = answer.nextToken else { break }
            page = try PageRequest(limit: 4, nextToken: next)
        }
        #expect(names == catalog.snapshot.tenants.map(\.name.text).sorted())
        #expect(names.count == 25)
    }
}
