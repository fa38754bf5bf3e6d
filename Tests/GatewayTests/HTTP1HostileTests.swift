import CacheService
import Tenancy
import Testing

@testable import Gateway

@Suite struct HTTP1HostileTests {
    /// Forms that two servers in a row could read differently. Each is followed by a request that must not be answered.
    @Test(arguments: [
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4, 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nBad Name: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\u{0}b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\rContent-Length: 4\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: h\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
        "GET / HTTX/1.1\r\nHost: h\r\n\r\n",
        "GET\r\n\r\n",
        "\u{0}\u{1}\u{2}\u{3}\r\n\r\n",
        "G\u{E9}T / HTTP/1.1\r\nHost: h\r\n\r\n",
        "get / HTTP/1.1\r\nHost: h\r\n\r\n",
    ])
    func formsOfSmugglingAreRefusedAndEndTheConnection(text: String) throws {
        let connection = try TestConnection(GatewayFixture())
        connection.send(text + HTTP1Text.request("GET", "/healthz"))
        #expect(connection.replies().map(\.status) == [400])
        #expect(!connection.isOpen)
    }

    @Test(arguments: [
        "x\r\nabc\r\n0\r\n\r\n", "-3\r\nabc\r\n0\r\n\r\n", "0x3\r\nabc\r\n0\r\n\r\n", "+3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n", "3\nabc\r\n0\r\n\r\n", "\r\n3\r\nabc\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcX\r\n0\r\n\r\n", "3 \u{1}\r\nabc\r\n0\r\n\r\n",
    ])
    func aChunkThatIsNoneIsRefusedAndNothingIsStored(chunks: String) throws {
        let fixture = try GatewayFixture()
        let connection = try TestConnection(fixture)
        connection.send(
            "PUT /cache/shop?key=a&ttl_seconds=60 HTTP/1.1\r\nHost: h\r\nAuthorization: \(fixture.rootKey)\r\n"
                + "Transfer-Encoding: chunked\r\n\r\n" + chunks + HTTP1Text.request("GET", "/healthz"))
        #expect(connection.replies().map(\.status) == [400])
        #expect(!connection.isOpen)
        let other = try TestConnection(fixture)
        other.request("GET", "/cache/shop?key=a", ["Authorization: \(fixture.rootKey)"])
        #expect(other.replies().map(\.status) == [404])
        #expect(fixture.bodyBytesInFlight == 0)
    }

    @Test func aBodyThatEndsTooSoonStoresNothing() throws {
        let fixture = try GatewayFixture()
        let connection = try TestConnection(fixture)
        connection.send(
            "PUT /cache/shop?key=a&ttl_seconds=60 HTTP/1.1\r\nHost: h\r\nAuthorization: \(fixture.rootKey)\r\n"
                + "Content-Length: 10\r\n\r\nabc")
        connection.closeInput()
        fixture.lane.startSweeping()
        fixture.advance(milliseconds: 40_000)
        #expect(!connection.isOpen)
        let other = try TestConnection(fixture)
        other.request("GET", "/cache/shop?key=a", ["Authorization: \(fixture.rootKey)"])
        #expect(other.replies().map(\.status) == [404])
        #expect(fixture.bodyBytesInFlight == 0)
    }

    @Test(arguments: 0..<8)
    func mutatedRequestsNeverTrapAndLeaveNothingBehind(seed: Int) throws {
        let fixture = try GatewayFixture()
        var generator = SeededGenerator(seed: UInt64(seed))
        let bytes = Array(
            (HTTP1Text.request(
                "PUT", "/cache/shop?key=a&ttl_seconds=60", ["Authorization: \(fixture.rootKey)"], body: "value")
                + "PUT /cache/shop?key=b&ttl_seconds=60 HTTP/1.1\r\nHost: h\r\nAuthorization: \(fixture.rootKey)\r\n"
                + "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                + HTTP1Text.request("GET", "/cache/shop?key=b", ["If-None-Match: *"])).utf8)
        for _ in 0..<150 {
            var mutated = bytes
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let index = Int.random(in: 0..<mutated.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: mutated[index] = UInt8.random(in: 0...255, using: &generator)
                case 1: mutated.insert(contentsOf: "\r\n: \0,".utf8.shuffled(using: &generator).prefix(3), at: index)
                default:
                    mutated.removeSubrange(
                        index..<min(mutated.count, index + Int.random(in: 1...20, using: &generator)))
                }
            }
            let connection = try TestConnection(fixture)
            var position = 0
            while position < mutated.count {
                let count = min(Int.random(in: 1...200, using: &generator), mutated.count - position)
                connection.send(Array(mutated[position..<position + count]))
                position += count
            }
            connection.abort()
            #expect(fixture.connectionCount == 0)
            #expect(fixture.bodyBytesInFlight == 0)
        }
        let connection = try TestConnection(fixture)
        connection.request("GET", "/healthz")
        #expect(connection.replies().map(\.status) == [200])
    }

    // MARK: Sweeps

    private func swept() throws -> (GatewayFixture, TestConnection) {
        let fixture = try GatewayFixture()
        fixture.lane.startSweeping()
        return (fixture, try TestConnection(fixture))
    }

    @Test func aHeadThatComesTooSlowlyIsGivenUp() throws {
        let (fixture, connection) = try swept()
        connection.request("GET", "/healthz")
        #expect(connection.replies().count == 1)
        for byte in "GET /healthz HTT".utf8 {
            connection.send([byte])
            fixture.advance(milliseconds: 1000)
        }
        #expect(!connection.isOpen)
    }

    @Test func anIdleConnectionIsClosed() throws {
        let (fixture, connection) = try swept()
        connection.request("GET", "/healthz")
        fixture.advance(milliseconds: 590_000)
        #expect(connection.isOpen)
        fixture.advance(milliseconds: 20_000)
        #expect(!connection.isOpen)
    }

    @Test func aBodyThatStallsIsAnsweredWith408() throws {
        let (fixture, connection) = try swept()
        connection.send(
            "PUT /cache/shop?key=a&ttl_seconds=60 HTTP/1.1\r\nHost: h\r\nAuthorization: \(fixture.rootKey)\r\n"
                + "Content-Length: 10\r\n\r\nabc")
        fixture.advance(milliseconds: 29_000)
        #expect(connection.isOpen)
        fixture.advance(milliseconds: 3000)
        #expect(connection.replies().map(\.status) == [408])
        #expect(!connection.isOpen)
        #expect(fixture.bodyBytesInFlight == 0)
    }

    @Test func aRefusedRequestWhoseBodyDoesNotComeIsGivenUp() throws {
        let (fixture, connection) = try swept()
        connection.send("PUT /cache/shop?key=a&ttl_seconds=60 HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n")
        #expect(connection.replies().map(\.status) == [401])
        fixture.advance(milliseconds: 700_000)
        #expect(!connection.isOpen)
        #expect(fixture.connectionCount == 0)
    }

    @Test func aPeerThatTakesNothingIsGivenUp() throws {
        let (fixture, connection) = try swept()
        let value = String(repeating: "v", count: 1_000_000)
        connection.request(
            "PUT", "/cache/shop?key=a&ttl_seconds=3600", ["Authorization: \(fixture.rootKey)"], body: value)
        connection.stopReading()
        connection.request("GET", "/cache/shop?key=a", ["Authorization: \(fixture.rootKey)"])
        fixture.advance(milliseconds: 20_000)
        #expect(connection.isOpen)
        fixture.advance(milliseconds: 20_000)
        #expect(!connection.isOpen)
        #expect(fixture.connectionCount == 0)
    }

    @Test func aWriteThatFailsInTheMiddleEndsTheConnectionAndNothingElse() throws {
        let (fixture, connection) = try swept()
        connection.socket.failsNextFlush = true
        let request = HTTP1Text.request("GET", "/cache/shop?key=a", ["Authorization: \(fixture.rootKey)"])
        connection.send(String(repeating: request, count: 10))
        #expect(!connection.isOpen)
        #expect(fixture.connectionCount == 0)
        let other = try TestConnection(fixture)
        other.request("GET", "/healthz")
        #expect(other.replies().map(\.status) == [200])
    }

    /// Slow is not stuck: whoever goes on taking bytes gets all of them.
    @Test(arguments: ["keep-alive", "close"])
    func aPeerThatTakesItsBytesSlowlyButSteadilyGetsAllOfThem(connectionField: String) throws {
        let (fixture, connection) = try swept()
        let value = String(repeating: "v", count: 4_900_000)
        connection.request(
            "PUT", "/cache/shop?key=a&ttl_seconds=3600", ["Authorization: \(fixture.rootKey)"], body: value)
        #expect(connection.replies().map(\.status) == [204])
        connection.stopReading()
        connection.request(
            "GET", "/cache/shop?key=a", ["Authorization: \(fixture.rootKey)", "Connection: \(connectionField)"])
        var count = 0
        for _ in 0..<60 {
            count += connection.receive(atMost: 100_000).count
            fixture.advance(milliseconds: 1000)
        }
        #expect(count > value.utf8.count)
        #expect(connection.socket.lostBytes == 0)
    }
}
