import Tenancy
import Testing

@testable import Gateway

extension TestConnection {
    /// Sends a request of HTTP/1.1 with a Host field.
    func request(_ method: String, _ target: String, _ fields: [String] = [], body: String? = nil) {
        send(HTTP1Text.request(method, target, fields, body: body))
    }

    /// All responses so far.
    func replies(to methods: [String] = []) -> [HTTP1Reply] {
        HTTP1Reply.all(in: receive(), methods: methods, isClosed: !isOpen).replies
    }
}

enum HTTP1Text {
    static func request(_ method: String, _ target: String, _ fields: [String] = [], body: String? = nil) -> String {
        var text = "\(method) \(target) HTTP/1.1\r\nHost: cache.test\r\n"
        for field in fields { text += field + "\r\n" }
        if let body { text += "Content-Length: \(body.utf8.count)\r\n" }
        return text + "\r\n" + (body ?? "")
    }
}

@Suite struct HTTP1RequestTests {
    private let fixture: GatewayFixture
    private let connection: TestConnection
    private let credential: String

    init() throws {
        fixture = try GatewayFixture()
        connection = try TestConnection(fixture)
        credential = "Authorization: \(fixture.rootKey)"
    }

    private func perform(_ method: String, _ target: String, _ fields: [String] = [], body: String? = nil)
        -> HTTP1Reply?
    {
        connection.request(method, target, [credential] + fields, body: body)
        return connection.replies(to: [method]).first
    }

    @Test func storesReadsAndDeletesAnItemOnOneConnection() throws {
        #expect(perform("GET", "/cache/shop?key=a")?.status == 404)
        let stored = try #require(perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: "value"))
        #expect(stored.status == 204)
        #expect(stored.fields["content-length"] == nil)
        #expect(stored.fields["transfer-encoding"] == nil)
        let hit = try #require(perform("GET", "/cache/shop?key=a"))
        #expect(hit.text == "value")
        #expect(hit.fields["content-type"] == "application/octet-stream")
        #expect(hit.fields["content-length"] == "5")
        #expect(hit.fields["date"] == "Tue, 05 Nov 1985 00:53:20 GMT")
        #expect(hit.fields["connection"] == nil)
        #expect(perform("DELETE", "/cache/shop?key=a")?.status == 204)
        #expect(perform("GET", "/cache/shop?key=a")?.status == 404)
        #expect(connection.isOpen)
        #expect(fixture.connectionCount == 2)
    }

    @Test func headHasTheFieldsOfGetAndNoBody() throws {
        #expect(perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: "value")?.status == 204)
        connection.request("HEAD", "/cache/shop?key=a", [credential])
        connection.request("HEAD", "/cache/shop?key=b", [credential])
        connection.request("HEAD", "/healthz")
        let bytes = connection.receive()
        let (replies, rest) = HTTP1Reply.all(in: bytes, methods: ["HEAD", "HEAD", "HEAD"])
        #expect(replies.map(\.status) == [200, 404, 200])
        #expect(rest.isEmpty)
        #expect(replies[0].fields["content-length"] == "5")
        #expect(replies[0].fields["etag"]?.count == 34)
        #expect(replies[2].fields["content-length"] == "3")
    }

    @Test func aBodyMayComeInChunks() throws {
        connection.send(
            "PUT /cache/shop?key=a&ttl_seconds=60 HTTP/1.1\r\nHost: h\r\n\(credential)\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "3\r\nabc\r\n5;name=value\r\ndefgh\r\n0\r\nX-Trailer: ignored\r\n\r\n")
        #expect(connection.replies().map(\.status) == [204])
        #expect(perform("GET", "/cache/shop?key=a")?.text == "abcdefgh")
    }

    @Test func aBodyOfFiveMegabytesGoesUpAndDown() throws {
        var generator = SeededGenerator(seed: 7)
        let value = generator.bytes(4_900_000)
        connection.send(
            Array(
                "PUT /cache/shop?key=a&ttl_seconds=60 HTTP/1.1\r\nHost: h\r\n\(credential)\r\nContent-Length: 4900000\r\n\r\n"
                    .utf8)
                + value)
        #expect(connection.replies().map(\.status) == [204])
        #expect(perform("GET", "/cache/shop?key=a")?.body == value)
        #expect(fixture.bodyBytesInFlight == 0)
    }

    @Test func aBodyNobodyAskedForIsReadPast() {
        connection.request("GET", "/healthz", body: "unexpected")
        connection.request("DELETE", "/cache/shop?key=a", [credential], body: "unexpected")
        connection.request("GET", "/healthz")
        #expect(connection.replies().map(\.status) == [200, 204, 200])
        #expect(connection.isOpen)
    }

    // MARK: Expectations

    @Test func aContinuationIsAskedForOnlyWhenTheBodyIsWanted() {
        connection.send(
            "PUT /cache/shop?key=a&ttl_seconds=60 HTTP/1.1\r\nHost: h\r\n\(credential)\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n"
        )
        #expect(connection.receive().elementsEqual("HTTP/1.1 100 Continue\r\n\r\n".utf8))
        connection.send("abc")
        #expect(connection.replies().map(\.status) == [204])
        #expect(connection.isOpen)
        connection.send(
            "PUT /cache/none?key=a&ttl_seconds=60 HTTP/1.1\r\nHost: h\r\n\(credential)\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
        let refusal = connection.replies().first
        #expect(refusal?.status == 404)
        // Whether the body follows cannot be known, so nothing that follows can be trusted: it is read past for a while.
        #expect(refusal?.fields["connection"] == "close")
        fixture.lane.startSweeping()
        fixture.advance(milliseconds: 4000)
        #expect(!connection.isOpen)
    }

    @Test func aContinuationIsNotSentWhenTheBodyIsHereAlready() {
        connection.request(
            "PUT", "/cache/shop?key=a&ttl_seconds=60", [credential, "Expect: 100-continue"], body: "abc")
        let statuses = connection.replies().map(\.status)
        #expect(statuses.last == 204)
        #expect(statuses.filter { $0 >= 200 } == [204])
    }

    @Test func anUnknownExpectationFails() {
        connection.request("GET", "/healthz", ["Expect: the-best"])
        #expect(connection.replies().map(\.status) == [417])
    }

    @Test func aClientOfVersionOneNeverGetsAContinuation() {
        connection.send(
            "PUT /cache/shop?key=a&ttl_seconds=60 HTTP/1.0\r\nHost: h\r\n\(credential)\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
        #expect(connection.receive().isEmpty)
        connection.send("abc")
        #expect(connection.replies().map(\.status) == [204])
    }

    // MARK: Limits

    @Test func aDeclaredBodyOverTheLimitIsRefusedBeforeItComes() throws {
        connection.send(
            "PUT /cache/shop?key=a&ttl_seconds=60 HTTP/1.1\r\nHost: h\r\n\(credential)\r\nContent-Length: 5000192\r\n\r\n"
        )
        let refusal = try #require(connection.replies().first)
        #expect(refusal.status == 413)
        #expect(refusal.text.contains("\"value\":5000192"))
    }

    @Test func aBodyInChunksThatGrowsOverTheLimitIsRefused() throws {
        try fixture.makeCache("tiny", [.maxItemBytes: 1000])
        connection.send(
            "PUT /cache/tiny?key=a&ttl_seconds=60 HTTP/1.1\r\nHost: h\r\n\(credential)\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        connection.send("400\r\n" + String(repeating: "x", count: 1024) + "\r\n")
        #expect(connection.replies().map(\.status) == [413])
        // The rest of a small body is read past, and the connection goes on.
        connection.send("0\r\n\r\n")
        #expect(connection.isOpen)
        #expect(perform("GET", "/healthz")?.status == 200)
        #expect(fixture.bodyBytesInFlight == 0)
    }

    @Test func anUnwantedBodyThatDoesNotEndIsCut() throws {
        connection.send("POST /nothing HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        let chunk = "1000\r\n" + String(repeating: "x", count: 4096) + "\r\n"
        for _ in 0..<8192 where connection.isOpen { connection.send(chunk) }
        #expect(!connection.isOpen)
        #expect(connection.replies().map(\.status) == [404])
    }

    @Test(arguments: [17_000, 32_000, 40_000, 100_000])
    func aTargetThatIsTooLongIs414(count: Int) {
        connection.request("GET", "/cache/shop?key=\(String(repeating: "k", count: count))", [credential])
        #expect(connection.replies().first?.status == 414)
    }

    @Test func aHeadThatIsTooLargeIs431() {
        connection.request("GET", "/healthz", ["X-Large: \(String(repeating: "v", count: 40_000))"])
        #expect(connection.replies().map(\.status) == [431])
        #expect(!connection.isOpen)
    }

    @Test func manyFieldsThatAreTogetherTooLargeAre431() {
        connection.request("GET", "/healthz", (0..<100).map { "X-\($0): \(String(repeating: "v", count: 400))" })
        #expect(connection.replies().first?.status == 431)
    }

    @Test func tooManyFieldsAre431() {
        connection.request("GET", "/healthz", (0..<1100).map { "X-\($0): v" })
        #expect(connection.replies().first?.status == 431)
    }

    // MARK: Keep-alive

    @Test func closeIsHonoured() {
        connection.request("GET", "/healthz", ["Connection: close"])
        let reply = connection.replies().first
        #expect(reply?.status == 200)
        #expect(reply?.fields["connection"] == "close")
        #expect(!connection.isOpen)
        #expect(fixture.connectionCount == 0)
    }

    @Test func versionOneClosesUnlessItAsksToStay() {
        connection.send("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        let kept = connection.replies().first
        #expect(kept?.fields["connection"] == "keep-alive")
        #expect(connection.isOpen)
        connection.send("GET /healthz HTTP/1.0\r\n\r\n")
        #expect(connection.replies().first?.fields["connection"] == "close")
        #expect(!connection.isOpen)
    }

    @Test func closeLosesNothingThatTheSocketHasNotTaken() throws {
        let value = String(repeating: "v", count: 1_000_000)
        #expect(perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: value)?.status == 204)
        connection.stopReading()
        connection.request("GET", "/cache/shop?key=a", [credential, "Connection: close"])
        let bytes = connection.receive(atMost: .max)
        #expect(connection.socket.lostBytes == 0)
        #expect(HTTP1Reply.all(in: bytes).replies.first?.text.count == value.count)
    }

    @Test func aPeerThatHasStoppedSendingStillGetsItsAnswer() throws {
        let value = String(repeating: "v", count: 1_000_000)
        #expect(perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: value)?.status == 204)
        connection.stopReading()
        connection.request("GET", "/cache/shop?key=a", [credential])
        connection.closeInput()
        let bytes = connection.receive(atMost: .max)
        connection.deliver()
        #expect(connection.socket.lostBytes == 0)
        #expect(HTTP1Reply.all(in: bytes).replies.first?.text.count == value.count)
        #expect(!connection.isOpen)
    }

    @Test func drainLosesNothingThatTheSocketHasNotTaken() throws {
        let value = String(repeating: "v", count: 1_000_000)
        #expect(perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: value)?.status == 204)
        connection.stopReading()
        connection.request("GET", "/cache/shop?key=a", [credential])
        fixture.lane.drain()
        let bytes = connection.receive(atMost: .max)
        #expect(connection.socket.lostBytes == 0)
        #expect(HTTP1Reply.all(in: bytes).replies.first?.text.count == value.count)
        #expect(!connection.isOpen)
    }

    @Test func drainClosesAnIdleConnectionAtOnce() {
        #expect(perform("GET", "/healthz")?.status == 200)
        fixture.lane.drain()
        fixture.turn()
        #expect(!connection.isOpen)
    }

    /// A pipeline of reads of a large value, by a peer that takes nothing: what it makes us keep is bounded.
    @Test func aPeerThatTakesNothingFromItsSocketCostsNoMoreThanTheBacklog() throws {
        let value = String(repeating: "v", count: 1_000_000)
        #expect(perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: value)?.status == 204)
        connection.stopReading()
        let requests = (0..<60).map { _ in HTTP1Text.request("GET", "/cache/shop?key=a", [credential]) }
        connection.send(requests.joined())
        #expect(
            connection.socket.highestPendingBytes <= fixture.lane.limits.backlogBytesPerConnection + 2 * value.count)
        var replies = 0
        var bytes: [UInt8] = []
        for _ in 0..<1000 {
            bytes += connection.receive(atMost: 1_000_000)
            connection.deliver()
            let (found, rest) = HTTP1Reply.all(in: bytes)
            replies += found.count
            bytes = rest
            if replies == requests.count { break }
        }
        #expect(replies == requests.count)
    }
}
