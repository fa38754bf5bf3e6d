import Access
import Admission
import Catalog
import Engine
import Metering
import Tenancy
import Testing
import Topics

@testable import CacheService

/// What tenants are told of limits, through the service's topics.
@Suite struct LimitEventTests {
    private let fixture: Fixture
    private let caller: LaneCaller
    private let data: String

    init() throws {
        fixture = try Fixture()
        caller = try fixture.remember(try fixture.topicKey().presented, on: fixture.lane)
        data = try fixture.control.mintKey(
            KeyOrder(format: .v2, grant: .permissions(.allDataReadWrite)), caller: fixture.root
        ).secret.presented
    }

    private func listen(_ cache: String = "shop") throws -> RecordingSink {
        let sink = RecordingSink()
        _ = try fixture.subscribe(sink, to: LimitEvent.topic, cache: cache, as: caller)
        return sink
    }

    /// One look, a second later, and what is told by it.
    private func look() {
        fixture.clock.advance(milliseconds: 1000)
        fixture.service.watchLimits()
        fixture.lane.beginTick()
        _ = fixture.lane.drainTopics(atMost: 1000)
    }

    private func told(_ sink: RecordingSink) throws -> [JSONValue] {
        try sink.texts.map { try JSONParser.parse(Array($0.utf8), ceiling: 4096) }
    }

    private func set(_ count: Range<Int>, in cache: String = "shop") throws {
        for number in count { try fixture.set("k\(number)", "v", in: cache, with: data) }
    }

    @Test func itemsOfACacheAreToldOnceForEachThreshold() throws {
        try fixture.makeCache("shop", [.maxItems: 10])
        let sink = try listen()
        try set(0..<7)
        look()
        #expect(sink.texts.isEmpty)
        try set(7..<8)
        look()
        look()
        try set(8..<10)
        look()
        look()
        let events = try told(sink)
        #expect(events.map { $0["event"]?.string } == ["limit_near", "limit_reached"])
        let first = try #require(events.first)
        #expect(first["scope"]?.string == "cache" && first["cache"]?.string == "shop")
        #expect(first["tenant"]?.string == "default" && first["limit"]?.string == "max_items")
        #expect(first["value"]?.integer == 10 && first["used"]?.integer == 8 && first["percent"]?.integer == 80)
        #expect(first["at"]?.integer == 500_000_002)
        #expect(fixture.service.limitBook.crossings(.near) == 1)
        #expect(fixture.service.limitBook.crossings(.reached) == 1)
    }

    @Test func anEventIsNoPublicationOfTheTenant() throws {
        try fixture.makeCache("shop", [.maxItems: 1, .maxPublishPerSecond: 0, .maxOperationsPerSecond: 100])
        let sink = try listen()
        try set(0..<1)
        look()
        #expect(sink.texts.count == 2)
        #expect(try fixture.row(.rest).count(of: .publishes) == 0)
        #expect(try fixture.row(.rest).count(of: .deliveries) == 2)
    }

    @Test func whereNobodyListensNoTopicIsMade() throws {
        try fixture.makeCache("shop", [.maxItems: 1])
        try set(0..<1)
        look()
        let id = try #require(fixture.service.limitBook.uses.first?.cache)
        #expect(fixture.service.limitBook.crossings(.reached) == 1)
        #expect(fixture.service.statistics(id)?.topics.topics == 0)
    }

    @Test func aTenantSLimitIsToldInEachOfItsCachesAndNowhereElse() throws {
        let other = try fixture.makeTenant("other")
        _ = try fixture.control.putCache(CacheName("theirs"), CacheChange(), caller: other)
        var change = TenantChange()
        change.limits = [.maxItems: 10]
        _ = try fixture.control.putTenant(TenantName("default"), change, caller: fixture.root)
        try fixture.makeCache("shop")
        try fixture.makeCache("second")
        let (shop, second) = (try listen(), try listen("second"))
        let otherKey = try fixture.control.mintKey(
            KeyOrder(
                format: .v2,
                grant: .permissions(
                    try PermissionSet(validating: [Permission(.readWrite, cache: .all, .topics(.all))]))),
            caller: other)
        let theirs = RecordingSink()
        _ = try fixture.subscribe(
            theirs, to: LimitEvent.topic, cache: "theirs",
            as: try fixture.remember(otherKey.secret.presented, on: fixture.lane))
        try set(0..<4)
        try set(4..<8, in: "second")
        look()
        for sink in [shop, second] {
            let events = try told(sink)
            #expect(events.count == 1)
            #expect(events.first?["scope"]?.string == "tenant" && events.first?["cache"] == .null)
            #expect(events.first?["used"]?.integer == 8)
        }
        #expect(theirs.texts.isEmpty)
    }

    @Test func aSteadyRateIsToldOnceAndARefusalIsTheLimitReached() throws {
        try fixture.makeCache("shop", [.maxOperationsPerSecond: 20])
        let sink = try listen()
        look()
        for second in 0..<20 {
            for number in 0..<17 {
                fixture.clock.advance(milliseconds: 1)
                try fixture.set("k\(second)-\(number)", "v", in: "shop", with: data)
            }
            fixture.clock.advance(milliseconds: -17)
            look()
        }
        #expect(try told(sink).map { $0["event"]?.string } == ["limit_near"])
        fixture.lane.beginTick()
        var refused = 0
        for number in 0..<60 {
            do { try fixture.set("r\(number)", "v", in: "shop", with: data) } catch { refused += 1 }
        }
        #expect(refused > 0)
        look()
        look()
        #expect(try told(sink).map { $0["event"]?.string } == ["limit_near", "limit_reached"])
    }

    @Test func aFullCacheThatEvictsHasReachedItsLimit() throws {
        try fixture.makeCache("shop", [.maxBytes: 200_000])
        let sink = try listen()
        let value = String(repeating: "x", count: 1000)
        for number in 0..<1000 { try fixture.set("k\(number)", value, in: "shop", with: data) }
        look()
        let events = try told(sink)
        #expect(events.map { $0["event"]?.string } == ["limit_near", "limit_reached"])
        #expect(events.allSatisfy { $0["limit"]?.string == "max_bytes" })
    }

    @Test func subscriptionsAndCachesAreWatched() throws {
        var change = TenantChange()
        change.limits = [.maxCaches: 2, .maxSubscriptions: 5]
        _ = try fixture.control.putTenant(TenantName("default"), change, caller: fixture.root)
        try fixture.makeCache("shop")
        let sink = try listen()
        look()
        #expect(sink.texts.isEmpty)
        try fixture.makeCache("second")
        look()
        #expect(try told(sink).map { $0["limit"]?.string } == ["max_caches", "max_caches"])
        for _ in 0..<3 { _ = try listen() }
        look()
        #expect(try told(sink).last?["limit"]?.string == "max_subscriptions")
    }

    @Test func aLimitThatIsSetLowOrUnsetIsSeenAtTheNextLook() throws {
        try fixture.makeCache("shop")
        let sink = try listen()
        try set(0..<9)
        look()
        #expect(sink.texts.isEmpty && fixture.service.limitBook.uses.isEmpty)
        try fixture.makeCache("shop", [.maxItems: 10])
        look()
        #expect(try told(sink).map { $0["event"]?.string } == ["limit_near"])
        try fixture.makeCache("shop", [.maxItems: nil as UInt64?])
        look()
        #expect(fixture.service.limitBook.uses.isEmpty)
        try fixture.makeCache("shop", [.maxItems: 10])
        look()
        #expect(sink.texts.count == 2)
    }

    @Test func aDeletedCacheIsForgotten() throws {
        try fixture.makeCache("shop", [.maxItems: 10])
        try set(0..<9)
        look()
        #expect(fixture.service.limitBook.uses.count == 1)
        try fixture.control.deleteCache(CacheName("shop"), caller: fixture.root)
        look()
        #expect(fixture.service.limitBook.uses.isEmpty)
        try fixture.makeCache("shop", [.maxItems: 10])
        let sink = try listen()
        look()
        #expect(sink.texts.isEmpty)
    }

    @Test func nobodyElsePublishesToTheServerSTopics() throws {
        try fixture.makeCache("shop")
        #expect(throws: MartletError.self) {
            try fixture.publish("{}", to: LimitEvent.topic, as: caller)
        }
        #expect(throws: Never.self) { try fixture.publish("{}", to: "_martlet:limits", as: caller) }
    }
}
