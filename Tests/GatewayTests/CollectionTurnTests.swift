import Access
import Admission
import CacheService
import Engine
import NIOCore
import NIOEmbedded
import Tenancy
import Testing

@testable import Gateway

/// Answers that take several turns, on a gateway's lane.
@Suite struct CollectionTurnTests {
    private let key = Array("members".utf8)

    private func grant(_ fixture: GatewayFixture) throws -> CacheGrant {
        let service = fixture.lane.service
        service.beginTick()
        var allowance = CheckAllowance(.init(burst: 10, perSecond: 10), now: service.now)
        let identity = Array(fixture.rootKey.utf8).withUnsafeBytes {
            service.identify($0, address: [127, 0, 0, 1], allowance: &allowance) { return { _ in } }
        }
        guard case .known(let caller) = identity else { throw MartletError.invalidCredential }
        return try Array("shop".utf8).withUnsafeBytes { cache in
            try key.withUnsafeBytes {
                try service.permit(caller, cacheName: cache, operation: .setUnion, key: $0, door: .grpc)
            }
        }
    }

    private final class Answer {
        var result: Result<CollectionReply, MartletError>?
    }

    private func perform(_ command: CollectionCommand, _ fixture: GatewayFixture) throws -> Answer {
        let grant = try grant(fixture)
        let answer = Answer()
        let reply = key.withUnsafeBytes {
            fixture.lane.service.perform(grant, .grpc, key: $0, command) { return { answer.result = $0 } }
        }
        switch reply {
        case .here(let reply): answer.result = .success(reply)
        case .refused(let error): answer.result = .failure(error)
        case .later: break
        }
        return answer
    }

    private let members = Elements((0..<16_000).map { "member-\($0)".utf8 })
    private let ttl = CollectionTTL(try? TTL(milliseconds: 60_000, field: "ttl"), refreshes: true)

    private func check(_ answer: Answer) throws {
        guard case .elements(let fetched) = try #require(answer.result).get() else {
            Issue.record("another reply")
            return
        }
        #expect(Set((0..<fetched.count).map { fetched[$0] }) == Set((0..<members.count).map { members[$0] }))
    }

    @Test func theSocketsAreLookedAtBetweenTurns() throws {
        let fixture = try GatewayFixture()
        #expect(try perform(.setUnion(members, ttl), fixture).result == .success(.done))
        let answer = try perform(.setFetch, fixture)
        // What is queued without a delay runs before the sockets are looked at: no turn is.
        fixture.loop.run()
        #expect(answer.result == nil)
        var turns = 0
        while answer.result == nil, turns < 1000 {
            fixture.loop.advanceTime(by: .microseconds(30))
            turns += 1
        }
        #expect(turns >= 6 && turns < 40)
        try check(answer)
        #expect(!fixture.lane.service.hasCallsLeft)
    }

    @Test func anEngineElsewhereAnswersWhole() throws {
        var engine: LateTestEngine?
        let fixture = try GatewayFixture {
            let late = LateTestEngine($0, seed: 1)
            engine = late
            return .late(late)
        }
        let union = try perform(.setUnion(members, ttl), fixture)
        #expect(union.result == nil)
        #expect(engine?.answerAll() == 1)
        fixture.turn()
        #expect(union.result == .success(.done))
        let fetch = try perform(.setFetch, fixture)
        #expect(engine?.answerAll() == 1)
        fixture.turn()
        try check(fetch)
        #expect(try fixture.counts(door: .grpc)[.elementsOut] == 16_000)
    }
}
