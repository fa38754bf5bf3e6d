import Foundation
import Synchronization
import Tenancy
import Testing
import Topics

let start = Timestamp(milliseconds: 1_700_000_000_000)

/// SplitMix64: the same numbers for the same seed, everywhere.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

/// The seeds of a random test: two fixed ones and a fresh one, or the one in `MARTLET_TEST_SEED`.
func testSeeds() -> [UInt64] {
    if let text = ProcessInfo.processInfo.environment["MARTLET_TEST_SEED"], let seed = UInt64(text) { return [seed] }
    return [1, 2, UInt64.random(in: 3...999_999)]
}

/// What a subscriber was told, message by message.
enum Event: Equatable, CustomStringConvertible {
    case item(UInt64, String)
    case discontinuity(last: UInt64, new: UInt64, page: UInt64)

    var description: String {
        switch self {
        case .item(let sequence, let text): "\(sequence):\(text)"
        case .discontinuity(let last, let new, let page): "gap \(last)->\(new) on \(page)"
        }
    }
}

/// A subscriber that writes down what it is told.
final class Receiver: TopicSubscriber {
    var isReady = true
    var events: [Event] = []
    var batches: [TopicBatch] = []
    var heartbeats = 0
    /// Called with each batch, after it was written down.
    var onReceive: () -> Void = {}
    var onDiscontinuity: () -> Void = {}
    var onHeartbeat: () -> Void = {}
    /// After so many batches it is not ready. Nil: always ready.
    var credit: Int?

    func receive(_ batch: TopicBatch) {
        batches.append(batch)
        for message in batch.messages { events.append(.item(message.sequence, message.text)) }
        spend()
        onReceive()
    }

    func receive(_ discontinuity: TopicDiscontinuity) {
        events.append(
            .discontinuity(
                last: discontinuity.lastSequence, new: discontinuity.newSequence, page: discontinuity.page))
        spend()
        onDiscontinuity()
    }

    func heartbeat() {
        heartbeats += 1
        onHeartbeat()
    }

    private func spend() {
        guard let left = credit else { return }
        credit = left - 1
        if left <= 1 { isReady = false }
    }

    /// What was written down since the last time.
    func take() -> [Event] {
        defer { events = [] }
        return events
    }
}

extension TopicMessage {
    var text: String { withBytes { String(decoding: $0, as: UTF8.self) } }
}

func topic(_ text: String) -> TopicName {
    guard let name = try? TopicName(text) else { preconditionFailure("\(text) is no name of a topic") }
    return name
}

extension TopicSpace {
    @discardableResult
    func publish(
        _ text: String, to name: String = "t", from publisher: String = "", now: Timestamp = start
    ) throws(MartletError) -> TopicPosition {
        try publish(Array(text.utf8), .text, to: topic(name), from: publisher, now: now)
    }

    @discardableResult
    func publish(
        _ bytes: [UInt8], _ kind: TopicValueKind = .binary, to name: TopicName, from publisher: String = "",
        now: Timestamp = start
    ) throws(MartletError) -> TopicPosition {
        var outcome: Result<TopicPosition, MartletError> = .failure(.internalFailure("not called"))
        bytes.withUnsafeBytes { buffer in
            do throws(MartletError) {
                outcome = .success(
                    try publish(buffer, kind, publisherID: Array(publisher.utf8), to: name, now: now))
            } catch {
                outcome = .failure(error)
            }
        }
        return try outcome.get()
    }
}

extension TopicLane {
    /// Subscribes and starts.
    func follow(
        _ receiver: Receiver, to name: String = "t", in space: TopicSpace, from position: TopicPosition = .fresh,
        now: Timestamp = start
    ) throws(MartletError) -> TopicSubscription {
        let subscription = try subscribe(to: topic(name), in: space, from: position, now: now, as: receiver)
        resume(subscription, now: now)
        return subscription
    }

    func drainAll(now: Timestamp = start, atMost deliveries: Int = 1000) {
        var calls = 0
        while drain(now: now, atMost: deliveries) {
            calls += 1
            precondition(calls < 1_000_000, "draining does not end")
        }
    }
}

/// A hub with one space and one lane.
struct Fixture {
    let hub: TopicHub
    let space: TopicSpace
    let lane = TopicLane(heartbeatTicks: 4, wake: {})

    init(_ change: (inout TopicLimits) -> Void = { _ in }, maxBytes: Int? = nil) {
        var limits = TopicLimits()
        change(&limits)
        hub = TopicHub(limits: limits)
        space = hub.openSpace(CacheID(rawValue: 1), maxBytes: maxBytes, held: { _ in })
    }

    /// Messages with the texts `first`, `first + 1`, and so on.
    @discardableResult
    func publish(_ numbers: ClosedRange<Int>, to name: String = "t", now: Timestamp = start) throws -> TopicPosition {
        var position = TopicPosition.fresh
        for number in numbers { position = try space.publish("\(number)", to: name, now: now) }
        return position
    }
}

/// The items of consecutive numbers whose texts are their numbers.
func items(_ numbers: ClosedRange<UInt64>) -> [Event] {
    numbers.map { .item($0, "\($0)") }
}

/// Runs `body` on several threads of its own at once, and waits for all.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    let group = DispatchGroup()
    for number in 0..<count {
        group.enter()
        Thread.detachNewThread {
            body(number)
            group.leave()
        }
    }
    group.wait()
}

/// A figure that any thread may change.
final class Counter: Sendable {
    private let number = Atomic<Int>(0)

    var value: Int { number.load(ordering: .sequentiallyConsistent) }
    func add() { number.add(1, ordering: .sequentiallyConsistent) }
    func set(_ value: Int) { number.store(value, ordering: .sequentiallyConsistent) }
}
