import CacheService
import Engine
import Foundation
import NIOCore
import Tenancy
import Wire

// MARK: Writes

extension Leaderboard_DeleteLeaderboardRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call(leaderboard: leaderboard) { .delete }
    }
}

extension Leaderboard_UpsertElementsRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        // The request has no TTL: the service's own for leaderboards.
        try call(leaderboard: leaderboard) { .upsert(ids: elements.map(\.id), scores: elements.map(\.score), ttl: nil) }
    }
}

extension Leaderboard_RemoveElementsRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call(leaderboard: leaderboard) { .remove(ids: ids) }
    }
}

// MARK: Reads

extension Leaderboard_GetLeaderboardLengthRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call(leaderboard: leaderboard) { .length }
    }
}

extension Leaderboard_GetByRankRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call(leaderboard: leaderboard) { () throws(MartletError) in
            guard hasRankRange else { throw .missing(field: "rank_range") }
            guard rankRange.startInclusive < rankRange.endExclusive else {
                throw .invalidArgument(field: "rank_range", reason: "must begin before it ends")
            }
            let ranks = Int(rankRange.startInclusive)..<Int(rankRange.endExclusive)
            return .byRank(ranks, isReversed: try isDescending(order))
        }
    }
}

extension Leaderboard_GetRankRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call(leaderboard: leaderboard) { () throws(MartletError) in
            .rank(ids: ids, isReversed: try isDescending(order))
        }
    }
}

extension Leaderboard_GetByScoreRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call(leaderboard: leaderboard) { () throws(MartletError) in
            var scores = ScoreRange()
            if case .minInclusive(let score) = scoreRange.min { scores.minimum = ScoreRange.Bound(score) }
            if case .maxExclusive(let score) = scoreRange.max {
                scores.maximum = ScoreRange.Bound(score, isExclusive: true)
            }
            return .byScore(
                scores, isReversed: try isDescending(order), offset: Int(clamping: offset),
                limit: Int(clamping: limitElements))
        }
    }
}

extension Leaderboard_GetCompetitionRankRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call(leaderboard: leaderboard) { () throws(MartletError) in
            .competitionRank(ids: ids, isReversed: hasOrder ? try isDescending(order) : true)
        }
    }
}

extension CollectionRequest {
    fileprivate func call(
        leaderboard name: String, _ command: () throws(MartletError) -> LeaderboardCommand
    ) throws(MartletError) -> CollectionCall {
        try call("leaderboard", Data(name.utf8)) { () throws(MartletError) in .leaderboard(try command()) }
    }
}

// MARK: Responses

extension ByteBuffer {
    /// `repeated elements = 1 {uint32 id = 1, uint32 rank = 3, double score = 4}`.
    mutating func writeRankedElements(_ elements: [RankedElement]) {
        writeMessages(at: [], elements.indices) { index in
            ProtobufWriter.size(field: 1, number: UInt64(elements[index].id))
                + ProtobufWriter.size(field: 3, number: UInt64(UInt32(clamping: elements[index].rank)))
                + ProtobufWriter.size(field: 4, double: elements[index].score)
        } write: { index, writer in
            writer.writeNumber(field: 1, UInt64(elements[index].id))
            writer.writeNumber(field: 3, UInt64(UInt32(clamping: elements[index].rank)))
            writer.writeDouble(field: 4, elements[index].score)
        }
    }
}
