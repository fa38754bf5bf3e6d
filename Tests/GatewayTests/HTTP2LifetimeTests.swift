import NIOCore
import Tenancy
import Testing

@testable import Gateway

@Suite struct HTTP2LifetimeTests {
    // MARK: Drain

    @Test func drainFinishesWhatIsInFlightAndCloses() throws {
        let door = TestDoor()
        let fixture = try GatewayFixture(others: [("/test/", door)])
        let pair = try HTTP2Pair(fixture)
        let stream = pair.start("POST", "/test/echo", body: [1], isComplete: false)
        pair.exchange()
        fixture.lane.drain()
        pair.exchange()
        #expect(pair.client.goaway?.code == 0)
        // A stream that the peer opened before it knew is still served.
        let late = pair.start("GET", "/healthz")
        pair.connection.send(pair.client.takeOutput())
        _ = late
        fixture.advance(milliseconds: 60)
        pair.exchange()
        #expect(pair.client.goawayCount == 2)
        #expect(pair.connection.isOpen)
        pair.client.upload([2], on: stream, isLast: true)
        pair.exchange()
        #expect(pair.response(stream).body == [1, 2])
        #expect(pair.response(stream).trailers.count == 2)
        #expect(!pair.connection.isOpen)
        #expect(fixture.connectionCount == 0)
    }

    @Test func drainClosesAnIdleConnection() throws {
        let fixture = try GatewayFixture()
        let pair = try HTTP2Pair(fixture)
        fixture.lane.drain()
        pair.exchange()
        fixture.advance(milliseconds: 60)
        pair.exchange()
        #expect(!pair.connection.isOpen)
        #expect(pair.client.goaway?.code == 0)
    }

    @Test func aConnectionThatComesDuringTheDrainIsToldSo() throws {
        let fixture = try GatewayFixture()
        fixture.lane.drain()
        let pair = try HTTP2Pair(fixture)
        fixture.advance(milliseconds: 60)
        pair.exchange()
        #expect(!pair.connection.isOpen)
    }

    @Test func drainLosesNothingThatTheSocketHasNotTaken() throws {
        let fixture = try GatewayFixture()
        let pair = try HTTP2Pair(fixture, client: HTTP2Client(streamWindow: 1 << 24, connectionWindow: 1 << 24))
        let value = [UInt8](repeating: 3, count: 40_000)
        #expect(pair.perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: value).status == 204)
        pair.connection.stopReading()
        let stream = pair.start("GET", "/cache/shop?key=a")
        pair.exchange()
        fixture.lane.drain()
        fixture.advance(milliseconds: 60)
        pair.exchange()
        pair.client.receive(pair.connection.receive(atMost: .max))
        pair.exchange()
        #expect(pair.connection.socket.lostBytes == 0)
        #expect(pair.response(stream).body == value)
    }

    @Test func aPeerThatHasStoppedSendingStillGetsItsAnswers() throws {
        let door = TestDoor()
        let fixture = try GatewayFixture(others: [("/test/", door)])
        let pair = try HTTP2Pair(fixture)
        let stream = pair.start("GET", "/test/silent")
        pair.exchange()
        pair.connection.closeInput()
        pair.exchange()
        #expect(pair.connection.isOpen)
        let exchange = try #require(door.begin().live)
        Array("late".utf8).withUnsafeBytes { exchange.write($0) }
        exchange.finish()
        fixture.advance(milliseconds: 60)
        pair.exchange()
        #expect(pair.response(stream).text == "late")
        #expect(!pair.connection.isOpen)
    }

    @Test func aPeerThatHasStoppedSendingLosesNothingThatItsSocketHasNotTaken() throws {
        let fixture = try GatewayFixture()
        let pair = try HTTP2Pair(fixture, client: HTTP2Client(streamWindow: 1 << 24, connectionWindow: 1 << 24))
        let value = [UInt8](repeating: 3, count: 40_000)
        #expect(pair.perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: value).status == 204)
        pair.connection.stopReading()
        let stream = pair.start("GET", "/cache/shop?key=a")
        pair.exchange()
        pair.connection.closeInput()
        pair.client.receive(pair.connection.receive(atMost: .max))
        #expect(pair.connection.socket.lostBytes == 0)
        #expect(pair.response(stream).body.elementsEqual(value))
        #expect(!pair.connection.isOpen)
    }

    @Test func aPeerThatHasStoppedSendingAndWantsNothingIsClosed() throws {
        let pair = try HTTP2Pair(GatewayFixture())
        #expect(pair.perform("GET", "/healthz").status == 200)
        pair.connection.closeInput()
        #expect(!pair.connection.isOpen)
    }

    @Test func aSessionThatWantsNothingMoreIsClosed() throws {
        let pair = try HTTP2Pair(GatewayFixture())
        // The peer's GOAWAY: it will open no stream.
        pair.connection.send(RawFrame.frame(type: 7, [0, 0, 0, 0, 0, 0, 0, 0]))
        #expect(!pair.connection.isOpen)
        #expect(pair.fixture.connectionCount == 0)
    }

    @Test func aWriteThatFailsInTheMiddleEndsTheConnectionAndNothingElse() throws {
        let fixture = try GatewayFixture()
        let pair = try HTTP2Pair(fixture)
        let other = try HTTP2Pair(fixture)
        #expect(
            pair.perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: [UInt8](repeating: 1, count: 30_000)).status
                == 204)
        pair.connection.socket.failsNextFlush = true
        for _ in 0..<10 { pair.start("GET", "/cache/shop?key=a") }
        pair.exchange()
        #expect(!pair.connection.isOpen)
        #expect(fixture.connectionCount == 1)
        #expect(other.perform("GET", "/cache/shop?key=a").status == 200)
        #expect(fixture.lane.backlogBytes == 0)
    }

    // MARK: Sweeps

    private func swept(_ limits: GatewayLimits = GatewayLimits(), door: TestDoor = TestDoor()) throws -> HTTP2Pair {
        let fixture = try GatewayFixture(limits: limits, others: [("/test/", door)])
        fixture.lane.startSweeping()
        return try HTTP2Pair(fixture)
    }

    @Test func anIdleConnectionIsClosedWithAGoodbye() throws {
        let pair = try swept()
        #expect(pair.perform("GET", "/healthz").status == 200)
        pair.fixture.advance(milliseconds: 599_000)
        pair.exchange()
        #expect(pair.connection.isOpen)
        pair.fixture.advance(milliseconds: 3000)
        pair.exchange()
        #expect(!pair.connection.isOpen)
        #expect(pair.client.goaway?.code == 0)
    }

    @Test func aPrefaceThatDoesNotComeIsGivenUp() throws {
        for bytes in [[], Array("PR".utf8), Array("PRI * HT".utf8), RawFrame.preface.dropLast(4)] {
            let fixture = try GatewayFixture()
            fixture.lane.startSweeping()
            let connection = try TestConnection(fixture)
            connection.send(Array(bytes))
            fixture.advance(milliseconds: 9000)
            #expect(connection.isOpen)
            fixture.advance(milliseconds: 3000)
            #expect(!connection.isOpen)
            #expect(fixture.connectionCount == 0)
        }
    }

    @Test func aHeadThatIsNotFinishedIsGivenUp() throws {
        let pair = try swept()
        pair.connection.send(
            RawFrame.frame(type: RawFrame.headers, flags: RawFrame.endStream, stream: 1, RawFrame.get()))
        pair.fixture.advance(milliseconds: 9000)
        #expect(pair.connection.isOpen)
        pair.fixture.advance(milliseconds: 3000)
        #expect(!pair.connection.isOpen)
    }

    @Test func aBodyThatStallsIsAnsweredWith408() throws {
        let pair = try swept()
        let stream = pair.start("PUT", "/cache/shop?key=a&ttl_seconds=60", body: [1, 2, 3], isComplete: false)
        pair.exchange()
        pair.fixture.advance(milliseconds: 29_000)
        pair.exchange()
        #expect(pair.response(stream).status == 0)
        pair.fixture.advance(milliseconds: 3000)
        pair.exchange()
        #expect(pair.response(stream).status == 408)
        #expect(pair.response(stream).closeCode == 0)
        #expect(pair.connection.isOpen)
    }

    @Test func aBodyThatComesInDropsIsAnsweredWith408() throws {
        let pair = try swept()
        let stream = pair.start("PUT", "/cache/shop?key=a&ttl_seconds=60", body: [1], isComplete: false)
        pair.exchange()
        for _ in 0..<40 {
            pair.client.upload([1], on: stream, isLast: false)
            pair.exchange()
            pair.fixture.advance(milliseconds: 1000)
        }
        pair.exchange()
        #expect(pair.response(stream).status == 408)
    }

    @Test func aReaderThatStallsLosesItsStreamAndNoOther() throws {
        let fixture = try GatewayFixture()
        fixture.lane.startSweeping()
        let client = HTTP2Client(streamWindow: 1000, connectionWindow: 1 << 20, readsEverything: false)
        let pair = try HTTP2Pair(fixture, client: client)
        #expect(
            pair.perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: [UInt8](repeating: 1, count: 5000)).status
                == 204)
        let stream = pair.start("GET", "/cache/shop?key=a")
        pair.exchange()
        fixture.advance(milliseconds: 29_000)
        pair.exchange()
        #expect(pair.response(stream).closeCode == nil)
        fixture.advance(milliseconds: 3000)
        pair.exchange()
        #expect(pair.response(stream).closeCode == 8)
        #expect(pair.perform("HEAD", "/cache/shop?key=a").status == 200)
        #expect(fixture.lane.backlogBytes == 0)
    }

    @Test func aRequestThatWaitsForUsIsNeverGivenUp() throws {
        let door = TestDoor()
        let pair = try swept(door: door)
        let stream = pair.start("GET", "/test/silent")
        pair.exchange()
        pair.fixture.advance(milliseconds: 700_000)
        pair.exchange()
        #expect(pair.connection.isOpen)
        let exchange = try #require(door.begin().live)
        exchange.finish()
        pair.exchange()
        #expect(pair.response(stream).status == 200)
    }

    /// A peer that reads nothing at all is gone after the stall period, whatever it goes on sending.
    @Test func aPeerThatTakesNothingAndGoesOnSendingIsClosed() throws {
        let fixture = try GatewayFixture()
        fixture.lane.startSweeping()
        let pair = try HTTP2Pair(fixture, client: HTTP2Client(streamWindow: 1 << 24, connectionWindow: 1 << 24))
        #expect(
            pair.perform("PUT", "/cache/shop?key=a&ttl_seconds=3600", body: [UInt8](repeating: 1, count: 500_000))
                .status == 204)
        pair.connection.stopReading()
        pair.start("GET", "/cache/shop?key=a")
        pair.exchange()
        for _ in 0..<120 {
            pair.client.ping()
            pair.exchange()
            fixture.advance(milliseconds: 1000)
        }
        #expect(!pair.connection.isOpen)
    }

    /// Slow is not stuck: whoever goes on taking bytes keeps the connection, however full its socket is each time we look.
    @Test func aPeerThatTakesItsBytesSlowlyButSteadilyIsKept() throws {
        let fixture = try GatewayFixture()
        fixture.lane.startSweeping()
        let pair = try HTTP2Pair(fixture, client: HTTP2Client(streamWindow: 1 << 30, connectionWindow: 1 << 30))
        let value = [UInt8](repeating: 1, count: 4_900_000)
        #expect(pair.perform("PUT", "/cache/shop?key=a&ttl_seconds=3600", body: value).status == 204)
        pair.connection.stopReading()
        let stream = pair.start("GET", "/cache/shop?key=a")
        pair.exchange()
        for _ in 0..<60 where pair.connection.isOpen {
            pair.client.receive(pair.connection.receive(atMost: 100_000))
            pair.exchange()
            fixture.advance(milliseconds: 1000)
        }
        #expect(pair.connection.isOpen)
        #expect(pair.response(stream).body.count == value.count)
    }
}
