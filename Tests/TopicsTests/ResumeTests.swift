import Tenancy
import Testing
import Topics

/// Every row of the table of what a subscriber may ask for, at every position of a ring.
@Suite struct ResumeTests {
    /// A topic with the messages 1 to 10, of which 5 to 10 are retained.
    private let retained: ClosedRange<UInt64> = 5...10
    private let fixture: Fixture
    private let page: UInt64

    init() throws {
        fixture = Fixture { $0.messagesPerTopic = 6 }
        page = try fixture.publish(1...10).page
    }

    /// What a subscriber is told that comes back at a position, and what it is told of two more messages.
    private func told(_ sequence: UInt64, _ page: UInt64) throws -> (first: [Event], then: [Event]) {
        let receiver = Receiver()
        let position = TopicPosition(sequence: sequence, page: page)
        let subscription = try fixture.lane.follow(receiver, in: fixture.space, from: position)
        let first = receiver.take()
        #expect(subscription.position == TopicPosition(sequence: 11, page: self.page))
        return (first, try more(receiver))
    }

    private func more(_ receiver: Receiver) throws -> [Event] {
        try fixture.publish(11...12)
        fixture.lane.drainAll()
        return receiver.take()
    }

    @Test func aFreshSubscriberFirstGetsTheNewestMessage() throws {
        let (first, then) = try told(0, 0)
        #expect(first == items(10...10))
        #expect(then == items(11...12))
    }

    @Test func nothingKnownOfAPageIsFresh() throws {
        #expect(try told(0, page).first == items(10...10))
    }

    @Test func nothingKnownOfAnotherPageIsFresh() throws {
        #expect(try told(0, page - 1).first == items(10...10))
    }

    @Test(arguments: 5...10 as ClosedRange<UInt64>, [true, false])
    func aRetainedNumberReplaysFromItAndGoesOn(sequence: UInt64, knowsPage: Bool) throws {
        let (first, then) = try told(sequence, knowsPage ? page : 0)
        #expect(first == items(sequence...10))
        #expect(then == items(11...12))
    }

    @Test(arguments: [true, false])
    func theNextToComeHasNothingToReplay(knowsPage: Bool) throws {
        let (first, then) = try told(11, knowsPage ? page : 0)
        #expect(first == [])
        #expect(then == items(11...12))
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>, [true, false])
    func aNumberThatIsTooOldGetsADiscontinuityAndTheOldest(sequence: UInt64, knowsPage: Bool) throws {
        let (first, then) = try told(sequence, knowsPage ? page : 0)
        #expect(first == [.discontinuity(last: sequence - 1, new: 4, page: page)] + items(5...10))
        #expect(then == items(11...12))
    }

    @Test(arguments: [12, 13, 1000, .max] as [UInt64], [true, false])
    func aNumberBeyondTheNextGetsADiscontinuityAndTheNewest(sequence: UInt64, knowsPage: Bool) throws {
        let (first, then) = try told(sequence, knowsPage ? page : 0)
        #expect(first == [.discontinuity(last: sequence - 1, new: 9, page: page)] + items(10...10))
        #expect(then == items(11...12))
    }

    @Test(arguments: [1, 4, 5, 7, 10, 11, 12, 1000, .max] as [UInt64], [-1, 1] as [Int64])
    func anyNumberOfAnotherPageGetsADiscontinuityAndTheNewest(sequence: UInt64, other: Int64) throws {
        let (first, then) = try told(sequence, UInt64(Int64(page) + other))
        #expect(first == [.discontinuity(last: sequence - 1, new: 9, page: page)] + items(10...10))
        #expect(then == items(11...12))
    }

    @Test func theFirstNumberReplaysAllOfAYoungTopic() throws {
        let young = Fixture()
        let page = try young.publish(1...3).page
        let receiver = Receiver()
        _ = try young.lane.follow(receiver, in: young.space, from: TopicPosition(sequence: 1, page: page))
        #expect(receiver.events == items(1...3))
    }

    // MARK: Where nothing is retained

    @Test func aTopicWithoutMessagesHasNothingToReplay() throws {
        let empty = Fixture()
        let fresh = Receiver()
        let first = Receiver()
        let beyond = Receiver()
        let subscription = try empty.lane.follow(fresh, in: empty.space)
        _ = try empty.lane.follow(first, in: empty.space, from: TopicPosition(sequence: 1, page: 0))
        _ = try empty.lane.follow(beyond, in: empty.space, from: TopicPosition(sequence: 7, page: 0))
        let page = subscription.position.page
        #expect(subscription.position == TopicPosition(sequence: 1, page: page))
        #expect(fresh.events == [] && first.events == [])
        #expect(beyond.take() == [.discontinuity(last: 6, new: 0, page: page)])
        try empty.publish(1...1)
        empty.lane.drainAll()
        #expect([fresh, first, beyond].map { $0.take() } == Array(repeating: items(1...1), count: 3))
    }

    @Test func aRingThatWasFlushedHasOnlyTheNextToCome() throws {
        let keeper = Receiver()
        _ = try fixture.lane.follow(keeper, in: fixture.space)
        fixture.space.flush()
        var told: [[Event]] = []
        for sequence in 0...12 as ClosedRange<UInt64> {
            let receiver = Receiver()
            let position = TopicPosition(sequence: sequence, page: page)
            _ = try fixture.lane.follow(receiver, in: fixture.space, from: position)
            told.append(receiver.events)
        }
        var expected: [[Event]] = [[]]
        expected += (1...10).map { [.discontinuity(last: $0 - 1, new: 10, page: page)] }
        expected += [[], [.discontinuity(last: 11, new: 10, page: page)]]
        #expect(told == expected)
    }

    // MARK: Between subscribing and starting

    @Test func nothingIsHandedOverBeforeTheStartAndNothingIsMissed() throws {
        let receivers = (0..<4).map { _ in Receiver() }
        let positions: [(UInt64, UInt64)] = [(0, 0), (11, page), (7, page), (7, page - 1)]
        var subscriptions: [TopicSubscription] = []
        for (receiver, position) in zip(receivers, positions) {
            let position = TopicPosition(sequence: position.0, page: position.1)
            subscriptions.append(
                try fixture.lane.subscribe(to: topic("t"), in: fixture.space, from: position, now: start, as: receiver))
        }
        try fixture.publish(11...12)
        fixture.lane.drainAll()
        for _ in 0..<8 { fixture.lane.heartbeat(now: start) }
        #expect(receivers.allSatisfy { $0.events.isEmpty && $0.heartbeats == 0 })
        for subscription in subscriptions { fixture.lane.resume(subscription, now: start) }
        #expect(receivers[0].events == items(10...12), "the newest is what was newest when it subscribed")
        #expect(receivers[1].events == items(11...12))
        #expect(receivers[2].events == items(7...12))
        #expect(receivers[3].events == [.discontinuity(last: 6, new: 9, page: page)] + items(10...12))
    }

    @Test func aNewestThatIsGoneAtTheStartIsNoLoss() throws {
        let receiver = Receiver()
        let subscription = try fixture.lane.subscribe(
            to: topic("t"), in: fixture.space, from: .fresh, now: start, as: receiver)
        fixture.space.flush()
        fixture.lane.resume(subscription, now: start)
        #expect(receiver.events == [])
        #expect(try more(receiver) == items(11...12))
    }

    @Test func startingTwiceHandsNothingOverTwice() throws {
        let receiver = Receiver()
        let subscription = try fixture.lane.follow(receiver, in: fixture.space)
        fixture.lane.resume(subscription, now: start)
        #expect(receiver.take() == items(10...10))
        try fixture.publish(11...12)
        fixture.lane.resume(subscription, now: start)
        #expect(receiver.take() == items(11...12))
        fixture.lane.drainAll()
        #expect(receiver.events == [])
    }

    // MARK: Pages

    @Test func aTopicThatVanishedBeginsANewPageAtOne() throws {
        var pages: Set<UInt64> = [page]
        var newest = page
        for _ in 0..<20 {
            fixture.space.flush()
            let position = try fixture.space.publish("1")
            #expect(position.sequence == 1)
            #expect(position.page > newest, "also within one millisecond")
            newest = position.page
            pages.insert(newest)
        }
        #expect(pages.count == 21)
        #expect(try fixture.space.publish("1", to: "other").page > newest, "no two topics have one page")
    }

    @Test func aPageIsTheTimeOfItsBirth() throws {
        let later = start.adding(milliseconds: 5000)
        #expect(try fixture.space.publish("1", to: "later", now: later).page == UInt64(later.milliseconds))
        // A clock that goes back, and one from before 1970.
        let before = Timestamp(milliseconds: -5)
        #expect(try fixture.space.publish("1", to: "back", now: start).page == UInt64(later.milliseconds) + 1)
        #expect(try fixture.space.publish("1", to: "odd", now: before).page == UInt64(later.milliseconds) + 2)
        let other = Fixture()
        #expect(try other.space.publish("1", now: before).page == 1, "zero means unknown")
    }
}
