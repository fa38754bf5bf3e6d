import Tenancy
import Testing

@testable import Gateway

@Suite struct HTTP2RequestTests {
    @Test func storesReadsAndDeletesAnItem() throws {
        let pair = try HTTP2Pair(GatewayFixture())
        let missing = pair.perform("GET", "/cache/shop?key=a")
        #expect(missing.status == 404)
        #expect(missing.text.contains("Key Not Found"))
        #expect(pair.perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: Array("value".utf8)).status == 204)
        let hit = pair.perform("GET", "/cache/shop?key=a")
        #expect(hit.status == 200)
        #expect(hit.text == "value")
        #expect(hit.value("content-type") == "application/octet-stream")
        #expect(hit.value("content-length") == "5")
        #expect(hit.value("date") == "Tue, 05 Nov 1985 00:53:20 GMT")
        #expect(hit.value("etag")?.count == 34)
        #expect(hit.closeCode == 0)
        let head = pair.perform("HEAD", "/cache/shop?key=a")
        #expect(head.status == 200)
        #expect(head.body.isEmpty)
        #expect(head.value("content-length") == "5")
        #expect(head.value("etag") == hit.value("etag"))
        let deletion = pair.perform("DELETE", "/cache/shop?key=a")
        #expect(deletion.status == 204)
        #expect(deletion.value("content-length") == nil)
        #expect(pair.perform("GET", "/cache/shop?key=a").status == 404)
    }

    @Test func anEmptyValueIsAValue() throws {
        let pair = try HTTP2Pair(GatewayFixture())
        #expect(pair.perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: []).status == 204)
        #expect(pair.perform("PUT", "/cache/shop?key=b&ttl_seconds=60").status == 204)
        for key in ["a", "b"] {
            let hit = pair.perform("GET", "/cache/shop?key=\(key)")
            #expect(hit.status == 200)
            #expect(hit.body.isEmpty)
            #expect(hit.value("content-length") == "0")
        }
    }

    @Test func severalDoorsSitOnOneConnection() throws {
        let door = TestDoor()
        let pair = try HTTP2Pair(GatewayFixture(others: [("/test/", door)]))
        let streams = [
            pair.start("GET", "/healthz"), pair.start("GET", "/cache/shop?key=a"),
            pair.start("POST", "/test/echo", body: Array("echo".utf8)), pair.start("GET", "/.well-known/jwks.json"),
            pair.start("GET", "/v1/admin/caches", [("authorization", "nonsense")]), pair.start("GET", "/nothing"),
        ]
        pair.exchange()
        #expect(streams.map { pair.response($0).status } == [200, 404, 200, 200, 401, 404])
        #expect(pair.response(streams[2]).text == "echo")
        #expect(pair.response(streams[3]).text.contains("keys"))
    }

    @Test func theTokenMayStandInTheQueryAndNotInBothPlaces() throws {
        let fixture = try GatewayFixture()
        let pair = try HTTP2Pair(fixture)
        let stream = pair.client.request("GET", "/cache/shop?key=a&token=\(fixture.rootKey)")
        pair.exchange()
        #expect(pair.response(stream).status == 404)
        #expect(pair.perform("GET", "/cache/shop?key=a&token=\(fixture.rootKey)").status == 400)
        let bare = pair.client.request("GET", "/cache/shop?key=a")
        pair.exchange()
        #expect(pair.response(bare).status == 401)
        #expect(pair.response(bare).value("www-authenticate") != nil)
    }

    @Test(arguments: [
        ("GET", "/cache/shop", 400), ("GET", "/cache/none?key=a", 404), ("PATCH", "/cache/shop?key=a", 405),
        ("GET", "/cache/shop/increment?key=a", 405), ("POST", "/cache/shop?key=a", 405),
        ("PUT", "/cache/shop?key=a", 400), ("PUT", "/cache/shop?key=a&ttl_seconds=0", 400), ("POST", "/healthz", 405),
        ("GET", "/cache/shop?key=%zz", 400), ("OPTIONS", "/cache/shop?key=a", 204),
    ])
    func refusals(method: String, target: String, status: Int) throws {
        let response = try HTTP2Pair(GatewayFixture()).perform(method, target)
        #expect(response.status == status)
        #expect((response.value("allow") == nil) == (status != 405 && method != "OPTIONS"))
        #expect(response.closeCode == 0)
    }

    @Test func aTargetThatIsTooLongIs414AndAHeadThatIsTooLargeIs431() throws {
        let pair = try HTTP2Pair(GatewayFixture())
        let key = String(repeating: "k", count: 17_000)
        #expect(pair.perform("GET", "/cache/shop?key=\(key)").status == 414)
        let fields = (0..<10).map { ("x-field-\($0)", String(repeating: "v", count: 4000)) }
        #expect(pair.perform("GET", "/cache/shop?key=a", fields).status == 431)
        #expect(pair.perform("GET", "/cache/shop?key=a").status == 404)
    }

    @Test func aTargetOverTheLimitOfTheWholeHeadIs414Too() throws {
        let pair = try HTTP2Pair(GatewayFixture())
        let response = pair.perform("GET", "/cache/shop?key=\(String(repeating: "k", count: 40_000))")
        #expect(response.status == 414)
    }

    @Test func conditionsAreComparedWithTheValue() throws {
        let pair = try HTTP2Pair(GatewayFixture())
        let target = "/cache/shop?key=a&ttl_seconds=60"
        #expect(pair.perform("PUT", target, [("if-match", "*")], body: [1]).status == 412)
        #expect(pair.perform("PUT", target, [("if-none-match", "*")], body: [1]).status == 204)
        #expect(pair.perform("PUT", target, [("if-none-match", "*")], body: [2]).status == 412)
        let etag = try #require(pair.perform("GET", target).value("etag"))
        #expect(pair.perform("GET", target, [("if-none-match", etag)]).status == 304)
        #expect(pair.perform("GET", target, [("if-none-match", "W/\(etag)")]).status == 304)
        #expect(pair.perform("GET", target, [("if-match", etag)]).status == 200)
        #expect(pair.perform("GET", target, [("if-match", "\"other\"")]).status == 412)
        #expect(pair.perform("PUT", target, [("if-match", "W/\(etag)")], body: [2]).status == 412)
        #expect(pair.perform("PUT", target, [("if-none-match", etag)], body: [2]).status == 412)
        #expect(pair.perform("PUT", target, [("if-match", etag), ("if-none-match", etag)], body: [2]).status == 400)
        #expect(pair.perform("PUT", target, [("if-match", etag)], body: [2]).status == 204)
        #expect(pair.perform("PUT", target, [("if-match", etag)], body: [3]).status == 412)
        #expect(pair.perform("DELETE", target, [("if-match", etag)]).status == 412)
        #expect(pair.perform("GET", target).body == [2])
    }

    @Test func aWeakTagOfTheStoredValueHoldsBackAPutIfNoneMatches() throws {
        let pair = try HTTP2Pair(GatewayFixture())
        let target = "/cache/shop?key=a&ttl_seconds=60"
        #expect(pair.perform("PUT", target, body: [1]).status == 204)
        let etag = try #require(pair.perform("GET", target).value("etag"))
        // RFC 9110 section 13.1.2: If-None-Match is compared weakly, whatever the method.
        #expect(pair.perform("PUT", target, [("if-none-match", "W/\(etag)")], body: [2]).status == 412)
        #expect(pair.perform("GET", target).body == [1])
    }

    @Test func aContinuationIsAskedForOnlyWhenTheBodyIsWanted() throws {
        let pair = try HTTP2Pair(GatewayFixture())
        let wanted = pair.start(
            "PUT", "/cache/shop?key=a&ttl_seconds=60", [("expect", "100-continue")], body: [], isComplete: false)
        let unwanted = pair.start(
            "PUT", "/cache/none?key=a&ttl_seconds=60", [("expect", "100-continue")], body: [], isComplete: false)
        pair.exchange()
        #expect(pair.response(wanted).interim == [100])
        #expect(pair.response(wanted).status == 0)
        #expect(pair.response(unwanted).interim == [])
        #expect(pair.response(unwanted).status == 404)
        pair.client.upload([1, 2, 3], on: wanted, isLast: true)
        pair.exchange()
        #expect(pair.response(wanted).status == 204)
    }

    @Test func aPreflightIsAnsweredAndTheControlPlaneSendsNoOrigin() throws {
        let pair = try HTTP2Pair(GatewayFixture())
        let preflight = pair.perform("OPTIONS", "/cache/shop?key=a", [("origin", "https://page.test")])
        #expect(preflight.status == 204)
        #expect(preflight.value("access-control-allow-origin") == "*")
        let plain = pair.perform("GET", "/cache/shop?key=a")
        #expect(plain.value("access-control-allow-origin") == nil)
        let control = pair.client.request("GET", "/v1/admin/caches", [("origin", "https://page.test")])
        pair.exchange()
        #expect(pair.response(control).status == 401)
        #expect(pair.response(control).value("access-control-allow-origin") == nil)
    }

    @Test func theOriginOfOneRequestIsNotRememberedForTheNext() throws {
        let pair = try HTTP2Pair(GatewayFixture())
        // A path that is the data plane's and names no cache.
        let first = pair.perform("GET", "/cache/", [("origin", "https://page.test")])
        #expect(first.status == 404)
        let second = pair.client.request("GET", "/v1/admin/caches")
        pair.exchange()
        #expect(pair.response(second).status == 401)
        #expect(pair.response(second).value("access-control-allow-origin") == nil)
    }

    /// A response that is complete while the request's body still comes: it arrives whole, and the peer is told to stop
    /// (RFC 9113 section 8.1).
    @Test(arguments: [
        ("DELETE", "/cache/shop?key=a", 204), ("HEAD", "/cache/shop?key=a", 200), ("GET", "/cache/shop?key=a", 200),
        ("OPTIONS", "/cache/shop?key=a", 204), ("GET", "/nothing", 404),
        ("PUT", "/cache/none?key=a&ttl_seconds=1", 404),
    ])
    func anEarlyAnswerArrivesBeforeTheStop(method: String, target: String, status: Int) throws {
        let pair = try HTTP2Pair(GatewayFixture())
        #expect(pair.perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: [1]).status == 204)
        let stream = pair.start(method, target, body: [1, 2, 3], isComplete: false)
        pair.exchange()
        #expect(pair.response(stream).status == status)
        #expect(pair.response(stream).closeCode == 0)
        #expect(pair.connection.exchangeCount == 0)
    }

    @Test func anEarlyAnswerWithoutABodyArrivesBeforeTheStopForA304() throws {
        let pair = try HTTP2Pair(GatewayFixture())
        #expect(pair.perform("PUT", "/cache/shop?key=a&ttl_seconds=60", body: [1]).status == 204)
        let stream = pair.start("GET", "/cache/shop?key=a", [("if-none-match", "*")], body: [1], isComplete: false)
        pair.exchange()
        #expect(pair.response(stream).status == 304)
    }

    @Test func manyStreamsAtOnceAreAllAnswered() throws {
        let pair = try HTTP2Pair(GatewayFixture())
        let writes = (0..<500).map {
            pair.start("PUT", "/cache/shop?key=k\($0)&ttl_seconds=60", body: Array("v\($0)".utf8))
        }
        // The server's limit on streams is known to the client from its settings; libnghttp2 starts with 100.
        pair.exchange()
        #expect(writes.allSatisfy { pair.response($0).status == 204 })
        let reads = (0..<500).map { pair.start("GET", "/cache/shop?key=k\($0)") }
        pair.exchange()
        #expect(reads.enumerated().allSatisfy { pair.response($1).text == "v\($0)" })
        #expect(pair.connection.exchangeCount == 0)
        #expect(pair.connection.headBytes == 0)
    }

    @Test func incrementCounts() throws {
        let pair = try HTTP2Pair(GatewayFixture())
        let target = "/cache/shop/increment?key=n&ttl_seconds=60"
        #expect(pair.perform("POST", target).text == "{\"value\":1}\n")
        #expect(pair.perform("POST", target + "&by=-5").text == "{\"value\":-4}\n")
        #expect(pair.perform("GET", "/cache/shop?key=n").text == "-4")
        #expect(pair.perform("POST", target + "&by=9223372036854775807").status == 200)
        #expect(pair.perform("POST", target + "&by=9223372036854775807").status != 200)
        #expect(pair.perform("PUT", "/cache/shop?key=n&ttl_seconds=1", body: Array("x".utf8)).status == 204)
        #expect(pair.perform("POST", target).status == 409)
    }
}
