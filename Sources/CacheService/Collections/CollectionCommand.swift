import Access
import Engine
import Tenancy

/// What a write does to the time of a collection: one that it creates gets `ttl` (nil: the cache's default), one that
/// exists only if it `refreshes`.
package struct CollectionTTL: Equatable, Sendable {
    package var ttl: TTL?
    package var refreshes: Bool

    package init(_ ttl: TTL?, refreshes: Bool) {
        self.ttl = ttl
        self.refreshes = refreshes
    }
}

/// One operation on the collection under a key, as every door asks for it, with bytes of its own: it may outlive the call
/// that made it.
///
/// A key that holds something else is ``MartletError/wrongType``. A collection that loses its last element is gone.
package enum CollectionCommand: Equatable, Sendable {
    // MARK: Dictionaries

    /// ``CollectionReply/missing`` or ``CollectionReply/values(_:isPresent:)``.
    case dictionaryGet(fields: Elements)
    /// ``CollectionReply/missing`` or ``CollectionReply/pairs(fields:values:)``.
    case dictionaryFetch
    /// As many values as fields; of equal fields the last holds. ``CollectionReply/done``.
    case dictionarySet(fields: Elements, values: Elements, CollectionTTL)
    /// ``CollectionReply/number(_:)``.
    case dictionaryIncrement(field: [UInt8], by: Int64, CollectionTTL)
    /// ``CollectionReply/done``, whether or not anything was there; so the next.
    case dictionaryDelete(fields: Elements)
    case dictionaryDeleteAll
    /// ``CollectionReply/missing`` or ``CollectionReply/length(_:)``; so every other length.
    case dictionaryLength

    // MARK: Sets

    /// ``CollectionReply/missing`` or ``CollectionReply/elements(_:)``; so the next.
    case setFetch
    /// Distinct members in no order.
    case setSample(limit: Int)
    /// Adds. ``CollectionReply/done``.
    case setUnion(Elements, CollectionTTL)
    /// The set becomes what is among these and not in it. ``CollectionReply/missing`` or ``CollectionReply/done``; so the
    /// next two.
    case setBecomeDifference(of: Elements)
    case setSubtract(Elements)
    case setRemoveAll
    /// ``CollectionReply/missing`` or ``CollectionReply/presence(_:)``.
    case setContains(Elements)
    case setLength
    /// ``CollectionReply/missing`` or ``CollectionReply/elements(_:)``.
    case setPop(count: Int)

    // MARK: Lists

    /// The values stand in the list as they are given, at either end; 0 for no limit, else what is too much is cut from the
    /// other end. ``CollectionReply/length(_:)``.
    case listPush(ListEnd, Elements, limit: Int, CollectionTTL)
    /// ``CollectionReply/missing`` or ``CollectionReply/element(_:length:)`` with the length that is left.
    case listPop(ListEnd)
    /// Positions in the list as it was; what does not exist is passed over. ``CollectionReply/missing`` or
    /// ``CollectionReply/length(_:)`` with the length that is left, 0 for a list that is gone; so the next three.
    case listErase([Range<Int>])
    case listEraseAll
    case listRemove(value: [UInt8])
    /// Keeps the slice, drops the rest.
    case listRetain(SliceBounds, CollectionTTL)
    /// ``CollectionReply/missing``, for a slice without elements too, or ``CollectionReply/elements(_:)``.
    case listFetch(SliceBounds)
    case listLength

    // MARK: Sorted sets

    /// As many scores as members. ``CollectionReply/done``.
    case sortedSetPut(members: Elements, scores: [Double], CollectionTTL)
    /// ``CollectionReply/missing``, or ``CollectionReply/scored(members:scores:)`` with the scores, else
    /// ``CollectionReply/elements(_:)``.
    case sortedSetFetch(SortedSetSelection, withScores: Bool)
    /// ``CollectionReply/missing`` or ``CollectionReply/scores(_:)``.
    case sortedSetGetScore(members: Elements)
    /// ``CollectionReply/done``; so the next.
    case sortedSetRemove(members: Elements)
    case sortedSetRemoveAll
    /// ``CollectionReply/score(_:)``.
    case sortedSetIncrement(member: [UInt8], by: Double, CollectionTTL)
    /// ``CollectionReply/missing`` or ``CollectionReply/rank(_:)``.
    case sortedSetGetRank(member: [UInt8], isReversed: Bool)
    case sortedSetLength
    case sortedSetLengthByScore(ScoreRange)
    /// The key becomes the union of the sources, each with its scores times its weight, whatever it was. Sources that are
    /// missing are empty; a result without elements removes the key. ``CollectionReply/length(_:)``.
    case sortedSetUnionStore(sources: Elements, weights: [Double], SortedSetAggregate, ttl: TTL?)

    // MARK: Leaderboards

    /// A sorted set under the name of the leaderboard, its members the element's ids in decimal.
    case leaderboard(LeaderboardCommand)
}

/// One operation on a leaderboard. What is missing is empty.
package enum LeaderboardCommand: Equatable, Sendable {
    /// ``CollectionReply/done``, and so the next two.
    case upsert(ids: [UInt32], scores: [Double], ttl: TTL?)
    case remove(ids: [UInt32])
    case delete
    /// ``CollectionReply/length(_:)``.
    case length
    /// ``CollectionReply/ranked(_:)``, and so all that follow. Ranks count from 0 in the order that is asked for.
    case byRank(Range<Int>, isReversed: Bool)
    /// Those of the ids that exist, in the order of the request.
    case rank(ids: [UInt32], isReversed: Bool)
    /// `offset` and `limit` within the match; the rank is that in the whole.
    case byScore(ScoreRange, isReversed: Bool, offset: Int, limit: Int)
    /// As ``rank(ids:isReversed:)``, but equal scores share the first rank among them.
    case competitionRank(ids: [UInt32], isReversed: Bool)
}

/// What came of a ``CollectionCommand``.
package enum CollectionReply: Equatable, Sendable {
    case missing
    case done
    case length(Int)
    case number(Int64)
    case score(Double)
    case element([UInt8], length: Int)
    case elements(Elements)
    case pairs(fields: Elements, values: Elements)
    /// An empty string stands for a value that is not there.
    case values(Elements, isPresent: [Bool])
    case presence([Bool])
    case scored(members: Elements, scores: [Double])
    /// Nil for a member that is not there.
    case scores([Double?])
    /// Nil for a member that is not there.
    case rank(Int?)
    case ranked([RankedElement])
}

package struct RankedElement: Equatable, Sendable {
    package let id: UInt32
    package let rank: Int
    package let score: Double

    package init(id: UInt32, rank: Int, score: Double) {
        self.id = id
        self.rank = rank
        self.score = score
    }
}
