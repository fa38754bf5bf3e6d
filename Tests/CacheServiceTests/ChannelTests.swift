import Access
import Admission
import Catalog
import Metering
import Synchronization
import Tenancy
import Testing
import Topics

@testable import CacheService

/// A connection that writes down what it is told.
private final class RecordingChannels: ChannelSink {
    private(set) var told: [String] = []
    private(set) var endings: [MartletError] = []

    func send(_ delivery: ChannelDelivery) {
        let text = delivery.message.withBytes { String(decoding: $0, as: UTF8.self) }
        let channel = String(decoding: delivery.channel, as: UTF8.self)
        switch delivery.kind {
        case .channel: told.append("\(channel)=\(text)")
        case .pattern: told.append("\(String(decoding: delivery.pattern, as: UTF8.self))>\(channel)=\(text)")
        case .shard: told.append("shard \(channel)=\(text)")
        }
    }

    func end(_ error: MartletError) { endings.append(error) }
}

@Suite struct ChannelTests {
    private let fixture: Fixture
    private let caller: LaneCaller

    init() throws {
        fixture = try Fixture()
        try fixture.makeCache("shop")
        caller = try fixture.remember(try fixture.topicKey().presented, on: fixture.lane)
    }

    private func identity(_ caller: LaneCaller, on lane: ServiceLane? = nil) throws -> CommandIdentity {
        let lane = lane ?? fixture.lane
        return try Array("shop".utf8).withUnsafeBufferPointer { (name) throws(MartletError) in
            try lane.openCommands(caller, cacheName: UnsafeRawBufferPointer(name))
        }
    }

    private func open(
        _ sink: RecordingChannels, _ kind: ChannelKind? = nil, _ names: String..., as caller: LaneCaller? = nil,
        on lane: ServiceLane? = nil
    ) throws -> ChannelSubscriber {
        let lane = lane ?? fixture.lane
        let subscriber = try lane.openChannels(for: try identity(caller ?? self.caller, on: lane), sink: sink)
        if let kind { try subscriber.subscribe(to: names.map { Array($0.utf8) }, kind) { _, _ in } }
        return subscriber
    }

    private func send(
        _ text: String, to channel: String = "news", _ origin: ChannelOrigin = .channel, as caller: LaneCaller? = nil,
        on lane: ServiceLane? = nil
    ) throws -> Int {
        let lane = lane ?? fixture.lane
        let identity = try identity(caller ?? self.caller, on: lane)
        return try Array(text.utf8).withUnsafeBufferPointer { (bytes) throws(MartletError) in
            try Array(channel.utf8).withUnsafeBufferPointer { (channel) throws(MartletError) in
                try lane.publish(
                    UnsafeRawBufferPointer(bytes), to: UnsafeRawBufferPointer(channel), origin, for: identity)
            }
        }.receivers
    }

    private func deliver(on lane: ServiceLane? = nil, atMost count: Int = 1000) {
        let lane = lane ?? fixture.lane
        lane.beginTick()
        while lane.drainTopics(atMost: count) {}
    }

    private var shared: SharedCache {
        get throws {
            let name = try CacheName("shop")
            let record = try #require(fixture.catalog.snapshot.cache(tenant: fixture.service.defaultTenant, name: name))
            return try #require(fixture.service.shared(record.id))
        }
    }

    private func emit(_ channel: String, _ payload: String) throws {
        let shared = try shared
        Array(payload.utf8).withUnsafeBytes { shared.channels.emit(channel: Array(channel.utf8), payload: $0) }
    }

    // MARK: Who hears what

    @Test func messagesOfAllWaysReachTheirSubscribersOnEveryLaneInOrder() throws {
        let other = ServiceLane(service: fixture.service, index: 1) { $0() }
        let otherCaller = try fixture.remember(try fixture.topicKey().presented, on: other)
        let (here, there) = (RecordingChannels(), RecordingChannels())
        let subscriber = try open(here, .channel, "news", "sport")
        try subscriber.subscribe(to: [Array("n*".utf8)], .pattern) { _, _ in }
        _ = try open(there, .shard, "news", as: otherCaller, on: other)
        #expect(try send("1") == 2)
        #expect(try send("2", to: "sport", as: otherCaller, on: other) == 1)
        #expect(try send("3", .shard) == 1)
        try fixture.publish("4", as: caller)
        #expect(try send("5") == 2)
        #expect(try send("6", to: "empty") == 0)
        deliver(atMost: 1)
        deliver(on: other)
        #expect(here.told == ["news=1", "n*>news=1", "sport=2", "news=4", "n*>news=4", "news=5", "n*>news=5"])
        #expect(there.told == ["shard news=3", "shard news=4"])
        #expect(try fixture.row(.resp).count(of: .deliveries) == 7)
        #expect(try fixture.row(.resp, lane: 1).count(of: .deliveries) == 2)
    }

    @Test func oneWhoComesLaterDoesNotHearOfWhatWasBefore() throws {
        let (early, late) = (RecordingChannels(), RecordingChannels())
        _ = try open(early, .channel, "news")
        _ = try send("before")
        _ = try open(late, .channel, "news")
        _ = try send("after")
        deliver()
        #expect(early.told == ["news=before", "news=after"])
        #expect(late.told == ["news=after"])
    }

    @Test func oneWhoGoesMayHearBeforeWhatWasOnItsWay() throws {
        let sink = RecordingChannels()
        let subscriber = try open(sink, .channel, "news")
        _ = try send("one")
        #expect(subscriber.isBehind)
        fixture.lane.deliverChannels()
        #expect(!subscriber.isBehind)
        subscriber.unsubscribe(from: Array("news".utf8), .channel)
        _ = try send("two")
        deliver()
        #expect(sink.told == ["news=one"])
    }

    @Test func eventsReachOnlyThoseWhoMayReadAllItems() throws {
        let everything = try PermissionSet(validating: [Permission(.readOnly, cache: .all, .items(.all))])
        let key = try fixture.control.mintKey(
            KeyOrder(format: .v2, grant: .permissions(everything), ttlSeconds: nil), caller: fixture.root)
        let reader = try fixture.remember(key.secret.presented, on: fixture.lane)
        let (items, topics, exact) = (RecordingChannels(), RecordingChannels(), RecordingChannels())
        #expect(try !shared.channels.hasListeners)
        _ = try open(topics, .pattern, "news*")
        #expect(try !shared.channels.hasListeners)
        _ = try open(topics, .pattern, "*")
        #expect(try shared.channels.hasListeners)
        _ = try open(items, .pattern, "__key*__:*", as: reader)
        _ = try open(exact, .channel, "__keyevent@0__:expired", as: reader)
        try emit("__keyevent@0__:expired", "k")
        // Whoever may publish to all topics may publish there, as anywhere; who may only read items does not hear it.
        #expect(try send("lie", to: "__keyevent@0__:expired") == 3)
        deliver()
        #expect(items.told == ["__key*__:*>__keyevent@0__:expired=k"])
        #expect(exact.told == ["__keyevent@0__:expired=k"])
        #expect(topics.told == ["*>__keyevent@0__:expired=lie"])
        #expect(try shared.topics.statistics.messages == 1)
    }

    @Test func whoLosesMessagesIsEnded() throws {
        let (slow, other) = (RecordingChannels(), RecordingChannels())
        _ = try open(slow, .channel, "news")
        _ = try open(other, .channel, "sport")
        let text = String(repeating: "x", count: 100_000)
        for _ in 0..<100 { _ = try send(text) }
        #expect(try shared.channels.audience(of: Array("news".utf8), .channel)?.isCongested == true)
        deliver()
        #expect(slow.told.isEmpty)
        #expect(slow.endings.count == 1)
        #expect(try shared.channels.subscriptions == 0)
        _ = try open(slow, .channel, "news")
        #expect(try send("on") == 1)
        deliver()
        #expect(slow.told == ["news=on"])
    }

    // MARK: Permissions and limits

    @Test func whatIsNotPermittedIsRefusedWholly() throws {
        let holder = try fixture.remember(
            try fixture.topicKey(.readOnly, topics: .prefix("a/")).presented, on: fixture.lane)
        let sink = RecordingChannels()
        let subscriber = try open(sink, as: holder)
        #expect(throws: MartletError.self) {
            try subscriber.subscribe(to: [Array("a/1".utf8), Array("b".utf8)], .channel) { _, _ in }
        }
        #expect(subscriber.total == 0)
        for (pattern, isAllowed) in [("a/*", true), ("a/[x]", true), ("a*", false), ("a\\/*", true), ("?", false)] {
            let result = Result { try subscriber.subscribe(to: [Array(pattern.utf8)], .pattern) { _, _ in } }
            #expect(((try? result.get()) != nil) == isAllowed, "\(pattern)")
        }
        #expect(throws: MartletError.self) { try send("x", to: "a/1", as: holder) }
    }

    @Test func eachChannelAndPatternCountsAsASubscription() throws {
        try fixture.makeCache("shop", [.maxSubscriptions: 3])
        let sink = RecordingChannels()
        let subscriber = try open(sink, .channel, "a", "b", "a")
        #expect(try fixture.admitted() == 2)
        #expect(throws: MartletError.countLimited(limit: .maxSubscriptions, value: 3)) {
            try subscriber.subscribe(to: [Array("c".utf8), Array("d".utf8)], .pattern) { _, _ in }
        }
        #expect(try fixture.admitted() == 2)
        #expect(subscriber.count == 2)
        #expect(try shared.channels.patternCount == 0)
        #expect(fixture.service.statistics(try shared.topics.id)?.topics.subscriptions == 2)
        subscriber.cancel()
        subscriber.cancel()
        #expect(try fixture.admitted() == 0)
    }

    @Test func theEndOfACredentialEndsEverything() throws {
        let holder = try fixture.remember(try fixture.topicKey(ttlSeconds: 60).presented, on: fixture.lane)
        let sink = RecordingChannels()
        _ = try open(sink, .channel, "news", "sport", as: holder)
        fixture.clock.advance(milliseconds: 60_000)
        fixture.lane.beginTick()
        fixture.lane.tickTopics()
        fixture.lane.tickTopics()
        #expect(sink.endings == [.expiredCredential])
        #expect(try send("x") == 0)
        #expect(try fixture.admitted() == 0)
    }

    @Test func anotherCredentialGoesOnWhereItMay() throws {
        let sink = RecordingChannels()
        let subscriber = try open(sink, .channel, "news")
        let few = try fixture.remember(
            try fixture.topicKey(.readOnly, topics: .named("sport")).presented, on: fixture.lane)
        #expect(throws: MartletError.self) { try subscriber.renew(try identity(few)) }
        let reader = try fixture.remember(try fixture.topicKey(.readOnly).presented, on: fixture.lane)
        try subscriber.renew(try identity(reader))
        #expect(subscriber.caller === reader)
        _ = try send("x")
        deliver()
        #expect(sink.told == ["news=x"])
    }

    // MARK: Patterns

    @Test(arguments: [
        ("news.*", "news.", 0), ("*", "", 0), ("n?ws*", "n", 0), ("*.de", "", 3), ("a**b*", "a", 2), ("\\*x", "*x", 0),
        ("a[bc]*d", "a", 1), ("plain", "plain", 0), ("a\\", "a\\", 0),
    ])
    func aPatternKnowsWhatItBeginsWithAndCosts(text: String, prefix: String, effort: Int) throws {
        let pattern = try ChannelPattern(Array(text.utf8))
        #expect(pattern.literalPrefix == Array(prefix.utf8))
        #expect(pattern.effort == effort)
    }

    @Test func patternsOfACacheAreBounded() throws {
        let subscriber = try open(RecordingChannels())
        let costly = Array(("*" + String(repeating: "x", count: 1000)).utf8)
        try subscriber.subscribe(to: [costly], .pattern) { _, _ in }
        #expect(throws: MartletError.self) { try subscriber.subscribe(to: [costly + [0x79]], .pattern) { _, _ in } }
        subscriber.unsubscribe(from: costly, .pattern)
        try subscriber.subscribe(to: [costly + [0x79]], .pattern) { _, _ in }
    }
}
