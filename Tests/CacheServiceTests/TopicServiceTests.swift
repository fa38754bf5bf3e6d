import Access
import Admission
import Catalog
import Metering
import Synchronization
import Tenancy
import Testing
import Topics

@testable import CacheService

/// A subscriber that writes down what it gets.
final class RecordingSink: TopicSink {
    var isReady = true
    private(set) var texts: [String] = []
    private(set) var sequences: [UInt64] = []
    private(set) var discontinuities: [TopicDiscontinuity] = []
    private(set) var heartbeats = 0
    private(set) var endings: [MartletError] = []
    /// Run at each message.
    var onMessage: () -> Void = {}

    func send(_ batch: TopicBatch, of subscription: CacheSubscription) {
        for message in batch.messages {
            texts.append(message.withBytes { String(decoding: $0, as: UTF8.self) })
            sequences.append(message.sequence)
        }
        onMessage()
    }

    func send(_ discontinuity: TopicDiscontinuity, of subscription: CacheSubscription) {
        discontinuities.append(discontinuity)
    }

    func sendHeartbeat(of subscription: CacheSubscription) { heartbeats += 1 }

    func end(_ subscription: CacheSubscription, _ error: MartletError) { endings.append(error) }
}

extension Fixture {
    /// A credential for topics.
    func topicKey(
        _ role: Role = .readWrite, topics: TopicSelector = .all, ttlSeconds: Int64? = nil
    ) throws -> (id: String, presented: String) {
        let grant = Grant.permissions(try PermissionSet(validating: [Permission(role, cache: .all, .topics(topics))]))
        let key = try control.mintKey(KeyOrder(format: .v2, grant: grant, ttlSeconds: ttlSeconds), caller: root)
        return (key.record.id, key.secret.presented)
    }

    func makeCache(_ name: String, _ limits: LimitChanges = [:]) throws {
        var change = CacheChange()
        change.limits = limits
        _ = try control.putCache(CacheName(name), change, caller: root)
        lane.beginTick()
    }

    /// As ``remember(_:)`` on any lane, for a credential that is known without a signature check.
    func remember(_ credential: String, on lane: ServiceLane) throws -> LaneCaller {
        lane.beginTick()
        var allowance = CheckAllowance(.init(burst: 1000, perSecond: 1000), now: lane.now)
        let identity = Array(credential.utf8).withUnsafeBytes { bytes in
            lane.identify(bytes, address: [127, 0, 0, 1], allowance: &allowance) { return { _ in } }
        }
        guard case .known(let caller) = identity else { throw MartletError.invalidCredential }
        return caller
    }

    @discardableResult
    func publish(
        _ text: String, to topic: String = "news", cache: String = "shop", as caller: LaneCaller,
        on lane: ServiceLane? = nil, door: Door = .rest
    ) throws -> TopicPosition {
        let lane = lane ?? self.lane
        let grant = try lane.permit(caller, cacheName: Array(cache.utf8), topic: topic, .publish, door)
        return try Array(text.utf8).withUnsafeBufferPointer { (bytes) throws(MartletError) in
            try lane.publish(
                grant, door, caller, topic: TopicName(topic), kind: .text, bytes: UnsafeRawBufferPointer(bytes))
        }
    }

    func subscribe(
        _ sink: RecordingSink, to topic: String = "news", cache: String = "shop", as caller: LaneCaller,
        on lane: ServiceLane? = nil, door: Door = .rest, from position: TopicPosition = .fresh
    ) throws -> CacheSubscription {
        let lane = lane ?? self.lane
        let grant = try lane.permit(caller, cacheName: Array(cache.utf8), topic: topic, .subscribe, door)
        let subscription = try lane.subscribe(
            grant, door, caller, topic: TopicName(topic), from: position, sink: sink)
        subscription.resume()
        return subscription
    }

    /// What the admission of a cache counts as open.
    func admitted(_ cache: String = "shop") throws -> UInt64 {
        let tenant = service.defaultTenant
        let id = try #require(catalog.snapshot.cache(tenant: tenant, name: try CacheName(cache))).id
        return try #require(service.shared(id)).admission.topics.subscriptions.count
    }

    func row(_ door: Door, lane: Int = 0, cache: String = "shop") throws -> MeterRow {
        let tenant = service.defaultTenant
        let id = try #require(catalog.snapshot.cache(tenant: tenant, name: try CacheName(cache))).id
        return try service.meters.row(lane: lane, tenant: tenant, cache: id, door: door)
    }
}

@Suite struct TopicServiceTests {
    private let fixture: Fixture
    private let caller: LaneCaller

    init() throws {
        fixture = try Fixture()
        try fixture.makeCache("shop")
        caller = try fixture.remember(try fixture.topicKey().presented, on: fixture.lane)
    }

    private func deliver(on lane: ServiceLane? = nil) {
        let lane = lane ?? fixture.lane
        lane.beginTick()
        while lane.drainTopics(atMost: 1000) {}
    }

    private func secondLane() -> ServiceLane {
        ServiceLane(service: fixture.service, index: 1) { $0() }
    }

    // MARK: Lanes

    @Test func messagesReachSubscribersOfEveryLane() throws {
        let other = secondLane()
        let otherCaller = try fixture.remember(try fixture.topicKey().presented, on: other)
        let (here, there) = (RecordingSink(), RecordingSink())
        _ = try fixture.subscribe(here, as: caller)
        _ = try fixture.subscribe(there, as: otherCaller, on: other)
        try fixture.publish("one", as: caller)
        try fixture.publish("two", as: otherCaller, on: other)
        deliver()
        #expect(here.texts == ["one", "two"])
        #expect(there.texts == [])
        deliver(on: other)
        #expect(there.texts == ["one", "two"])
        #expect(there.sequences == [1, 2])
        // Each lane counts what it delivers.
        #expect(try fixture.row(.rest).count(of: .deliveries) == 2)
        #expect(try fixture.row(.rest, lane: 1).count(of: .deliveries) == 2)
    }

    @Test func limitsHoldOverAllLanes() throws {
        try fixture.makeCache("shop", [.maxSubscriptions: 2, .maxOperationsPerSecond: 5])
        let other = secondLane()
        let otherCaller = try fixture.remember(try fixture.topicKey().presented, on: other)
        let here = try fixture.subscribe(RecordingSink(), as: caller)
        _ = try fixture.subscribe(RecordingSink(), as: otherCaller, on: other)
        #expect(throws: MartletError.countLimited(limit: .maxSubscriptions, value: 2)) {
            try fixture.subscribe(RecordingSink(), as: caller)
        }
        #expect(try fixture.admitted() == 2)
        here.cancel()
        here.cancel()
        #expect(try fixture.admitted() == 1)
        _ = try fixture.subscribe(RecordingSink(), as: otherCaller, on: other)
        // What one lane delivers is a debt on the other.
        try fixture.publish(String(repeating: "x", count: 4000), as: caller)
        deliver(on: other)
        #expect(throws: MartletError.self) { try fixture.publish("y", as: caller) }
        fixture.clock.advance(milliseconds: 3000)
        fixture.lane.beginTick()
        try fixture.publish("y", as: caller)
    }

    @Test func eachLaneIsWokenOnceForWhatWaits() throws {
        let wakes = Mutex(0)
        fixture.lane.onTopicsReady = { wakes.withLock { $0 += 1 } }
        let sink = RecordingSink()
        _ = try fixture.subscribe(sink, as: caller)
        for number in 0..<10 { try fixture.publish("\(number)", as: caller) }
        #expect(wakes.withLock { $0 } == 1)
        deliver()
        #expect(sink.texts.count == 10)
        try fixture.publish("more", as: caller)
        #expect(wakes.withLock { $0 } == 2)
    }

    // MARK: The end of a subscription

    @Test func eachEndIsToldOnceAndGivesBackWhatItHad() throws {
        let key = try fixture.topicKey(ttlSeconds: 60)
        let holder = try fixture.remember(key.presented, on: fixture.lane)
        let sinks = (0..<3).map { _ in RecordingSink() }
        let subscriptions = try sinks.map { try fixture.subscribe($0, as: holder) }
        subscriptions[0].cancel()
        fixture.clock.advance(milliseconds: 59_999)
        fixture.lane.beginTick()
        fixture.lane.tickTopics()
        #expect(sinks.allSatisfy { $0.endings.isEmpty })
        fixture.clock.advance(milliseconds: 1)
        fixture.lane.beginTick()
        fixture.lane.tickTopics()
        fixture.lane.tickTopics()
        #expect(sinks.map { $0.endings } == [[], [.expiredCredential], [.expiredCredential]])
        #expect(subscriptions.allSatisfy { $0.isOver })
        #expect(try fixture.admitted() == 0)
        #expect(fixture.lane.topics.subscriptions.isEmpty)
        // One for 0 ms, two for the minute.
        #expect(try fixture.row(.rest).count(of: .subscriptionMilliseconds) == 120_000)
    }

    @Test func aRevokedSubscriberGetsNothingMoreThoughNoTickCame() throws {
        let key = try fixture.topicKey()
        let sink = RecordingSink()
        _ = try fixture.subscribe(sink, as: try fixture.remember(key.presented, on: fixture.lane))
        try fixture.publish("before", as: caller)
        deliver()
        try fixture.publish("on its way", as: caller)
        try fixture.control.revokeKey(id: key.id, caller: fixture.root)
        deliver()
        #expect(sink.texts == ["before"])
        #expect(sink.endings == [.revokedCredential])
        #expect(try fixture.row(.rest).count(of: .deliveries) == 1)
    }

    @Test func aSubscriberMayCancelAnyOneWhileItIsBeingTold() throws {
        let sinks = (0..<4).map { _ in RecordingSink() }
        let subscriptions = try sinks.map { try fixture.subscribe($0, as: caller) }
        sinks[1].onMessage = {
            subscriptions[1].cancel()
            subscriptions[2].cancel()
        }
        try fixture.publish("one", as: caller)
        try fixture.publish("two", as: caller)
        deliver()
        try fixture.publish("three", as: caller)
        deliver()
        #expect(sinks[0].texts == ["one", "two", "three"])
        #expect(sinks[3].texts == ["one", "two", "three"])
        #expect(sinks[1].texts == ["one", "two"])
        #expect(sinks[2].texts == [])
        #expect(sinks.allSatisfy { $0.endings.isEmpty })
        #expect(try fixture.admitted() == 2)
    }

    @Test func renewalFollowsTheSubscriptionNotTheCredential() throws {
        let first = try fixture.topicKey(ttlSeconds: 60)
        let sink = RecordingSink()
        let subscription = try fixture.subscribe(sink, as: try fixture.remember(first.presented, on: fixture.lane))
        #expect(throws: MartletError.self) {
            try subscription.renew(
                fixture.remember(fixture.topicKey(.writeOnly).presented, on: fixture.lane))
        }
        let second = try fixture.topicKey(ttlSeconds: 600)
        try subscription.renew(fixture.remember(second.presented, on: fixture.lane))
        fixture.clock.advance(milliseconds: 120_000)
        fixture.lane.beginTick()
        fixture.lane.tickTopics()
        #expect(sink.endings.isEmpty)
        fixture.clock.advance(milliseconds: 480_000)
        fixture.lane.beginTick()
        fixture.lane.tickTopics()
        #expect(sink.endings == [.expiredCredential])
    }

    // MARK: Caches

    @Test func deletingACacheEndsItsSubscriptionsAndNoOthers() throws {
        try fixture.makeCache("other")
        let (gone, stays) = (RecordingSink(), RecordingSink())
        _ = try fixture.subscribe(gone, as: caller)
        _ = try fixture.subscribe(stays, cache: "other", as: caller)
        fixture.clock.advance(milliseconds: 500)
        let row = try fixture.row(.rest)
        try fixture.control.deleteCache(CacheName("shop"), caller: fixture.root)
        fixture.lane.beginTick()
        let counted = row.count(of: .subscriptionMilliseconds)
        #expect(counted == 500)
        fixture.clock.advance(milliseconds: 500)
        fixture.lane.beginTick()
        fixture.lane.tickTopics()
        #expect(gone.endings == [.cacheNotFound])
        #expect(stays.endings.isEmpty)
        #expect(row.count(of: .subscriptionMilliseconds) == counted)
        #expect(try fixture.row(.rest, cache: "other").count(of: .subscriptionMilliseconds) == 1000)
        #expect(throws: MartletError.cacheNotFound) { try fixture.publish("x", as: caller) }
        try fixture.publish("x", cache: "other", as: caller)
        deliver()
        #expect(stays.texts == ["x"])
    }

    @Test func flushingForgetsWhatIsRetainedAndKeepsSubscribers() throws {
        let sink = RecordingSink()
        _ = try fixture.subscribe(sink, as: caller)
        try fixture.publish("one", as: caller)
        deliver()
        try fixture.control.flushCache(CacheName("shop"), caller: fixture.root)
        let late = RecordingSink()
        _ = try fixture.subscribe(late, as: caller)
        #expect(late.texts == [])
        #expect(try fixture.publish("two", as: caller).sequence == 2)
        deliver()
        #expect(sink.texts == ["one", "two"])
        #expect(late.texts == ["two"])
        #expect(sink.discontinuities.isEmpty)
    }

    // MARK: Refusals

    @Test func whatIsRefusedIsNotPublishedAndNotBilled() throws {
        try fixture.makeCache("shop", [.maxMessageBytes: 4, .maxPublishPerSecond: 1])
        fixture.lane.beginTick()
        let row = try fixture.row(.webSocket)
        #expect(throws: MartletError.tooLarge(limit: .maxMessageBytes, value: 4)) {
            try fixture.publish("12345", as: caller, door: .webSocket)
        }
        #expect(row.count(of: .throttled) == 1)
        var refusals = 0
        var last: UInt64 = 0
        for _ in 0..<5 {
            do {
                last = try fixture.publish("1234", as: caller, door: .webSocket).sequence
            } catch {
                refusals += 1
            }
        }
        #expect(refusals > 0)
        #expect(last == UInt64(5 - refusals))
        #expect(row.count(of: .publishes) == last)
        #expect(row.count(of: .operations) == last)
        #expect(row.count(of: .throttled) == UInt64(1 + refusals))
        #expect(row.count(of: .bytesIn) == 4 * last)
    }

    @Test func aSubscriptionThatFailsGivesItsPlaceBack() throws {
        // Room for no topic at all.
        try fixture.makeCache("shop", [.maxBytes: 1])
        fixture.lane.beginTick()
        #expect(throws: MartletError.memoryExhausted) { try fixture.subscribe(RecordingSink(), as: caller) }
        #expect(try fixture.admitted() == 0)
        #expect(try fixture.row(.rest).count(of: .serverErrors) == 1)
        fixture.clock.advance(milliseconds: 1000)
        fixture.lane.beginTick()
        fixture.lane.tickTopics()
        #expect(try fixture.row(.rest).count(of: .subscriptionMilliseconds) == 0)
    }

    // MARK: The clock

    @Test func aClockThatIsSetBackTakesNothingBack() throws {
        let subscription = try fixture.subscribe(RecordingSink(), as: caller)
        func pass(_ milliseconds: Int64) {
            fixture.clock.advance(milliseconds: milliseconds)
            fixture.lane.beginTick()
            fixture.lane.tickTopics()
        }
        pass(1000)
        pass(-5000)
        pass(300)
        subscription.cancel()
        pass(1000)
        #expect(try fixture.row(.rest).count(of: .subscriptionMilliseconds) == 1300)
    }

    @Test(arguments: 0..<8 as Range<UInt64>)
    func openAndClosedSubscriptionsAddUpLikeASum(seed: UInt64) throws {
        var state = seed &* 2 &+ 1
        func random(below bound: Int64) -> Int64 {
            // A linear congruential generator (Knuth's constants): the upper bits are as random as this needs.
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int64(state >> 33) % bound
        }
        var open: [(subscription: CacheSubscription, since: Int64)] = []
        var expected: Int64 = 0
        func now() -> Int64 { fixture.clock.now().milliseconds }
        for _ in 0..<300 {
            fixture.clock.advance(milliseconds: random(below: 50))
            fixture.lane.beginTick()
            switch random(below: 3) {
            case 0: open.append((try fixture.subscribe(RecordingSink(), as: caller), now()))
            case 1 where !open.isEmpty:
                let ended = open.remove(at: Int(random(below: Int64(open.count))))
                ended.subscription.cancel()
                expected += now() - ended.since
            default: fixture.lane.tickTopics()
            }
        }
        for ended in open {
            ended.subscription.cancel()
            expected += now() - ended.since
        }
        #expect(try fixture.row(.rest).count(of: .subscriptionMilliseconds) == UInt64(expected))
        #expect(try fixture.admitted() == 0)
    }
}
