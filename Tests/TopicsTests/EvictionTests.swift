import Tenancy
import Testing
import Topics

@Suite struct EvictionTests {
    @Test func aFloodOfNamesStaysWithinTheTotal() throws {
        let fixture = Fixture { $0.totalBytes = 200_000 }
        for number in 0..<20_000 {
            try fixture.space.publish("x", to: "flood \(number)")
            #expect(fixture.hub.retainedBytes <= 200_000)
        }
        let statistics = fixture.space.statistics
        #expect(statistics.bytes > 190_000, "what may be used is used")
        #expect(statistics.evictions == UInt64(20_000 - statistics.topics))
        #expect(fixture.hub.checkInvariants() == [])
        // The newest are there, the oldest begin anew.
        #expect(try fixture.space.publish("x", to: "flood 19999").sequence == 2)
        #expect(try fixture.space.publish("x", to: "flood 0").sequence == 1)
    }

    @Test func aFloodOfSubscriptionsIsRefusedAndLeavesNothing() throws {
        let fixture = Fixture { $0.totalBytes = 200_000 }
        for number in 0..<500 { try fixture.space.publish("x", to: "old \(number)") }
        let receiver = Receiver()
        var subscriptions: [TopicSubscription] = []
        var refusals = 0
        for number in 0..<2000 {
            do throws(MartletError) {
                subscriptions.append(try fixture.lane.follow(receiver, to: "flood \(number)", in: fixture.space))
            } catch {
                #expect(error == .memoryExhausted)
                refusals += 1
            }
        }
        // The lane's part of the last ones may go over by a little: only another topic is refused.
        #expect(fixture.hub.retainedBytes <= 200_000 + 1000)
        #expect(subscriptions.count > 200 && refusals == 2000 - subscriptions.count)
        #expect(fixture.space.statistics.topics == subscriptions.count, "all others had to go")
        #expect(throws: MartletError.memoryExhausted) { try fixture.space.publish("x", to: "another") }
        // The topics that are there work: delivered, if not retained.
        for number in 0..<10 { try fixture.space.publish("x", to: "flood \(number)") }
        fixture.lane.drainAll()
        #expect(receiver.events.count == 10)
        #expect(fixture.hub.checkInvariants() == [])
        for subscription in subscriptions { fixture.lane.cancel(subscription) }
        try fixture.space.publish("x", to: "another")
        fixture.space.flush()
        for _ in 0..<3 { fixture.hub.tick(now: start) }
        #expect(fixture.hub.retainedBytes == 0)
        #expect(fixture.hub.checkInvariants() == [])
    }

    @Test func theLeastRecentlyUsedGoesFirst() throws {
        let fixture = Fixture { $0.totalBytes = 100_000 }
        let payload = [UInt8](repeating: 1, count: 1000)
        for number in 0..<20 { try fixture.space.publish(payload, to: topic("old \(number)")) }
        for number in 0..<1000 {
            try fixture.space.publish(payload, to: topic("new \(number)"))
            // In use by a publisher, by a subscriber that comes and goes.
            try fixture.space.publish([], to: topic("old 3"))
            let lane = TopicLane(heartbeatTicks: 1, wake: {})
            _ = try lane.follow(Receiver(), to: "old 7", in: fixture.space)
        }
        #expect(try fixture.space.publish(payload, to: topic("old 3")).sequence == 1002)
        #expect(try fixture.space.publish(payload, to: topic("old 7")).sequence == 2)
        #expect(try fixture.space.publish(payload, to: topic("old 4")).sequence == 1)
    }

    @Test func aTopicWithSubscribersLosesItsMessagesAndKeepsItsNumbers() throws {
        let fixture = Fixture { $0.totalBytes = 50_000 }
        let receiver = Receiver()
        let subscription = try fixture.lane.follow(receiver, in: fixture.space)
        let page = try fixture.publish(1...10).page
        fixture.lane.drainAll()
        for number in 0..<1000 { try fixture.space.publish("x", to: "flood \(number)") }
        #expect(try fixture.publish(11...11) == TopicPosition(sequence: 11, page: page))
        fixture.lane.drainAll()
        #expect(receiver.events == items(1...11))
        let late = Receiver()
        _ = try fixture.lane.follow(late, in: fixture.space, from: TopicPosition(sequence: 8, page: page))
        #expect(late.events == [.discontinuity(last: 7, new: 10, page: page)] + items(11...11))
        #expect(!subscription.isCancelled)
        #expect(fixture.hub.checkInvariants() == [])
    }

    @Test func theTopicThatIsPublishedToLosesItsOldestLast() throws {
        let fixture = Fixture { $0.totalBytes = 30_000 }
        for number in 0..<20 { try fixture.space.publish("x", to: "other \(number)") }
        let payload = [UInt8](repeating: 1, count: 1000)
        for number in 1...200 {
            #expect(try fixture.space.publish(payload, to: topic("t")).sequence == UInt64(number))
            #expect(fixture.hub.retainedBytes <= 30_000)
        }
        #expect(fixture.space.statistics.topics == 1)
        #expect((24...28).contains(fixture.space.statistics.messages))
        #expect(fixture.hub.checkInvariants() == [])
    }

    @Test func aMessageThatFitsNowhereIsDeliveredAndEvictsNobody() throws {
        let fixture = Fixture { $0.totalBytes = 30_000 }
        let receiver = Receiver()
        _ = try fixture.lane.follow(receiver, in: fixture.space)
        for number in 0..<20 { try fixture.space.publish("x", to: "other \(number)") }
        try fixture.space.publish([UInt8](repeating: 1, count: 100_000), to: topic("t"))
        #expect(fixture.space.statistics.messages == 20)
        #expect(fixture.space.statistics.evictions == 0)
        #expect(fixture.space.statistics.bytes > 100_000, "it is charged until the lane has it")
        fixture.lane.drainAll()
        #expect(receiver.batches.map(\.payloadBytes) == [100_000])
        #expect(fixture.space.statistics.bytes < 30_000)
        #expect(fixture.hub.checkInvariants() == [])
    }

    // MARK: Shares

    @Test func topicsTakeHalfOfTheirCacheAtMost() throws {
        let fixture = Fixture(maxBytes: 100_000)
        for number in 0..<1000 {
            try fixture.space.publish("x", to: "topic \(number)")
            #expect(fixture.space.statistics.bytes <= 50_000)
        }
        #expect(fixture.space.statistics.bytes > 48_000)
        fixture.space.setMaxBytes(nil)
        for number in 0..<1000 { try fixture.space.publish("x", to: "topic \(number)") }
        #expect(fixture.space.statistics.topics == 1000)
        // A lowered limit stops growth at once, each operation gives back a little, and a tick the rest.
        let before = fixture.space.statistics.bytes
        fixture.space.setMaxBytes(100_000)
        let evictions = fixture.space.statistics.evictions
        try fixture.space.publish("x", to: "another")
        #expect(fixture.space.statistics.bytes < before)
        #expect(fixture.space.statistics.evictions - evictions < 50)
        fixture.hub.tick(now: start)
        #expect(fixture.space.statistics.bytes <= 50_000)
        fixture.space.setMaxBytes(0)
        fixture.hub.tick(now: start)
        #expect(fixture.space.statistics.bytes == 0)
        #expect(throws: MartletError.memoryExhausted) { try fixture.space.publish("x", to: "one more") }
        #expect(fixture.hub.checkInvariants() == [])
    }

    @Test func aSpaceMayUseWhatOthersLeaveAndGivesItBackToThem() throws {
        var limits = TopicLimits()
        limits.totalBytes = 400_000
        let hub = TopicHub(limits: limits)
        let spaces = (1...4).map { hub.openSpace(CacheID(rawValue: $0), maxBytes: nil, held: { _ in }) }
        func fill(_ space: TopicSpace) throws {
            for number in 0..<3000 {
                try space.publish("x", to: "topic \(number)")
                #expect(hub.retainedBytes <= 400_000)
            }
        }
        try fill(spaces[0])
        #expect(spaces[0].statistics.bytes > 390_000)
        try fill(spaces[1])
        #expect(abs(spaces[0].statistics.bytes - spaces[1].statistics.bytes) < 20_000, "two halves")
        for space in spaces { try fill(space) }
        for space in spaces { #expect((80_000...110_000).contains(space.statistics.bytes)) }
        let evictions = spaces[0].statistics.evictions
        try fill(spaces[3])
        #expect(spaces[0].statistics.evictions - evictions < 100, "a flood costs the others nothing below their share")
        hub.closeSpace(spaces[1])
        hub.closeSpace(spaces[2])
        try fill(spaces[3])
        #expect(spaces[3].statistics.bytes > 190_000)
        #expect(hub.checkInvariants() == [])
    }

    @Test func manySpacesOfOneTopicShareTheTotal() throws {
        var limits = TopicLimits()
        limits.totalBytes = 100_000
        let hub = TopicHub(limits: limits)
        let spaces = (1...1000).map { hub.openSpace(CacheID(rawValue: $0), maxBytes: nil, held: { _ in }) }
        for round in 0..<3 {
            for space in spaces {
                // Where a topic does not even fit, it is refused.
                _ = try? space.publish("round \(round)")
                #expect(hub.retainedBytes <= 102_000)
            }
        }
        #expect(hub.retainedBytes > 50_000)
        #expect(hub.checkInvariants() == [])
        for space in spaces { hub.closeSpace(space) }
        #expect(hub.retainedBytes == 0)
    }

    @Test func whatIsHeldIsToldInOrderAndIsWhatTheStatisticsSay() throws {
        let told = Counter()
        let hub = TopicHub(limits: TopicLimits())
        let space = hub.openSpace(CacheID(rawValue: 1), maxBytes: 300_000) { told.set($0) }
        let lane = TopicLane(heartbeatTicks: 1, wake: {})
        #expect(space.statistics.bytes == 0)
        for number in 0..<3000 {
            switch number % 5 {
            case 0..<3: try space.publish([UInt8](repeating: 1, count: number), to: topic("topic \(number % 70)"))
            case 3: lane.cancel(try lane.follow(Receiver(), to: "topic \(number % 50)", in: space))
            default: lane.drainAll()
            }
            #expect(told.value == space.statistics.bytes && told.value == hub.retainedBytes)
        }
        space.flush()
        #expect(told.value == 0)
    }

    /// The charges are what the allocator takes: nothing is forgotten when everything has gone and come many times.
    @Test(arguments: testSeeds())
    func topicsByTheThousandComeAndGo(seed: UInt64) throws {
        print("seed \(seed): set MARTLET_TEST_SEED to repeat")
        var random = SeededGenerator(seed: seed)
        let fixture = Fixture { $0.idleMilliseconds = 1000 }
        var subscriptions: [TopicSubscription] = []
        var now = start
        for round in 0..<8 {
            for _ in 0..<2000 {
                let name = "topic \(Int.random(in: 0..<4000, using: &random))"
                if Int.random(in: 0..<3, using: &random) == 0 {
                    subscriptions.append(try fixture.lane.follow(Receiver(), to: name, in: fixture.space, now: now))
                } else {
                    try fixture.space.publish("x", to: name, now: now)
                }
            }
            #expect(fixture.hub.checkInvariants() == [], "seed \(seed), round \(round)")
            while subscriptions.count > 300 {
                fixture.lane.cancel(
                    subscriptions.remove(at: Int.random(in: 0..<subscriptions.count, using: &random)))
            }
            now = now.adding(milliseconds: 700)
            fixture.lane.drainAll(now: now)
            fixture.hub.tick(now: now)
            #expect(fixture.hub.checkInvariants() == [], "seed \(seed), round \(round)")
        }
        for subscription in subscriptions { fixture.lane.cancel(subscription) }
        now = now.adding(milliseconds: 1000)
        for _ in 0..<3 { fixture.hub.tick(now: now) }
        #expect(fixture.space.statistics.topics == 0)
        #expect(fixture.hub.retainedBytes == 0)
    }
}
