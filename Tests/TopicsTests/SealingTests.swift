import Foundation
import Synchronization
import Tenancy
import Testing
import Topics

/// Codes messages so that nobody reads them without its key, and counts how often it is asked.
final class TestSealer: MessageSealer {
    private struct State {
        var key: UInt8 = 1
        var sealed: [String: Int] = [:]
        var opened: [String: Int] = [:]
        var isFailing = false
        var beforeReturning: @Sendable () -> Void = {}
    }

    private let state = Mutex(State())

    /// How often it sealed messages, by context.
    var sealed: [String: Int] { state.withLock { $0.sealed } }
    var opened: [String: Int] { state.withLock { $0.opened } }

    /// What was sealed until now can be opened no more.
    func destroyKey() { state.withLock { $0.key &+= 1 } }

    func fail(_ isFailing: Bool) { state.withLock { $0.isFailing = isFailing } }

    /// Has something happen between sealing a message and retaining it.
    func afterSealing(_ action: @escaping @Sendable () -> Void) { state.withLock { $0.beforeReturning = action } }

    func seal(_ message: UnsafeRawBufferPointer, context: UnsafeRawBufferPointer) -> [UInt8]? {
        let (sealed, action) = state.withLock { state -> ([UInt8]?, @Sendable () -> Void) in
            guard !state.isFailing else { return (nil, {}) }
            state.sealed[String(decoding: context, as: UTF8.self), default: 0] += 1
            let key = state.key
            let sealed = [key, UInt8(context.count & 0xFF)] + Array(context) + message.map { $0 ^ 0x5A }
            return (sealed, state.beforeReturning)
        }
        action()
        return sealed
    }

    func open(_ sealed: UnsafeRawBufferPointer, context: UnsafeRawBufferPointer) -> [UInt8]? {
        state.withLock { state in
            let head = [state.key, UInt8(context.count & 0xFF)] + Array(context)
            guard sealed.starts(with: head) else { return nil }
            state.opened[String(decoding: context, as: UTF8.self), default: 0] += 1
            return sealed.dropFirst(head.count).map { $0 ^ 0x5A }
        }
    }
}

/// Spaces whose retained messages are sealed.
@Suite struct SealingTests {
    private let sealer = TestSealer()
    private let hub: TopicHub
    private let space: TopicSpace
    private let lane = TopicLane(heartbeatTicks: 4, wake: {})

    init() {
        (hub, space) = Self.open(sealer) { _ in }
    }

    private static func open(
        _ sealer: TestSealer, _ change: (inout TopicLimits) -> Void
    ) -> (TopicHub, TopicSpace) {
        var limits = TopicLimits()
        change(&limits)
        let hub = TopicHub(limits: limits)
        return (hub, hub.openSpace(CacheID(rawValue: 1), maxBytes: nil, sealer: sealer, held: { _ in }))
    }

    @discardableResult
    private func publish(_ numbers: ClosedRange<Int>, to name: String = "t") throws -> TopicPosition {
        var position = TopicPosition.fresh
        for number in numbers { position = try space.publish("\(number)", to: name) }
        #expect(hub.checkInvariants() == [])
        return position
    }

    private func told(from sequence: UInt64, _ name: String = "t") throws -> [Event] {
        let receiver = Receiver()
        let subscription = try lane.follow(
            receiver, to: name, in: space, from: TopicPosition(sequence: sequence, page: 0))
        lane.cancel(subscription)
        #expect(hub.checkInvariants() == [])
        return receiver.take()
    }

    // MARK: Once for each message

    @Test func aMessageIsSealedOnceHoweverManySubscribe() throws {
        let lanes = (0..<3).map { _ in TopicLane(heartbeatTicks: 4, wake: {}) }
        let receivers = (0..<60).map { _ in Receiver() }
        for (number, receiver) in receivers.enumerated() {
            _ = try lanes[number % 3].follow(receiver, in: space)
        }
        try publish(1...10)
        for lane in lanes { lane.drainAll() }
        #expect(receivers.allSatisfy { $0.take() == items(1...10) })
        #expect(sealer.sealed == ["t": 10])
        #expect(sealer.opened.isEmpty, "live subscribers are handed what was published")
    }

    @Test func whoCatchesUpHasItOpenedForHim() throws {
        let page = try publish(1...5).page
        #expect(try told(from: 0) == items(5...5))
        #expect(try told(from: 2) == items(2...5))
        #expect(sealer.opened == ["t": 5])
        let receiver = Receiver()
        _ = try lane.follow(receiver, in: space, from: TopicPosition(sequence: 3, page: page))
        try publish(6...6)
        lane.drainAll()
        #expect(receiver.take() == items(3...6))
        #expect(receiver.batches.flatMap(\.messages).allSatisfy { $0.kind == .text && $0.page == page })
        #expect(receiver.batches.flatMap(\.messages).map(\.byteCount) == [1, 1, 1, 1])
    }

    @Test func manyThatCatchUpTogetherShareWhatIsOpened() throws {
        try publish(1...5)
        for _ in 0..<20 {
            let receiver = Receiver()
            _ = try lane.follow(receiver, in: space, from: TopicPosition(sequence: 1, page: 0))
            #expect(receiver.take() == items(1...5))
        }
        #expect(sealer.opened == ["t": 5])
    }

    @Test func aPausedSubscriberIsHandedWhatIsPendingWithoutOpening() throws {
        let (paused, keeper) = (Receiver(), Receiver())
        let subscription = try lane.follow(paused, in: space)
        _ = try lane.follow(keeper, in: space)
        paused.isReady = false
        try publish(1...3)
        paused.isReady = true
        // Nothing was drained: all of it waits for the lane.
        lane.resume(subscription, now: start)
        #expect(paused.take() == items(1...3))
        #expect(sealer.opened.isEmpty)
        lane.drainAll()
        #expect(paused.take() == [] && keeper.take() == items(1...3))
    }

    @Test func labelsTimesAndKindsAreKept() throws {
        try space.publish([0, 1, 255], .binary, to: topic("b"), from: "user-42", now: start)
        let receiver = Receiver()
        _ = try lane.follow(receiver, to: "b", in: space)
        let message = try #require(receiver.batches.first?.messages.first)
        #expect(message.kind == .binary && message.publishedAt == start)
        #expect(message.publisherID == Array("user-42".utf8))
        #expect(message.withBytes { Array($0) } == [0, 1, 255])
    }

    @Test func eachTopicIsAContextOfItsOwn() throws {
        try publish(1...2, to: "a")
        try publish(1...3, to: "b")
        #expect(sealer.sealed == ["a": 2, "b": 3])
        #expect(try told(from: 1, "a") == items(1...2))
    }

    @Test func anEmptyMessageIsSealedToo() throws {
        try space.publish("")
        #expect(try told(from: 1) == [.item(1, "")])
        #expect(sealer.sealed == ["t": 1])
    }

    // MARK: What is not retained

    @Test(
        arguments: [
            { $0.messagesPerTopic = 0 }, { $0.bytesPerTopic = 0 }, { $0.retentionMilliseconds = 0 },
        ] as [@Sendable (inout TopicLimits) -> Void])
    func withoutRetentionNothingIsSealed(change: @Sendable (inout TopicLimits) -> Void) throws {
        let (hub, space) = Self.open(sealer, change)
        let receiver = Receiver()
        _ = try lane.follow(receiver, in: space)
        for number in 1...3 { try space.publish("\(number)") }
        lane.drainAll()
        #expect(receiver.take() == items(1...3))
        #expect(sealer.sealed.isEmpty && space.statistics.messages == 0)
        #expect(hub.checkInvariants() == [])
    }

    @Test func whatIsTooLargeToBeRetainedIsNotSealed() throws {
        let (hub, space) = Self.open(sealer) { $0.bytesPerTopic = 1000 }
        let receiver = Receiver()
        _ = try lane.follow(receiver, in: space)
        try space.publish(String(repeating: "x", count: 2000))
        lane.drainAll()
        #expect(receiver.take().count == 1)
        #expect(sealer.sealed.isEmpty && space.statistics.messages == 0)
        #expect(hub.checkInvariants() == [])
    }

    @Test func whatCannotBeSealedIsDeliveredAndNotRetained() throws {
        let receiver = Receiver()
        let subscription = try lane.follow(receiver, in: space)
        try publish(1...2)
        sealer.fail(true)
        try publish(3...3)
        lane.drainAll()
        #expect(receiver.take() == items(1...3))
        #expect(space.statistics.messages == 0, "no message may lie behind one that is missing")
        sealer.fail(false)
        try publish(4...5)
        lane.drainAll()
        #expect(receiver.take() == items(4...5))
        lane.cancel(subscription)
        #expect(
            try told(from: 2) == [.discontinuity(last: 1, new: 3, page: subscription.position.page)] + items(4...5))
    }

    // MARK: Keys that die

    @Test func whatNobodyCanOpenAnyMoreIsAGap() throws {
        let page = try publish(1...3).page
        sealer.destroyKey()
        try publish(4...6)
        #expect(try told(from: 2) == [.discontinuity(last: 1, new: 3, page: page)] + items(4...6))
        #expect(space.statistics.messages == 3)
        #expect(try told(from: 5) == items(5...6))
    }

    @Test func whereNothingCanBeOpenedSubscribersGoOnWithWhatComes() throws {
        let page = try publish(1...3).page
        sealer.destroyKey()
        let (returning, fresh) = (Receiver(), Receiver())
        _ = try lane.follow(returning, in: space, from: TopicPosition(sequence: 1, page: page))
        _ = try lane.follow(fresh, in: space)
        #expect(space.statistics.messages == 0)
        try publish(4...4)
        lane.drainAll()
        #expect(returning.take() == [.discontinuity(last: 0, new: 3, page: page)] + items(4...4))
        #expect(fresh.take().last == .item(4, "4"))
    }

    /// The cache's key goes first, then the space is flushed; a message that was sealed before and retained after both is
    /// not to be read.
    @Test func aMessageThatAFlushOvertookIsAGap() throws {
        try publish(1...1)
        let (sealer, space) = (sealer, space)
        sealer.afterSealing {
            sealer.destroyKey()
            space.flush()
        }
        let page = try publish(1...1).page
        sealer.afterSealing {}
        try publish(2...2)
        #expect(try told(from: 1) == [.discontinuity(last: 0, new: 1, page: page)] + items(2...2))
    }

    // MARK: Books

    @Test func whatIsSealedIsCharged() throws {
        try space.publish("")
        let empty = space.statistics.bytes
        // The test's sealer adds 3 bytes, with which these are in the allocator's next size, and a message's object is 80.
        try space.publish(String(repeating: "x", count: 1016))
        #expect(space.statistics.bytes - empty == 80 + 1040)
        space.flush()
        #expect(space.statistics.bytes == 0)
    }
}
