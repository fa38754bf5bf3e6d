import Access
import Catalog
import Engine
import Metering
import Tenancy
import Testing

@testable import CacheService

/// Hot keys as the service counts them.
@Suite struct HotKeyTests {
    private let fixture: Fixture
    private let data: String

    init() throws {
        fixture = try Fixture()
        try fixture.makeCache("shop")
        try fixture.makeCache("other")
        data = try fixture.control.mintKey(
            KeyOrder(format: .v2, grant: .permissions(.allDataReadWrite)), caller: fixture.root
        ).secret.presented
    }

    private func hot(_ cache: String = "shop", limit: Int = 10) throws -> [String] {
        try fixture.control.hotKeys(CacheName(cache), limit: limit, caller: fixture.root).keys
            .map { String(decoding: $0.key, as: UTF8.self) }
    }

    private func load(_ cache: String = "shop", key: String, _ count: Int) throws {
        for _ in 0..<count { try fixture.set(key, "v", in: cache, with: data) }
    }

    private func shared(_ cache: String) throws -> SharedCache {
        let name = try CacheName(cache)
        let record = try #require(fixture.catalog.snapshot.cache(tenant: fixture.service.defaultTenant, name: name))
        return try #require(fixture.service.shared(record.id))
    }

    private func run(_ line: String, _ call: CommandCall, for identity: CommandIdentity) throws {
        let owned = OwnedArguments(line.split(separator: " ").map { Array($0.utf8) })
        defer { withExtendedLifetime(owned) {} }
        let command = try #require(CommandTable.shared.command(named: owned.arguments[0]))
        call.reply.clear()
        _ = fixture.lane.perform(command, call, owned.arguments, for: identity) { return { _ in } }
    }

    private func identity(_ cache: String = "shop") throws -> (CommandIdentity, CommandCall) {
        let caller = try fixture.remember(data)
        let identity = try Array(cache.utf8).withUnsafeBytes { (name) throws(MartletError) in
            try fixture.lane.openCommands(caller, cacheName: name)
        }
        let nothing = OwnedArguments([[0x78]])
        let call = try #require(fixture.lane.makeCall(identity, nothing.arguments, reply: ReplyWriter()))
        return (identity, call)
    }

    @Test func theHottestComesFirstWithItsRateAndShare() throws {
        try load(key: "cold", 5)
        try load(key: "hot", 20)
        fixture.clock.advance(milliseconds: 5000)
        let report = try fixture.control.hotKeys(CacheName("shop"), caller: fixture.root)
        #expect(report.keys.map(\.key) == [Array("hot".utf8), Array("cold".utf8)])
        #expect(report.samples == 25)
        #expect(report.keys.first?.share == 0.8)
        #expect(report.keys.first?.operationsPerSecond == 4)
        #expect(try hot(limit: 1) == ["hot"])
    }

    @Test func noKeyOfOneCacheIsShownForAnother() throws {
        try load(key: "mine", 10)
        try load("other", key: "theirs", 10)
        #expect(try hot() == ["mine"])
        #expect(try hot("other") == ["theirs"])
    }

    @Test func aFlushForgetsThemByWhicheverDoor() throws {
        try load(key: "hot", 10)
        try fixture.control.flushCache(CacheName("shop"), caller: fixture.root)
        #expect(try hot().isEmpty)
        try load(key: "hot", 10)
        let (identity, call) = try identity()
        try run("FLUSHALL", call, for: identity)
        #expect(try hot().isEmpty)
    }

    @Test func aDeletedCacheTakesThemAlong() throws {
        try load(key: "hot", 10)
        try fixture.control.deleteCache(CacheName("shop"), caller: fixture.root)
        #expect(throws: MartletError.cacheNotFound) { try hot() }
        try fixture.makeCache("shop")
        #expect(try hot().isEmpty)
    }

    @Test func commandsCountEachOfTheirKeys() throws {
        let (identity, call) = try identity()
        for _ in 0..<10 {
            try run("MGET a b a", call, for: identity)
            try run("MSET c 1 d 2", call, for: identity)
            try run("HSET e f 1", call, for: identity)
            try run("PING", call, for: identity)
        }
        let report = try fixture.control.hotKeys(CacheName("shop"), caller: fixture.root)
        #expect(report.samples == 60)
        #expect(report.keys.first?.key == Array("a".utf8))
        #expect(Set(try hot()) == ["a", "b", "c", "d", "e"])
    }

    @Test func commandsWhoseKeysMustBeLookedForCountOnce() throws {
        let (identity, call) = try identity()
        for _ in 0..<50 { try run("ZUNION 2 x y", call, for: identity) }
        #expect(try fixture.control.hotKeys(CacheName("shop"), caller: fixture.root).samples == 50)
        #expect(Set(try hot()) == ["x", "y"])
    }

    @Test func whatIsRefusedDoesNotCount() throws {
        try fixture.makeCache("shop", [.maxOperationsPerSecond: 5])
        for _ in 0..<20 { try? fixture.set("k", "v", in: "shop", with: data) }
        let report = try fixture.control.hotKeys(CacheName("shop"), caller: fixture.root)
        #expect(report.samples == 5)
    }

    @Test func memoryIsTakenWithTheFirstOperationAndGivenBackAfterTheLast() throws {
        let shared = try shared("shop")
        #expect(!shared.hotKeys.isAllocated)
        try load(key: "hot", 100)
        #expect(shared.hotKeys.isAllocated)
        fixture.service.trimHotKeys()
        #expect(shared.hotKeys.isAllocated)
        fixture.clock.advance(milliseconds: 80_000)
        fixture.service.trimHotKeys()
        #expect(!shared.hotKeys.isAllocated)
    }

    @Test func whoMayNotManageCachesIsToldNothing() throws {
        try load(key: "hot", 10)
        let holder = try fixture.identify(data)
        #expect(throws: MartletError.self) { try fixture.control.hotKeys(CacheName("shop"), caller: holder) }
        let other = try fixture.makeTenant("other")
        #expect(throws: MartletError.cacheNotFound) {
            try fixture.control.hotKeys(CacheName("shop"), caller: other)
        }
        #expect(throws: MartletError.self) {
            try fixture.control.hotKeys(CacheName("shop"), tenant: TenantName("default"), caller: other)
        }
    }
}
