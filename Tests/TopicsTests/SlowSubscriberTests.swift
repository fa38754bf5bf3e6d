import Tenancy
import Testing
import Topics

@Suite struct SlowSubscriberTests {
    @Test func aSubscriberThatIsNotReadyIsPassedOverAndCatchesUp() throws {
        let fixture = Fixture()
        let slow = Receiver()
        let fast = Receiver()
        let subscription = try fixture.lane.follow(slow, in: fixture.space)
        _ = try fixture.lane.follow(fast, in: fixture.space)
        slow.isReady = false
        for number in 1...5 {
            try fixture.publish(number...number)
            fixture.lane.drainAll()
            fixture.lane.heartbeat(now: start)
        }
        #expect(slow.events == [])
        #expect(fast.events == items(1...5))
        slow.isReady = true
        fixture.lane.resume(subscription, now: start)
        #expect(slow.take() == items(1...5))
        try fixture.publish(6...6)
        fixture.lane.drainAll()
        #expect(slow.events == items(6...6))
    }

    @Test func oneThatFallsBehindTheRingIsToldWhatItMissed() throws {
        let fixture = Fixture { $0.messagesPerTopic = 4 }
        let slow = Receiver()
        let subscription = try fixture.lane.follow(slow, in: fixture.space)
        try fixture.publish(1...2)
        fixture.lane.drainAll()
        #expect(slow.take() == items(1...2))
        slow.isReady = false
        for number in 3...20 {
            try fixture.publish(number...number)
            fixture.lane.drainAll()
        }
        slow.isReady = true
        fixture.lane.resume(subscription, now: start)
        let page = subscription.position.page
        #expect(slow.events == [.discontinuity(last: 2, new: 16, page: page)] + items(17...20))
    }

    /// Ready again, but not resumed: the next message finds it behind.
    @Test func theNextMessageBringsUpWhoIsReadyAgain() throws {
        let fixture = Fixture()
        let slow = Receiver()
        _ = try fixture.lane.follow(slow, in: fixture.space)
        slow.isReady = false
        try fixture.publish(1...3)
        fixture.lane.drainAll()
        slow.isReady = true
        fixture.lane.drainAll()
        #expect(slow.events == [])
        try fixture.publish(4...4)
        fixture.lane.drainAll()
        #expect(slow.events == items(1...4))
    }

    @Test func oneThatTakesABatchAtATimeGetsEverythingInOrder() throws {
        let fixture = Fixture()
        let slow = Receiver()
        slow.credit = 1
        let subscription = try fixture.lane.follow(slow, in: fixture.space)
        for _ in 0..<700 { try fixture.space.publish("x") }
        fixture.lane.drainAll()
        #expect(slow.batches.count == 1)
        var rounds = 0
        while subscription.position.sequence <= 700 {
            rounds += 1
            slow.credit = 1
            slow.isReady = true
            fixture.lane.resume(subscription, now: start)
            #expect(slow.batches.count == 1 + rounds, "never more than it is ready for")
        }
        #expect(slow.batches.flatMap { $0.messages.map(\.sequence) } == Array(1...700))
        #expect(rounds == 2)
    }

    @Test func oneThatIsFullAfterTheDiscontinuityGetsTheMessagesLater() throws {
        let fixture = Fixture { $0.messagesPerTopic = 2 }
        let page = try fixture.publish(1...10).page
        let slow = Receiver()
        slow.credit = 1
        let subscription = try fixture.lane.follow(
            slow, in: fixture.space, from: TopicPosition(sequence: 1, page: page))
        #expect(slow.take() == [.discontinuity(last: 0, new: 8, page: page)])
        try fixture.publish(11...11)
        fixture.lane.drainAll()
        #expect(slow.events == [])
        slow.credit = nil
        slow.isReady = true
        fixture.lane.resume(subscription, now: start)
        // Number 9 has gone since, and was announced.
        #expect(slow.events == [.discontinuity(last: 8, new: 9, page: page)] + items(10...11))
    }

    @Test func aPauseBeforeTheStartIsToldAsOneGap() throws {
        let fixture = Fixture { $0.messagesPerTopic = 2 }
        let page = try fixture.publish(1...10).page
        let slow = Receiver()
        slow.isReady = false
        let subscription = try fixture.lane.follow(
            slow, in: fixture.space, from: TopicPosition(sequence: 30, page: page))
        try fixture.publish(11...20)
        fixture.lane.drainAll()
        slow.isReady = true
        fixture.lane.resume(subscription, now: start)
        #expect(slow.events == [.discontinuity(last: 29, new: 18, page: page)] + items(19...20))
    }

    @Test func slowSubscribersCostNothingMore() throws {
        let fixture = Fixture { $0.messagesPerTopic = 8 }
        let receivers = (0..<100).map { _ in Receiver() }
        for receiver in receivers {
            _ = try fixture.lane.follow(receiver, in: fixture.space)
            receiver.isReady = false
        }
        try fixture.publish(1...8)
        fixture.lane.drainAll()
        let before = fixture.space.statistics.bytes
        try fixture.publish(1...1000)
        fixture.lane.drainAll()
        #expect(fixture.space.statistics.bytes == before)
        #expect(fixture.space.statistics.messages == 8)
    }

    // MARK: A lane that is behind as a whole

    @Test func whatIsPendingIsDeliveredThoughTheRingHasTurnedOver() throws {
        let fixture = Fixture { $0.messagesPerTopic = 2 }
        let receiver = Receiver()
        let subscription = try fixture.lane.follow(receiver, in: fixture.space)
        try fixture.publish(1...200)
        #expect(fixture.space.statistics.messages == 2)
        #expect(fixture.hub.checkInvariants() == [])
        fixture.lane.drainAll()
        #expect(receiver.take() == items(1...200))
        // Also where the subscriber resumes for no reason before the drain.
        try fixture.publish(201...300)
        fixture.lane.resume(subscription, now: start)
        #expect(receiver.events == items(201...300))
        fixture.lane.drainAll()
        #expect(receiver.events == items(201...300))
        #expect(fixture.hub.checkInvariants() == [])
    }

    @Test func whatIsPendingOutlivesFlushExpiryAndEviction() throws {
        let fixture = Fixture {
            $0.retentionMilliseconds = 1000
            $0.totalBytes = 60_000
        }
        let receiver = Receiver()
        _ = try fixture.lane.follow(receiver, in: fixture.space)
        try fixture.publish(1...3)
        fixture.space.flush()
        #expect(fixture.space.statistics.messages == 0)
        #expect(fixture.hub.checkInvariants() == [])
        try fixture.publish(4...5)
        fixture.hub.tick(now: start.adding(milliseconds: 1000))
        #expect(fixture.space.statistics.messages == 0)
        try fixture.publish(6...8)
        for number in 0..<1000 { try fixture.space.publish("filler", to: "other \(number)") }
        #expect(fixture.space.statistics.evictions > 0)
        #expect(fixture.hub.checkInvariants() == [])
        fixture.lane.drainAll()
        #expect(receiver.events == items(1...8))
        let late = Receiver()
        _ = try fixture.lane.follow(late, in: fixture.space)
        #expect(late.events == [], "for those who come later it is gone")
        #expect(fixture.hub.checkInvariants() == [])
    }

    @Test func whatAPausedRoundHasInHandIsNotLost() throws {
        let fixture = Fixture()
        let receivers = (0..<10).map { _ in Receiver() }
        var subscriptions: [TopicSubscription] = []
        for receiver in receivers { subscriptions.append(try fixture.lane.follow(receiver, in: fixture.space)) }
        try fixture.publish(1...3)
        #expect(fixture.lane.drain(now: start, atMost: 4))
        fixture.space.flush()
        try fixture.publish(4...5)
        fixture.space.flush()
        // The ninth has not had its turn; it comes back by itself.
        fixture.lane.resume(subscriptions[8], now: start)
        #expect(receivers[8].events == items(1...5))
        fixture.lane.drainAll()
        #expect(receivers.allSatisfy { $0.events == items(1...5) })
        // One that was passed over in that round has lost it.
        receivers[0].isReady = false
        try fixture.publish(6...6)
        #expect(fixture.lane.drain(now: start, atMost: 4))
        fixture.space.flush()
        fixture.lane.drainAll()
        receivers[0].isReady = true
        fixture.lane.resume(subscriptions[0], now: start)
        let page = subscriptions[0].position.page
        #expect(receivers[0].events == items(1...5) + [.discontinuity(last: 5, new: 6, page: page)])
    }

    @Test func whatAPausedRoundHasInHandIsNotLostToWhoIsOwedADiscontinuity() throws {
        let fixture = Fixture()
        let first = Receiver()
        let second = Receiver()
        _ = try fixture.lane.follow(first, in: fixture.space)
        let page = try fixture.publish(1...4).page
        fixture.lane.drainAll()
        fixture.space.flush()
        second.isReady = false
        let subscription = try fixture.lane.follow(
            second, in: fixture.space, from: TopicPosition(sequence: 3, page: page - 1))
        try fixture.publish(5...5)
        #expect(fixture.lane.drain(now: start, atMost: 1))
        fixture.space.flush()
        second.isReady = true
        fixture.lane.resume(subscription, now: start)
        #expect(second.events == [.discontinuity(last: 2, new: 4, page: page)] + items(5...5))
    }

    @Test func aPendingListIsBoundedInNumber() throws {
        let fixture = Fixture { $0.messagesPerTopic = 300 }
        let receiver = Receiver()
        let subscription = try fixture.lane.follow(receiver, in: fixture.space)
        let page = try fixture.publish(1...1000).page
        #expect(fixture.hub.checkInvariants() == [])
        fixture.lane.drainAll()
        #expect(receiver.events == [.discontinuity(last: 0, new: 700, page: page)] + items(701...1000))
        #expect(subscription.position.sequence == 1001)
    }

    @Test func aPendingListIsBoundedInBytesAndKeepsTheNewest() throws {
        let fixture = Fixture { $0.bytesPerTopic = 1 << 20 }
        let receiver = Receiver()
        _ = try fixture.lane.follow(receiver, in: fixture.space)
        for _ in 0..<50 { try fixture.space.publish([UInt8](repeating: 1, count: 100_000), to: topic("t")) }
        #expect(fixture.space.statistics.bytes < 1_100_000)
        #expect(fixture.hub.checkInvariants() == [])
        fixture.lane.drainAll()
        #expect(receiver.events.count == 1 + 10, "a discontinuity, and what fits")
        try fixture.space.publish([UInt8](repeating: 1, count: 3_000_000), to: topic("t"))
        #expect(fixture.space.statistics.messages == 0, "it is not retained")
        fixture.lane.drainAll()
        #expect(receiver.batches.last?.payloadBytes == 3_000_000, "but it is delivered")
    }

    /// Many topics of a cache that may keep little, on a lane that stands still.
    @Test func whatIsInTransitIsBoundedOverAllTopics() throws {
        let fixture = Fixture({ $0.bytesPerTopic = 1 << 20 }, maxBytes: 100_000)
        let receivers = (0..<20).map { _ in Receiver() }
        for (number, receiver) in receivers.enumerated() {
            _ = try fixture.lane.follow(receiver, to: "topic \(number)", in: fixture.space)
        }
        let payload = [UInt8](repeating: 1, count: 10_000)
        for round in 0..<400 { try fixture.space.publish(payload, to: topic("topic \(round % 20)")) }
        #expect(fixture.space.statistics.bytes < 50_000 + 1 << 20 + 20 * 10_100)
        #expect(fixture.hub.checkInvariants() == [])
        fixture.lane.drainAll()
        for receiver in receivers {
            guard case .item(20, _) = receiver.events.last else {
                Issue.record("a subscriber did not get the newest")
                continue
            }
        }
        #expect(fixture.space.statistics.bytes <= 50_000)
        #expect(fixture.hub.checkInvariants() == [])
    }
}
