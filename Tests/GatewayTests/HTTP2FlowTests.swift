import Tenancy
import Testing

@testable import Gateway

@Suite struct HTTP2FlowTests {
    private static let megabytes = 4_900_000

    @Test(arguments: [(65_535, Int32?.none), (1, Int32?.none), (3000, 1 << 20), (1 << 24, 1 << 24)])
    func aValueOfFiveMegabytesGoesUpAndDown(streamWindow: Int, connectionWindow: Int32?) throws {
        // A window of one byte makes a frame a byte: fewer bytes then, the same path.
        let count = streamWindow == 1 ? 20_000 : Self.megabytes
        var generator = SeededGenerator(seed: UInt64(streamWindow))
        let value = generator.bytes(count)
        let client = HTTP2Client(streamWindow: streamWindow, connectionWindow: connectionWindow)
        let pair = try HTTP2Pair(GatewayFixture(), client: client)
        #expect(pair.perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: value).status == 204)
        let hit = pair.perform("GET", "/cache/shop?key=a")
        #expect(hit.status == 200)
        #expect(hit.body == value)
        #expect(pair.fixture.lane.backlogBytes == 0)
        #expect(pair.connection.isOpen)
    }

    @Test func oneReaderThatDoesNotReadHoldsUpNoOtherStream() throws {
        let client = HTTP2Client(streamWindow: 10_000, connectionWindow: 1 << 24, readsEverything: false)
        let pair = try HTTP2Pair(GatewayFixture(), client: client)
        let value = [UInt8](repeating: 9, count: Self.megabytes)
        #expect(pair.perform("PUT", "/cache/shop?key=large&ttl_seconds=60", body: value).status == 204)
        #expect(pair.perform("PUT", "/cache/shop?key=small&ttl_seconds=60", body: [1]).status == 204)
        let stuck = pair.start("GET", "/cache/shop?key=large")
        pair.exchange()
        #expect(pair.response(stuck).body.count == 10_000)
        for _ in 0..<50 { #expect(pair.perform("GET", "/cache/shop?key=small").body == [1]) }
        #expect(pair.fixture.lane.backlogBytes == Self.megabytes - 10_000)
        pair.client.openWindow(stuck)
        pair.client.acknowledge(stuck)
        pair.exchange()
        #expect(pair.response(stuck).body.count == Self.megabytes)
    }

    @Test func requestsWaitWhileTheBacklogIsFullAndRunWhenItHasLeft() throws {
        var limits = GatewayLimits()
        limits.backlogBytesPerConnection = 1 << 20
        let client = HTTP2Client(streamWindow: 0, connectionWindow: 1 << 24, readsEverything: false)
        let pair = try HTTP2Pair(GatewayFixture(limits: limits), client: client)
        let value = [UInt8](repeating: 9, count: 300_000)
        #expect(pair.perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: value).status == 204)
        let streams = (0..<20).map { _ in pair.start("GET", "/cache/shop?key=a") }
        pair.exchange()
        #expect(pair.fixture.lane.backlogBytes <= 1 << 20 + value.count)
        #expect(pair.connection.parkedCount > 0)
        let before = pair.fixture.lane.backlogBytes
        #expect(before == streams.count * value.count - pair.connection.parkedCount * value.count)
        for stream in streams {
            pair.client.openWindow(stream)
            pair.exchange()
        }
        #expect(streams.allSatisfy { pair.response($0).body.count == value.count })
        #expect(pair.fixture.lane.backlogBytes == 0)
        #expect(pair.connection.parkedCount == 0)
    }

    @Test func parkedRequestsThatAreResetAreForgotten() throws {
        var limits = GatewayLimits()
        limits.backlogBytesPerConnection = 1000
        let client = HTTP2Client(streamWindow: 0, readsEverything: false)
        let pair = try HTTP2Pair(GatewayFixture(limits: limits), client: client)
        let target = "/cache/shop?key=a&ttl_seconds=60"
        #expect(pair.perform("PUT", target, body: [UInt8](repeating: 1, count: 20_000)).status == 204)
        let first = pair.start("GET", "/cache/shop?key=a")
        pair.exchange()
        let second = pair.start("GET", "/cache/shop?key=a")
        pair.exchange()
        #expect(pair.connection.parkedCount == 1)
        // What is small goes on beside it.
        #expect(pair.perform("HEAD", "/cache/shop?key=b").status == 404)
        pair.client.reset(second)
        pair.exchange()
        #expect(pair.connection.parkedCount == 0)
        pair.client.reset(first)
        pair.exchange()
        #expect(pair.fixture.lane.backlogBytes == 0)
    }

    @Test func aPeerThatTakesNothingFromItsSocketCostsNoMoreThanTheBacklog() throws {
        var limits = GatewayLimits()
        limits.backlogBytesPerConnection = 1 << 20
        let client = HTTP2Client(streamWindow: 1 << 30, connectionWindow: 1 << 30)
        let pair = try HTTP2Pair(GatewayFixture(limits: limits), client: client)
        #expect(
            pair.perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: [UInt8](repeating: 1, count: 500_000)).status
                == 204)
        pair.connection.stopReading()
        for _ in 0..<100 {
            pair.start("GET", "/cache/shop?key=a")
            pair.client.ping()
            pair.exchange()
        }
        let held = pair.connection.socket.pendingBytes + pair.fixture.lane.backlogBytes
        #expect(held <= 1 << 20 + 500_000 + 4 * HTTP2Connection.flushBytes)
        #expect(pair.connection.socket.highestPendingBytes <= 4 * HTTP2Connection.flushBytes)
    }

    @Test func aPeerThatTakesItsBytesSlowlyGetsAllOfThem() throws {
        let client = HTTP2Client(streamWindow: 1 << 30, connectionWindow: 1 << 30)
        let pair = try HTTP2Pair(GatewayFixture(), client: client)
        var generator = SeededGenerator(seed: 5)
        let value = generator.bytes(1_000_000)
        #expect(pair.perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: value).status == 204)
        pair.connection.stopReading()
        let streams = (0..<8).map { _ in pair.start("GET", "/cache/shop?key=a") }
        pair.exchange()
        while true {
            let bytes = pair.connection.receive(atMost: 50_000)
            if bytes.isEmpty { break }
            pair.client.receive(bytes)
            pair.exchange()
        }
        #expect(streams.allSatisfy { pair.response($0).body == value })
        #expect(pair.fixture.lane.backlogBytes == 0)
    }

    @Test func paddingIsGivenBackToTheWindow() throws {
        let fixture = try GatewayFixture()
        let connection = try TestConnection(fixture)
        let head =
            RawFrame.field(":method", "PUT") + RawFrame.field(":scheme", "http")
            + RawFrame.field(":authority", "cache.test") + RawFrame.field(":path", "/cache/shop?key=a&ttl_seconds=60")
            + RawFrame.field("authorization", fixture.rootKey)
        connection.send(
            RawFrame.preface + RawFrame.frame(type: RawFrame.headers, flags: RawFrame.endHeaders, stream: 1, head))
        // One byte of body beside 255 of padding, for more than the connection's window of four megabytes.
        for _ in 0..<200 {
            let frames = (0..<100).flatMap { _ in
                RawFrame.frame(type: RawFrame.data, flags: 8, stream: 1, [255, 65] + [UInt8](repeating: 0, count: 255))
            }
            connection.send(frames)
            #expect(connection.isOpen)
        }
        connection.send(RawFrame.frame(type: RawFrame.data, flags: RawFrame.endStream, stream: 1))
        let pair = try HTTP2Pair(fixture)
        #expect(pair.perform("GET", "/cache/shop?key=a").body.count == 20_000)
    }

    // MARK: Bodies before the caller is known

    @Test func aBodyIsHeldUntilTheCallerIsKnown() throws {
        let fixture = try GatewayFixture()
        let token = try fixture.makeToken()
        let pair = try HTTP2Pair(fixture)
        let value = [UInt8](repeating: 5, count: 400_000)
        let stream = pair.client.request(
            "PUT", "/cache/shop?key=a&ttl_seconds=60", [("authorization", token)], body: value)
        pair.connection.send(pair.client.takeOutput())
        let exchange = pair.connection.http2?.exchanges.first
        #expect(exchange?.bodyMode == .held)
        #expect((exchange?.requestBodyReceived ?? 0) <= 65_535)
        pair.client.receive(pair.connection.receive())
        #expect(!pair.client.windowUpdates.contains { $0.stream == stream })
        fixture.takeLate()
        pair.exchange()
        #expect(pair.response(stream).status == 204)
        #expect(pair.perform("GET", "/cache/shop?key=a").body == value)
    }

    /// What a refused request had sent counts against the connection's window until it is given back; without that, a
    /// connection dies of its refusals.
    @Test func refusedBodiesGiveTheConnectionItsWindowBack() throws {
        let fixture = try GatewayFixture()
        let pair = try HTTP2Pair(fixture)
        let body = [UInt8](repeating: 5, count: 60_000)
        let rounds = Int(HTTP2Connection.connectionWindow) / body.count + 20
        for _ in 0..<rounds {
            let token = try fixture.makeToken(isRevoked: true)
            let stream = pair.client.request(
                "PUT", "/cache/shop?key=a&ttl_seconds=60", [("authorization", token)], body: body)
            pair.connection.send(pair.client.takeOutput())
            pair.client.receive(pair.connection.receive())
            fixture.takeLate()
            pair.exchange()
            #expect(pair.response(stream).status == 401)
            guard pair.response(stream).status == 401 else { return }
        }
        #expect(pair.perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: body).status == 204)
    }

    @Test func bodiesThatAreResetWhileHeldGiveTheConnectionItsWindowBack() throws {
        let door = TestDoor()
        let pair = try HTTP2Pair(GatewayFixture(others: [("/test/", door)]))
        let body = [UInt8](repeating: 5, count: 60_000)
        for _ in 0..<Int(HTTP2Connection.connectionWindow) / body.count + 20 {
            let stream = pair.start("POST", "/test/held", body: body, isComplete: false)
            pair.exchange()
            pair.client.reset(stream)
            pair.exchange()
        }
        let response = pair.perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: body)
        #expect(response.status == 204)
    }

    // MARK: Limits on bodies

    @Test func aDeclaredBodyOverTheLimitIsRefusedBeforeItComes() throws {
        let pair = try HTTP2Pair(GatewayFixture())
        let stream = pair.start(
            "PUT", "/cache/shop?key=a&ttl_seconds=60", [("content-length", "5000192")], body: [], isComplete: false)
        pair.exchange()
        let response = pair.response(stream)
        #expect(response.status == 413)
        #expect(response.text.contains("\"limit\":\"max_item_bytes\",\"value\":5000192"))
        #expect(pair.connection.exchangeCount == 0)
    }

    @Test func aBodyThatGrowsOverTheLimitIsRefusedAndTheConnectionGoesOn() throws {
        let fixture = try GatewayFixture()
        try fixture.makeCache("tiny", [.maxItemBytes: 1000])
        let pair = try HTTP2Pair(fixture)
        #expect(
            pair.perform("PUT", "/cache/tiny?key=a&ttl_seconds=60", body: [UInt8](repeating: 1, count: 999)).status
                == 204)
        let refused = pair.perform("PUT", "/cache/tiny?key=a&ttl_seconds=60", body: [UInt8](repeating: 1, count: 1000))
        #expect(refused.status == 413)
        for _ in 0..<100 {
            let response = pair.perform(
                "PUT", "/cache/tiny?key=a&ttl_seconds=60", body: [UInt8](repeating: 1, count: 60_000))
            #expect(response.status == 413)
        }
        #expect(pair.perform("GET", "/cache/tiny?key=a").body.count == 999)
        #expect(fixture.bodyBytesInFlight == 0)
    }

    @Test func bytesOfBodiesAreGivenBackHoweverTheRequestEnds() throws {
        let fixture = try GatewayFixture()
        let pair = try HTTP2Pair(fixture)
        let open = (0..<5).map { key in
            pair.start(
                "PUT", "/cache/shop?key=k\(key)&ttl_seconds=60", body: [UInt8](repeating: 1, count: 100_000),
                isComplete: false)
        }
        pair.exchange()
        #expect(fixture.bodyBytesInFlight >= 5 * 100_000)
        pair.client.reset(open[0])
        pair.client.upload([1], on: open[1], isLast: true)
        pair.exchange()
        #expect(pair.response(open[1]).status == 204)
        #expect(fixture.bodyBytesInFlight >= 3 * 100_000)
        pair.connection.abort()
        #expect(fixture.bodyBytesInFlight == 0)
    }

    @Test func oneConnectionMayHoldSoManyBytesOfBodiesAndNoMore() throws {
        var limits = GatewayLimits()
        limits.bodyBytesPerConnection = 1 << 20
        let fixture = try GatewayFixture(limits: limits)
        let pair = try HTTP2Pair(fixture)
        let streams = (0..<6).map { key in
            let stream = pair.start(
                "PUT", "/cache/shop?key=k\(key)&ttl_seconds=60", body: [UInt8](repeating: 1, count: 300_000),
                isComplete: false)
            pair.exchange()
            return stream
        }
        let refused = streams.filter { pair.response($0).status == 503 || pair.response($0).status == 429 }
        #expect(refused.count == 3)
        #expect(refused.allSatisfy { pair.response($0).value("retry-after") != nil })
        for stream in streams { pair.client.upload([], on: stream, isLast: true) }
        pair.exchange()
        #expect(streams.filter { pair.response($0).status == 204 }.count == 3)
        #expect(fixture.bodyBytesInFlight == 0)
    }
}
