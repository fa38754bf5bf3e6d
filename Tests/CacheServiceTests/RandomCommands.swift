import Engine
import Tenancy

@testable import CacheService

/// Commands drawn at random, over few keys and few members, so that they meet each other's results.
struct RandomCommands {
    private var dice: Dice
    /// Members are drawn from so many.
    private let variety: Int
    /// Whether commands whose replies are random are drawn.
    private let samples: Bool

    init(seed: UInt64, variety: Int = 30, samples: Bool = true) {
        dice = Dice(seed: (seed, 7))
        self.variety = variety
        self.samples = samples
    }

    mutating func number(_ range: Range<Int>) -> Int { Int.random(in: range, using: &dice) }

    private mutating func flag() -> Bool { Bool.random(using: &dice) }

    private mutating func member() -> String {
        let index = number(0..<variety)
        return index == 0 ? "" : index % 2 == 0 ? "\(index)" : "member-\(index)"
    }

    private mutating func members(_ most: Int) -> Elements {
        Elements(texts: (0..<number(0..<most + 1)).map { _ in member() })
    }

    private mutating func text() -> [UInt8] { Array(member().utf8) }

    private mutating func ids() -> [UInt32] { (0..<number(1..<90)).map { _ in UInt32(number(0..<variety)) } }

    private mutating func score() -> Double { Double(number(-6..<7)) / 2 }

    private mutating func ttl() -> CollectionTTL {
        let ttl = flag() ? try? TTL(milliseconds: UInt64(number(1..<40)) * 1000, field: "ttl") : nil
        return CollectionTTL(ttl, refreshes: flag())
    }

    private mutating func bounds() -> SliceBounds {
        .halfOpen(start: flag() ? number(-40..<40) : nil, end: flag() ? number(-40..<40) : nil)
    }

    private mutating func scores() -> ScoreRange {
        ScoreRange(
            minimum: flag() ? .init(score(), isExclusive: flag()) : .init(-.infinity),
            maximum: flag() ? .init(score(), isExclusive: flag()) : .init(.infinity))
    }

    private mutating func selection() -> SortedSetSelection {
        SortedSetSelection(
            flag() ? .ranks(bounds()) : .scores(scores()), isReversed: flag(), offset: number(0..<4),
            limit: number(-1..<20))
    }

    /// A key and a command, mostly one for the kind that the key is meant for.
    mutating func next() -> (key: String, command: CollectionCommand) {
        let kind = number(0..<5)
        let key = "\(number(0..<25) == 0 ? number(0..<5) : kind)-\(number(0..<2))"
        switch kind {
        case 0: return (key, dictionary())
        case 1: return (key, set())
        case 2: return (key, list())
        case 3: return (key, sortedSet())
        default: return (key, .leaderboard(leaderboard()))
        }
    }

    private mutating func dictionary() -> CollectionCommand {
        switch number(0..<9) {
        case 0, 1, 2:
            let fields = members(20)
            return .dictionarySet(
                fields: fields, values: Elements(texts: (0..<fields.count).map { _ in member() }), ttl())
        case 3: return .dictionaryGet(fields: members(20))
        case 4: return .dictionaryIncrement(field: text(), by: flag() ? .max / 2 : Int64(number(-9..<9)), ttl())
        case 5, 6: return .dictionaryDelete(fields: members(20))
        case 7: return number(0..<4) == 0 ? .dictionaryDeleteAll : .dictionaryLength
        default: return .dictionaryFetch
        }
    }

    private mutating func set() -> CollectionCommand {
        switch number(0..<10) {
        case 0, 1, 2: return .setUnion(members(20), ttl())
        case 3: return .setSubtract(members(20))
        case 4: return .setContains(members(20))
        case 5: return number(0..<4) == 0 ? .setRemoveAll : .setLength
        case 6: return .setBecomeDifference(of: members(30))
        case 7 where samples: return .setSample(limit: number(-1..<30))
        case 8 where samples: return .setPop(count: number(-1..<10))
        default: return .setFetch
        }
    }

    private mutating func list() -> CollectionCommand {
        switch number(0..<10) {
        case 0, 1, 2:
            return .listPush(flag() ? .front : .back, members(20), limit: number(0..<2) * number(1..<40), ttl())
        case 3: return .listPop(flag() ? .front : .back)
        case 4:
            return .listErase(
                (0..<number(0..<4)).map { _ in
                    let start = number(0..<40)
                    return start..<start + number(0..<5)
                })
        case 5: return .listRemove(value: text())
        case 6: return .listRetain(bounds(), ttl())
        case 7: return number(0..<6) == 0 ? .listEraseAll : .listLength
        default: return .listFetch(bounds())
        }
    }

    private mutating func sortedSet() -> CollectionCommand {
        switch number(0..<12) {
        case 0, 1, 2:
            let members = members(20)
            return .sortedSetPut(members: members, scores: (0..<members.count).map { _ in score() }, ttl())
        case 3: return .sortedSetGetScore(members: members(20))
        case 4: return .sortedSetRemove(members: members(20))
        case 5: return .sortedSetIncrement(member: text(), by: score(), ttl())
        case 6: return .sortedSetGetRank(member: text(), isReversed: flag())
        case 7: return number(0..<6) == 0 ? .sortedSetRemoveAll : .sortedSetLength
        case 8: return .sortedSetLengthByScore(scores())
        case 9:
            let sources = Elements(
                texts: (0..<number(1..<4)).map { _ in "\(number(0..<6) == 0 ? 1 : 3)-\(number(0..<3))" })
            let aggregate: SortedSetAggregate = flag() ? .sum : flag() ? .minimum : .maximum
            return .sortedSetUnionStore(
                sources: sources, weights: (0..<sources.count).map { _ in score() }, aggregate, ttl: ttl().ttl)
        default: return .sortedSetFetch(selection(), withScores: flag())
        }
    }

    private mutating func leaderboard() -> LeaderboardCommand {
        switch number(0..<9) {
        case 0, 1, 2:
            let ids = ids()
            return .upsert(ids: ids, scores: ids.map { _ in score() }, ttl: flag() ? nil : ttl().ttl)
        case 3: return .remove(ids: ids())
        case 4: return number(0..<6) == 0 ? .delete : .length
        case 5:
            let start = number(0..<40)
            return .byRank(start..<start + number(1..<40), isReversed: flag())
        case 6: return .rank(ids: ids(), isReversed: flag())
        case 7: return .competitionRank(ids: ids(), isReversed: flag())
        default: return .byScore(scores(), isReversed: flag(), offset: number(0..<4), limit: number(0..<20))
        }
    }
}
