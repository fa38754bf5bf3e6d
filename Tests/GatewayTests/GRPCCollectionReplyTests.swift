import CacheService
import Foundation
import NIOCore
import SwiftProtobuf
import Tenancy
import Testing
import Wire

@testable import Gateway

/// Which replies a response can hold, and what is written, against the generated messages.
@Suite struct GRPCCollectionReplyTests {
    // MARK: Replies that are none

    /// One of each, with content.
    private static let replies: [String: CollectionReply] = [
        "missing": .missing, "done": .done, "length": .length(3), "number": .number(-3), "score": .score(1.5),
        "element": .element([1], length: 2), "elements": .elements(.of("red")),
        "pairs": .pairs(fields: .of("red"), values: .of("1")), "values": .values(.of("1"), isPresent: [true]),
        "presence": .presence([true]), "scored": .scored(members: .of("red"), scores: [1.5]),
        "scores": .scores([1.5, nil]), "rank": .rank(4), "ranked": .ranked([RankedElement(id: 7, rank: 0, score: 1)]),
    ]

    private static let takes: [CollectionRPC: Set<String>] = [
        .dictionaryGet: ["missing", "values"], .dictionaryFetch: ["missing", "pairs"], .dictionarySet: ["done"],
        .dictionaryIncrement: ["number"], .dictionaryDelete: ["done"], .dictionaryLength: ["missing", "length"],
        .setFetch: ["missing", "elements"], .setSample: ["missing", "elements"], .setUnion: ["done"],
        .setDifference: ["missing", "done"], .setContains: ["missing", "presence"], .setLength: ["missing", "length"],
        .setPop: ["missing", "elements"], .listPushFront: ["length"], .listPushBack: ["length"],
        .listPopFront: ["missing", "element"], .listPopBack: ["missing", "element"], .listErase: ["missing", "length"],
        .listRemove: ["missing", "length"], .listFetch: ["missing", "elements"], .listLength: ["missing", "length"],
        .listConcatenateFront: ["length"], .listConcatenateBack: ["length"], .listRetain: ["missing", "length"],
        .sortedSetPut: ["done"], .sortedSetFetch: ["missing", "elements", "scored"],
        .sortedSetGetScore: ["missing", "scores"], .sortedSetRemove: ["done"], .sortedSetIncrement: ["score"],
        .sortedSetGetRank: ["missing", "rank"], .sortedSetLength: ["missing", "length"],
        .sortedSetLengthByScore: ["missing", "length"], .sortedSetUnionStore: ["length"],
        .leaderboardDelete: ["done"], .leaderboardUpsert: ["done"], .leaderboardRemove: ["done"],
        .leaderboardLength: ["length"], .leaderboardByRank: ["ranked"], .leaderboardRank: ["ranked"],
        .leaderboardByScore: ["ranked"], .leaderboardCompetitionRank: ["ranked"],
    ]

    @Test(arguments: CollectionRPC.allCases)
    func aReplyToAnotherQuestionIsAFailureAndWritesNothing(rpc: CollectionRPC) throws {
        let taken = try #require(Self.takes[rpc])
        for (name, reply) in Self.replies {
            if taken.contains(name) {
                _ = try rpc.encode(reply)
            } else {
                #expect(throws: MartletError.otherAnswer) { try rpc.encode(reply) }
            }
        }
    }

    @Test(arguments: [
        (CollectionRPC.dictionaryFetch, CollectionReply.pairs(fields: .of("red", "green"), values: .of("1"))),
        (.dictionaryGet, .values(.of("1"), isPresent: [])),
        (.sortedSetFetch, .scored(members: .of(), scores: [1])),
    ])
    func partsThatDoNotPairAreAFailure(rpc: CollectionRPC, reply: CollectionReply) {
        #expect(throws: MartletError.otherAnswer) { try rpc.encode(reply) }
    }

    // MARK: Random replies

    private struct Random {
        var generator: SeededGenerator

        mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &generator) }

        /// Lengths at which the length of the length changes are as frequent as short ones.
        mutating func bytes() -> [UInt8] {
            let lengths = [0, 1, below(20), 127, 128, 16_383, 16_384]
            return generator.bytes(lengths[below(below(8) == 0 ? 7 : 5)])
        }

        mutating func elements(_ count: Int) -> Elements { Elements((0..<count).map { _ in bytes() }) }

        mutating func score() -> Double {
            [0, -0.0, 1.5, -.infinity, .greatestFiniteMagnitude, Double(below(1000)) - 500][below(6)]
        }

        mutating func length() -> Int { [0, 1, 127, 128, Int(UInt32.max), Int.max, below(1 << 40)][below(7)] }
    }

    private func clamped(_ number: Int) -> UInt32 { UInt32(clamping: number) }

    @Test(arguments: 0..<60 as Range<UInt64>)
    func elementsAreWrittenAsTheGeneratedMessagesAre(seed: UInt64) throws {
        var random = Random(generator: SeededGenerator(seed: seed))
        let count = random.below(40)
        let some = random.elements(count)
        let others = random.elements(count)
        let data = some.data
        #expect(
            try CollectionRPC.setFetch.says(
                Scs_SetFetchResponse.with { $0.found.elements = data }, to: .elements(some)))
        #expect(
            try CollectionRPC.setSample.says(
                Scs_SetSampleResponse.with { $0.found.elements = data }, to: .elements(some)))
        #expect(
            try CollectionRPC.setPop.says(
                Scs_SetPopResponse.with { $0.found.elements = data }, to: .elements(some)))
        #expect(
            try CollectionRPC.listFetch.says(
                Scs_ListFetchResponse.with { $0.found.values = data }, to: .elements(some)))
        #expect(
            try CollectionRPC.sortedSetFetch.says(
                Scs_SortedSetFetchResponse.with { $0.found.values.values = data }, to: .elements(some)))
        #expect(
            try CollectionRPC.dictionaryFetch.says(
                Scs_DictionaryFetchResponse.with {
                    $0.found.items = zip(data, others.data).map { field, value in
                        .with {
                            $0.field = field
                            $0.value = value
                        }
                    }
                }, to: .pairs(fields: some, values: others)))

        let isPresent = (0..<count).map { _ in random.below(3) > 0 }
        #expect(
            try CollectionRPC.dictionaryGet.says(
                Scs_DictionaryGetResponse.with {
                    $0.found.items = zip(data, isPresent).map { value, isPresent in
                        .with {
                            $0.result = isPresent ? .hit : .miss
                            $0.cacheBody = isPresent ? value : Data()
                        }
                    }
                }, to: .values(some, isPresent: isPresent)))
        #expect(
            try CollectionRPC.setContains.says(
                Scs_SetContainsResponse.with { $0.found.contains = isPresent }, to: .presence(isPresent)))

        let scores = (0..<count).map { _ in random.score() }
        #expect(
            try CollectionRPC.sortedSetFetch.says(
                Scs_SortedSetFetchResponse.with {
                    $0.found.valuesWithScores.elements = zip(data, scores).map { value, score in
                        .with {
                            $0.value = value
                            $0.score = score
                        }
                    }
                }, to: .scored(members: some, scores: scores)))
        let known = zip(scores, isPresent).map { $1 ? $0 : nil }
        #expect(
            try CollectionRPC.sortedSetGetScore.says(
                Scs_SortedSetGetScoreResponse.with {
                    $0.found.elements = known.map { score in
                        .with {
                            $0.result = score == nil ? .miss : .hit
                            $0.score = score ?? 0
                        }
                    }
                }, to: .scores(known)))
        let ranked = scores.map {
            RankedElement(id: UInt32(clamping: random.length()), rank: random.length(), score: $0)
        }
        let board = Leaderboard_GetByRankResponse.with {
            $0.elements = ranked.map { element in
                .with {
                    $0.id = element.id
                    $0.rank = clamped(element.rank)
                    $0.score = element.score
                }
            }
        }
        for rpc: CollectionRPC in [
            .leaderboardByRank, .leaderboardRank, .leaderboardByScore, .leaderboardCompetitionRank,
        ] {
            #expect(try rpc.says(board, to: .ranked(ranked)))
        }
    }

    @Test(arguments: 0..<60 as Range<UInt64>)
    func singleValuesAreWrittenAsTheGeneratedMessagesAre(seed: UInt64) throws {
        var random = Random(generator: SeededGenerator(seed: seed))
        let length = random.length()
        let bytes = random.bytes()
        let score = random.score()
        let number = Int64(truncatingIfNeeded: random.generator.next()) >> Int64(random.below(64))
        #expect(
            try CollectionRPC.dictionaryIncrement.says(
                Scs_DictionaryIncrementResponse.with { $0.value = number }, to: .number(number)))
        #expect(
            try CollectionRPC.sortedSetIncrement.says(
                Scs_SortedSetIncrementResponse.with { $0.score = score }, to: .score(score)))
        #expect(
            try CollectionRPC.sortedSetGetRank.says(
                Scs_SortedSetGetRankResponse.with {
                    $0.elementRank.result = .hit
                    $0.elementRank.rank = UInt64(length)
                }, to: .rank(length)))
        #expect(
            try CollectionRPC.listPopFront.says(
                Scs_ListPopFrontResponse.with {
                    $0.found.front = Data(bytes)
                    $0.found.listLength = clamped(length)
                }, to: .element(bytes, length: length)))
        #expect(
            try CollectionRPC.listPopBack.says(
                Scs_ListPopBackResponse.with {
                    $0.found.back = Data(bytes)
                    $0.found.listLength = clamped(length)
                }, to: .element(bytes, length: length)))
    }

    @Test(arguments: [0, 1, 127, 128, 1 << 20, Int(UInt32.max), Int(UInt32.max) + 1, Int.max, -1])
    func lengthsAreClampedToWhatTheResponseHolds(length: Int) throws {
        let clamped = clamped(length)
        let reply = CollectionReply.length(length)
        let pushed = Scs_ListPushFrontResponse.with { $0.listLength = clamped }
        for rpc: CollectionRPC in [.listPushFront, .listPushBack, .listConcatenateFront, .listConcatenateBack] {
            #expect(try rpc.says(pushed, to: reply))
        }
        #expect(
            try CollectionRPC.sortedSetUnionStore.says(
                Scs_SortedSetUnionStoreResponse.with { $0.length = clamped }, to: reply))
        #expect(
            try CollectionRPC.leaderboardLength.says(
                Leaderboard_GetLeaderboardLengthResponse.with { $0.count = clamped }, to: reply))
        #expect(
            try CollectionRPC.dictionaryLength.says(
                Scs_DictionaryLengthResponse.with { $0.found.length = clamped }, to: reply))
        #expect(try CollectionRPC.setLength.says(Scs_SetLengthResponse.with { $0.found.length = clamped }, to: reply))
        #expect(
            try CollectionRPC.listLength.says(Scs_ListLengthResponse.with { $0.found.length = clamped }, to: reply))
        #expect(
            try CollectionRPC.listErase.says(Scs_ListEraseResponse.with { $0.found.listLength = clamped }, to: reply))
        #expect(
            try CollectionRPC.listRemove.says(
                Scs_ListRemoveResponse.with { $0.found.listLength = clamped }, to: reply))
        #expect(
            try CollectionRPC.listRetain.says(
                Scs_ListRetainResponse.with { $0.found.listLength = clamped }, to: reply))
        #expect(
            try CollectionRPC.sortedSetLength.says(
                Scs_SortedSetLengthResponse.with { $0.found.length = clamped }, to: reply))
        #expect(
            try CollectionRPC.sortedSetLengthByScore.says(
                Scs_SortedSetLengthByScoreResponse.with { $0.found.length = clamped }, to: reply))
    }
}
