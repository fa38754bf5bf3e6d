import Access
import CacheService
import Catalog
import Foundation
import SwiftProtobuf
import Tenancy
import Testing
import Wire

@testable import Gateway

/// GetBatch and SetBatch.
@Suite struct GRPCBatchTests {
    private let stage: TopicStage
    private let pair: HTTP2Pair

    init() throws {
        stage = try TopicStage()
        pair = try HTTP2Pair(stage.fixture)
    }

    private static let get = "/cache_client.Scs/GetBatch"
    private static let set = "/cache_client.Scs/SetBatch"

    private func settle(_ pair: HTTP2Pair) {
        for _ in 0..<3 {
            pair.exchange()
            stage.settle()
        }
        pair.exchange()
    }

    private func call(
        _ path: String, body: [UInt8], _ fields: [(name: String, value: String)] = [("cache", "shop")]
    ) -> GRPCAnswer {
        let stream = pair.startCall(path, body, fields)
        settle(pair)
        return GRPCAnswer(pair.response(stream))
    }

    private func sets(_ keys: some Sequence<Int>, bytes: Int = 3, ttl: UInt64 = 60_000) throws -> [UInt8] {
        try framed(
            Scs_SetBatchRequest.with {
                $0.items = keys.map { key in
                    .with {
                        $0.cacheKey = Data("key \(key)".utf8)
                        $0.cacheBody = Data(repeating: UInt8(truncatingIfNeeded: key), count: bytes)
                        $0.ttlMilliseconds = ttl
                    }
                }
            })
    }

    private func gets(_ keys: some Sequence<Int>) throws -> [UInt8] {
        try framed(
            Scs_GetBatchRequest.with {
                $0.items = keys.map { key in .with { $0.cacheKey = Data("key \(key)".utf8) } }
            })
    }

    private func results(_ answer: GRPCAnswer) throws -> [Scs_GetResponse] {
        try answer.messages.map { try Scs_GetResponse(serializedBytes: $0) }
    }

    @Test func thousandsOfItemsAreAnsweredInTheirOrder() throws {
        let stored = call(Self.set, body: try sets(0..<5000))
        #expect(stored.status == 0)
        #expect(
            try stored.messages.map { try Scs_SetResponse(serializedBytes: $0).result }
                == .init(
                    repeating: .ok, count: 5000))
        let order = (0..<6000).map { $0 * 7919 % 6000 }
        let got = try results(call(Self.get, body: try gets(order)))
        #expect(got.map { $0.result } == order.map { $0 < 5000 ? .hit : .miss })
        #expect(got.map { $0.cacheBody.first } == order.map { $0 < 5000 ? UInt8(truncatingIfNeeded: $0) : nil })
        let counts = try stage.fixture.counts(door: .grpc)
        #expect(counts[.calls] == 11_000)
        #expect(counts[.hits] == 5000)
        #expect(stage.lane.streams.isEmpty)
    }

    @Test func anEmptyBatchIsAnEmptyStream() throws {
        for path in [Self.get, Self.set] {
            let answer = call(path, body: framed([]))
            #expect(answer.status == 0 && answer.messages.isEmpty && !answer.isBroken && answer.isEnded)
        }
    }

    @Test func aBatchThatIsTooLongIsRefusedAsAWhole() throws {
        let most = call(Self.get, body: try gets(0..<BatchAnswer.mostItems))
        #expect(most.status == 0 && most.messages.count == BatchAnswer.mostItems)
        let over = call(Self.get, body: try gets(0...BatchAnswer.mostItems))
        #expect(over.status == 3 && over.messages.isEmpty)
        #expect(over.value("grpc-message")?.contains("items") ?? false)
    }

    @Test func whoMayNotDoAllOfItDoesNoneOfIt() throws {
        let permission = Permission(.readWrite, cache: .all, .items(.key(Array("key 1".utf8))))
        let grant = Grant.permissions(try PermissionSet(validating: [permission]))
        let key = try stage.fixture.control.mintKey(
            KeyOrder(format: .v1, grant: grant), caller: stage.fixture.root
        ).secret.presented
        let fields = [("cache", "shop"), ("authorization", key)]
        #expect(call(Self.set, body: try sets([1, 2]), fields).status == 7)
        let got = try results(call(Self.get, body: try gets([1])))
        #expect(got.map { $0.result } == [.miss])
        #expect(call(Self.set, body: try sets([1, 1]), fields).status == 0)
        #expect(call(Self.get, body: try gets([1, 2]), fields).status == 7)
    }

    @Test func whatIsWrongWithAnItemEndsTheStreamThere() throws {
        var request = Scs_SetBatchRequest()
        request.items = [
            .with {
                $0.cacheKey = Data("a".utf8)
                $0.ttlMilliseconds = 1000
            }, .with { $0.cacheKey = Data("b".utf8) },
        ]
        let answer = call(Self.set, body: try framed(request))
        #expect(answer.status == 3)
        #expect(answer.messages.count == 1)
        request.items[1].cacheKey = Data()
        let empty = call(Self.set, body: try framed(request))
        #expect(empty.status == 3 && empty.messages.isEmpty)
    }

    @Test func cutAndMutatedRequestsGetAStatus() throws {
        let whole = try sets(0..<3)
        for count in 0..<whole.count {
            let message = Array(whole.dropFirst(5).prefix(count))
            let answer = call(Self.set, body: framed(message))
            #expect(!answer.isBroken && answer.isEnded, "cut at \(count)")
        }
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<300 {
            var message = Array(whole.dropFirst(5))
            message[Int.random(in: 0..<message.count, using: &generator)] = .random(in: 0...255, using: &generator)
            let answer = call(Self.set, body: framed(message))
            #expect(!answer.isBroken && answer.isEnded, "\(message)")
        }
    }

    @Test func aReaderThatIsSlowIsWaitedFor() throws {
        #expect(call(Self.set, body: try sets(0..<400, bytes: 10_000)).status == 0)
        let client = HTTP2Client(connectionWindow: 1 << 30, readsEverything: false)
        let slow = try HTTP2Pair(stage.fixture, client: client)
        let stream = slow.startCall(Self.get, try gets(0..<400))
        settle(slow)
        let before = GRPCAnswer(slow.response(stream)).messages.count
        #expect(before < 20)
        #expect(stage.lane.backlogBytes < 200_000)
        #expect(call(Self.get, body: try gets([1])).messages.count == 1)
        for _ in 0..<200 where !GRPCAnswer(slow.response(stream)).isEnded {
            client.acknowledge(stream)
            settle(slow)
        }
        let answer = GRPCAnswer(slow.response(stream))
        #expect(answer.status == 0)
        #expect(try results(answer).map { $0.cacheBody.first } == (0..<400).map { UInt8(truncatingIfNeeded: $0) })
    }

    @Test func aCancelledBatchLeavesNothingBehind() throws {
        _ = call(Self.set, body: try sets(0..<100, bytes: 10_000))
        let client = HTTP2Client(connectionWindow: 1 << 30, readsEverything: false)
        let slow = try HTTP2Pair(stage.fixture, client: client)
        let stream = slow.startCall(Self.get, try gets(0..<100))
        settle(slow)
        #expect(stage.lane.streams.count == 1)
        client.reset(stream)
        settle(slow)
        #expect(stage.lane.streams.isEmpty)
        #expect(stage.lane.backlogBytes == 0)
    }

    @Test func aBatchEndsAtItsDeadlineWhateverItsReaderDoes() throws {
        _ = call(Self.set, body: try sets(0..<100, bytes: 10_000))
        let client = HTTP2Client(connectionWindow: 1 << 30, readsEverything: false)
        let slow = try HTTP2Pair(stage.fixture, client: client)
        let stream = slow.startCall(Self.get, try gets(0..<100), [("cache", "shop"), ("grpc-timeout", "2S")])
        settle(slow)
        stage.pass(milliseconds: 2500, step: 250)
        #expect(stage.lane.streams.isEmpty)
        for _ in 0..<10 {
            client.acknowledge(stream)
            settle(slow)
        }
        #expect(GRPCAnswer(slow.response(stream)).status == 4)
    }
}
