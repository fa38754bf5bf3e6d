import Tenancy
import Testing
import Topics

/// Slices, and what subscribers do while they are called.
@Suite struct LaneTests {
    @Test func aSliceDeliversNoMoreThanItMay() throws {
        let fixture = Fixture()
        let receivers = (0..<100).map { _ in Receiver() }
        for receiver in receivers { _ = try fixture.lane.follow(receiver, in: fixture.space) }
        try fixture.publish(1...3)
        var slices = 0
        var isWaiting = true
        while isWaiting {
            let before = receivers.count { !$0.events.isEmpty }
            isWaiting = fixture.lane.drain(now: start, atMost: 7)
            #expect(receivers.count { !$0.events.isEmpty } - before <= 7)
            slices += 1
        }
        #expect(slices == 15)
        #expect(receivers.allSatisfy { $0.events == items(1...3) })
    }

    @Test func topicsTakeTurnsBetweenBatches() throws {
        let fixture = Fixture()
        let busy = Receiver()
        let quiet = Receiver()
        _ = try fixture.lane.follow(busy, to: "busy", in: fixture.space)
        _ = try fixture.lane.follow(quiet, to: "quiet", in: fixture.space)
        for _ in 0..<1000 { try fixture.space.publish("x", to: "busy") }
        try fixture.space.publish("1", to: "quiet")
        #expect(fixture.lane.drain(now: start, atMost: 2))
        #expect(quiet.events == items(1...1))
        #expect(busy.batches.count == 1)
        fixture.lane.drainAll()
        #expect(busy.events.count == 1000)
    }

    /// A thousand subscribers, small slices, and between them cancels, new subscribers, pauses and new messages.
    @Test(arguments: testSeeds())
    func nobodyIsMissedWhateverHappensBetweenSlices(seed: UInt64) throws {
        print("seed \(seed): set MARTLET_TEST_SEED to repeat")
        var random = SeededGenerator(seed: seed)
        let fixture = Fixture()
        struct Member {
            let receiver: Receiver
            let subscription: TopicSubscription
            let from: UInt64
        }
        var members: [Member] = []
        var gone: [(member: Member, events: Int)] = []
        func join(from: UInt64) throws {
            let receiver = Receiver()
            let position = TopicPosition(sequence: from, page: 0)
            members.append(
                Member(
                    receiver: receiver,
                    subscription: try fixture.lane.follow(receiver, in: fixture.space, from: position), from: from))
        }
        for _ in 0..<1000 { try join(from: 1) }
        var published = 0
        for _ in 0..<2000 {
            switch Int.random(in: 0..<12, using: &random) {
            case 0..<6: _ = fixture.lane.drain(now: start, atMost: Int.random(in: 1...60, using: &random))
            case 6 where published < 1000:
                published += 1
                try fixture.publish(published...published)
            case 7, 8:
                for _ in 0..<Int.random(in: 0...3, using: &random) where !members.isEmpty {
                    let member = members.remove(at: Int.random(in: 0..<members.count, using: &random))
                    fixture.lane.cancel(member.subscription)
                    gone.append((member, member.receiver.events.count))
                }
            case 9: try join(from: UInt64.random(in: 1...UInt64(published + 1), using: &random))
            case 10:
                guard let member = members.randomElement(using: &random) else { continue }
                member.receiver.isReady.toggle()
                if Bool.random(using: &random) { fixture.lane.resume(member.subscription, now: start) }
            default:
                guard let member = members.randomElement(using: &random) else { continue }
                fixture.lane.resume(member.subscription, now: start)
            }
        }
        for member in members {
            member.receiver.isReady = true
            fixture.lane.resume(member.subscription, now: start)
        }
        fixture.lane.drainAll(atMost: 13)
        for member in members {
            let expected = member.from > published ? [] : items(member.from...UInt64(published))
            #expect(member.receiver.events == expected, "seed \(seed)")
        }
        for (member, events) in gone {
            #expect(member.receiver.events.count == events, "a cancelled one is called: seed \(seed)")
        }
        #expect(fixture.lane.subscriptionCount == members.count)
        #expect(fixture.space.statistics.subscriptions == members.count)
        #expect(fixture.hub.checkInvariants() == [])
    }

    @Test(arguments: [0, 1, 50, 149])
    func whoeverIsLeftAfterAMassLeavingHasItsTurnOnce(turns: Int) throws {
        let fixture = Fixture()
        var receivers: [Receiver] = []
        var subscriptions: [TopicSubscription] = []
        for _ in 0..<150 {
            receivers.append(Receiver())
            subscriptions.append(try fixture.lane.follow(receivers[receivers.count - 1], in: fixture.space))
        }
        for round in 1...3 {
            try fixture.publish(round...round)
            if turns > 0 { _ = fixture.lane.drain(now: start, atMost: turns) }
            for (number, subscription) in subscriptions.enumerated() where number % (2 << round) != 0 {
                fixture.lane.cancel(subscription)
            }
            fixture.lane.drainAll()
            for number in stride(from: 0, to: 150, by: 2 << round) {
                #expect(receivers[number].take() == items(UInt64(round)...UInt64(round)))
            }
        }
        #expect(fixture.lane.subscriptionCount == 10)
    }

    // MARK: Calls from within

    @Test func aSubscriberMayCancelItselfAndOthersWhileItReceives() throws {
        let fixture = Fixture()
        let receivers = (0..<9).map { _ in Receiver() }
        var subscriptions: [TopicSubscription] = []
        for receiver in receivers { subscriptions.append(try fixture.lane.follow(receiver, in: fixture.space)) }
        let all = subscriptions
        receivers[2].onReceive = { fixture.lane.cancel(all[2]) }
        receivers[4].onReceive = { for number in [3, 4, 5, 5] { fixture.lane.cancel(all[number]) } }
        try fixture.publish(1...1)
        fixture.lane.drainAll()
        try fixture.publish(2...2)
        fixture.lane.drainAll()
        let expected: [Int] = [2, 2, 1, 1, 1, 0, 2, 2, 2]
        #expect(receivers.map(\.events.count) == expected)
        #expect(fixture.lane.subscriptionCount == 5)
        // The last ones end with all, in the midst of a round.
        receivers[0].onReceive = { for subscription in all { fixture.lane.cancel(subscription) } }
        try fixture.publish(3...3)
        fixture.lane.drainAll()
        #expect(receivers.map(\.events.count) == [3] + expected.dropFirst())
        #expect(fixture.space.statistics.subscriptions == 0)
        #expect(fixture.hub.checkInvariants() == [])
        for receiver in receivers { receiver.onReceive = {} }
    }

    @Test func aSubscriberMayCancelItselfWhileItCatchesUp() throws {
        let fixture = Fixture { $0.messagesPerTopic = 600 }
        for _ in 0..<800 { try fixture.space.publish("x") }
        for cancelsAtDiscontinuity in [true, false] {
            let receiver = Receiver()
            let subscription = try fixture.lane.subscribe(
                to: topic("t"), in: fixture.space, from: TopicPosition(sequence: 1, page: 0), now: start, as: receiver)
            if cancelsAtDiscontinuity {
                receiver.onDiscontinuity = { fixture.lane.cancel(subscription) }
            } else {
                receiver.onReceive = { fixture.lane.cancel(subscription) }
            }
            fixture.lane.resume(subscription, now: start)
            #expect(receiver.batches.count == (cancelsAtDiscontinuity ? 0 : 1))
            #expect(receiver.events.count == (cancelsAtDiscontinuity ? 1 : 1 + 256))
            receiver.onReceive = {}
            receiver.onDiscontinuity = {}
        }
        #expect(fixture.lane.subscriptionCount == 0)
    }

    @Test func aSubscriberMayResumeItselfAndOthersWhileItReceives() throws {
        let fixture = Fixture()
        let receivers = (0..<3).map { _ in Receiver() }
        var subscriptions: [TopicSubscription] = []
        for receiver in receivers { subscriptions.append(try fixture.lane.follow(receiver, in: fixture.space)) }
        let all = subscriptions
        receivers[2].isReady = false
        try fixture.publish(1...1)
        fixture.lane.drainAll()
        receivers[1].onReceive = {
            receivers[2].isReady = true
            for subscription in all { fixture.lane.resume(subscription, now: start) }
        }
        try fixture.publish(2...4)
        fixture.lane.drainAll()
        for receiver in receivers { #expect(receiver.events == items(1...4)) }
        receivers[1].onReceive = {}
    }

    @Test(arguments: [true, false])
    func aSubscriberIsNotCalledWhileItIsBeingCalled(isLive: Bool) throws {
        let fixture = Fixture()
        let receiver = Receiver()
        let subscription = try fixture.lane.subscribe(
            to: topic("t"), in: fixture.space, from: TopicPosition(sequence: 1, page: 0), now: start, as: receiver)
        if isLive { fixture.lane.resume(subscription, now: start) }
        var depth = 0
        receiver.onReceive = {
            depth += 1
            #expect(depth == 1)
            let next = receiver.events.count + 1
            if next <= 5 { _ = try? fixture.publish(next...next) }
            fixture.lane.resume(subscription, now: start)
            depth -= 1
        }
        try fixture.publish(1...1)
        if !isLive { fixture.lane.resume(subscription, now: start) }
        fixture.lane.drainAll()
        #expect(receiver.events == items(1...5))
        receiver.onReceive = {}
    }

    @Test func aSubscriberMayPublishSubscribeAndDrainWhileItReceives() throws {
        let fixture = Fixture()
        let receiver = Receiver()
        let inner = Receiver()
        _ = try fixture.lane.follow(receiver, in: fixture.space)
        receiver.onReceive = {
            guard receiver.events.count < 5 else { return }
            _ = try? fixture.publish(receiver.events.count + 1...receiver.events.count + 1)
            if receiver.events.count == 2 {
                _ = try? fixture.lane.follow(inner, in: fixture.space, from: TopicPosition(sequence: 1, page: 0))
            }
            #expect(fixture.lane.drain(now: start, atMost: 100), "what waits is not done from within")
        }
        try fixture.publish(1...1)
        fixture.lane.drainAll()
        #expect(receiver.events == items(1...5))
        #expect(inner.events == items(1...5))
        receiver.onReceive = {}
    }

    @Test func anotherSubscriptionThatCatchesUpAtTheDiscontinuityDisturbsNothing() throws {
        let fixture = Fixture { $0.messagesPerTopic = 3 }
        let page = try fixture.publish(1...10).page
        let receiver = Receiver()
        let other = Receiver()
        receiver.onDiscontinuity = {
            _ = try? fixture.lane.follow(other, in: fixture.space, from: TopicPosition(sequence: 9, page: page))
        }
        _ = try fixture.lane.follow(receiver, in: fixture.space, from: TopicPosition(sequence: 1, page: page))
        #expect(receiver.events == [.discontinuity(last: 0, new: 7, page: page)] + items(8...10))
        #expect(other.events == items(9...10))
        receiver.onDiscontinuity = {}
    }

    @Test func subscriptionsOfACancelledTopicBeginAnew() throws {
        let fixture = Fixture()
        let receiver = Receiver()
        let first = try fixture.lane.follow(receiver, in: fixture.space)
        try fixture.publish(1...2)
        // Pending for a listener that goes: not for the next one.
        fixture.lane.cancel(first)
        #expect(fixture.hub.checkInvariants() == [])
        let again = try fixture.lane.follow(receiver, in: fixture.space, from: TopicPosition(sequence: 3, page: 0))
        fixture.lane.drainAll()
        #expect(receiver.events == [])
        try fixture.publish(3...3)
        fixture.lane.drainAll()
        #expect(receiver.events == items(3...3))
        #expect(again.name == topic("t") && !again.isCancelled && first.isCancelled)
    }
}
