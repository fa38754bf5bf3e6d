import CacheService
import Engine
import Foundation
import SwiftProtobuf
import Tenancy
import Testing
import Wire

@testable import Gateway

@Suite struct GRPCLeaderboardRPCTests {
    private func command(_ rpc: CollectionRPC) throws -> LeaderboardCommand? {
        guard case .leaderboard(let command) = try rpc.command(rpc.sample) else { return nil }
        return command
    }

    @Test func writes() throws {
        #expect(try command(.leaderboardDelete) == .delete)
        #expect(try command(.leaderboardUpsert) == .upsert(ids: [7, .max], scores: [1.5, -2], ttl: nil))
        #expect(try command(.leaderboardRemove) == .remove(ids: [7, 0, .max]))
        for rpc: CollectionRPC in [.leaderboardDelete, .leaderboardUpsert, .leaderboardRemove] {
            #expect(try rpc.says(Common_Empty(), to: .done))
        }
    }

    @Test func theNameIsTheKeyInUTF8() throws {
        let request = Leaderboard_GetLeaderboardLengthRequest.with { $0.leaderboard = "été" }
        let call = try CollectionRPC.leaderboardLength.decode(try request.serializedBytes())
        #expect(call == CollectionCall(key: Data("été".utf8), command: .leaderboard(.length)))
    }

    @Test func idsMayBePackedOrNot() throws {
        let packed: [UInt8] = [0x12, 0x01, 0x6B, 0x1A, 0x02, 0x07, 0x09]
        let single: [UInt8] = [0x12, 0x01, 0x6B, 0x18, 0x07, 0x18, 0x09]
        let call = CollectionCall(key: .k, command: .leaderboard(.remove(ids: [7, 9])))
        #expect(try CollectionRPC.leaderboardRemove.decode(packed) == call)
        #expect(try CollectionRPC.leaderboardRemove.decode(single) == call)
    }

    @Test func byRank() throws {
        #expect(try command(.leaderboardByRank) == .byRank(3..<10, isReversed: true))
        var request = Leaderboard_GetByRankRequest.with { $0.leaderboard = "k" }
        let rpc = CollectionRPC.leaderboardByRank
        #expect(try rpc.refusal(request) == .unset("rank_range"))
        let backwards = MartletError.invalidArgument(field: "rank_range", reason: "must begin before it ends")
        for (start, end) in [(0, 0), (5, 5), (6, 5), (UInt32.max, 0)] as [(UInt32, UInt32)] {
            request.rankRange.startInclusive = start
            request.rankRange.endExclusive = end
            #expect(try rpc.refusal(request) == backwards)
        }
        request.rankRange.startInclusive = 0
        request.rankRange.endExclusive = .max
        #expect(
            try rpc.command(request) == .leaderboard(.byRank(0..<Int(UInt32.max), isReversed: false)))
    }

    @Test func byScoreTakesTheLowerBoundAndLeavesTheUpper() throws {
        let range = ScoreRange(minimum: .init(1), maximum: .init(9, isExclusive: true))
        #expect(
            try command(.leaderboardByScore) == .byScore(range, isReversed: true, offset: 4, limit: 100))
        var request = Leaderboard_GetByScoreRequest.with { $0.leaderboard = "k" }
        let whole = CollectionCommand.leaderboard(
            .byScore(ScoreRange(), isReversed: false, offset: 0, limit: 0))
        #expect(try CollectionRPC.leaderboardByScore.command(request) == whole)
        request.scoreRange.unboundedMin = .init()
        request.scoreRange.unboundedMax = .init()
        #expect(try CollectionRPC.leaderboardByScore.command(request) == whole)
    }

    @Test func ranksOfIDs() throws {
        #expect(try command(.leaderboardRank) == .rank(ids: [7, 0], isReversed: true))
        #expect(try command(.leaderboardCompetitionRank) == .competitionRank(ids: [7, 0], isReversed: false))
    }

    @Test func theOrderOfCompetitionIsDescendingUnlessSaidOtherwise() throws {
        var request = Leaderboard_GetCompetitionRankRequest.with { $0.leaderboard = "k" }
        let rpc = CollectionRPC.leaderboardCompetitionRank
        #expect(try rpc.command(request) == .leaderboard(.competitionRank(ids: [], isReversed: true)))
        request.order = .ascending
        #expect(try rpc.command(request) == .leaderboard(.competitionRank(ids: [], isReversed: false)))
        request.order = .descending
        #expect(try rpc.command(request) == .leaderboard(.competitionRank(ids: [], isReversed: true)))
        // The name is in another field than elsewhere.
        #expect(rpc.refusal([0x12, 0x01, 0x07]) == .empty("leaderboard"))
    }

    @Test func anUnknownOrderIsRefused() throws {
        let byRank = Leaderboard_GetByRankRequest.with {
            $0.leaderboard = "k"
            $0.rankRange.endExclusive = 1
            $0.order = .UNRECOGNIZED(2)
        }
        #expect(try CollectionRPC.leaderboardByRank.refusal(byRank) == .noOrder)
        let rank = Leaderboard_GetRankRequest.with {
            $0.leaderboard = "k"
            $0.order = .UNRECOGNIZED(2)
        }
        #expect(try CollectionRPC.leaderboardRank.refusal(rank) == .noOrder)
        let byScore = Leaderboard_GetByScoreRequest.with {
            $0.leaderboard = "k"
            $0.order = .UNRECOGNIZED(2)
        }
        #expect(try CollectionRPC.leaderboardByScore.refusal(byScore) == .noOrder)
        let competition = Leaderboard_GetCompetitionRankRequest.with {
            $0.leaderboard = "k"
            $0.order = .UNRECOGNIZED(2)
        }
        #expect(try CollectionRPC.leaderboardCompetitionRank.refusal(competition) == .noOrder)
    }

    @Test func rankedElements() throws {
        let bytes = try CollectionRPC.leaderboardByRank.encode(
            .ranked([RankedElement(id: 0, rank: 0, score: 0), RankedElement(id: 7, rank: 1, score: -1.5)]))
        let response = try Leaderboard_GetByRankResponse(serializedBytes: bytes)
        #expect(response.elements.map(\.id) == [0, 7])
        #expect(response.elements.map(\.rank) == [0, 1])
        #expect(response.elements.map(\.score) == [0, -1.5])
        #expect(try CollectionRPC.leaderboardRank.encode(.ranked([])).isEmpty)
    }
}
