import CacheService
import Tenancy
import Testing

@testable import Gateway

/// The REST door before an engine that answers late, from another thread, in another order.
@Suite struct LateEngineTests {
    private final class Late {
        let fixture: GatewayFixture
        let engine: LateTestEngine
        let pair: HTTP2Pair

        init(seed: UInt64, limits: GatewayLimits = GatewayLimits()) throws {
            var made: LateTestEngine?
            fixture = try GatewayFixture(limits: limits) {
                let late = LateTestEngine($0, seed: seed)
                made = late
                return .late(late)
            }
            engine = try #require(made)
            pair = try HTTP2Pair(fixture)
        }

        /// Carries bytes and answers until nothing moves.
        func settle() {
            pair.exchange()
            while engine.answerAll() > 0 { pair.exchange() }
        }
    }

    /// What one random request asks. Keys overlap, so that requests depend on each other.
    private static func order(
        _ generator: inout SeededGenerator, etags: [String]
    ) -> (method: String, target: String, fields: [(name: String, value: String)], body: [UInt8]?) {
        let key = "k\(Int.random(in: 0..<4, using: &generator))"
        let number = "n\(Int.random(in: 0..<2, using: &generator))"
        let item = "/cache/shop?key=\(key)"
        let tag = etags.randomElement(using: &generator) ?? "\"none\""
        switch Int.random(in: 0..<10, using: &generator) {
        case 0, 1: return ("GET", item, [], nil)
        case 2: return ("HEAD", item, [], nil)
        case 3, 4:
            return ("PUT", item + "&ttl_seconds=60", [], Array("v\(Int.random(in: 0..<3, using: &generator))".utf8))
        case 5: return ("PUT", item + "&ttl_seconds=60", [("if-none-match", "*")], [1])
        case 6: return ("PUT", item + "&ttl_seconds=60", [("if-match", tag)], [2])
        case 7: return ("DELETE", item, Bool.random(using: &generator) ? [("if-match", tag)] : [], nil)
        case 8:
            return (
                "POST",
                "/cache/shop/increment?key=\(number)&ttl_seconds=60&by=\(Int.random(in: -5...5, using: &generator))",
                [], nil
            )
        default:
            let faults = ["/cache/shop", "/cache/shop?key=a&ttl_ms=0", "/cache/none?key=a", "/cache/shop?key=%"]
            return (
                ["GET", "PUT"].randomElement(using: &generator) ?? "GET", faults.randomElement(using: &generator) ?? "",
                [], nil
            )
        }
    }

    @Test(arguments: 0..<8)
    func oneRequestAfterTheOtherIsAnsweredAsByTheEmbeddedEngine(seed: Int) throws {
        let late = try Late(seed: UInt64(seed))
        let plain = try HTTP2Pair(GatewayFixture())
        var generator = SeededGenerator(seed: UInt64(seed))
        var etags: [String] = []
        for _ in 0..<150 {
            let order = Self.order(&generator, etags: etags)
            let expected = plain.perform(order.method, order.target, order.fields, body: order.body)
            let stream = late.pair.start(order.method, order.target, order.fields, body: order.body)
            late.settle()
            let answer = late.pair.response(stream)
            #expect(answer.essence == expected.essence, "\(order)")
            if let etag = expected.value("etag") { etags.append(etag) }
        }
        #expect(try late.fixture.counts() == plain.fixture.counts())
        #expect(try late.fixture.counts()[.calls] ?? 0 > 100)
    }

    @Test(arguments: 0..<8)
    func requestsAtOnceAreAnsweredAsByTheEmbeddedEngine(seed: Int) throws {
        let late = try Late(seed: UInt64(seed))
        let plain = try HTTP2Pair(GatewayFixture())
        var generator = SeededGenerator(seed: 50 + UInt64(seed))
        for _ in 0..<5 {
            let orders = (0..<40).map { _ in Self.order(&generator, etags: []) }
            let expected = orders.map { plain.start($0.method, $0.target, $0.fields, body: $0.body) }
            plain.exchange()
            let streams = orders.map { late.pair.start($0.method, $0.target, $0.fields, body: $0.body) }
            late.settle()
            #expect(
                streams.map { late.pair.response($0).essence } == expected.map { plain.response($0).essence })
        }
        #expect(try late.fixture.counts() == plain.fixture.counts())
        #expect(late.pair.connection.exchangeCount == 0)
        #expect(late.pair.connection.headBytes == 0)
    }

    @Test func largeValuesComeLateToo() throws {
        let late = try Late(seed: 1)
        var generator = SeededGenerator(seed: 9)
        let value = generator.bytes(3_000_000)
        let write = late.pair.start("PUT", "/cache/shop?key=a&ttl_seconds=60", body: value)
        late.settle()
        #expect(late.pair.response(write).status == 204)
        let reads = (0..<4).map { _ in late.pair.start("GET", "/cache/shop?key=a") }
        late.settle()
        #expect(reads.allSatisfy { late.pair.response($0).body == value })
        #expect(late.fixture.lane.backlogBytes == 0)
        #expect(late.fixture.bodyBytesInFlight == 0)
    }

    @Test func aResetDuringALateAnswerLeavesNothingBehind() throws {
        let late = try Late(seed: 1)
        let streams = (0..<20).map {
            late.pair.start("PUT", "/cache/shop?key=k\($0)&ttl_seconds=60", body: [UInt8](repeating: 1, count: 5000))
        }
        late.pair.exchange()
        #expect(late.engine.waitingCount == 20)
        for stream in streams { late.pair.client.reset(stream) }
        late.pair.exchange()
        #expect(late.pair.connection.exchangeCount == 0)
        #expect(late.fixture.bodyBytesInFlight == 0)
        // New requests take the same exchanges before the old answers come.
        let reads = (0..<20).map { late.pair.start("GET", "/cache/shop?key=k\($0)") }
        late.settle()
        #expect(reads.allSatisfy { late.pair.response($0).status == 200 })
        #expect(streams.allSatisfy { late.pair.response($0).status == 0 })
        // What was done is billed, whether or not anybody heard of it.
        #expect(try late.fixture.counts()[.calls] == 40)
    }

    @Test func aConnectionThatIsLostDuringALateAnswerLeavesNothingBehind() throws {
        let late = try Late(seed: 1)
        for index in 0..<20 { late.pair.start("GET", "/cache/shop?key=k\(index)") }
        late.pair.exchange()
        late.pair.connection.abort()
        #expect(late.fixture.connectionCount == 0)
        late.engine.answerAll()
        late.fixture.turn()
        #expect(try late.fixture.counts()[.calls] == 20)
        let other = try HTTP2Pair(late.fixture)
        #expect(other.perform("GET", "/healthz").status == 200)
    }

    @Test func drainWaitsForLateAnswers() throws {
        let late = try Late(seed: 1)
        let stream = late.pair.start("GET", "/cache/shop?key=a")
        late.pair.exchange()
        late.fixture.lane.drain()
        late.fixture.advance(milliseconds: 60)
        late.pair.exchange()
        #expect(late.pair.connection.isOpen)
        late.settle()
        #expect(late.pair.response(stream).status == 404)
        #expect(!late.pair.connection.isOpen)
    }
}
