import CacheService
import Foundation
import SwiftProtobuf
import Tenancy
import Testing
import Wire

@testable import Gateway

/// What one caller can make the server keep or do.
@Suite struct GRPCBoundsTests {
    private let stage: TopicStage
    private let pair: HTTP2Pair

    init() throws {
        stage = try TopicStage()
        pair = try HTTP2Pair(stage.fixture)
    }

    private static let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"

    private func settle() {
        for _ in 0..<3 {
            pair.exchange()
            stage.settle()
        }
        pair.exchange()
    }

    @Test func streamsThatGoOnHoldNothingOfTheirRequests() throws {
        let request = try framed(
            Pubsub_SubscriptionRequest.with {
                $0.cacheName = "shop"
                $0.topic = "news"
            })
        for _ in 0..<600 { pair.startCall("/cache_client.pubsub.Pubsub/Subscribe", request, []) }
        for _ in 0..<600 {
            pair.startCall("/grpc.health.v1.Health/Watch", try framed(Health_HealthCheckRequest()), [])
        }
        settle()
        #expect(stage.lane.streams.count == 1200)
        #expect(stage.fixture.bodyBytesInFlight == 0)
        let get = try pair.call("/cache_client.Scs/Get", Scs_GetRequest.with { $0.cacheKey = Data("a".utf8) })
        #expect(get.status == 0)
    }

    @Test func aBatchHoldsWhatItIsReservedFor() throws {
        for number in 0..<100 {
            let set = Scs_SetRequest.with {
                $0.cacheKey = Data("key \(number)".utf8)
                $0.cacheBody = Data(repeating: 1, count: 2000)
                $0.ttlMilliseconds = 60_000
            }
            #expect(try pair.call("/cache_client.Scs/Set", set).status == 0)
        }
        let items = Scs_GetBatchRequest.with {
            $0.items = (0..<100).map { number in .with { $0.cacheKey = Data("key \(number)".utf8) } }
        }
        let client = HTTP2Client(streamWindow: 0, connectionWindow: 1 << 30)
        let slow = try HTTP2Pair(stage.fixture, client: client)
        let message = try framed(items)
        let stream = slow.startCall("/cache_client.Scs/GetBatch", message)
        slow.exchange()
        stage.settle()
        #expect(stage.fixture.bodyBytesInFlight == message.count - 5)
        client.reset(stream)
        slow.exchange()
        stage.settle()
        #expect(stage.fixture.bodyBytesInFlight == 0)
        #expect(stage.lane.streams.isEmpty)
    }

    @Test func whatComesBehindAFailureIsNotKept() throws {
        let client = HTTP2Client(streamWindow: 0)
        let hostile = try HTTP2Pair(stage.fixture, client: client)
        let stream = hostile.startCall(Self.reflection, framed([0xFF]), [("authorization", "")], isComplete: false)
        hostile.exchange()
        for _ in 0..<40 {
            client.upload([UInt8](repeating: 0, count: 60_000), on: stream, isLast: false)
            hostile.exchange()
        }
        // The stream's window is not given back: what it held at first is all that came.
        #expect(client.windowUpdates.filter { $0.stream == stream }.map { Int($0.increment) }.reduce(0, +) < 1_200_000)
        #expect(stage.lane.streams.isEmpty)
    }

    @Test func messagesThatComeAtOnceAreAllAnswered() throws {
        let requests = (0..<50).map { _ in
            Reflection_ServerReflectionRequest.with { $0.fileContainingSymbol = "cache_client.Scs" }
        }
        let stream = pair.startCall(Self.reflection, try requests.flatMap { try framed($0) }, [("authorization", "")])
        for _ in 0..<60 { settle() }
        let answer = GRPCAnswer(pair.response(stream))
        #expect(answer.status == 0)
        #expect(answer.messages.count == 50)
    }

    @Test func aReflectionStreamEndsByItself() throws {
        for (fields, milliseconds, status) in [([("grpc-timeout", "500m")], Int64(750), 4), ([], 60_250, 4)] {
            let stream = pair.startCall(Self.reflection, [], [("authorization", "")] + fields, isComplete: false)
            pair.exchange()
            #expect(stage.lane.streams.count == 1)
            stage.pass(milliseconds: milliseconds, step: 250)
            pair.exchange()
            #expect(GRPCAnswer(pair.response(stream)).status == status)
            #expect(stage.lane.streams.isEmpty)
        }
        let stream = pair.startCall(Self.reflection, [], [("authorization", "")], isComplete: false)
        pair.exchange()
        stage.lane.drain()
        settle()
        #expect(GRPCAnswer(pair.response(stream)).status == 14)
    }

    @Test func callsWithTooManyElementsAreRefusedByTheirField() throws {
        let most = CollectionCommand.mostElements
        let union = Scs_SetUnionRequest.with {
            $0.setName = Data("s".utf8)
            $0.elements = [Data](repeating: Data(), count: most + 1)
            $0.ttlMilliseconds = 1000
        }
        let refused = try pair.call("/cache_client.Scs/SetUnion", union)
        #expect(refused.status == 3)
        #expect(refused.value("grpc-message")?.hasPrefix("elements") ?? false)
        let keys = Scs_KeysExistRequest.with { $0.cacheKeys = [Data](repeating: Data("a".utf8), count: most + 1) }
        #expect(try pair.call("/cache_client.Scs/KeysExist", keys).status == 3)
        let store = Scs_SortedSetUnionStoreRequest.with {
            $0.setName = Data("z".utf8)
            $0.sources = [Scs_SortedSetUnionStoreRequest._Source](
                repeating: .with { $0.setName = Data("z".utf8) }, count: CollectionCommand.mostSources + 1)
            $0.ttlMilliseconds = 1000
        }
        let sources = try pair.call("/cache_client.Scs/SortedSetUnionStore", store)
        #expect(sources.status == 3)
        #expect(sources.value("grpc-message")?.hasPrefix("sources") ?? false)
    }

    @Test func aCollectionStopsGrowingAtTheLimitOfAnItem() throws {
        try stage.fixture.makeCache("small", [.maxItemBytes: 100_000])
        func push() throws -> GRPCAnswer {
            try pair.call(
                "/cache_client.Scs/ListConcatenateBack",
                Scs_ListConcatenateBackRequest.with {
                    $0.listName = Data("list".utf8)
                    $0.values = [Data](repeating: Data(repeating: 7, count: 1000), count: 20)
                    $0.ttlMilliseconds = 60_000
                }, [("cache", "small")])
        }
        var pushed = 0
        while try push().status == 0, pushed < 20 { pushed += 1 }
        #expect((3...5).contains(pushed))
        #expect(try push().value("err") == "item_size_limit_exceeded")
    }

    @Test func aTimerDoesNotOutliveItsCall() throws {
        let request = try framed(Auth_RefreshApiTokenRequest())
        for _ in 0..<10 {
            let answer = pair.call("/auth.Auth/RefreshApiToken", body: request, [("grpc-timeout", "1H")])
            #expect(answer.status == 16)
        }
        #expect(try pair.call("/auth.Auth/Login", Auth_LoginRequest(), [("authorization", "")]).status == 12)
    }
}
