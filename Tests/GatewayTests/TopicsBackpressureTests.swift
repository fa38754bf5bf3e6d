import Access
import CNGHTTP2
import CacheService
import NIOCore
import NIOEmbedded
import Tenancy
import Testing

@testable import Gateway

/// Readers that do not read, or read slowly: what they cost, what others notice, and what they get afterwards.
@Suite struct TopicsBackpressureTests {
    private let stage: TopicStage

    init() throws {
        stage = try TopicStage()
    }

    private static let continuous: [Subscriber.Form] = [.webSocket, .stream, .events]

    private func message(_ number: Int, bytes: Int) -> [UInt8] {
        let start = Array("\(number) ".utf8)
        return start + [UInt8](repeating: 120, count: bytes - start.count)
    }

    private func publish(_ numbers: ClosedRange<Int>, bytes: Int, topic: String = "news") {
        for number in numbers { stage.publish(message(number, bytes: bytes), to: topic) }
    }

    private func numbers(_ told: [Told]) -> [Int] {
        told.compactMap { $0.text.flatMap { Int($0.prefix { $0 != " " }) } }
    }

    /// Checks that numbers have no gap but after a discontinuity that says so.
    private func expectNoSilentGap(_ told: [Told], upTo last: UInt64) {
        var next: UInt64 = 1
        for entry in told {
            if entry.name == "discontinuity" {
                #expect(entry.body["last_topic_sequence"]?.unsignedInteger == next - 1)
                next = (entry.body["new_topic_sequence"]?.unsignedInteger ?? 0) + 1
            } else if let sequence = entry.sequence, entry.name == "item" {
                #expect(sequence == next)
                next = sequence + 1
            }
        }
        #expect(next == last + 1)
    }

    // MARK: One reader

    @Test(arguments: continuous)
    func aReaderOfHTTP1ThatStopsCostsLittleAndGetsTheRest(form: Subscriber.Form) throws {
        let slow = try Subscriber(stage, form, .http1)
        let other = try Subscriber(stage, form, .http1)
        _ = slow.take()
        slow.connection.stopReading()
        publish(1...300, bytes: 10_000)
        #expect(slow.connection.socket.highestPendingBytes <= 300_000)
        #expect(stage.lane.backlogBytes <= 150_000)
        #expect(numbers(other.told) == Array(1...300))
        slow.connection.socket.capacity = .max
        slow.drainSocket()
        #expect(numbers(slow.told) == Array(1...300))
        #expect(!slow.told.contains { $0.name == "discontinuity" })
        publish(301...301, bytes: 100)
        #expect(numbers(slow.take()).last == 301)
    }

    @Test(arguments: continuous)
    func aReaderThatMissesMoreThanIsRetainedIsTold(form: Subscriber.Form) throws {
        let slow = try Subscriber(stage, form, .http1)
        _ = slow.take()
        slow.connection.stopReading()
        publish(1...700, bytes: 10_000)
        #expect(slow.connection.socket.highestPendingBytes <= 300_000)
        slow.connection.socket.capacity = .max
        slow.drainSocket()
        #expect(slow.told.filter { $0.name == "discontinuity" }.count == 1)
        expectNoSilentGap(slow.told, upTo: 700)
    }

    @Test(arguments: continuous)
    func aReaderOfAFewBytesAtATimeGetsEverything(form: Subscriber.Form) throws {
        let slow = try Subscriber(stage, form, .http1)
        _ = slow.take()
        slow.connection.stopReading()
        publish(1...100, bytes: 5000)
        for _ in 0..<700 {
            slow.connection.socket.capacity = 997
            slow.drainSocket()
        }
        #expect(numbers(slow.told) == Array(1...100))
        #expect(slow.connection.socket.highestPendingBytes <= 300_000)
    }

    @Test(arguments: continuous)
    func aShutWindowCostsLittleAndTheRestFollows(form: Subscriber.Form) throws {
        let pair = try HTTP2Pair(stage.fixture, client: HTTP2Client(readsEverything: false))
        let slow = try Subscriber(stage, form, .http2, on: pair)
        let other = try Subscriber(stage, form, .http1)
        publish(1...300, bytes: 10_000)
        #expect(stage.lane.backlogBytes <= 150_000)
        #expect(numbers(other.told) == Array(1...300))
        #expect(slow.body.count <= 65_535)
        for _ in 0..<400 where numbers(slow.told).count < 300 {
            pair.client.acknowledge(slow.stream)
            slow.pump()
        }
        #expect(numbers(slow.told) == Array(1...300))
        #expect(stage.lane.backlogBytes == 0)
    }

    // MARK: Giving up

    @Test(arguments: continuous)
    func aReaderOfHTTP1ThatTakesNothingForHalfAMinuteIsGivenUp(form: Subscriber.Form) throws {
        let slow = try Subscriber(stage, form, .http1)
        // Silence before is no slowness.
        stage.pass(milliseconds: 100_000, step: 250)
        _ = slow.take()
        slow.connection.stopReading()
        publish(1...100, bytes: 5000)
        stage.pass(milliseconds: 29_000, step: 250)
        #expect(slow.connection.isOpen)
        stage.pass(milliseconds: 4000, step: 250)
        #expect(!slow.connection.isOpen)
        #expect(try stage.leftovers() == [])
    }

    @Test(arguments: continuous)
    func aStreamWhoseWindowStaysShutForHalfAMinuteIsGivenUp(form: Subscriber.Form) throws {
        let pair = try HTTP2Pair(stage.fixture, client: HTTP2Client(readsEverything: false))
        let slow = try Subscriber(stage, form, .http2, on: pair)
        stage.pass(milliseconds: 100_000, step: 250)
        slow.pump()
        publish(1...100, bytes: 5000)
        stage.pass(milliseconds: 29_000, step: 250)
        slow.pump()
        #expect(slow.streamCode == nil)
        stage.pass(milliseconds: 4000, step: 250)
        slow.pump()
        #expect(slow.streamCode == UInt32(NGHTTP2_CANCEL.rawValue))
        #expect(pair.connection.isOpen)
        #expect(try stage.leftovers() == [])
    }

    @Test(arguments: continuous, Subscriber.Version.allCases)
    func aReaderThatOnlyTakesHeartbeatsIsNotGivenUp(form: Subscriber.Form, version: Subscriber.Version) throws {
        let idle = try Subscriber(stage, form, version)
        for _ in 0..<40 {
            stage.pass(milliseconds: 20_000, step: 250)
            idle.pump()
        }
        #expect(!idle.isEnded)
        stage.publish("still there")
        #expect(idle.take().last?.text == "still there")
    }

    // MARK: Clients that ask and do not read

    /// Each frame is answered with more bytes than it has: whoever takes no answers is not read from either.
    @Test(arguments: [Subscriber.Form.webSocket, .stream])
    func answersToAClientThatDoesNotReadAreBounded(form: Subscriber.Form) throws {
        let place = form == .stream ? "\"cache\":\"shop\",\"topic\":\"other\"," : ""
        let frames = Array((0..<1000).map { _ in clientText("{\"publish\":{\(place)\"text\":\"\"}}") }.joined())
        let slow = try Subscriber(stage, form, .http1)
        slow.connection.stopReading()
        for _ in 0..<20 { slow.connection.send(frames) }
        #expect(slow.connection.socket.highestPendingBytes <= 1 << 20)
        #expect(slow.connection.unread.count >= 10 * frames.count)

        let pair = try HTTP2Pair(stage.fixture, client: HTTP2Client(readsEverything: false))
        let other = try Subscriber(stage, form, .http2, on: pair)
        for _ in 0..<20 { other.send(frames) }
        #expect(stage.lane.backlogBytes <= 1 << 20)
        // It is read from again once it reads.
        var published = 0
        for _ in 0..<1000 where published < 20_000 {
            pair.client.acknowledge(other.stream)
            published += other.take().filter { $0.name == "published" }.count
        }
        #expect(published == 20_000)
        for _ in 0..<100 where stage.lane.backlogBytes > 0 {
            pair.client.acknowledge(other.stream)
            other.pump()
        }
        #expect(stage.lane.backlogBytes == 0)
    }

    // MARK: Many streams on one connection

    @Test func streamsThatCrowdEachOtherAllGetEverything() throws {
        let pair = try HTTP2Pair(stage.fixture, client: HTTP2Client(readsEverything: false))
        let forms: [Subscriber.Form] = [.webSocket, .stream, .events]
        let all = try (0..<60).map { try Subscriber(stage, forms[$0 % 3], .http2, on: pair) }
        for number in 1...40 {
            stage.publishUnseen([message(number, bytes: 8000)])
            stage.settle()
            pair.exchange()
            #expect(stage.lane.backlogBytes <= 1_500_000)
        }
        for _ in 0..<2000 where all.contains(where: { numbers($0.told).count < 40 }) {
            for subscriber in all { pair.client.acknowledge(subscriber.stream) }
            pair.exchange()
            stage.settle()
            #expect(stage.lane.backlogBytes <= 1_500_000)
        }
        for subscriber in all { #expect(numbers(subscriber.told) == Array(1...40)) }
        #expect(stage.lane.backlogBytes == 0)
    }

    /// Streams whose windows stay shut hold what they were given; the others go on when those are given up, at the latest.
    @Test func streamsThatTakeNothingDoNotKeepTheOthersForEver() throws {
        let pair = try HTTP2Pair(
            stage.fixture, client: HTTP2Client(connectionWindow: 1 << 30, readsEverything: false))
        let stuck = try (0..<40).map { _ in try Subscriber(stage, .events, .http2, on: pair) }
        let reading = try (0..<10).map { _ in try Subscriber(stage, .events, .http2, on: pair) }
        for number in 1...40 {
            stage.publish(message(number, bytes: 8000))
            for subscriber in reading { pair.client.acknowledge(subscriber.stream) }
            pair.exchange()
        }
        #expect(stage.lane.backlogBytes <= 1_500_000)
        for _ in 0..<140 {
            stage.pass(milliseconds: 250, step: 250)
            for subscriber in reading { pair.client.acknowledge(subscriber.stream) }
            pair.exchange()
        }
        for subscriber in stuck { #expect(subscriber.streamCode == UInt32(NGHTTP2_CANCEL.rawValue)) }
        for subscriber in reading { #expect(numbers(subscriber.told) == Array(1...40)) }
    }

    /// A topic that is published to faster than the client reads does not keep its other topics from it.
    @Test(arguments: Subscriber.Version.allCases)
    func aBusyTopicLeavesTheOthersTheirTurn(version: Subscriber.Version) throws {
        let pair = try HTTP2Pair(stage.fixture, client: HTTP2Client(readsEverything: false))
        let slow = try Subscriber(stage, .stream, version, on: version == .http2 ? pair : nil, topic: "busy")
        for number in 0..<12 {
            slow.send("{\"subscribe\":{\"id\":\"b\(number)\",\"cache\":\"shop\",\"topic\":\"quiet\(number)\"}}")
        }
        _ = slow.take()
        if version == .http1 { slow.connection.stopReading() }
        for round in 0..<60 {
            if round % 10 == 0, round < 50 {
                for number in 0..<12 { stage.publishUnseen([Array("here".utf8)], to: "quiet\(number)") }
            }
            for number in 0..<40 { stage.publishUnseen([message(round * 40 + number, bytes: 8000)], to: "busy") }
            stage.settle()
            if version == .http1 {
                slow.connection.socket.capacity = 70_000
                slow.drainSocket()
            } else {
                pair.client.acknowledge(slow.stream)
                slow.pump()
            }
        }
        #expect(slow.texts.filter { $0 == "here" }.count == 60)
    }

    // MARK: Writes

    @Test(arguments: continuous, Subscriber.Version.allCases)
    func aBurstInOneReadIsOneWriteForEachSubscriber(form: Subscriber.Form, version: Subscriber.Version) throws {
        let all = try (0..<5).map { _ in try Subscriber(stage, form, version) }
        for subscriber in all { _ = subscriber.take() }
        let before = all.map { $0.connection.socket.writeCount }
        let statuses = stage.publishUnseen((1...50).map { message($0, bytes: 100) })
        #expect(statuses == Array(repeating: 204, count: 50))
        stage.settle()
        let writes = zip(all, before).map { $0.connection.socket.writeCount - $1 }
        #expect(writes == Array(repeating: 1, count: 5))
        for subscriber in all { #expect(numbers(subscriber.take()) == Array(1...50)) }
    }

    @Test func aFanOutToManyIsCutIntoSlicesThatMissNobody() throws {
        let pairs = try (0..<4).map { _ in try HTTP2Pair(stage.fixture) }
        let all = try (0..<400).map { try Subscriber(stage, .events, .http2, on: pairs[$0 % 4]) }
        stage.publishUnseen([message(1, bytes: 100)])
        // The first slice alone, then somebody leaves and somebody comes.
        _ = stage.fixture.mailbox.runOwn()
        #expect(try stage.fixture.counts()[.deliveries] == 64)
        let leaving = all[399]
        leaving.vanish()
        let late = try Subscriber(stage, .events, .http2, on: pairs[0])
        stage.settle()
        for subscriber in all + [late] where subscriber !== leaving { #expect(numbers(subscriber.told) == [1]) }
    }
}

extension Subscriber {
    /// Lets the socket go on after its capacity was changed, and carries what comes.
    func drainSocket() {
        if let context = try? connection.channel.pipeline.syncOperations.context(handler: connection.socket) {
            connection.socket.drain(context)
        }
        pump()
    }
}
