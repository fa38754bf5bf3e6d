import Tenancy
import Testing

@testable import Gateway

/// What the connection promises to doors that stream.
@Suite struct HTTP1DoorTests {
    private let door = TestDoor()
    private let fixture: GatewayFixture
    private let connection: TestConnection

    init() throws {
        fixture = try GatewayFixture(others: [("/test/", door)])
        connection = try TestConnection(fixture)
    }

    @Test func aStreamGoesBothWaysAndEndsInTrailers() throws {
        connection.send("POST /test/echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        var bytes = connection.receive()
        #expect(String(decoding: bytes, as: UTF8.self).hasSuffix("\r\n\r\n3\r\none\r\n"))
        connection.send("4\r\n two\r\n")
        bytes += connection.receive()
        connection.send("0\r\n\r\n")
        bytes += connection.receive()
        let (replies, rest) = HTTP1Reply.all(in: bytes)
        #expect(replies.map(\.text) == ["one two"])
        #expect(replies.first?.fields["transfer-encoding"] == "chunked")
        #expect(String(decoding: bytes, as: UTF8.self).hasSuffix("0\r\nx-count: 7\r\nx-check: done\r\n\r\n"))
        #expect(rest.isEmpty)
        #expect(door.ended == 1)
        #expect(door.abandoned == 0)
        connection.request("GET", "/healthz")
        #expect(connection.replies().map(\.status) == [200])
    }

    @Test func aStreamOfManyMegabytesKeepsItsBytes() throws {
        var generator = SeededGenerator(seed: 3)
        let body = generator.bytes(8 << 20)
        connection.send(
            Array("POST /test/echo HTTP/1.1\r\nHost: h\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body)
        #expect(connection.replies().first?.body == body)
    }

    @Test func aStreamToAPeerThatTakesNothingIsBounded() throws {
        connection.stopReading()
        let body = [UInt8](repeating: 65, count: 8 << 20)
        connection.send(
            Array("POST /test/echo HTTP/1.1\r\nHost: h\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body)
        #expect(connection.socket.highestPendingBytes <= 1 << 20)
        #expect(connection.unread.count >= 7 << 20)
        var bytes: [UInt8] = []
        while true {
            let more = connection.receive(atMost: 1 << 20)
            if more.isEmpty { break }
            bytes += more
            connection.deliver()
        }
        #expect(HTTP1Reply.all(in: bytes).replies.first?.body.count == body.count)
    }

    @Test func aStreamToVersionOneEndsWithTheConnection() throws {
        connection.send("POST /test/echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc")
        let (replies, _) = HTTP1Reply.all(in: connection.receive(), isClosed: true)
        #expect(replies.map(\.text) == ["abc"])
        #expect(replies.first?.fields["transfer-encoding"] == nil)
        #expect(replies.first?.fields["connection"] == "close")
        #expect(!connection.isOpen)
    }

    @Test func aStreamingResponseToHEADHasNoBody() throws {
        connection.request("HEAD", "/test/echo")
        connection.request("GET", "/healthz")
        let (replies, rest) = HTTP1Reply.all(in: connection.receive(), methods: ["HEAD", "GET"])
        #expect(replies.map(\.status) == [200, 200])
        #expect(replies.last?.text == "ok\n")
        #expect(rest.isEmpty)
    }

    @Test func aHeldBodyIsReadNoFurtherUntilTheDoorLetsItIn() throws {
        let body = [UInt8](repeating: 7, count: 500_000)
        connection.send(
            Array("POST /test/held HTTP/1.1\r\nHost: h\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body)
        #expect(door.received.isEmpty)
        #expect(connection.unread.count >= 300_000)
        door.waiting.first?.live?.beginResponse(ResponseHead(status: 200))
        door.release()
        connection.deliver()
        #expect(door.received.elementsEqual(body))
        #expect(connection.replies().first?.body == body)
    }

    @Test func aConnectionThatIsLostAbandonsItsExchange() throws {
        connection.request("GET", "/test/silent")
        let ticket = try #require(door.waiting.first)
        connection.abort()
        #expect(!ticket.isLive)
        #expect(door.abandoned == 1)
        #expect(fixture.connectionCount == 0)
    }

    @Test func requestsBehindAStreamWaitForItsEnd() throws {
        connection.request("GET", "/test/silent")
        connection.request("GET", "/healthz")
        #expect(connection.receive().isEmpty)
        let exchange = try #require(door.begin().live)
        Array("late".utf8).withUnsafeBytes { exchange.write($0) }
        let first = connection.receive()
        exchange.finish()
        #expect(HTTP1Reply.all(in: first + connection.receive()).replies.map(\.text) == ["late", "ok\n"])
    }
}
