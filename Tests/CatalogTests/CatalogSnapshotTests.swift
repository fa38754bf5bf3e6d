import Foundation
import Synchronization
import Tenancy
import Testing

@testable import Catalog

struct CatalogSnapshotTests {
    @Test func aSnapshotIsPublishedBeforeTheCallReturnsAndOldOnesStay() throws {
        let directory = try TestDirectory()
        let published = Mutex<[(UInt64, CatalogChange)]>([])
        let catalog = try Catalog(path: directory.path, clock: testClock) { snapshot, change in
            published.withLock { $0.append((snapshot.version, change)) }
        }
        published.withLock { $0 = [] }
        let tenant = try catalog.defaultTenant
        let before = catalog.snapshot
        let (cache, _) = try catalog.putCache(try cacheName("shop"), tenant: tenant, owner: "o", actor: "a")
        #expect(catalog.currentVersion == before.version + 1)
        #expect(catalog.snapshot.version == catalog.currentVersion)
        #expect(before.cache(cache.id) == nil && catalog.snapshot.cache(cache.id) == cache)
        var change = CatalogChange()
        change.caches = [cache.id]
        let calls = published.withLock { $0 }
        #expect(calls.count == 1 && calls.first?.0 == before.version + 1 && calls.first?.1 == change)
    }

    /// Runs random changes, and after each holds the incremental snapshot against one loaded afresh, and what it says
    /// has changed against what has.
    @Test(arguments: [UInt64(1), 2, 3]) func randomChangesLeaveTheSnapshotEqualToOneLoadedAfresh(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let directory = try TestDirectory()
        let clock = ManualClock()
        let changes = Mutex<[CatalogChange]>([])
        let catalog = try Catalog(path: directory.path, clock: clock) { _, change in
            changes.withLock { $0.append(change) }
        }
        var done = 0
        for step in 0..<250 {
            let before = catalog.snapshot
            changes.withLock { $0 = [] }
            do throws(MartletError) {
                try randomChange(catalog, clock, step: step, &generator)
                done += 1
            } catch {
                #expect(catalog.snapshot === before, "seed \(seed), step \(step): \(error)")
            }
            let after = catalog.snapshot
            #expect(try catalog.freshlyLoadedState() == after.state, "seed \(seed), step \(step)")
            let told = changes.withLock { $0 }
            #expect(told.count == Int(after.version - before.version), "seed \(seed), step \(step)")
            expectTold(told.first ?? CatalogChange(), before, after, "seed \(seed), step \(step)")
        }
        #expect(done > 100, "seed \(seed)")
        let state = catalog.snapshot.state
        try catalog.close()
        #expect(try Catalog(path: directory.path, clock: clock).snapshot.state == state)
    }

    @Test func changesFromManyThreadsComeOneAfterAnother() throws {
        let directory = try TestDirectory()
        let versions = Mutex<[UInt64]>([])
        let catalog = try Catalog(path: directory.path, clock: testClock) { snapshot, _ in
            versions.withLock { $0.append(snapshot.version) }
        }
        let tenant = try catalog.defaultTenant
        let failures = Atomic(0)
        DispatchQueue.concurrentPerform(iterations: 8) { thread in
            for number in 0..<10 {
                do {
                    let name = try cacheName("c \(thread) \(number)")
                    let (cache, _) = try catalog.putCache(name, tenant: tenant, owner: "o", actor: "a")
                    if catalog.snapshot.cache(cache.id) == nil { failures.add(1, ordering: .relaxed) }
                    _ = try catalog.caches(of: tenant, PageRequest(limit: 5))
                } catch {
                    failures.add(1, ordering: .relaxed)
                }
            }
        }
        #expect(failures.load(ordering: .relaxed) == 0)
        #expect(catalog.snapshot.cacheCount == 80)
        // 1 is the empty catalog, 2 the default tenant.
        #expect(versions.withLock { $0 } == Array(2...82))
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
    }

    private func randomChange(
        _ catalog: Catalog, _ clock: ManualClock, step: Int, _ generator: inout SeededGenerator
    ) throws(MartletError) {
        let number = Int.random(in: 0..<6, using: &generator)
        let label = "label \(number % 3)"
        let name = try TenantName(number == 0 ? "default" : "tenant \(number % 3)")
        let tenants = catalog.snapshot.tenants.sorted { $0.id < $1.id }
        let tenant = tenants[Int.random(in: 0..<tenants.count, using: &generator)].id
        let key = "key \(Int.random(in: 0..<12, using: &generator))"
        let token = "token \(Int.random(in: 0..<step + 1, using: &generator))"
        switch Int.random(in: 0..<24, using: &generator) {
        case 0, 1:
            var limits = Limits()
            limits[.maxCaches] = UInt64(3 + number)
            _ = try catalog.putTenant(
                name, limits: limits, plan: number == 5 ? "" : "plan \(step % 4)", labels: ["l": label], actor: "a")
        case 21, 22:
            _ = try catalog.putPlan(
                try PlanName("plan \(number % 4)"), limits: makeLimits([.maxItems: UInt64(step % 3)]), actor: "a")
        case 23:
            try catalog.deletePlan(try PlanName("plan \(number % 4)"), actor: "a")
        case 2 where number < 2:
            try catalog.deleteTenant(name, actor: "a")
        case 2, 3, 4, 5:
            _ = try catalog.putCache(
                try CacheName("cache \(number)"), tenant: tenant,
                limits: step % 5 == 0 ? Limits() : makeLimits([.maxMessageBytes: UInt64(number)]),
                labels: ["l": "\(step % 3)"], owner: "o", actor: "a")
        case 6:
            try catalog.deleteCache(try CacheName("cache \(number)"), tenant: tenant, actor: "a")
        case 7, 8:
            let expiry = number < 3 ? nil : clock.now().adding(milliseconds: 1000)
            try catalog.insertKey(makeKey(key, tenant: tenant, tokenID: label, expiresAt: expiry), actor: "a")
        case 9:
            try catalog.revokeKey(id: key, tenant: tenant, actor: "a")
        case 10, 11:
            try catalog.insertToken(makeToken("token \(step)", tenant: tenant, tokenID: label), actor: "a")
        case 12:
            try catalog.revokeToken(id: token, tenant: tenant, actor: "a")
        case 13:
            _ = try catalog.revokeTokens(tokenID: label, tenant: tenant, actor: "a")
        case 14:
            try catalog.insertSigningKey(makeSigningKey("kid \(step)", createdAt: clock.now()), actor: "a")
        case 15:
            try catalog.replaceKey(id: key, tenant: tenant, with: makeKey("\(key)+", tenant: tenant), actor: "a")
        case 16:
            clock.advance(milliseconds: 400_000)
            _ = try catalog.purge(now: clock.now())
        case 17:
            let key = makeTenantSigningKey(
                "own \(step % 9)", tenant: tenant, createdAt: clock.now(), lifetimeMinutes: Int64(number))
            try catalog.insertTenantSigningKey(key, actor: "a")
        case 18:
            try catalog.revokeTenantSigningKey(kid: "own \(step % 9)", tenant: tenant, actor: "a")
        case 19:
            _ = try catalog.createCache(try CacheName("cache \(number)"), tenant: tenant, owner: "o", actor: "a")
        default:
            try catalog.setRootKeyHash(makeHash("\(step)"), actor: "a")
        }
    }

    private func expectTold(
        _ change: CatalogChange, _ before: CatalogSnapshot, _ after: CatalogSnapshot, _ comment: Comment
    ) {
        let tenants = Set(before.tenants.map(\.id)).union(after.tenants.map(\.id))
        #expect(tenants.filter { before.tenant($0) != after.tenant($0) }.isSubset(of: change.tenants), comment)
        let plans = Set(before.state.plans.keys).union(after.state.plans.keys)
        #expect(plans.filter { before.plan($0) != after.plan($0) }.isSubset(of: change.plans), comment)
        let caches = Set(before.caches.map(\.id)).union(after.caches.map(\.id))
        #expect(caches.filter { before.cache($0) != after.cache($0) }.isSubset(of: change.caches), comment)
        let keys = Set(before.state.keys.values.map(\.id)).union(after.state.keys.values.map(\.id))
        #expect(keys.filter { before.apiKey(id: $0) != after.apiKey(id: $0) }.isSubset(of: change.apiKeys), comment)
        let tokens = (0..<250).map { "token \($0)" }.filter {
            before.isRevoked(tokenID: $0) != after.isRevoked(tokenID: $0)
        }
        #expect(Set(tokens).isSubset(of: change.tokens), comment)
        let signingKeys = (0..<9).map { "own \($0)" }.filter {
            before.tenantSigningKey(kid: $0) != after.tenantSigningKey(kid: $0)
        }
        #expect(Set(signingKeys).isSubset(of: change.tenantSigningKeys), comment)
    }
}
