import Tenancy
import Testing

@testable import Gateway

/// What the connection promises to doors that stream.
@Suite struct HTTP2DoorTests {
    private let door = TestDoor()

    private func pair(_ client: HTTP2Client = HTTP2Client()) throws -> HTTP2Pair {
        try HTTP2Pair(GatewayFixture(others: [("/test/", door)]), client: client)
    }

    @Test func aStreamGoesBothWaysAndEndsInTrailers() throws {
        let pair = try pair()
        let stream = pair.start("POST", "/test/echo", body: Array("one".utf8), isComplete: false)
        pair.exchange()
        #expect(pair.response(stream).status == 200)
        #expect(pair.response(stream).text == "one")
        #expect(pair.response(stream).value("content-length") == nil)
        #expect(pair.response(stream).closeCode == nil)
        pair.client.upload(Array(" two".utf8), on: stream, isLast: false)
        pair.exchange()
        #expect(pair.response(stream).text == "one two")
        pair.client.upload(Array(" three".utf8), on: stream, isLast: true)
        pair.exchange()
        let response = pair.response(stream)
        #expect(response.text == "one two three")
        #expect(response.trailers.map(\.name) == ["x-count", "x-check"])
        #expect(response.trailers.map(\.value) == ["13", "done"])
        #expect(response.closeCode == 0)
        #expect(door.ended == 1)
        #expect(door.abandoned == 0)
        #expect(pair.connection.exchangeCount == 0)
        #expect(pair.fixture.lane.backlogBytes == 0)
    }

    @Test func aStreamOfManyMegabytesKeepsItsBytesAndItsBound() throws {
        let pair = try pair()
        var generator = SeededGenerator(seed: 3)
        let body = generator.bytes(8 << 20)
        let stream = pair.start("POST", "/test/echo", body: body)
        pair.exchange()
        #expect(pair.response(stream).body.elementsEqual(body))
        #expect(pair.response(stream).trailers.first?.value == String(body.count))
        #expect(pair.fixture.lane.backlogBytes == 0)
    }

    @Test func aHeldBodyGivesNoWindowBackUntilTheDoorLetsItIn() throws {
        let pair = try pair()
        let body = [UInt8](repeating: 7, count: 300_000)
        let stream = pair.start("POST", "/test/held", body: body)
        pair.exchange()
        #expect(door.received.isEmpty)
        // One stream window of it is here, and no more was asked for.
        #expect(pair.connection.http2?.exchanges.first.map(\.requestBodyReceived) == 65_535)
        #expect(!pair.client.windowUpdates.contains { $0.stream == stream })
        let ticket = door.waiting.first
        ticket?.live?.beginResponse(ResponseHead(status: 200))
        door.release()
        pair.exchange()
        #expect(door.received.elementsEqual(body))
        #expect(pair.response(stream).body.elementsEqual(body))
        #expect(pair.client.windowUpdates.contains { $0.stream == stream })
    }

    @Test func anAnswerAfterTheRequestWasResetFindsNobody() throws {
        let pair = try pair()
        let stream = pair.start("POST", "/test/silent", body: [1, 2, 3], isComplete: false)
        pair.exchange()
        let ticket = try #require(door.waiting.first)
        #expect(ticket.isLive)
        pair.client.reset(stream)
        pair.exchange()
        #expect(!ticket.isLive)
        #expect(door.abandoned == 1)
        #expect(pair.perform("GET", "/cache/shop?key=a").status == 404)
    }

    @Test func anAnswerAfterTheConnectionWasLostFindsNobody() throws {
        let pair = try pair()
        pair.start("POST", "/test/silent", body: [1], isComplete: false)
        pair.start("GET", "/test/silent")
        pair.exchange()
        let tickets = door.waiting
        #expect(tickets.count == 2)
        pair.connection.abort()
        #expect(tickets.allSatisfy { !$0.isLive })
        #expect(door.abandoned == 2)
        #expect(pair.fixture.connectionCount == 0)
    }

    @Test func aStreamingResponseThatIsCutByItsPeerIsAbandoned() throws {
        let client = HTTP2Client(streamWindow: 1000, readsEverything: false)
        let pair = try pair(client)
        let stream = pair.start("POST", "/test/echo", body: [UInt8](repeating: 1, count: 50_000), isComplete: false)
        pair.exchange()
        #expect(pair.response(stream).body.count == 1000)
        #expect(pair.fixture.lane.backlogBytes == 49_000)
        pair.client.reset(stream)
        pair.exchange()
        #expect(door.abandoned == 1)
        #expect(pair.fixture.lane.backlogBytes == 0)
    }

    @Test func aStreamingResponseWithTrailersThatEndsBeforeItsRequestEndsTheStream() throws {
        let pair = try pair()
        let stream = pair.start("POST", "/test/silent", body: [1], isComplete: false)
        pair.exchange()
        let ticket = door.begin()
        let exchange = try #require(ticket.live)
        exchange.write(UnsafeRawBufferPointer(start: nil, count: 0))
        exchange.finish(trailers: [("x-check", "done")])
        pair.exchange()
        #expect(pair.response(stream).status == 200)
        // The peer goes on sending otherwise, and the stream stays for as long as the peer likes.
        #expect(pair.response(stream).closeCode != nil)
        #expect(pair.connection.exchangeCount == 0)
    }

    @Test func aStreamingResponseToHEADHasNoBody() throws {
        let pair = try pair()
        let stream = pair.start("HEAD", "/test/echo")
        pair.exchange()
        #expect(pair.response(stream).status == 200)
        #expect(pair.response(stream).body.isEmpty)
        #expect(pair.response(stream).closeCode == 0)
        #expect(pair.perform("GET", "/cache/shop?key=a").status == 404)
    }

    @Test func trailersOfARequestAreNotTakenForFields() throws {
        let pair = try pair()
        // A body of one byte and trailers, as raw frames behind what the client has sent.
        let raw = try TestConnection(pair.fixture)
        let head =
            RawFrame.field(":method", "POST") + RawFrame.field(":scheme", "http")
            + RawFrame.field(":authority", "cache.test") + RawFrame.field(":path", "/test/echo")
        raw.send(
            RawFrame.preface + RawFrame.frame(type: RawFrame.headers, flags: RawFrame.endHeaders, stream: 1, head)
                + RawFrame.frame(type: RawFrame.data, stream: 1, [65])
                + RawFrame.frame(
                    type: RawFrame.headers, flags: RawFrame.endHeaders | RawFrame.endStream, stream: 1,
                    RawFrame.field("authorization", "other")))
        #expect(door.ended == 1)
        #expect(door.received == [65])
        #expect(raw.isOpen)
    }
}
