import Foundation
import Synchronization
import Tenancy
import Testing
import Topics

/// A thread that has a lane: it sleeps until it is woken, and then drains.
private final class LaneThread: Sendable {
    private let woken = DispatchSemaphore(value: 0)
    private let isEnding = Atomic<Bool>(false)

    func wake() { woken.signal() }

    func end() {
        isEnding.store(true, ordering: .sequentiallyConsistent)
        woken.signal()
    }

    /// - Parameters:
    ///   - begin: subscribes.
    ///   - between: called between two slices.
    func run(begin: (TopicLane) -> Void, between: (TopicLane) -> Void) {
        let lane = TopicLane(heartbeatTicks: 2) { [weak self] in self?.wake() }
        begin(lane)
        while true {
            let isLast = isEnding.load(ordering: .sequentiallyConsistent)
            while lane.drain(now: start, atMost: 50) { between(lane) }
            if isLast { return }
            woken.wait()
        }
    }
}

@Suite struct ConcurrencyTests {
    /// Several publishers, two lanes on threads of their own: each subscriber has every message once, and in order.
    @Test func everySubscriberSeesEveryMessageOnceAndInOrder() throws {
        var limits = TopicLimits()
        limits.messagesPerTopic = 1 << 20
        limits.bytesPerTopic = 1 << 30
        limits.totalBytes = 1 << 30
        let hub = TopicHub(limits: limits)
        let spaces = (1...2).map { number in
            hub.openSpace(
                CacheID(rawValue: number), maxBytes: nil, sealer: number == 1 ? nil : TestSealer(), held: { _ in })
        }
        let (publishers, perPublisher, topics, subscribers) = (3, 4000, 3, 8)
        let lanes = [LaneThread(), LaneThread()]
        let ready = DispatchSemaphore(value: 0)
        let wrong = Mutex<[String]>([])
        let done = DispatchGroup()
        for thread in lanes {
            done.enter()
            Thread.detachNewThread {
                var receivers: [(Receiver, TopicSubscription)] = []
                thread.run(
                    begin: { lane in
                        for number in 0..<(topics * subscribers * 2) {
                            let receiver = Receiver()
                            let name = "topic \(number % topics)"
                            let space = spaces[number / topics % 2]
                            if let subscription = try? lane.follow(receiver, to: name, in: space) {
                                receivers.append((receiver, subscription))
                            }
                        }
                        ready.signal()
                    },
                    between: { lane in
                        // Resuming for no reason changes nothing.
                        lane.resume(receivers[receivers.count / 2].1, now: start)
                    })
                for (receiver, _) in receivers {
                    var seen = [Int](repeating: 0, count: publishers)
                    var last: UInt64 = 0
                    for event in receiver.events {
                        guard case .item(let sequence, let text) = event, sequence == last + 1,
                            let publisher = text.split(separator: ":").first.flatMap({ Int($0) }),
                            text == "\(publisher):\(seen[publisher])"
                        else {
                            wrong.withLock { $0.append("after \(last): \(event)") }
                            break
                        }
                        last = sequence
                        seen[publisher] += 1
                    }
                    if seen != Array(repeating: perPublisher / (2 * topics), count: publishers) {
                        wrong.withLock { $0.append("\(seen)") }
                    }
                }
                if receivers.count != topics * subscribers * 2 { wrong.withLock { $0.append("too few") } }
                done.leave()
            }
        }
        for _ in lanes { ready.wait() }
        let failures = Counter()
        onThreads(publishers) { publisher in
            for number in 0..<(perPublisher / (2 * topics)) {
                for topic in 0..<topics {
                    for space in spaces
                    where (try? space.publish("\(publisher):\(number)", to: "topic \(topic)")) == nil {
                        failures.add()
                    }
                }
            }
        }
        for lane in lanes { lane.end() }
        done.wait()
        #expect(failures.value == 0)
        #expect(wrong.withLock { $0 } == [])
        #expect(hub.checkInvariants() == [])
        #expect(spaces.allSatisfy { $0.statistics.subscriptions == 0 }, "the lanes are gone")
    }

    /// Everything at once, with little memory: what is told is true, and afterwards the books are right.
    @Test(arguments: testSeeds())
    func allOperationsAtOnceLeaveTrueBooks(seed: UInt64) throws {
        print("seed \(seed): set MARTLET_TEST_SEED to repeat")
        var limits = TopicLimits()
        limits.totalBytes = 100_000
        limits.messagesPerTopic = 30
        limits.retentionMilliseconds = 500
        limits.idleMilliseconds = 2000
        let hub = TopicHub(limits: limits)
        let told = (0..<3).map { _ in Counter() }
        let sealers = [nil, TestSealer(), TestSealer()]
        let spaces = told.enumerated().map { number, told in
            hub.openSpace(
                CacheID(rawValue: UInt64(number)), maxBytes: number == 0 ? 40_000 : nil, sealer: sealers[number]
            ) { told.set($0) }
        }
        let wrong = Counter()
        onThreads(4) { thread in
            var random = SeededGenerator(seed: seed &* 31 &+ UInt64(thread))
            let lane = TopicLane(heartbeatTicks: 3, wake: {})
            var members: [(receiver: Receiver, subscription: TopicSubscription, last: UInt64)] = []
            for step in 0..<4000 {
                let now = start.adding(milliseconds: Int64(step))
                let space = spaces[Int.random(in: 0..<3, using: &random)]
                let name = "topic \(Int.random(in: 0..<40, using: &random))"
                switch Int.random(in: 0..<100, using: &random) {
                case 0..<50: _ = try? space.publish(name, to: name, now: now)
                case 50..<60 where members.count < 30:
                    let receiver = Receiver()
                    if let subscription = try? lane.follow(receiver, to: name, in: space, now: now) {
                        members.append((receiver, subscription, 0))
                    }
                case 60..<68 where !members.isEmpty:
                    let member = members.remove(at: Int.random(in: 0..<members.count, using: &random))
                    lane.cancel(member.subscription)
                case 68..<72:
                    guard let member = members.randomElement(using: &random) else { continue }
                    member.receiver.isReady.toggle()
                    lane.resume(member.subscription, now: now)
                case 72..<90: _ = lane.drain(now: now, atMost: Int.random(in: 1...50, using: &random))
                case 90..<94: lane.heartbeat(now: now)
                case 94..<98: hub.tick(now: now)
                case 98:
                    // As a cache does: its key first. What is being published meanwhile may be sealed with it still.
                    sealers[Int(space.id.rawValue)]?.destroyKey()
                    space.flush()
                default:
                    let passing = hub.openSpace(CacheID(rawValue: 9), maxBytes: nil, held: { _ in })
                    let other = try? lane.follow(Receiver(), in: passing)
                    _ = try? passing.publish("x")
                    hub.closeSpace(passing)
                    if let other { lane.cancel(other) }
                }
                for index in members.indices {
                    for event in members[index].receiver.take() {
                        switch event {
                        case .item(let sequence, let text):
                            let isInOrder = sequence == members[index].last + 1 || members[index].last == 0
                            if !isInOrder || text != members[index].subscription.name.text { wrong.add() }
                            members[index].last = sequence
                        case .discontinuity(_, let new, _):
                            if new < members[index].last { wrong.add() }
                            members[index].last = new
                        }
                    }
                }
            }
        }
        #expect(wrong.value == 0)
        #expect(hub.checkInvariants() == [])
        for (space, told) in zip(spaces, told) {
            #expect(space.statistics.bytes == told.value)
            #expect(space.statistics.subscriptions == 0)
        }
        for _ in 0..<3 { hub.tick(now: start.adding(milliseconds: 10_000)) }
        #expect(hub.retainedBytes == 0)
    }

    /// A topic that everybody fights for: made, flushed, forgotten and made again. No page comes twice.
    @Test func noTwoLivesOfATopicHaveOnePage() throws {
        let hub = TopicHub(limits: TopicLimits())
        let spaces = (0..<2).map { hub.openSpace(CacheID(rawValue: $0), maxBytes: nil, held: { _ in }) }
        let seen = Mutex<[UInt64: Set<UInt64>]>([:])
        let doubles = Counter()
        onThreads(4) { thread in
            for step in 0..<2000 {
                let space = spaces[(thread + step) % 2]
                if step % 3 == thread % 3 { space.flush() }
                guard let position = try? space.publish("x") else { continue }
                seen.withLock { seen in
                    if !seen[position.page, default: []].insert(position.sequence).inserted { doubles.add() }
                }
            }
        }
        #expect(doubles.value == 0)
        #expect(hub.checkInvariants() == [])
    }
}
