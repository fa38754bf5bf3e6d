import Access
import CacheService
import Foundation
import SwiftProtobuf
import Tenancy
import Testing
import Wire

@testable import Gateway

/// Publish and Subscribe.
@Suite struct GRPCTopicTests {
    private let stage: TopicStage
    private let pair: HTTP2Pair

    init() throws {
        stage = try TopicStage(heartbeatMilliseconds: 1000)
        pair = try HTTP2Pair(stage.fixture)
    }

    private static let publishPath = "/cache_client.pubsub.Pubsub/Publish"
    private static let subscribePath = "/cache_client.pubsub.Pubsub/Subscribe"

    private func publish(
        _ value: Pubsub_TopicValue.OneOf_Kind?, cache: String = "shop", topic: String = "news",
        _ fields: [(name: String, value: String)] = []
    ) throws -> GRPCAnswer {
        let answer = try pair.call(
            Self.publishPath,
            Pubsub_PublishRequest.with {
                $0.cacheName = cache
                $0.topic = topic
                $0.value.kind = value
            }, fields)
        stage.settle()
        pair.exchange()
        return answer
    }

    private func subscribe(
        cache: String = "shop", topic: String = "news", from sequence: UInt64 = 0, page: UInt64 = 0,
        _ fields: [(name: String, value: String)] = []
    ) throws -> Int32 {
        let stream = pair.startCall(
            Self.subscribePath,
            try framed(
                Pubsub_SubscriptionRequest.with {
                    $0.cacheName = cache
                    $0.topic = topic
                    $0.resumeAtTopicSequenceNumber = sequence
                    $0.sequencePage = page
                }), fields)
        settle()
        return stream
    }

    private func settle() {
        pair.exchange()
        stage.settle()
        pair.exchange()
    }

    private func items(_ stream: Int32) throws -> [Pubsub_SubscriptionItem] {
        try GRPCAnswer(pair.response(stream)).messages.map { try Pubsub_SubscriptionItem(serializedBytes: $0) }
    }

    private func told(_ stream: Int32) throws -> [String] {
        try items(stream).map { item in
            switch item.kind {
            case .item(let item):
                switch item.value.kind {
                case .text(let text): "\(item.topicSequenceNumber) text \(text)"
                case .binary(let data): "\(item.topicSequenceNumber) binary \(Array(data))"
                case nil: "\(item.topicSequenceNumber) nothing"
                }
            case .discontinuity: "discontinuity"
            case .heartbeat: "heartbeat"
            case nil: "nothing"
            }
        }
    }

    @Test func aSubscriberIsToldThatItIsOneAndThenWhatIsPublished() throws {
        let stream = try subscribe()
        #expect(try told(stream) == ["heartbeat"])
        #expect(try publish(.text("one")).status == 0)
        #expect(try publish(.binary(Data([0, 255]))).status == 0)
        #expect(try publish(.text("")).status == 0)
        #expect(try publish(.binary(Data())).status == 0)
        stage.publish("four", type: "text/plain")
        settle()
        #expect(
            try told(stream) == [
                "heartbeat", "1 text one", "2 binary [0, 255]", "3 text ", "4 binary []", "5 text four",
            ])
        let pages = Set(try items(stream).compactMap { $0.item.sequencePage }.filter { $0 > 0 })
        #expect(pages.count == 1)
        #expect(!GRPCAnswer(pair.response(stream)).isEnded)
    }

    @Test func whatIsPublishedHereIsToldOnEveryDoor() throws {
        let socket = try Subscriber(stage, .webSocket, .http1)
        let events = try Subscriber(stage, .events, .http2)
        _ = try publish(.text("hello"))
        #expect(socket.told.compactMap { $0.text } == ["hello"])
        #expect(events.told.compactMap { $0.text } == ["hello"])
    }

    @Test func aFreshSubscriberGetsTheNewestMessageFirst() throws {
        for number in 1...3 { _ = try publish(.text("\(number)")) }
        #expect(try told(try subscribe()) == ["heartbeat", "3 text 3"])
        let page = try #require(try items(try subscribe()).last).item.sequencePage
        #expect(try told(try subscribe(from: 2, page: page)) == ["heartbeat", "2 text 2", "3 text 3"])
        #expect(try told(try subscribe(from: 4, page: page)) == ["heartbeat"])
        #expect(try told(try subscribe(from: 2, page: page + 1)).prefix(2) == ["heartbeat", "discontinuity"])
    }

    @Test func heartbeatsComeInTime() throws {
        let stream = try subscribe()
        stage.pass(milliseconds: 5000)
        pair.exchange()
        #expect(try told(stream).count >= 5)
    }

    @Test func thePublisherIsNamed() throws {
        let stream = try subscribe()
        let key = try stage.key(tokenID: "робот").presented
        _ = try publish(.text("x"), [("authorization", key)])
        settle()
        #expect(try items(stream).last?.item.publisherID == "робот")
    }

    @Test func refusalsComeInTheirOrder() throws {
        let stranger = try stage.key(topics: .named("other")).presented
        #expect(try publish(nil, cache: "nowhere", topic: "\u{1}", [("authorization", "x")]).status == 16)
        #expect(try publish(nil, cache: "nowhere", topic: "\u{1}", [("authorization", stranger)]).status == 7)
        #expect(try publish(nil, cache: "nowhere", topic: "\u{1}").status == 5)
        #expect(try publish(nil, cache: "", topic: "a").status == 3)
        #expect(try publish(nil, topic: "\u{1}").status == 3)
        let unset = try publish(nil)
        #expect(unset.status == 3)
        #expect(unset.value("grpc-message")?.hasPrefix("value") ?? false)
        let long = try publish(.text(String(repeating: "x", count: 102_401)))
        #expect(long.status == 8)
        #expect(long.value("err") == "request_size_limit_exceeded")
        for (fields, cache, status) in [
            ([("authorization", "x")], "nowhere", 16), ([("authorization", stranger)], "nowhere", 7),
            ([], "nowhere", 5),
        ] {
            let stream = try subscribe(cache: cache, fields)
            let answer = GRPCAnswer(pair.response(stream))
            #expect(answer.status == status && answer.isEnded && !answer.isBroken)
        }
        // Each was written down once: those that a cache that exists is to blame for.
        #expect(try stage.fixture.counts(door: .grpc)[.clientErrors] == 2)
        #expect(try stage.fixture.counts(door: .grpc)[.throttled] == 1)
    }

    @Test func aSubscriptionOverTheLimitIsRefusedWithItsCause() throws {
        try stage.fixture.makeCache("shop", [.maxSubscriptions: 1])
        let first = try subscribe()
        let second = GRPCAnswer(pair.response(try subscribe()))
        #expect(second.status == 8)
        #expect(second.value("err") == "topic_subscriptions_limit_exceeded")
        pair.client.reset(first)
        settle()
        #expect(try told(try subscribe()) == ["heartbeat"])
    }

    @Test func whatEndsASubscriptionIsItsStatus() throws {
        let key = try stage.key()
        let revoked = try subscribe([("authorization", key.presented)])
        let expiring = try subscribe([("authorization", try stage.key(ttlSeconds: 2).presented)])
        let timed = try subscribe([("grpc-timeout", "1S")])
        let deleted = try subscribe()
        let drained = try subscribe(cache: "other-than-that")
        #expect(GRPCAnswer(pair.response(drained)).status == 5)
        try stage.fixture.control.revokeKey(id: key.id, caller: stage.fixture.root)
        stage.pass(milliseconds: 500)
        pair.exchange()
        #expect(GRPCAnswer(pair.response(revoked)).status == 16)
        stage.pass(milliseconds: 2000)
        pair.exchange()
        #expect(GRPCAnswer(pair.response(expiring)).status == 16)
        #expect(GRPCAnswer(pair.response(timed)).status == 4)
        #expect(GRPCAnswer(pair.response(deleted)).status == nil)
        try stage.fixture.control.deleteCache(try CacheName("shop"), caller: stage.fixture.root)
        stage.pass(milliseconds: 500)
        pair.exchange()
        #expect(GRPCAnswer(pair.response(deleted)).status == 5)
        #expect(stage.lane.streams.isEmpty)
    }

    @Test func aDrainEndsSubscriptionsSoThatTheyComeBack() throws {
        let stream = try subscribe()
        stage.lane.drain()
        settle()
        #expect(GRPCAnswer(pair.response(stream)).status == 14)
    }

    @Test func hundredsOfSubscriptionsShareAConnection() throws {
        let streams = try (0..<500).map { try subscribe(topic: "topic \($0 % 5)") }
        for number in 0..<5 { _ = try publish(.text("to \(number)"), topic: "topic \(number)") }
        settle()
        for (number, stream) in streams.enumerated() {
            #expect(try told(stream) == ["heartbeat", "1 text to \(number % 5)"])
        }
        for stream in streams { pair.client.reset(stream) }
        settle()
        #expect(try stage.admitted() == [0, 0])
    }
}
