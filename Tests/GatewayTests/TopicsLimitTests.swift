import Access
import CacheService
import Tenancy
import Testing

@testable import Gateway

/// Limits of subscribing and publishing.
@Suite struct TopicsLimitTests {
    private let stage: TopicStage

    init() throws {
        stage = try TopicStage()
    }

    enum Ending: CaseIterable {
        case close, vanish, revocation, refusal, stall, drainOfTheSocket, message
    }

    /// However a subscription ends, its place is free again.
    @Test(arguments: Subscriber.Form.allCases, Subscriber.Version.allCases)
    func eachEndGivesThePlaceBack(form: Subscriber.Form, version: Subscriber.Version) throws {
        try stage.fixture.makeCache("shop", [.maxSubscriptions: 1])
        for (number, ending) in Ending.allCases.enumerated() {
            let topic = "topic\(number)"
            let key = try stage.key()
            let pair = try HTTP2Pair(stage.fixture, client: HTTP2Client(readsEverything: false))
            let subscriber = try Subscriber(
                stage, form, version, on: version == .http2 ? pair : nil, topic: topic, credential: key.presented)
            #expect(try stage.admitted() == [1, 1], "\(ending)")
            let second = try Subscriber(stage, form, version, topic: topic)
            if form == .stream {
                #expect(second.told.last?.errorCode == "LimitExceeded")
                #expect(second.told.last?.body["limit"]?.string == "max_subscriptions")
            } else {
                #expect(second.status == 429)
            }
            second.vanish()
            switch ending {
            case .close where form == .webSocket || form == .stream: subscriber.sendClose()
            case .close: subscriber.connection.abort()
            case .vanish: subscriber.vanish()
            case .revocation:
                try stage.fixture.control.revokeKey(id: key.id, caller: stage.fixture.root)
                stage.pass(milliseconds: 250)
            case .refusal where form == .webSocket || form == .stream: subscriber.send([0xFF, 0xFF, 0xFF, 0xFF])
            case .refusal: subscriber.vanish()
            case .stall:
                if version == .http1 { subscriber.connection.stopReading() }
                for _ in 0..<20 { stage.publish([UInt8](repeating: 120, count: 10_000), to: topic) }
                stage.pass(milliseconds: 35_000, step: 250)
                if form == .poll { subscriber.connection.abort() }
            case .drainOfTheSocket:
                subscriber.connection.socket.failsNextFlush = true
                stage.publish("x", to: topic)
                stage.settle()
                #expect(!subscriber.connection.isOpen)
            case .message:
                stage.publish("x", to: topic)
                if form != .poll { subscriber.connection.abort() }
            }
            stage.settle()
            #expect(try stage.admitted() == [0, 0], "\(ending)")
            stage.pass(milliseconds: 2500)
            #expect(try stage.leftovers() == [], "\(ending)")
        }
    }

    @Test func aTenantsLimitIsOverAllItsCaches() throws {
        try stage.fixture.makeCache("other")
        var change = TenantChange()
        change.limits = [.maxSubscriptions: 2]
        _ = try stage.fixture.control.putTenant(TenantName("default"), change, caller: stage.fixture.root)
        let first = try Subscriber(stage, .webSocket, .http1)
        let second = try Subscriber(stage, .events, .http2, cache: "other")
        #expect([first.status, second.status] == [101, 200])
        let refused = try Subscriber(stage, .poll, .http1, cache: "other")
        #expect(refused.status == 429)
        #expect(refused.take().first?.body["value"]?.unsignedInteger == 2)
        first.sendClose()
        #expect(try Subscriber(stage, .events, .http1, cache: "other").status == 200)
    }

    /// A limit that sinks ends nothing that is open.
    @Test func aLimitThatIsLoweredLeavesWhoIsThere() throws {
        let all = try (0..<3).map { _ in try Subscriber(stage, .webSocket, .http1) }
        try stage.fixture.makeCache("shop", [.maxSubscriptions: 1])
        stage.pass(milliseconds: 500)
        stage.publish("x")
        #expect(all.allSatisfy { $0.texts == ["x"] })
        all[0].sendClose()
        all[1].sendClose()
        #expect(try Subscriber(stage, .webSocket, .http1).status == 429)
        all[2].sendClose()
        #expect(try Subscriber(stage, .webSocket, .http1).status == 101)
    }

    /// Above the longest frame that the socket took when it was opened.
    @Test(arguments: [Subscriber.Form.webSocket, .stream], Subscriber.Version.allCases)
    func aLongerMessageIsTakenByASocketThatIsOpen(form: Subscriber.Form, version: Subscriber.Version) throws {
        let control = stage.fixture.control
        let tenant = try TenantName("default")
        var change = TenantChange()
        change.plan = "gold"
        _ = try control.putTenant(tenant, change, caller: stage.fixture.root)
        _ = try control.putPlan(try PlanName("gold"), [.maxMessageBytes: 10], caller: stage.fixture.root)
        try stage.fixture.makeCache("shop")
        let socket = try Subscriber(stage, form, version)
        _ = socket.take()
        let long = String(repeating: "x", count: 20_000)
        let frame = "{\"publish\":{\"cache\":\"shop\",\"topic\":\"news\",\"text\":\"\(long)\"}}"
        _ = try control.putPlan(try PlanName("gold"), [.maxMessageBytes: 20_000], caller: stage.fixture.root)
        socket.send(form == .stream ? frame : "{\"publish\":{\"text\":\"\(long)\"}}")
        #expect(socket.take().contains { $0.name == "published" })
        _ = try control.putPlan(try PlanName("gold"), [.maxMessageBytes: 10], caller: stage.fixture.root)
        socket.send(form == .stream ? frame : "{\"publish\":{\"text\":\"\(long)\"}}")
        #expect(!socket.take().contains { $0.name == "published" })
    }

    @Test func deliveriesAreADebtThatHoldsBackWhatFollows() throws {
        try stage.fixture.makeCache("shop", [.maxOperationsPerSecond: 10])
        let pair = try HTTP2Pair(stage.fixture)
        let all = try (0..<50).map { _ in try Subscriber(stage, .events, .http2, on: pair) }
        let socket = try Subscriber(stage, .webSocket, .http1)
        #expect(stage.publish("one") == 204)
        // All have it: a delivery is never refused.
        #expect(all.allSatisfy { $0.texts == ["one"] })
        #expect(stage.publish("two") == 429)
        socket.send("{\"publish\":{\"text\":\"three\"}}")
        #expect(socket.take().last?.errorCode == "RateLimited")
        for form in [Subscriber.Form.webSocket, .events, .poll] {
            #expect(try Subscriber(stage, form, .http1).status == 429)
        }
        let stream = try Subscriber(stage, .stream, .http2)
        #expect(stream.told.last?.errorCode == "RateLimited")
        #expect(stream.told.last?.body["retry_after_ms"]?.unsignedInteger ?? 0 > 0)
        #expect(try stage.subscriptions() == 51)
        #expect(stage.publish("still") == 429)
        stage.pass(milliseconds: 8000)
        #expect(stage.publish("later") == 204)
        #expect(all.allSatisfy { $0.texts == ["one", "later"] })
    }

    @Test func bytesOutAreADebtToo() throws {
        try stage.fixture.makeCache("shop", [.maxBytesOutPerSecond: 10_000])
        let all = try (0..<5).map { _ in try Subscriber(stage, .events, .http1) }
        #expect(stage.publish(String(repeating: "x", count: 9000)) == 204)
        #expect(all.allSatisfy { $0.texts.count == 1 })
        #expect(stage.publish("x") == 429)
        #expect(try Subscriber(stage, .webSocket, .http1).status == 429)
        stage.pass(milliseconds: 6000)
        #expect(stage.publish("x") == 204)
    }

    @Test func publishingHasALimitOfItsOwn() throws {
        try stage.fixture.makeCache("shop", [.maxPublishPerSecond: 2])
        let socket = try Subscriber(stage, .webSocket, .http1)
        let answers = (0..<6).map { _ in stage.publish("x") }
        #expect(answers.first == 204)
        #expect(answers.last == 429)
        #expect(Set(answers) == [204, 429])
        socket.send("{\"publish\":{\"text\":\"x\"}}")
        #expect(socket.take().last?.body["limit"]?.string == "max_publish_per_second")
        stage.pass(milliseconds: 1500)
        #expect(stage.publish("x") == 204)
    }

    @Test func aPublicationThatIsRefusedLeavesNoTrace() throws {
        try stage.fixture.makeCache("shop", [.maxMessageBytes: 10, .maxBytesInPerSecond: 20])
        let subscriber = try Subscriber(stage, .events, .http1)
        _ = subscriber.take()
        #expect(stage.publish("0123456789a") == 413)
        #expect(stage.publish("first") == 204)
        #expect(subscriber.take().map(\.sequence) == [1])
        var answers: [Int] = []
        for _ in 0..<10 { answers.append(stage.publish("0123456789")) }
        #expect(answers.contains(429))
        stage.pass(milliseconds: 5000)
        stage.publish("last")
        let sequences = subscriber.told.compactMap(\.sequence)
        #expect(sequences == (1...UInt64(sequences.count)).map { $0 })
        #expect(subscriber.texts.last == "last")
    }
}
