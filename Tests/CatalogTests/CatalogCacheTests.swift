import Tenancy
import Testing

@testable import Catalog

struct CatalogCacheTests {
    let directory: TestDirectory
    let catalog: Catalog
    let tenant: TenantID

    init() throws {
        directory = try TestDirectory()
        catalog = try Catalog(path: directory.path, clock: testClock)
        tenant = try catalog.defaultTenant
    }

    @Test func putMakesAndThenChanges() throws {
        let name = try cacheName("shop")
        let (made, created) = try catalog.putCache(
            name, tenant: tenant, limits: makeLimits([.maxBytes: 7]), labels: ["a": "b"], compression: .zstd,
            owner: "key 1", actor: "key 1")
        #expect(created && made.owner == "key 1" && made.compression == .zstd && made.limits[.maxBytes] == 7)
        let (changed, again) = try catalog.putCache(
            name, tenant: tenant, compression: .zstdDictionary, owner: "key 2", actor: "key 2")
        #expect(!again && changed.id == made.id && changed.owner == "key 1")
        #expect(changed.compression == .zstdDictionary && changed.labels == ["a": "b"] && changed.limits == made.limits)
        #expect(catalog.snapshot.cache(changed.id) == changed)
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
    }

    @Test func putOfAnExistingCacheWithNothingToChangeWritesNothing() throws {
        let (made, _) = try catalog.putCache(try cacheName("shop"), tenant: tenant, owner: "o", actor: "a")
        let version = catalog.currentVersion
        let (found, created) = try catalog.putCache(try cacheName("shop"), tenant: tenant, owner: "p", actor: "a")
        #expect(!created && found == made && catalog.currentVersion == version)
    }

    @Test func createMakesOnceAndLeavesWhatIsThere() throws {
        let name = try cacheName("shop")
        let made = try catalog.createCache(name, tenant: tenant, owner: "key 1", actor: "key 1")
        #expect(made.limits == Limits() && made.labels.isEmpty && made.compression == .off && made.owner == "key 1")
        #expect(catalog.snapshot.cache(made.id) == made)
        let version = catalog.currentVersion
        #expect(throws: MartletError.alreadyExists("Cache")) {
            try catalog.createCache(name, tenant: tenant, owner: "key 2", actor: "key 2")
        }
        #expect(throws: MartletError.notFound("Tenant")) {
            try catalog.createCache(name, tenant: TenantID(rawValue: 99), owner: "o", actor: "a")
        }
        #expect(catalog.currentVersion == version && catalog.snapshot.cache(made.id) == made)
        #expect(try catalog.actions().first == "cache.create shop")
        // Once it is gone, its name is free.
        try catalog.deleteCache(name, tenant: tenant, actor: "a")
        let again = try catalog.createCache(name, tenant: tenant, owner: "o", actor: "a")
        #expect(again.id != made.id)
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
    }

    @Test func namesAreFoundByTheirBytesAlone() throws {
        // One letter, spelt in two ways: equal to Swift, two names to Martlet.
        let composed = try cacheName("caf\u{E9}")
        let decomposed = try cacheName("cafe\u{301}")
        let (first, _) = try catalog.putCache(composed, tenant: tenant, owner: "o", actor: "a")
        let (second, created) = try catalog.putCache(decomposed, tenant: tenant, owner: "o", actor: "a")
        #expect(created && first.id != second.id)
        let snapshot = catalog.snapshot
        for (name, cache) in [(composed, first), (decomposed, second)] {
            #expect(snapshot.cache(tenant: tenant, name: name) == cache)
            let found = Array(name.text.utf8).withUnsafeBytes { snapshot.cacheID(tenant: tenant, name: $0) }
            #expect(found == cache.id)
        }
        #expect(Array("caf".utf8).withUnsafeBytes { snapshot.cacheID(tenant: tenant, name: $0) } == nil)
        #expect(snapshot.cacheID(tenant: tenant, name: UnsafeRawBufferPointer(start: nil, count: 0)) == nil)
        #expect(snapshot.cache(tenant: TenantID(rawValue: 99), name: composed) == nil)
        #expect(try catalog.freshlyLoadedState() == snapshot.state)
    }

    @Test func aTenantHasAtMostMaxCaches() throws {
        let (team, _) = try catalog.putTenant(
            try tenantName("team"), limits: makeLimits([.maxCaches: 2]), actor: "root")
        for name in ["a", "b"] {
            _ = try catalog.putCache(try cacheName(name), tenant: team.id, owner: "o", actor: "a")
        }
        let refusal = MartletError.countLimited(limit: .maxCaches, value: 2)
        #expect(throws: refusal) {
            try catalog.putCache(try cacheName("c"), tenant: team.id, owner: "o", actor: "a")
        }
        #expect(throws: refusal) {
            try catalog.createCache(try cacheName("c"), tenant: team.id, owner: "o", actor: "a")
        }
        // Neither a change of one that is there nor another tenant is held up.
        _ = try catalog.putCache(try cacheName("a"), tenant: team.id, labels: ["x": "y"], owner: "o", actor: "a")
        _ = try catalog.putCache(try cacheName("c"), tenant: tenant, owner: "o", actor: "a")
        try catalog.deleteCache(try cacheName("a"), tenant: team.id, actor: "a")
        let (_, created) = try catalog.putCache(try cacheName("c"), tenant: team.id, owner: "o", actor: "a")
        #expect(created)
        #expect(catalog.snapshot.cacheCount(of: team.id) == 2)
    }

    @Test func aCacheMadeAgainIsAnotherAndBothNamesAreKnownToTheBill() throws {
        let name = try cacheName("shop")
        let (first, _) = try catalog.putCache(name, tenant: tenant, owner: "o", actor: "a")
        #expect(try catalog.deleteCache(name, tenant: tenant, actor: "a") == first.id)
        #expect(catalog.snapshot.cache(first.id) == nil && catalog.snapshot.cacheCount == 0)
        let (second, _) = try catalog.putCache(name, tenant: tenant, owner: "o", actor: "a")
        #expect(second.id > first.id)
        #expect(try catalog.cacheIDs(tenant: tenant, name: name) == [first.id, second.id])
        #expect(try catalog.cacheIDs(tenant: tenant, name: try cacheName("other")).isEmpty)
        #expect(try catalog.cacheNames([first.id, second.id]) == [first.id: name, second.id: name])
        // More ids than one statement takes, most of them never given, one beyond what a column holds.
        let many = (1...2000).map { CacheID(rawValue: $0) } + [CacheID(rawValue: .max)]
        #expect(try catalog.cacheNames(many) == [first.id: name, second.id: name])
        #expect(try catalog.cacheNames([]).isEmpty)
    }

    @Test func unknownTenantsAndCachesAreSaidSo() throws {
        let nobody = TenantID(rawValue: .max)
        #expect(throws: MartletError.notFound("Tenant")) {
            try catalog.putCache(try cacheName("shop"), tenant: nobody, owner: "o", actor: "a")
        }
        #expect(throws: MartletError.cacheNotFound) {
            try catalog.deleteCache(try cacheName("shop"), tenant: tenant, actor: "a")
        }
        #expect(throws: MartletError.cacheNotFound) {
            try catalog.recordFlush(try cacheName("shop"), tenant: tenant, actor: "a")
        }
        #expect(try catalog.caches(of: nobody, PageRequest()).items.isEmpty)
        #expect(throws: MartletError.self) { try CacheCompression(text: "lz4") }
        #expect(try CacheCompression(text: "zstd-dictionary") == .zstdDictionary)
    }

    @Test func aFlushIsWrittenDownAndChangesNoSnapshot() throws {
        _ = try catalog.putCache(try cacheName("shop"), tenant: tenant, owner: "o", actor: "a")
        let version = catalog.currentVersion
        try catalog.recordFlush(try cacheName("shop"), tenant: tenant, actor: "key 9")
        let event = try #require(try catalog.audit(of: tenant, PageRequest()).items.first)
        #expect(event.action == "cache.flush" && event.subject == "shop" && event.actor == "key 9")
        #expect(catalog.currentVersion == version)
    }

    @Test func pagesHoldEachCacheOnceWhateverHappensBetweenThem() throws {
        for number in 10..<40 {
            _ = try catalog.putCache(try cacheName("c\(number)"), tenant: tenant, owner: "o", actor: "a")
        }
        let first = try catalog.caches(of: tenant, PageRequest(limit: 10))
        #expect(first.items.map(\.name.text) == (10..<20).map { "c\($0)" })
        // One that was listed goes, one appears before the place where the list goes on, one after it.
        try catalog.deleteCache(try cacheName("c15"), tenant: tenant, actor: "a")
        _ = try catalog.putCache(try cacheName("c10b"), tenant: tenant, owner: "o", actor: "a")
        _ = try catalog.putCache(try cacheName("c20b"), tenant: tenant, owner: "o", actor: "a")
        let second = try catalog.caches(of: tenant, PageRequest(limit: 21, nextToken: first.nextToken))
        #expect(second.items.map(\.name.text) == ["c20", "c20b"] + (21..<40).map { "c\($0)" })
        #expect(second.nextToken == nil)
    }
}
