import Tenancy
import Testing
import Topics

@Suite struct RetentionTests {
    /// The numbers that a subscriber finds that asks for everything.
    private func retained(_ fixture: Fixture, in name: String = "t", now: Timestamp = start) throws -> [UInt64] {
        let receiver = Receiver()
        let lane = TopicLane(heartbeatTicks: 1, wake: {})
        _ = try lane.follow(receiver, to: name, in: fixture.space, from: TopicPosition(sequence: 1, page: 0), now: now)
        return receiver.batches.flatMap { $0.messages.map(\.sequence) }
    }

    @Test func aTopicRetainsSoManyMessages() throws {
        let fixture = Fixture { $0.messagesPerTopic = 5 }
        for number in 1...20 {
            try fixture.publish(number...number)
            #expect(fixture.space.statistics.messages == min(number, 5))
        }
        #expect(try retained(fixture) == Array(16...20))
        #expect(fixture.hub.checkInvariants() == [])
    }

    @Test func aTopicRetainsSoManyBytes() throws {
        let fixture = Fixture { $0.bytesPerTopic = 10_000 }
        for _ in 1...50 { try fixture.space.publish([UInt8](repeating: 1, count: 900), to: topic("t")) }
        #expect(try retained(fixture) == Array(41...50))
        // One that is too large by itself leaves nothing: the newest was not retained.
        try fixture.space.publish([UInt8](repeating: 1, count: 10_000), to: topic("t"))
        #expect(try retained(fixture) == [])
        try fixture.space.publish([UInt8](repeating: 1, count: 9000), to: topic("t"))
        #expect(try retained(fixture) == [52])
        #expect(fixture.hub.checkInvariants() == [])
    }

    @Test func nothingIsRetainedWhereNothingMayBe() throws {
        let fixture = Fixture { $0.messagesPerTopic = 0 }
        let receiver = Receiver()
        _ = try fixture.lane.follow(receiver, in: fixture.space)
        try fixture.publish(1...9)
        #expect(fixture.space.statistics.messages == 0)
        fixture.lane.drainAll()
        #expect(receiver.events == items(1...9))
        #expect(fixture.hub.checkInvariants() == [])
    }

    @Test func aMessageIsNotServedAfterItsTimeToTheMillisecond() throws {
        let fixture = Fixture { $0.retentionMilliseconds = 1000 }
        for number in 0..<5 {
            try fixture.publish(number...number, now: start.adding(milliseconds: Int64(number) * 100))
        }
        #expect(try retained(fixture, now: start.adding(milliseconds: 999)) == Array(1...5))
        #expect(try retained(fixture, now: start.adding(milliseconds: 1000)) == Array(2...5))
        #expect(try retained(fixture, now: start.adding(milliseconds: 1350)) == [5])
        #expect(try retained(fixture, now: start.adding(milliseconds: 1400)) == [])
    }

    @Test func aTickFreesWhatIsOverAndKeepsTheRest() throws {
        let fixture = Fixture { $0.retentionMilliseconds = 1000 }
        for number in 0..<100 {
            let now = start.adding(milliseconds: Int64(number) * 10)
            for name in ["a", "b", "c"] { try fixture.space.publish("x", to: name, now: now) }
        }
        for (later, kept) in [(999, 300), (1000, 297), (1500, 147), (1989, 3), (1990, 0)] as [(Int64, Int)] {
            fixture.hub.tick(now: start.adding(milliseconds: later))
            #expect(fixture.space.statistics.messages == kept)
            #expect(fixture.hub.checkInvariants() == [])
        }
        #expect(fixture.space.statistics.topics == 3, "the topics, and their numbers, stay for long")
        #expect(try fixture.space.publish("x", to: "a").sequence == 101)
    }

    @Test func aTopicThatNobodyUsesIsForgotten() throws {
        let fixture = Fixture {
            $0.retentionMilliseconds = 1000
            $0.idleMilliseconds = 10_000
        }
        let receiver = Receiver()
        let subscription = try fixture.lane.follow(receiver, to: "followed", in: fixture.space)
        try fixture.space.publish("1", to: "unused")
        let page = try fixture.space.publish("1", to: "followed").page
        fixture.hub.tick(now: start.adding(milliseconds: 9999))
        #expect(fixture.space.statistics.topics == 2)
        fixture.hub.tick(now: start.adding(milliseconds: 10_000))
        #expect(fixture.space.statistics.topics == 1)
        // Its time begins when the last subscriber leaves.
        let left = start.adding(milliseconds: 20_000)
        fixture.lane.heartbeat(now: left)
        fixture.lane.cancel(subscription)
        fixture.hub.tick(now: left.adding(milliseconds: 9999))
        #expect(try fixture.space.publish("2", to: "followed", now: left) == TopicPosition(sequence: 2, page: page))
        fixture.hub.tick(now: left.adding(milliseconds: 10_000))
        #expect(fixture.space.statistics.topics == 0)
        #expect(fixture.hub.retainedBytes == 0)
        #expect(fixture.hub.checkInvariants() == [])
    }

    @Test func aTickDoesABoundedPieceAndTheNextGoesOn() throws {
        let fixture = Fixture { $0.retentionMilliseconds = 1000 }
        for number in 0..<10_000 { try fixture.space.publish("x", to: "topic \(number)") }
        let later = start.adding(milliseconds: 1000)
        fixture.hub.tick(now: later)
        let left = fixture.space.statistics.messages
        #expect(left > 5000 && left < 7000)
        // What is used in between is not looked at twice, nor are the others left out.
        for number in stride(from: 0, to: 10_000, by: 7) {
            try fixture.space.publish("x", to: "topic \(number)", now: later)
        }
        for _ in 0..<4 { fixture.hub.tick(now: later) }
        #expect(fixture.space.statistics.messages == (10_000 + 6) / 7)
        #expect(fixture.hub.checkInvariants() == [])
    }

    @Test func aTickGoesOnWhereTheTopicThatItStoppedAtHasGone() throws {
        for survivors in [5904, 3000, 0] {
            let fixture = Fixture()
            for number in 0..<10_000 { try fixture.space.publish("x", to: "topic \(number)") }
            let bytesPerTopic = fixture.space.statistics.bytes / 10_000
            fixture.hub.tick(now: start)
            // The oldest go, and with them the one that the tick stopped at.
            fixture.space.setMaxBytes(2 * survivors * bytesPerTopic)
            while fixture.space.statistics.topics > survivors + 100 { try fixture.space.publish("x", to: "topic 9999") }
            #expect(fixture.hub.checkInvariants() == [])
            fixture.hub.tick(now: start)
            #expect(fixture.hub.checkInvariants() == [])
        }
    }

    // MARK: Flush

    @Test func aFlushTakesMessagesAndTopicsWithoutSubscribers() throws {
        let fixture = Fixture()
        let receiver = Receiver()
        _ = try fixture.lane.follow(receiver, to: "followed", in: fixture.space)
        let followed = try fixture.publish(1...5, to: "followed")
        let unfollowed = try fixture.publish(1...5, to: "unfollowed")
        fixture.lane.drainAll()
        fixture.space.flush()
        #expect(fixture.space.statistics.topics == 1)
        #expect(fixture.space.statistics.messages == 0)
        #expect(fixture.space.statistics.evictions == 0)
        #expect(fixture.hub.checkInvariants() == [])
        #expect(try fixture.publish(6...6, to: "followed") == TopicPosition(sequence: 6, page: followed.page))
        let anew = try fixture.publish(1...1, to: "unfollowed")
        #expect(anew.sequence == 1 && anew.page > unfollowed.page)
        #expect(try retained(fixture, in: "followed") == [6])
        fixture.lane.drainAll()
        #expect(receiver.events == items(1...6))
    }

    /// More topics than a flush does at once: for every later operation it is complete all the same.
    @Test func aFlushOfManyTopicsIsCompleteAtOnceForWhoComesLater() throws {
        let fixture = Fixture()
        let receiver = Receiver()
        var pages: [UInt64] = []
        var subscriptions: [TopicSubscription] = []
        for number in 0..<4000 {
            pages.append(try fixture.publish(1...2, to: "topic \(number)").page)
            guard number % 2 == 0 else { continue }
            let position = TopicPosition(sequence: 3, page: 0)
            subscriptions.append(
                try fixture.lane.follow(receiver, to: "topic \(number)", in: fixture.space, from: position))
        }
        fixture.space.flush()
        #expect(fixture.space.statistics.topics > 3000)
        #expect(fixture.hub.checkInvariants() == [])
        // One whose subscriber leaves after the flush was followed at the flush: it stays.
        fixture.lane.cancel(subscriptions[1990])
        fixture.lane.resume(subscriptions[1991], now: start)
        #expect(try retained(fixture, in: "topic 3980") == [])
        #expect(try fixture.publish(3...3, to: "topic 3980") == TopicPosition(sequence: 3, page: pages[3980]))
        #expect(try fixture.publish(3...3, to: "topic 3990") == TopicPosition(sequence: 3, page: pages[3990]))
        #expect(try retained(fixture, in: "topic 3990") == [3])
        let anew = try fixture.publish(1...1, to: "topic 3999")
        #expect(anew.sequence == 1 && anew.page > pages[3999])
        #expect(fixture.hub.checkInvariants() == [])
        for _ in 0..<3 { fixture.hub.tick(now: start) }
        #expect(fixture.space.statistics.topics == 2001)
        #expect(fixture.space.statistics.messages == 3)
        #expect(try retained(fixture, in: "topic 3990") == [3])
        #expect(fixture.hub.checkInvariants() == [])
        #expect(receiver.events == [])
    }
}
