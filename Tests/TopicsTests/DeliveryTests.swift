import Tenancy
import Testing
import Topics

@Suite struct DeliveryTests {
    @Test func aMessageIsDeliveredAsItWasPublished() throws {
        let fixture = Fixture()
        let receiver = Receiver()
        _ = try fixture.lane.follow(receiver, in: fixture.space)
        let payloads: [[UInt8]] = [
            [], [0], Array("text".utf8), [UInt8](repeating: 7, count: 1024), [1] + [UInt8](repeating: 7, count: 1024),
            [UInt8](repeating: 9, count: 200_000),
        ]
        for (number, payload) in payloads.enumerated() {
            let now = start.adding(milliseconds: Int64(number))
            let kind: TopicValueKind = number % 2 == 0 ? .binary : .text
            let position = try fixture.space.publish(payload, kind, to: topic("t"), from: "p\(number)", now: now)
            fixture.lane.drainAll()
            let batch = try #require(receiver.batches.last)
            let message = try #require(batch.messages.first)
            #expect(batch.messages.count == 1)
            #expect(batch.first == position.sequence && batch.last == position.sequence && batch.page == position.page)
            #expect(message.sequence == UInt64(number + 1) && message.page == position.page)
            #expect(message.publishedAt == now && message.kind == kind)
            #expect(message.publisherID == Array("p\(number)".utf8))
            #expect(message.byteCount == payload.count && message.withBytes { Array($0) } == payload)
            #expect(batch.payloadBytes == payload.count)
        }
        #expect(receiver.batches.map(\.chunkCount) == [1, 1, 1, 1, 2, 196])
    }

    @Test func whatWasPublishedBetweenTwoDrainsIsOneBatchForAll() throws {
        let fixture = Fixture()
        let receivers = (0..<3).map { _ in Receiver() }
        for receiver in receivers { _ = try fixture.lane.follow(receiver, in: fixture.space) }
        try fixture.publish(1...5)
        fixture.lane.drainAll()
        #expect(receivers.allSatisfy { $0.events == items(1...5) && $0.batches.count == 1 })
        #expect(receivers[1].batches[0] === receivers[0].batches[0], "so a door encodes it once")
        let batch = receivers[0].batches[0]
        #expect(batch.encoding == nil)
        batch.encoding = fixture.hub
        #expect(receivers[2].batches[0].encoding === fixture.hub)
        try fixture.publish(6...6)
        fixture.lane.drainAll()
        #expect(receivers[0].batches[1].encoding == nil)
    }

    @Test func subscribersThatBeginInTheMidstOfABatchShareASuffix() throws {
        let fixture = Fixture()
        let early = Receiver()
        _ = try fixture.lane.follow(early, in: fixture.space)
        try fixture.publish(1...3)
        let late = (0..<3).map { _ in Receiver() }
        for receiver in late {
            _ = try fixture.lane.follow(receiver, in: fixture.space, from: TopicPosition(sequence: 4, page: 0))
        }
        try fixture.publish(4...5)
        fixture.lane.drainAll()
        #expect(early.events == items(1...5))
        #expect(late.allSatisfy { $0.events == items(4...5) })
        #expect(late[1].batches[0] === late[0].batches[0])
    }

    @Test func manyWhoCatchUpShareABatch() throws {
        let fixture = Fixture()
        try fixture.publish(1...5)
        let receivers = (0..<3).map { _ in Receiver() }
        for receiver in receivers { _ = try fixture.lane.follow(receiver, in: fixture.space) }
        #expect(receivers.allSatisfy { $0.events == items(5...5) })
        #expect(receivers[2].batches[0] === receivers[0].batches[0])
        // But not one that a flush has taken.
        fixture.space.flush()
        let receiver = Receiver()
        _ = try fixture.lane.follow(receiver, in: fixture.space)
        #expect(receiver.events == [])
    }

    @Test func aBatchIsBoundedAndTheNextFollows() throws {
        let fixture = Fixture()
        let live = Receiver()
        _ = try fixture.lane.follow(live, in: fixture.space)
        let payload = [UInt8](repeating: 65, count: 10_000)
        for _ in 0..<100 { try fixture.space.publish(payload, to: topic("t")) }
        for _ in 0..<600 { try fixture.space.publish([], to: topic("t")) }
        fixture.lane.drainAll()
        let replayed = Receiver()
        _ = try fixture.lane.follow(replayed, in: fixture.space, from: TopicPosition(sequence: 1, page: 0))
        for receiver in [live, replayed] {
            #expect(receiver.batches.allSatisfy { $0.payloadBytes <= 64 << 10 && $0.messages.count <= 256 })
            #expect(receiver.batches.flatMap { $0.messages.map(\.sequence) } == Array(1...700))
        }
        // A message that is larger than a batch is one.
        try fixture.space.publish([UInt8](repeating: 65, count: 300_000), to: topic("t"))
        try fixture.space.publish([], to: topic("t"))
        fixture.lane.drainAll()
        #expect(live.batches.suffix(2).map(\.payloadBytes) == [300_000, 0])
    }

    @Test func theLaneIsWokenOncePerTransition() throws {
        let fixture = Fixture()
        let wakes = Counter()
        let lane = TopicLane(heartbeatTicks: 1) { wakes.add() }
        let receivers = [Receiver(), Receiver()]
        _ = try lane.follow(receivers[0], to: "a", in: fixture.space)
        _ = try lane.follow(receivers[1], to: "b", in: fixture.space)
        #expect(wakes.value == 0)
        for number in 1...5 {
            try fixture.space.publish("\(number)", to: "a")
            try fixture.space.publish("\(number)", to: "b")
            try fixture.space.publish("nobody listens", to: "c")
        }
        #expect(wakes.value == 1)
        lane.drainAll()
        #expect(receivers.allSatisfy { $0.events == items(1...5) })
        #expect(!lane.drain(now: start, atMost: 10))
        try fixture.space.publish("6", to: "b")
        #expect(wakes.value == 2)
    }

    @Test func topicsOfOneNameInTwoSpacesAreTwo() throws {
        let fixture = Fixture()
        let other = fixture.hub.openSpace(CacheID(rawValue: 2), maxBytes: nil, held: { _ in })
        let receivers = [Receiver(), Receiver()]
        _ = try fixture.lane.follow(receivers[0], in: fixture.space)
        _ = try fixture.lane.follow(receivers[1], in: other)
        try fixture.space.publish("here")
        try other.publish("there")
        fixture.lane.drainAll()
        #expect(receivers.map(\.events) == [[.item(1, "here")], [.item(1, "there")]])
        #expect(receivers[0].batches[0].page != receivers[1].batches[0].page)
    }

    // MARK: Heartbeats

    @Test func everySubscriptionHasItsHeartbeatOnceInAllTicks() throws {
        let fixture = Fixture()
        let receivers = (0..<10).map { _ in Receiver() }
        var subscriptions: [TopicSubscription] = []
        for receiver in receivers { subscriptions.append(try fixture.lane.follow(receiver, in: fixture.space)) }
        for _ in 0..<4 {
            let before = receivers.reduce(0) { $0 + $1.heartbeats }
            fixture.lane.heartbeat(now: start)
            #expect((2...3).contains(receivers.reduce(0) { $0 + $1.heartbeats } - before), "a part at a time")
        }
        #expect(receivers.allSatisfy { $0.heartbeats == 1 })
        receivers[3].isReady = false
        fixture.lane.cancel(subscriptions[5])
        for _ in 0..<4 { fixture.lane.heartbeat(now: start) }
        #expect(receivers.map(\.heartbeats) == [2, 2, 2, 1, 2, 1, 2, 2, 2, 2])
    }

    @Test(arguments: testSeeds())
    func cancelsDuringHeartbeatsLeaveNobodyOut(seed: UInt64) throws {
        print("seed \(seed): set MARTLET_TEST_SEED to repeat")
        var random = SeededGenerator(seed: seed)
        let fixture = Fixture()
        let lane = TopicLane(heartbeatTicks: 2, wake: {})
        var receivers: [Receiver] = []
        var subscriptions: [TopicSubscription] = []
        for _ in 0..<40 {
            receivers.append(Receiver())
            subscriptions.append(try lane.follow(receivers[receivers.count - 1], in: fixture.space))
        }
        for receiver in receivers {
            let doomed = (0..<Int.random(in: 0...2, using: &random)).map { _ in
                subscriptions[Int.random(in: 0..<40, using: &random)]
            }
            receiver.onHeartbeat = { for subscription in doomed { lane.cancel(subscription) } }
        }
        for _ in 0..<2 { lane.heartbeat(now: start) }
        for receiver in receivers { receiver.onHeartbeat = {} }
        for (receiver, subscription) in zip(receivers, subscriptions) where !subscription.isCancelled {
            #expect(receiver.heartbeats >= 1, "seed \(seed)")
        }
        #expect(lane.subscriptionCount == subscriptions.count { !$0.isCancelled })
        #expect(fixture.space.statistics.subscriptions == lane.subscriptionCount)
        #expect(fixture.hub.checkInvariants() == [])
    }

    // MARK: The end

    @Test func aClosedSpaceRefusesAndIsCharged0() throws {
        let told = Counter()
        let hub = TopicHub(limits: TopicLimits())
        let space = hub.openSpace(CacheID(rawValue: 1), maxBytes: nil) { told.set($0) }
        let lane = TopicLane(heartbeatTicks: 1, wake: {})
        let receiver = Receiver()
        let subscription = try lane.follow(receiver, in: space)
        try space.publish("pending")
        #expect(told.value > 0)
        #expect(told.value == space.statistics.bytes)
        hub.closeSpace(space)
        #expect(told.value == 0)
        #expect(space.statistics.topics == 0 && space.statistics.messages == 0 && space.statistics.bytes == 0)
        #expect(throws: MartletError.cacheNotFound) { try space.publish("late") }
        #expect(throws: MartletError.cacheNotFound) { try lane.follow(Receiver(), in: space) }
        lane.drainAll()
        lane.resume(subscription, now: start)
        space.flush()
        space.setMaxBytes(5)
        hub.tick(now: start)
        #expect(receiver.events == [])
        lane.heartbeat(now: start)
        #expect(receiver.heartbeats == 1, "whoever closes the cache ends its subscriptions")
        #expect(subscription.name == topic("t"))
        lane.cancel(subscription)
        #expect(lane.subscriptionCount == 0)
        hub.closeSpace(space)
        #expect(told.value == 0)
        #expect(hub.retainedBytes == 0)
        #expect(hub.checkInvariants() == [])
    }

    @Test func aLaneThatGoesTakesItsSubscriptionsAlong() throws {
        let fixture = Fixture()
        weak var released: Receiver?
        do {
            let lane = TopicLane(heartbeatTicks: 3, wake: {})
            let receiver = Receiver()
            released = receiver
            for _ in 0..<5 { _ = try lane.follow(receiver, in: fixture.space) }
            try fixture.publish(1...3)
            #expect(fixture.space.statistics.subscriptions == 5)
        }
        #expect(released == nil)
        #expect(fixture.space.statistics.subscriptions == 0)
        #expect(fixture.hub.checkInvariants() == [])
        fixture.space.flush()
        #expect(fixture.space.statistics.bytes == 0)
    }

    @Test func nothingIsLeftInMemoryOfALaneThatGoesWithSomethingWaiting() throws {
        weak var space: TopicSpace?
        weak var wake: Counter?
        do {
            let fixture = Fixture()
            space = fixture.space
            let counter = Counter()
            wake = counter
            let lane = TopicLane(heartbeatTicks: 1) { counter.add() }
            _ = try lane.follow(Receiver(), in: fixture.space)
            try fixture.publish(1...2)
            #expect(counter.value == 1)
        }
        #expect(space == nil && wake == nil)
    }

    @Test func nothingIsLeftInMemoryWhenAHubGoes() throws {
        weak var message: TopicMessage?
        weak var kept: Receiver?
        weak var space: TopicSpace?
        do {
            let fixture = Fixture()
            space = fixture.space
            let receiver = Receiver()
            kept = receiver
            let subscription = try fixture.lane.follow(receiver, in: fixture.space)
            try fixture.publish(1...2)
            fixture.lane.drainAll()
            message = receiver.batches[0].messages[0]
            try fixture.publish(3...4)
            fixture.lane.cancel(subscription)
        }
        #expect(message == nil && kept == nil && space == nil)
    }
}
