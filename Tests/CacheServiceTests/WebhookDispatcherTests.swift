import Access
import Catalog
import Delivery
import Metering
import Synchronization
import Tenancy
import Testing
import Topics

@testable import CacheService

/// Takes calls instead of making them, and answers when it is told.
private final class RecordingCaller: OutboundCaller {
    typealias Done = @Sendable (OutboundOutcome) -> Void

    private let taken = Mutex<[(call: OutboundCall, done: Done)]>([])

    func start(_ call: OutboundCall, _ done: @escaping Done) {
        taken.withLock { $0.append((call, done)) }
    }

    var calls: [OutboundCall] { taken.withLock { $0.map(\.call) } }
    var bodies: [JSONValue] {
        get throws { try calls.map { try JSONParser.parse($0.body, ceiling: 1 << 20) } }
    }

    /// Ends all calls.
    func answer(_ outcome: OutboundOutcome) {
        let taken = taken.withLock { taken in
            defer { taken = [] }
            return taken
        }
        for (_, done) in taken { done(outcome) }
    }
}

struct WebhookDispatcherTests {
    let fixture: Fixture
    let dispatcher: WebhookDispatcher
    let publisher: LaneCaller
    private let caller = RecordingCaller()

    init() throws {
        fixture = try Fixture()
        try fixture.makeCache("shop")
        publisher = try fixture.remember(try fixture.topicKey().presented)
        dispatcher = WebhookDispatcher(
            lane: ServiceLane(service: fixture.service, index: 7) { $0() }, caller: caller, userAgent: "Martlet/test")
    }

    @discardableResult
    private func put(
        _ name: String = "hook", topic: String = "news", cache: String = "shop", url: String = "https://hook.test/in"
    ) throws -> WebhookRecord {
        let record = try fixture.control.putWebhook(
            WebhookOrder(name: WebhookName(name), cache: CacheName(cache), topic: TopicName(topic), url: url),
            caller: fixture.root)
        dispatcher.tick()
        return record
    }

    private func texts() throws -> [String?] { try caller.bodies.map { $0["text"]?.string } }

    @Test func aMessageIsPostedSigned() throws {
        let record = try put()
        let published = fixture.clock.now().milliseconds
        fixture.clock.advance(milliseconds: 5)
        let position = try fixture.publish("say \"hi\"\n", as: publisher)
        let call = try #require(caller.calls.first)
        #expect(caller.calls.count == 1 && call.method == "POST" && call.url.target == "/in")
        let now = fixture.clock.now().milliseconds
        let body =
            #"{"cache":"shop","topic":"news","event_timestamp":\#(published),"publish_timestamp":\#(now),"#
            + #""topic_sequence_number":\#(position.sequence),"token_id":"","text":"say \"hi\"\u000a"}"#
        #expect(String(decoding: call.body, as: UTF8.self) == body)
        let signature = MessageSignature.hexadecimal(of: call.body, secret: Array(record.secret.utf8))
        let headers = Dictionary(uniqueKeysWithValues: call.headers.map { ($0.name, $0.value) })
        #expect(
            headers == [
                "content-type": "application/json", "user-agent": "Martlet/test", "momento-signature": signature ?? "",
            ])
    }

    @Test func theBodyNamesThePublisherAndHoldsBinaryMessagesInBase64() throws {
        let message = [UInt8]([0, 255]).withUnsafeBytes {
            TopicMessage(
                $0, .binary, at: TopicPosition(sequence: .max, page: 1), publisherID: Array("ann".utf8),
                publishedAt: Timestamp(milliseconds: 12))
        }
        let body = WebhookMessage.body(
            message, cache: try CacheName("c"), topic: try TopicName("t"), now: Timestamp(milliseconds: 34))
        #expect(
            String(decoding: body, as: UTF8.self)
                == #"{"cache":"c","topic":"t","event_timestamp":12,"publish_timestamp":34,"#
                + #""topic_sequence_number":18446744073709551615,"token_id":"ann","binary":"AP8="}"#)
    }

    @Test func whatWasPublishedBeforeIsNotPosted() throws {
        try fixture.publish("before", as: publisher)
        try put()
        #expect(caller.calls.isEmpty)
        try fixture.publish("after", as: publisher)
        #expect(try texts() == ["after"])
        // As after a restart: another dispatcher finds the topic with what it retains.
        let second = RecordingCaller()
        let restarted = WebhookDispatcher(
            lane: ServiceLane(service: fixture.service, index: 8) { $0() }, caller: second, userAgent: "x")
        restarted.tick()
        #expect(restarted.count == 1 && second.calls.isEmpty)
        try fixture.publish("again", as: publisher)
        #expect(second.calls.count == 1)
    }

    @Test func everyWebhookOfATopicHasItsOwnAndOthersNone() throws {
        try put("a")
        try put("b", url: "http://other.test/")
        try put("c", topic: "else")
        try fixture.publish("one", as: publisher)
        #expect(Set(caller.calls.map(\.url.host)) == ["hook.test", "other.test"])
        #expect(caller.calls.count == 2)
    }

    @Test func changesAreInForceWithTheNextTick() throws {
        try put()
        try put(url: "http://moved.test/")
        try fixture.publish("one", as: publisher)
        #expect(caller.calls.map(\.url.host) == ["moved.test"])
        caller.answer(.answered(status: 200))

        let secret = try fixture.control.rotateWebhookSecret(
            WebhookName("hook"), of: CacheName("shop"), caller: fixture.root)
        dispatcher.tick()
        try fixture.publish("two", as: publisher)
        let call = try #require(caller.calls.first)
        let signature = call.headers.first { $0.name == "momento-signature" }?.value
        #expect(signature == MessageSignature.hexadecimal(of: call.body, secret: Array(secret.utf8)))
        caller.answer(.answered(status: 200))

        try put(topic: "else")
        try fixture.publish("three", as: publisher)
        #expect(caller.calls.isEmpty)
        try fixture.publish("four", to: "else", as: publisher)
        #expect(try texts() == ["four"])
        caller.answer(.answered(status: 200))

        try fixture.control.deleteWebhook(WebhookName("hook"), of: CacheName("shop"), caller: fixture.root)
        dispatcher.tick()
        try fixture.publish("five", to: "else", as: publisher)
        #expect(caller.calls.isEmpty && dispatcher.count == 0)
        #expect(fixture.service.topics.checkInvariants().isEmpty)
    }

    @Test func aCacheThatIsDeletedTakesItsWebhooksAlongAndItsNamesakeHasNone() throws {
        try put()
        try fixture.publish("one", as: publisher)
        try fixture.control.deleteCache(CacheName("shop"), caller: fixture.root)
        // The answer comes for a cache that is gone: it counts, and bills nothing.
        caller.answer(.answered(status: 200))
        #expect(fixture.service.webhookCounters[.delivered] == 1)
        dispatcher.tick()
        #expect(dispatcher.count == 0)
        try fixture.makeCache("shop")
        dispatcher.tick()
        try fixture.publish("two", as: publisher)
        #expect(caller.calls.isEmpty && dispatcher.count == 0)
    }

    @Test func theRateBoundsEachWebhookAndWhatIsOverItIsDropped() throws {
        try put("a")
        try put("b", topic: "else")
        for _ in 0..<8 { try fixture.publish("x", as: publisher) }
        try fixture.publish("y", to: "else", as: publisher)
        #expect(caller.calls.count == WebhookLimits.deliveriesPerSecond + 1)
        #expect(fixture.service.webhookCounters[.dropped] == 3)
        fixture.clock.advance(milliseconds: 200)
        for _ in 0..<2 { try fixture.publish("z", as: publisher) }
        #expect(caller.calls.count == WebhookLimits.deliveriesPerSecond + 2)
        #expect(fixture.service.webhookCounters[.dropped] == 4)
    }

    @Test(
        arguments: [
            (.answered(status: 200), .delivered), (.answered(status: 299), .delivered),
            (.answered(status: 302), .rejected),
            (.answered(status: 199), .rejected), (.answered(status: 500), .rejected), (.timedOut, .timedOut),
            (.crowded, .dropped), (.refused(.loopback), .refused), (.failed(.untrusted), .failed),
        ] as [(OutboundOutcome, WebhookFate)])
    func eachOutcomeIsCountedAndOnlyADeliveryIsMetered(outcome: OutboundOutcome, fate: WebhookFate) throws {
        try put()
        try fixture.publish(String(repeating: "x", count: 1500), as: publisher)
        caller.answer(outcome)
        for other in WebhookFate.allCases {
            #expect(fixture.service.webhookCounters[other] == (other == fate ? 1 : 0))
        }
        let usage = try fixture.control.usage(UsageRequest(), caller: fixture.root).rows
        let rows = usage.map(\.usage).filter { $0.door == .webhook }
        guard fate == .delivered else {
            #expect(rows.isEmpty)
            return
        }
        #expect(rows.count == 1)
        #expect(rows.first?[.deliveries] == 1 && rows.first?[.operations] == 2)
        #expect(rows.first?[.bytesOut] == 1500 && rows.first?[.calls] == 0)
    }

    @Test func itStopsWhenTheLastAnswerIsThere() throws {
        try put()
        try fixture.publish("one", as: publisher)
        let isStopped = Mutex(false)
        dispatcher.stop { isStopped.withLock { $0 = true } }
        #expect(!isStopped.withLock { $0 })
        try fixture.publish("two", as: publisher)
        #expect(caller.calls.count == 1)
        caller.answer(.timedOut)
        #expect(isStopped.withLock { $0 } && dispatcher.count == 0)
        dispatcher.tick()
        #expect(dispatcher.count == 0)
    }
}
