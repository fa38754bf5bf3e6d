import CacheService
import Engine
import Foundation
import SwiftProtobuf
import Tenancy
import Testing
import Wire

@testable import Gateway

@Suite struct GRPCSortedSetRPCTests {
    private let ttl: CollectionTTL

    init() throws {
        ttl = CollectionTTL(try TTL(milliseconds: 60_000, field: "ttl"), refreshes: true)
    }

    // MARK: Writes

    @Test func putPairsMembersAndScores() throws {
        #expect(
            try CollectionRPC.sortedSetPut.command(CollectionRPC.sortedSetPut.sample)
                == .sortedSetPut(members: .of("red", "", "green"), scores: [1.5, -2, 0], ttl))
        #expect(try CollectionRPC.sortedSetPut.says(Scs_SortedSetPutResponse(), to: .done))
    }

    /// The service refuses them, for every door.
    @Test func scoresAndWeightsThatAreNoNumbersAreHandedOn() throws {
        let request = Scs_SortedSetPutRequest.with {
            $0.setName = .k
            $0.elements = [CollectionRPC.scored("red", .nan)]
            $0.ttlMilliseconds = 1
        }
        guard case .sortedSetPut(_, let scores, _) = try CollectionRPC.sortedSetPut.command(request) else {
            Issue.record("another command")
            return
        }
        #expect(scores.count == 1 && scores[0].isNaN)
        let union = Scs_SortedSetUnionStoreRequest.with {
            $0.setName = .k
            $0.sources = [CollectionRPC.source("a", .nan), CollectionRPC.source("b", -.infinity)]
            $0.ttlMilliseconds = 1
        }
        guard
            case .sortedSetUnionStore(_, let weights, _, _) = try CollectionRPC.sortedSetUnionStore.command(union)
        else {
            Issue.record("another command")
            return
        }
        #expect(weights.count == 2 && weights[0].isNaN && weights[1] == -.infinity)
    }

    @Test func removeTakesSomeOrAll() throws {
        #expect(
            try CollectionRPC.sortedSetRemove.command(CollectionRPC.sortedSetRemove.sample)
                == .sortedSetRemove(members: .of("red", "green")))
        var request = Scs_SortedSetRemoveRequest.with { $0.setName = .k }
        #expect(try CollectionRPC.sortedSetRemove.refusal(request) == .unset("remove_elements"))
        request.all = .init()
        #expect(try CollectionRPC.sortedSetRemove.command(request) == .sortedSetRemoveAll)
        request.some = .init()
        #expect(try CollectionRPC.sortedSetRemove.command(request) == .sortedSetRemove(members: .of()))
        #expect(try CollectionRPC.sortedSetRemove.says(Scs_SortedSetRemoveResponse(), to: .done))
    }

    @Test func increment() throws {
        #expect(
            try CollectionRPC.sortedSetIncrement.command(CollectionRPC.sortedSetIncrement.sample)
                == .sortedSetIncrement(member: Array("red".utf8), by: -0.5, ttl))
    }

    @Test(
        arguments: [
            (.sum, .sum), (.min, .minimum), (.max, .maximum),
        ] as [(Scs_SortedSetUnionStoreRequest.AggregateFunction, SortedSetAggregate)])
    func unionStore(
        function: Scs_SortedSetUnionStoreRequest.AggregateFunction, aggregate: SortedSetAggregate
    ) throws {
        let request = Scs_SortedSetUnionStoreRequest.with {
            $0.setName = .k
            $0.sources = [CollectionRPC.source("a", 1), CollectionRPC.source("b", -0.5), CollectionRPC.source("k", 0)]
            $0.aggregate = function
            $0.ttlMilliseconds = 60_000
        }
        let command = try CollectionRPC.sortedSetUnionStore.command(request)
        #expect(
            command
                == .sortedSetUnionStore(
                    sources: .of("a", "b", "k"), weights: [1, -0.5, 0], aggregate, ttl: ttl.ttl))
        #expect(command?.otherKeys == .of("a", "b", "k"))
    }

    @Test func aUnionOfWhatCannotBeIsRefused() throws {
        var request = Scs_SortedSetUnionStoreRequest.with {
            $0.setName = .k
            $0.sources = [CollectionRPC.source("a", 1)]
            $0.ttlMilliseconds = 60_000
            $0.aggregate = .UNRECOGNIZED(3)
        }
        let rpc = CollectionRPC.sortedSetUnionStore
        #expect(try rpc.refusal(request) == .invalidArgument(field: "aggregate", reason: "must be SUM, MIN or MAX"))
        request.aggregate = .sum
        #expect(try rpc.refusal(request) == nil)
        request.sources = [CollectionRPC.source("a", 1), CollectionRPC.source("", 1)]
        #expect(
            try rpc.refusal(request)
                == .invalidArgument(field: "set_name", reason: "of a source must not be empty"))
    }

    // MARK: Fetching

    private func selection(
        _ set: (inout Scs_SortedSetFetchRequest) -> Void
    ) throws -> SortedSetSelection? {
        let request = Scs_SortedSetFetchRequest.with {
            $0.setName = .k
            set(&$0)
        }
        guard
            case .sortedSetFetch(let selection, request.withScores) = try CollectionRPC.sortedSetFetch.command(request)
        else { return nil }
        return selection
    }

    @Test func noRangeIsTheWholeSet() throws {
        #expect(try selection { _ in } == SortedSetSelection(.ranks(.all)))
        #expect(
            try selection {
                $0.order = .descending
                $0.withScores = true
            } == SortedSetSelection(.ranks(.all), isReversed: true))
    }

    @Test(arguments: [nil, 0, -1, 5, Int32.min, Int32.max], [nil, 0, -1, 5, Int32.min, Int32.max])
    func ranksKeepTheirSigns(start: Int32?, end: Int32?) throws {
        let bounds: SliceBounds =
            start == nil && end == nil ? .all : .halfOpen(start: start.map { Int($0) }, end: end.map { Int($0) })
        let named = try selection {
            $0.byIndex = .init()
            if let start { $0.byIndex.inclusiveStartIndex = start }
            if let end { $0.byIndex.exclusiveEndIndex = end }
            $0.order = .descending
        }
        #expect(named == SortedSetSelection(.ranks(bounds), isReversed: true))
        let open = try selection {
            $0.byIndex = .init()
            if let start { $0.byIndex.inclusiveStartIndex = start } else { $0.byIndex.unboundedStart = .init() }
            if let end { $0.byIndex.exclusiveEndIndex = end } else { $0.byIndex.unboundedEnd = .init() }
        }
        #expect(open == SortedSetSelection(.ranks(bounds)))
    }

    @Test func scoresAreInclusiveUnlessTheyAreNot() throws {
        #expect(
            try selection { $0.byScore.count = -1 } == SortedSetSelection(.scores(ScoreRange())))
        // A count that is not sent is 0, and so is what it finds.
        #expect(
            try selection {
                $0.byScore.unboundedMin = .init()
                $0.byScore.unboundedMax = .init()
            } == SortedSetSelection(.scores(ScoreRange()), limit: 0))
        #expect(
            try selection {
                $0.byScore.minScore.score = 1
                $0.byScore.maxScore.score = 9
                $0.byScore.maxScore.exclusive = true
                $0.byScore.offset = .max
                $0.byScore.count = .max
                $0.order = .descending
                $0.withScores = true
            }
                == SortedSetSelection(
                    .scores(ScoreRange(minimum: .init(1), maximum: .init(9, isExclusive: true))), isReversed: true,
                    offset: Int(UInt32.max), limit: Int(Int32.max)))
    }

    @Test func valuesStandWithScoresWhereTheyWereAskedFor() throws {
        let rpc = CollectionRPC.sortedSetFetch
        let plain = try Scs_SortedSetFetchResponse(serializedBytes: try rpc.encode(.elements(.of("red", ""))))
        #expect(plain.found.elements == .values(.with { $0.values = .of("red", "") }))
        let reply = CollectionReply.scored(members: .of("red", ""), scores: [1.5, 0])
        let scored = try Scs_SortedSetFetchResponse(serializedBytes: try rpc.encode(reply))
        #expect(
            scored.found.elements
                == .valuesWithScores(
                    .with { $0.elements = [CollectionRPC.scored("red", 1.5), CollectionRPC.scored("", 0)] }))
        // What is found empty says of which kind it is.
        #expect(
            try rpc.says(
                Scs_SortedSetFetchResponse.with { $0.found.values = .init() }, to: .elements(.of())))
        #expect(
            try rpc.says(
                Scs_SortedSetFetchResponse.with { $0.found.valuesWithScores = .init() },
                to: .scored(members: .of(), scores: [])))
        #expect(try rpc.says(Scs_SortedSetFetchResponse.with { $0.missing = .init() }, to: .missing))
    }

    // MARK: Scores, ranks, lengths

    @Test func getScore() throws {
        let rpc = CollectionRPC.sortedSetGetScore
        #expect(try rpc.command(rpc.sample) == .sortedSetGetScore(members: .of("red", "")))
        let response = try Scs_SortedSetGetScoreResponse(serializedBytes: try rpc.encode(.scores([1.5, nil, 0])))
        #expect(response.found.elements.map(\.result) == [.hit, .miss, .hit])
        #expect(response.found.elements.map(\.score) == [1.5, 0, 0])
        #expect(try rpc.says(Scs_SortedSetGetScoreResponse.with { $0.missing = .init() }, to: .missing))
    }

    @Test func getRank() throws {
        let rpc = CollectionRPC.sortedSetGetRank
        let red = Array("red".utf8)
        #expect(try rpc.command(rpc.sample) == .sortedSetGetRank(member: red, isReversed: true))
        let ascending = Scs_SortedSetGetRankRequest.with {
            $0.setName = .k
            $0.value = Data(red)
        }
        #expect(try rpc.command(ascending) == .sortedSetGetRank(member: red, isReversed: false))
        let first = try Scs_SortedSetGetRankResponse(serializedBytes: try rpc.encode(.rank(0)))
        #expect(first.elementRank.result == .hit)
        #expect(try rpc.says(Scs_SortedSetGetRankResponse.with { $0.elementRank.result = .miss }, to: .rank(nil)))
        #expect(try rpc.says(Scs_SortedSetGetRankResponse.with { $0.elementRank.result = .miss }, to: .missing))
    }

    @Test func anUnknownOrderIsRefused() throws {
        let fetch = Scs_SortedSetFetchRequest.with {
            $0.setName = .k
            $0.order = .UNRECOGNIZED(2)
        }
        #expect(try CollectionRPC.sortedSetFetch.refusal(fetch) == .noOrder)
        let rank = Scs_SortedSetGetRankRequest.with {
            $0.setName = .k
            $0.order = .UNRECOGNIZED(-1)
        }
        #expect(try CollectionRPC.sortedSetGetRank.refusal(rank) == .noOrder)
    }

    @Test func lengths() throws {
        #expect(try CollectionRPC.sortedSetLength.command(CollectionRPC.sortedSetLength.sample) == .sortedSetLength)
        #expect(
            try CollectionRPC.sortedSetLength.says(
                Scs_SortedSetLengthResponse.with { $0.missing = .init() }, to: .missing))
        let rpc = CollectionRPC.sortedSetLengthByScore
        #expect(
            try rpc.command(rpc.sample)
                == .sortedSetLengthByScore(ScoreRange(minimum: .init(1, isExclusive: true), maximum: .init(9))))
        var request = Scs_SortedSetLengthByScoreRequest.with { $0.setName = .k }
        #expect(try rpc.command(request) == .sortedSetLengthByScore(ScoreRange()))
        request.unboundedMin = .init()
        request.unboundedMax = .init()
        #expect(try rpc.command(request) == .sortedSetLengthByScore(ScoreRange()))
        request.inclusiveMin = 0
        request.exclusiveMax = 0
        #expect(
            try rpc.command(request)
                == .sortedSetLengthByScore(ScoreRange(minimum: .init(0), maximum: .init(0, isExclusive: true))))
        #expect(try rpc.says(Scs_SortedSetLengthByScoreResponse.with { $0.missing = .init() }, to: .missing))
    }
}
