import Access
import CacheService
import Tenancy
import Testing

@testable import Gateway

/// Requests to `/topics/…`.
@Suite struct TopicsDoorTests {
    private let stage: TopicStage
    private let credential: String

    init() throws {
        stage = try TopicStage()
        credential = "Authorization: \(stage.fixture.rootKey)"
    }

    private func perform(
        _ method: String, _ path: String, _ fields: [String]? = nil, body: String? = nil
    ) throws -> HTTP1Reply {
        let connection = try TestConnection(stage.fixture)
        connection.request(method, path, fields ?? [credential], body: body)
        stage.settle()
        return try #require(connection.replies(to: [method]).first)
    }

    @Test(arguments: ["HEAD", "PUT", "DELETE", "PATCH", "TRACE"])
    func otherMethodsAreRefused(method: String) throws {
        let reply = try perform(method, "/topics/shop/news")
        #expect(reply.status == 405)
        #expect(reply.fields["allow"] == "GET, POST, OPTIONS")
        #expect(method != "HEAD" || reply.body.isEmpty)
        let pair = try HTTP2Pair(stage.fixture)
        #expect(pair.perform(method, "/topics/shop/news").status == 405)
    }

    @Test(arguments: [
        "/topics/", "/topics/shop", "/topics/shop/a/b", "/topics//", "/topics/shop/a/", "/topicsshop/news",
    ])
    func otherPathsAreNotFound(path: String) throws {
        let reply = try perform("GET", path)
        #expect([400, 404].contains(reply.status))
    }

    @Test func aPreflightIsAnsweredWithoutACredential() throws {
        let reply = try perform(
            "OPTIONS", "/topics/shop/news", ["Origin: https://page.test", "Access-Control-Request-Method: POST"])
        #expect(reply.status == 204)
        #expect(reply.fields["access-control-allow-origin"] == "*")
        #expect(reply.fields["access-control-allow-methods"] == "GET, POST, OPTIONS")
        #expect(reply.fields["access-control-allow-headers"]?.contains("last-event-id") ?? false)
    }

    @Test func refusalsComeInTheirOrder() throws {
        let stranger = try stage.key(topics: .named("other")).presented
        #expect(try perform("GET", "/topics/nowhere/%01?sequence_number=x", []).status == 401)
        #expect(try perform("GET", "/topics/nowhere/%01?sequence_number=x", ["Authorization: nonsense"]).status == 401)
        #expect(
            try perform("GET", "/topics/nowhere/%01?sequence_number=x", ["Authorization: \(stranger)"]).status == 403)
        #expect(try perform("GET", "/topics/nowhere/%01?sequence_number=x").status == 404)
        #expect(try perform("GET", "/topics/shop/%01?sequence_number=x").status == 400)
        #expect(try perform("GET", "/topics/shop/news?token=a&sequence_number=x").status == 400)
        try stage.fixture.makeCache("shop", [.maxSubscriptions: 0])
        #expect(try perform("GET", "/topics/shop/news?sequence_number=x").status == 400)
        #expect(try perform("GET", "/topics/shop/news").status == 429)
    }

    @Test(arguments: ["sequence_number", "sequence_page"])
    func aPositionIsAWholeNumber(name: String) throws {
        stage.publish("x")
        for bad in ["", "-1", "1.0", "x", "+1", "99999999999999999999", "%31"] {
            let reply = try perform("GET", "/topics/shop/news?\(name)=\(bad)")
            #expect(reply.status == 400, "\(bad)")
            #expect(reply.text.contains("\"field\":\"\(name)\""), "\(bad)")
        }
        #expect(try perform("GET", "/topics/shop/news?\(name)=0").status == 200)
        #expect(try perform("GET", "/topics/shop/news?\(name)=1&\(name)=1").status == 400)
    }

    @Test(arguments: ["x", "1", "1:", ":1", "1:2:3", "1: 2", "-1:2", "1:99999999999999999999"])
    func aLastEventIsAPageAndANumber(text: String) throws {
        let subscriber = try Subscriber(stage, .events, .http1, fields: [("last-event-id", text)])
        #expect(subscriber.status == 400)
        #expect(String(decoding: subscriber.body, as: UTF8.self).contains("last-event-id"))
        #expect(try stage.subscriptions() == 0)
    }

    @Test(arguments: Subscriber.Version.allCases)
    func aLastEventGoesOnBehindIt(version: Subscriber.Version) throws {
        for text in ["one", "two", "three"] { stage.publish(text) }
        let first = try Subscriber(stage, .events, version)
        let id = try #require(first.told.last?.id)
        #expect(id.hasSuffix(":3"))
        let page = id.dropLast(2)
        let second = try Subscriber(stage, .events, version, fields: [("last-event-id", "\(page):1")])
        #expect(second.texts == ["two", "three"])
        // It wins over the parameters, and the largest that can be written is no harm.
        let third = try Subscriber(
            stage, .events, version, query: "?sequence_number=1&sequence_page=1", fields: [("last-event-id", id)])
        #expect(third.told.map(\.name) == ["heartbeat"])
        let last = try Subscriber(
            stage, .events, version, fields: [("last-event-id", "9999999999999999999:9999999999999999999")])
        #expect(last.told.map(\.name) == ["heartbeat", "discontinuity", "item"])
    }

    // MARK: Publishing

    @Test(
        arguments: [
            (nil, true), ("text/plain", true), ("TEXT/HTML; charset=utf-8", true), ("application/json", true),
            ("application/x-www-form-urlencoded", true), ("application/octet-stream", false), ("image/png", false),
            ("application/json-seq", false), ("textual/x", false), ("text", false),
        ] as [(String?, Bool)])
    func theTypeSaysWhetherItIsText(type: String?, isText: Bool) throws {
        let subscriber = try Subscriber(stage, .events, .http1)
        #expect(stage.publish("hi", type: type) == 204)
        let value = try #require(subscriber.take().last?.body["value"])
        #expect(value == .members(isText ? ["text": .string("hi")] : ["binary": .string("aGk=")]))
        #expect(stage.publish([0xFF, 0xFE], type: type) == (isText ? 400 : 204))
    }

    @Test func whoPublishedIsToldWhereTheCredentialHasALabel() throws {
        let subscriber = try Subscriber(stage, .events, .http1)
        let key = try stage.key(tokenID: "alice")
        #expect(try perform("POST", "/topics/shop/news", ["Authorization: \(key.presented)"], body: "x").status == 204)
        stage.publish("by root")
        #expect(subscriber.told.compactMap { $0.body["publisher_id"]?.string } == ["alice"])
        #expect(subscriber.texts.count == 2)
    }

    @Test func aBodyIsAskedForOnceTheCallerMayPublish() throws {
        let connection = try TestConnection(stage.fixture)
        let head = "POST /topics/shop/news HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
        connection.send(head + "\(credential)\r\nContent-Length: 3\r\n\r\n")
        #expect(String(decoding: connection.receive(), as: UTF8.self) == "HTTP/1.1 100 Continue\r\n\r\n")
        connection.send("abc")
        #expect(connection.replies().map(\.status) == [204])
        let tooLong = try TestConnection(stage.fixture)
        tooLong.send(head + "\(credential)\r\nContent-Length: 102401\r\n\r\n")
        #expect(tooLong.replies().map(\.status) == [413])
        let stranger = try TestConnection(stage.fixture)
        stranger.send(head + "Content-Length: 3\r\n\r\n")
        #expect(stranger.replies().map(\.status) == [401])
        let pair = try HTTP2Pair(stage.fixture)
        let stream = pair.start("POST", "/topics/shop/news", [("expect", "100-continue")], body: [], isComplete: false)
        pair.exchange()
        #expect(pair.response(stream).interim == [100])
        pair.client.upload([65], on: stream, isLast: true)
        pair.exchange()
        #expect(pair.response(stream).status == 204)
    }

    @Test(arguments: Subscriber.Form.allCases)
    func anExpectationOfASubscriberHoldsNothingUp(form: Subscriber.Form) throws {
        stage.publish("x")
        let subscriber = try Subscriber(stage, form, .http1, fields: [("expect", "100-continue")])
        #expect(subscriber.status != 0)
        subscriber.vanish()
        #expect(try stage.leftovers() == [])
    }

    @Test func aBodyWithoutALengthIsCutOffAtTheLimit() throws {
        let connection = try TestConnection(stage.fixture)
        connection.send(
            "POST /topics/shop/news HTTP/1.1\r\nHost: h\r\n\(credential)\r\nTransfer-Encoding: chunked\r\n\r\n19000\r\n"
        )
        connection.send([UInt8](repeating: 120, count: 0x19000))
        #expect(connection.receive().isEmpty)
        connection.send("\r\n1\r\nx\r\n0\r\n\r\n")
        #expect(connection.replies().map(\.status) == [413])
        stage.settle()
        #expect(stage.fixture.bodyBytesInFlight == 0)
    }

    @Test func aPublisherWhosePermissionEndsWhileItsBodyComesIsRefused() throws {
        let key = try stage.key()
        let connection = try TestConnection(stage.fixture)
        connection.send(
            "POST /topics/shop/news HTTP/1.1\r\nHost: h\r\nAuthorization: \(key.presented)\r\nContent-Length: 2\r\n\r\na"
        )
        try stage.fixture.control.revokeKey(id: key.id, caller: stage.fixture.root)
        connection.send("b")
        #expect(connection.replies().map(\.status) == [401])
        let poll = try Subscriber(stage, .poll, .http1)
        #expect(poll.take().isEmpty)
    }

    @Test(arguments: Subscriber.Form.allCases, Subscriber.Version.allCases)
    func theFormsServeAnyTopicName(form: Subscriber.Form, version: Subscriber.Version) throws {
        for (encoded, name) in [
            ("a%2Fb", "a/b"), ("%F0%9F%98%80", "😀"), ("%20x%20", " x "), ("+", "+"), ("a%3Fb%26c", "a?b&c"),
            (String(repeating: "n", count: 1024), ""),
        ] where form != .stream || name.isEmpty {
            let subscriber = try Subscriber(stage, form, version, topic: encoded)
            stage.publish("x", to: encoded)
            #expect(subscriber.texts == ["x"], "\(encoded)")
            subscriber.vanish()
        }
        for bad in ["", "%20", "%09", "%C2%85", "%FF", "%", "%2", String(repeating: "n", count: 1025), "a%0A"]
        where form != .stream {
            let subscriber = try Subscriber(stage, form, version, topic: bad)
            #expect(subscriber.status == 400, "\(bad)")
        }
    }
}
