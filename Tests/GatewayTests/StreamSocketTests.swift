import Access
import CacheService
import Tenancy
import Testing

@testable import Gateway

/// `/v1/stream`: many topics on one WebSocket.
@Suite struct StreamSocketTests {
    private let stage: TopicStage

    init() throws {
        stage = try TopicStage()
    }

    private func open(_ version: Subscriber.Version = .http1, credential: String? = nil) throws -> Subscriber {
        let socket = try Subscriber(stage, .stream, version, credential: credential)
        _ = socket.take()
        return socket
    }

    private func subscribe(_ id: String, topic: String = "news", cache: String = "shop", _ more: String = "") -> String
    {
        "{\"subscribe\":{\"id\":\"\(id)\",\"cache\":\"\(cache)\",\"topic\":\"\(topic)\"\(more)}}"
    }

    @Test(arguments: Subscriber.Version.allCases)
    func eachSubscriptionHasItsID(version: Subscriber.Version) throws {
        let socket = try open(version)
        socket.send(subscribe("b", topic: "weather"))
        socket.send(subscribe("c"))
        #expect(socket.take().map(\.name) == ["subscribed", "subscribed"])
        stage.publish("one")
        stage.publish("rain", to: "weather")
        let told = socket.take()
        #expect(Set(told.map { "\($0.id ?? "") \($0.text ?? "")" }) == ["a one", "c one", "b rain"])
        #expect(told.count == 3)
        socket.send("{\"unsubscribe\":{\"id\":\"a\"}}")
        #expect(socket.take() == [Told(name: "unsubscribed", id: "a", body: .object([]))])
        stage.publish("two")
        #expect(socket.take().map(\.id) == ["c"])
        #expect(try stage.subscriptions() == 2)
    }

    @Test(arguments: Subscriber.Version.allCases)
    func publishingSaysWhere(version: Subscriber.Version) throws {
        let socket = try open(version)
        socket.send("{\"publish\":{\"id\":\"a\",\"text\":\"by subscription\"}}")
        #expect(socket.take().map(\.name) == ["published", "item"])
        socket.send("{\"publish\":{\"cache\":\"shop\",\"topic\":\"news\",\"text\":\"by name\"}}")
        var told = socket.take()
        #expect(told.map(\.name) == ["published", "item"])
        #expect(told.first?.id == nil)
        // An id that is no subscription's is the client's own mark.
        socket.send("{\"publish\":{\"id\":\"mark\",\"cache\":\"shop\",\"topic\":\"elsewhere\",\"binary\":\"AA==\"}}")
        told = socket.take()
        #expect(told.map(\.id) == ["mark"])
        #expect(told.first?.sequence == 1)
    }

    @Test(
        arguments: [
            ("{\"publish\":{\"text\":\"x\"}}", nil, "InvalidArgument", "cache"),
            ("{\"publish\":{\"id\":\"zz\",\"text\":\"x\"}}", "zz", "InvalidArgument", "cache"),
            ("{\"publish\":{\"id\":\"a\",\"topic\":\"t\",\"text\":\"x\"}}", "a", "InvalidArgument", "cache"),
            ("{\"publish\":{\"id\":\"a\",\"cache\":\"shop\",\"text\":\"x\"}}", "a", "InvalidArgument", "topic"),
            ("{\"publish\":{\"id\":\"m\",\"cache\":\"nowhere\",\"topic\":\"t\",\"text\":\"x\"}}", "m", "NotFound", nil),
            (
                "{\"publish\":{\"id\":\"m\",\"cache\":\"shop\",\"topic\":\"\",\"text\":\"x\"}}", "m", "InvalidArgument",
                "topic"
            ),
            ("{\"subscribe\":{\"id\":\"s\",\"cache\":\"nowhere\",\"topic\":\"t\"}}", "s", "NotFound", nil),
            ("{\"subscribe\":{\"id\":\"s\",\"cache\":\"\",\"topic\":\"t\"}}", "s", "InvalidArgument", nil),
            ("{\"subscribe\":{\"id\":\"s\",\"cache\":\"shop\",\"topic\":\" \"}}", "s", "InvalidArgument", "topic"),
            ("{\"subscribe\":{\"id\":\"s\",\"cache\":\"shop\",\"topic\":\"a\\nb\"}}", "s", "InvalidArgument", "topic"),
            ("{\"subscribe\":{\"id\":\"a\",\"cache\":\"shop\",\"topic\":\"t\"}}", "a", "AlreadyExists", nil),
            ("{\"unsubscribe\":{\"id\":\"zz\"}}", "zz", "NotFound", nil),
        ] as [(String, String?, String, String?)])
    func whatIsRefusedIsToldUnderItsID(frame: String, id: String?, code: String, field: String?) throws {
        let socket = try open()
        socket.send(frame)
        let told = socket.take()
        #expect(told.map(\.errorCode) == [code])
        #expect(told.first?.id == id)
        if let field { #expect(told.first?.body["field"]?.string == field) }
        stage.publish("goes on")
        #expect(socket.take().map(\.text) == ["goes on"])
        socket.vanish()
        #expect(try stage.leftovers() == [])
    }

    @Test func resumingFollowsThePosition() throws {
        for text in ["one", "two", "three"] { stage.publish(text) }
        let socket = try open()
        socket.send(subscribe("b", ",\"sequence_number\":2"))
        #expect(socket.take().filter { $0.id == "b" }.compactMap(\.text) == ["two", "three"])
        socket.send(subscribe("c", ",\"sequence_number\":2,\"sequence_page\":5"))
        let told = socket.take()
        #expect(told.map(\.name) == ["subscribed", "discontinuity", "item"])
        #expect(told.map(\.id) == ["c", "c", "c"])
        #expect(told.last?.text == "three")
        socket.send(subscribe("d", ",\"sequence_number\":18446744073709551615,\"sequence_page\":18446744073709551615"))
        #expect(socket.take().map(\.name) == ["subscribed", "discontinuity", "item"])
    }

    /// Ids are what the client wrote, byte for byte.
    @Test func idsThatOnlyLookAlikeAreTwo() throws {
        let socket = try open()
        socket.send(subscribe("\u{E9}", topic: "composed"))
        socket.send(subscribe("e\u{301}", topic: "decomposed"))
        #expect(socket.take().map(\.name) == ["subscribed", "subscribed"])
        stage.publish("x", to: "decomposed")
        #expect(socket.take().map { Array(($0.id ?? "").utf8) } == [Array("e\u{301}".utf8)])
        socket.send("{\"unsubscribe\":{\"id\":\"e\u{301}\"}}")
        _ = socket.take()
        stage.publish("x", to: "composed")
        #expect(socket.take().map(\.name) == ["item"])
    }

    @Test func aSocketHasAtMostSoManySubscriptions() throws {
        let socket = try open()
        let most = StreamSocket.mostSubscriptions
        for start in stride(from: 1, to: most, by: 455) {
            socket.send(Array((start..<start + 455).map { clientText(subscribe("\($0)")) }.joined()))
        }
        #expect(socket.take().filter { $0.name == "subscribed" }.count == most - 1)
        socket.send(subscribe("more"))
        let refusal = socket.take()
        #expect(refusal.map(\.errorCode) == ["LimitExceeded"])
        #expect(refusal.first?.id == "more")
        socket.send("{\"unsubscribe\":{\"id\":\"1\"}}")
        socket.send(subscribe("more"))
        #expect(socket.take().map(\.name) == ["unsubscribed", "subscribed"])
        stage.publish("to all")
        #expect(socket.take().filter { $0.text == "to all" }.count == most)
        socket.sendClose()
        #expect(try stage.leftovers() == [])
    }

    @Test func permissionsAreLookedAtFrameByFrame() throws {
        let key = try stage.key(.readOnly, topics: .prefix("pub"))
        let socket = try open(credential: key.presented)
        #expect(socket.told.last?.errorCode == "PermissionDenied")
        socket.send(subscribe("p", topic: "public"))
        #expect(socket.take().map(\.name) == ["subscribed"])
        socket.send("{\"publish\":{\"id\":\"p\",\"text\":\"x\"}}")
        #expect(socket.take().map(\.errorCode) == ["PermissionDenied"])
        // Whoever may not look does not learn whether a cache exists.
        socket.send(subscribe("q", topic: "private", cache: "nowhere"))
        #expect(socket.take().map(\.errorCode) == ["PermissionDenied"])
        stage.publish("x", to: "public")
        #expect(socket.take().map(\.id) == ["p"])
    }

    @Test func aSubscriptionAfterTheEndOfTheCredentialEndsTheSocket() throws {
        let key = try stage.key()
        let socket = try open(credential: key.presented)
        try stage.fixture.control.revokeKey(id: key.id, caller: stage.fixture.root)
        socket.send(subscribe("b"))
        #expect(socket.take().map(\.name) == ["error", "close"])
        #expect(socket.told.last?.code == 4403)
    }

    @Test(arguments: Subscriber.Version.allCases)
    func theDoorAnswersInItsOrder(version: Subscriber.Version) throws {
        #expect(try Subscriber(stage, .stream, version, credential: "").status == 401)
        #expect(try Subscriber(stage, .stream, version, credential: "nonsense").status == 401)
        #expect(try Subscriber(stage, .stream, version, query: "?token=x").status == 400)
        #expect(try Subscriber(stage, .stream, version, fields: [("sec-websocket-protocol", "chat")]).status == 400)
        #expect(
            try Subscriber(
                stage, .stream, version, query: "?token=\(stage.fixture.rootKey)", credential: ""
            ).told.map(\.name) == ["heartbeat", "subscribed"])
        let byProtocol = try Subscriber(
            stage, .stream, version,
            fields: [("sec-websocket-protocol", "martlet.v1, martlet.auth.\(stage.fixture.rootKey)")], credential: "")
        #expect(byProtocol.told.map(\.name) == ["heartbeat", "subscribed"])
        byProtocol.vanish()
    }

    @Test func otherMethodsAndPathsAreRefused() throws {
        let connection = try TestConnection(stage.fixture)
        let fields = ["Authorization: \(stage.fixture.rootKey)"]
        for (method, path, status) in [
            ("GET", "/v1/stream", 426), ("POST", "/v1/stream", 405), ("HEAD", "/v1/stream", 405),
            ("PUT", "/v1/stream", 405), ("GET", "/v1/streams", 404), ("GET", "/v1/stream/x", 404),
            ("OPTIONS", "/v1/stream", 204),
        ] {
            connection.request(method, path, fields)
            #expect(connection.replies(to: [method]).map(\.status) == [status], "\(method) \(path)")
            if !connection.isOpen { break }
        }
    }

    @Test func theSocketGoesWhileItSubscribes() throws {
        let socket = try open()
        socket.send(Array((0..<50).map { clientText(subscribe("\($0)")) }.joined()) + clientFrame(8, [3]))
        stage.pass(milliseconds: 2500)
        #expect(try stage.leftovers() == [])
    }
}
