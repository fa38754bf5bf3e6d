import CacheService
import Tenancy
import Testing

@testable import Gateway

@Suite struct HTTP1PipelineTests {
    private static let requests: [(method: String, target: String, body: String?)] = [
        ("PUT", "/cache/shop?key=a&ttl_seconds=60", "first"), ("GET", "/cache/shop?key=a", nil),
        ("HEAD", "/cache/shop?key=a", nil), ("GET", "/cache/shop?key=missing", nil),
        ("POST", "/cache/shop/increment?key=n&ttl_seconds=60&by=4", nil), ("GET", "/healthz", nil),
        ("PUT", "/cache/shop?key=a&ttl_seconds=60", "second"), ("GET", "/cache/shop?key=a", nil),
        ("DELETE", "/cache/shop?key=a", nil), ("GET", "/cache/shop?key=a", nil), ("GET", "/nothing", nil),
    ]
    private static let methods = requests.map { $0.method }

    private static func text(_ fixture: GatewayFixture) -> [UInt8] {
        Array(
            requests.map {
                HTTP1Text.request($0.method, $0.target, ["Authorization: \(fixture.rootKey)"], body: $0.body)
            }.joined().utf8)
    }

    @Test func answersComeInTheOrderOfTheirRequests() throws {
        let fixture = try GatewayFixture()
        let connection = try TestConnection(fixture)
        connection.send(Self.text(fixture))
        let replies = connection.replies(to: Self.methods)
        #expect(replies.map(\.status) == [204, 200, 200, 404, 200, 200, 204, 200, 204, 404, 404])
        #expect(replies[1].text == "first")
        #expect(replies[4].text == "{\"value\":4}\n")
        #expect(replies[7].text == "second")
    }

    @Test func aCutAtEveryByteGivesTheSameAnswers() throws {
        let fixture = try GatewayFixture()
        let bytes = Array(
            (HTTP1Text.request(
                "PUT", "/cache/shop?key=a&ttl_seconds=60", ["Authorization: \(fixture.rootKey)"], body: "value")
                + HTTP1Text.request("GET", "/cache/shop?key=a", ["Authorization: \(fixture.rootKey)"])
                + "PUT /cache/shop?key=b&ttl_seconds=60 HTTP/1.1\r\nHost: h\r\nAuthorization: \(fixture.rootKey)\r\n"
                + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"
                + HTTP1Text.request("GET", "/cache/shop?key=b", ["Authorization: \(fixture.rootKey)"])).utf8)
        func essence(_ cuts: [Int]) throws -> [String] {
            let connection = try TestConnection(fixture)
            var start = 0
            for cut in cuts + [bytes.count] {
                connection.send(Array(bytes[start..<cut]))
                start = cut
            }
            return connection.replies().map(\.essence)
        }
        let whole = try essence([])
        #expect(whole.count == 4)
        for cut in 1..<bytes.count {
            let answers = try essence([cut])
            #expect(answers == whole, "cut at byte \(cut)")
        }
        #expect(try essence(Array(1..<bytes.count)) == whole)
    }

    // MARK: A late engine

    @Test(arguments: 0..<6)
    func lateAnswersKeepTheOrderOfTheirRequests(seed: Int) throws {
        let embedded = try GatewayFixture()
        let plain = try TestConnection(embedded)
        plain.send(Self.text(embedded))
        let expected = plain.replies(to: Self.methods).map(\.essence)

        var engine: LateTestEngine?
        let fixture = try GatewayFixture {
            let late = LateTestEngine($0, seed: UInt64(seed))
            engine = late
            return .late(late)
        }
        let late = try #require(engine)
        let connection = try TestConnection(fixture)
        connection.send(Self.text(fixture))
        var bytes: [UInt8] = []
        while late.answerAll() > 0 {
            connection.deliver()
            bytes += connection.receive()
        }
        let (replies, rest) = HTTP1Reply.all(in: bytes, methods: Self.methods)
        #expect(replies.map(\.essence) == expected)
        #expect(rest.isEmpty)
        #expect(try fixture.counts() == embedded.counts())
    }

    @Test func aPeerThatHasStoppedSendingGetsEveryAnswerOfItsPipeline() throws {
        var engine: LateTestEngine?
        let fixture = try GatewayFixture {
            let late = LateTestEngine($0, seed: 1)
            engine = late
            return .late(late)
        }
        let late = try #require(engine)
        let connection = try TestConnection(fixture)
        connection.send(Self.text(fixture))
        connection.closeInput()
        while late.answerAll() > 0 { connection.deliver() }
        let replies = connection.replies(to: Self.methods)
        #expect(replies.count == Self.requests.count)
        #expect(!connection.isOpen)
    }

    @Test func whatComesBeforeGarbageIsStillAnswered() throws {
        var engine: LateTestEngine?
        let fixture = try GatewayFixture {
            let late = LateTestEngine($0, seed: 1)
            engine = late
            return .late(late)
        }
        let late = try #require(engine)
        let connection = try TestConnection(fixture)
        connection.send(
            HTTP1Text.request("GET", "/cache/shop?key=a", ["Authorization: \(fixture.rootKey)"]) + "garbage\r\n\r\n")
        while late.answerAll() > 0 { connection.deliver() }
        #expect(connection.replies().map(\.status) == [404, 400])
        #expect(!connection.isOpen)
    }

    @Test func aConnectionThatIsLostDuringALateAnswerLeavesNothingBehind() throws {
        var engine: LateTestEngine?
        let fixture = try GatewayFixture {
            let late = LateTestEngine($0, seed: 1)
            engine = late
            return .late(late)
        }
        let late = try #require(engine)
        let connection = try TestConnection(fixture)
        connection.send(Self.text(fixture))
        connection.abort()
        while late.answerAll() > 0 { fixture.turn() }
        #expect(fixture.connectionCount == 0)
        #expect(fixture.bodyBytesInFlight == 0)
        // The exchange that waited serves another connection, undisturbed.
        let other = try TestConnection(fixture)
        other.request("GET", "/healthz")
        #expect(other.replies().map(\.status) == [200])
    }

    @Test func nothingMoreIsReadWhileRequestsWait() throws {
        var engine: LateTestEngine?
        let fixture = try GatewayFixture {
            let late = LateTestEngine($0, seed: 1)
            engine = late
            return .late(late)
        }
        let late = try #require(engine)
        let connection = try TestConnection(fixture)
        let request = HTTP1Text.request("GET", "/cache/shop?key=a", ["Authorization: \(fixture.rootKey)"])
        let count = 3 * TestConnection.readBytes / request.utf8.count
        connection.send(String(repeating: request, count: count))
        #expect(connection.unread.count >= TestConnection.readBytes)
        var replies = 0
        var bytes: [UInt8] = []
        while late.answerAll() > 0 {
            connection.deliver()
            let (found, rest) = HTTP1Reply.all(in: bytes + connection.receive())
            replies += found.count
            bytes = rest
        }
        #expect(replies == count)
        #expect(connection.unread.isEmpty)
    }

    /// Requests that wait in thousands behind one late answer, and are then answered at once.
    @Test func aLongPipelineBehindALateAnswerDoesNotExhaustTheStack() throws {
        var engine: LateTestEngine?
        let fixture = try GatewayFixture {
            let late = LateTestEngine($0, seed: 1)
            engine = late
            return .late(late)
        }
        let late = try #require(engine)
        let connection = try TestConnection(fixture)
        let first = HTTP1Text.request("GET", "/cache/shop?key=a", ["Authorization: \(fixture.rootKey)"])
        let cheap = "GET / HTTP/1.1\r\nHost:h\r\n\r\n"
        // What four reads of 64 KiB hold: the most that comes before the handler can say that it wants no more.
        let count = 4 * 65_536 / cheap.utf8.count
        connection.socketReads(Array((first + String(repeating: cheap, count: count)).utf8))
        late.answerAll()
        connection.deliver()
        #expect(connection.replies().count == count + 1)
    }

    // MARK: Bodies before the caller is known

    @Test func aBodyIsHeldUntilTheCallerIsKnown() throws {
        let fixture = try GatewayFixture()
        let token = try fixture.makeToken()
        let connection = try TestConnection(fixture)
        let value = String(repeating: "v", count: 400_000)
        connection.request("PUT", "/cache/shop?key=a&ttl_seconds=60", ["Authorization: \(token)"], body: value)
        #expect(connection.unread.count >= 400_000 - 2 * TestConnection.readBytes)
        #expect(connection.receive().isEmpty)
        fixture.takeLate()
        connection.deliver()
        #expect(connection.replies().map(\.status) == [204])
        #expect(connection.unread.isEmpty)
    }

    @Test func aRefusalWhileABodyIsHeldLetsTheConnectionEndOrGoOn() throws {
        let fixture = try GatewayFixture()
        let token = try fixture.makeToken(isRevoked: true)
        let connection = try TestConnection(fixture)
        let value = String(repeating: "v", count: 400_000)
        connection.request("PUT", "/cache/shop?key=a&ttl_seconds=60", ["Authorization: \(token)"], body: value)
        fixture.takeLate()
        connection.deliver()
        #expect(connection.replies().map(\.status) == [401])
        // Read past, and not left standing.
        #expect(connection.unread.isEmpty)
        #expect(!connection.isOpen)
    }

    @Test func aRefusalWhileAShortBodyIsHeldKeepsTheConnection() throws {
        let fixture = try GatewayFixture()
        let token = try fixture.makeToken(isRevoked: true)
        let connection = try TestConnection(fixture)
        connection.send(
            "PUT /cache/shop?key=a&ttl_seconds=60 HTTP/1.1\r\nHost: h\r\nAuthorization: \(token)\r\nContent-Length: 6\r\n\r\nabc"
        )
        fixture.takeLate()
        connection.send("def")
        connection.request("GET", "/healthz")
        #expect(connection.replies().map(\.status) == [401, 200])
    }
}
