import Engine
import Tenancy
import Testing

@testable import CacheService

/// What each command on a sorted set or leaderboard does and answers.
@Suite struct SortedSetSemanticsTests {
    private let stage: CollectionStage

    init() throws { stage = try CollectionStage() }

    private func text(_ string: String) -> [UInt8] { Array(string.utf8) }

    private func put(_ key: String, _ elements: KeyValuePairs<String, Double>) throws {
        try stage.run(
            key, .sortedSetPut(members: Elements(texts: elements.map(\.key)), scores: elements.map(\.value), .usual))
    }

    private func fetch(_ key: String, _ selection: SortedSetSelection) throws -> [String]? {
        guard case .elements(let members) = try stage.run(key, .sortedSetFetch(selection, withScores: false)) else {
            return nil
        }
        return members.texts
    }

    @Test func sortedSetsAreOrderedByScoreThenMember() throws {
        let all = SortedSetSelection(.ranks(.all))
        #expect(try stage.run("z", .sortedSetFetch(all, withScores: true)) == .missing)
        #expect(try stage.run("z", .sortedSetLength) == .missing)
        #expect(try stage.run("z", .sortedSetLengthByScore(ScoreRange())) == .missing)
        #expect(try stage.run("z", .sortedSetGetScore(members: ["a"])) == .missing)
        #expect(try stage.run("z", .sortedSetGetRank(member: text("a"), isReversed: false)) == .missing)
        #expect(try stage.run("z", .sortedSetRemove(members: ["a"])) == .done)
        try put("z", ["b": 1, "a": 1, "c": -2.5, "d": .infinity])
        #expect(
            try stage.run("z", .sortedSetFetch(all, withScores: true))
                == .scored(members: ["c", "a", "b", "d"], scores: [-2.5, 1, 1, .infinity]))
        #expect(try fetch("z", SortedSetSelection(.ranks(.all), isReversed: true)) == ["d", "b", "a", "c"])
        let ranks = SliceBounds.halfOpen(start: 1, end: -1)
        #expect(try fetch("z", SortedSetSelection(.ranks(ranks))) == ["a", "b"])
        let reversed = SortedSetSelection(.ranks(.halfOpen(start: 0, end: 1)), isReversed: true)
        #expect(try fetch("z", reversed) == ["d"])
        // Unlike a list's, an empty slice is there.
        #expect(try fetch("z", SortedSetSelection(.ranks(.halfOpen(start: 9, end: nil)))) == [])
        let scores = ScoreRange(minimum: .init(-2.5, isExclusive: true), maximum: .init(1))
        #expect(try fetch("z", SortedSetSelection(.scores(scores))) == ["a", "b"])
        #expect(try fetch("z", SortedSetSelection(.scores(scores), isReversed: true, offset: 1)) == ["a"])
        #expect(try fetch("z", SortedSetSelection(.scores(scores), limit: 0)) == [])
        #expect(try stage.run("z", .sortedSetLengthByScore(scores)) == .length(2))
        let none = ScoreRange(minimum: .init(2), maximum: .init(3))
        #expect(try stage.run("z", .sortedSetLengthByScore(none)) == .length(0))
        #expect(try stage.run("z", .sortedSetLength) == .length(4))
        #expect(try stage.run("z", .sortedSetGetScore(members: ["b", "x"])) == .scores([1, nil]))
        #expect(try stage.run("z", .sortedSetGetRank(member: text("b"), isReversed: false)) == .rank(2))
        #expect(try stage.run("z", .sortedSetGetRank(member: text("b"), isReversed: true)) == .rank(1))
        #expect(try stage.run("z", .sortedSetGetRank(member: text("x"), isReversed: true)) == .rank(nil))
        #expect(try stage.run("z", .sortedSetIncrement(member: text("b"), by: -4, .usual)) == .score(-3))
        #expect(try stage.run("z", .sortedSetIncrement(member: text("n"), by: 2, .usual)) == .score(2))
        #expect(try stage.run("z", .sortedSetRemove(members: ["n", "x", "d"])) == .done)
        #expect(try fetch("z", all) == ["b", "c", "a"])
        #expect(try stage.run("z", .sortedSetRemoveAll) == .done)
        #expect(try stage.kind("z") == nil)
        #expect(try stage.run("z", .sortedSetRemoveAll) == .done)
    }

    @Test func aUnionReplacesItsDestination() throws {
        try put("a", ["x": 1, "y": -2])
        try put("b", ["y": 10, "z": 3])
        func union(
            _ key: String, _ sources: Elements, _ weights: [Double], _ aggregate: SortedSetAggregate = .sum
        ) throws -> CollectionReply {
            try stage.run(key, .sortedSetUnionStore(sources: sources, weights: weights, aggregate, ttl: nil))
        }
        let all = CollectionCommand.sortedSetFetch(SortedSetSelection(.ranks(.all)), withScores: true)
        try stage.set("u", "a scalar")
        #expect(try union("u", ["a", "b", "none"], [1, 2, 3]) == .length(3))
        #expect(try stage.run("u", all) == .scored(members: ["x", "z", "y"], scores: [1, 6, 18]))
        #expect(try union("u", ["a", "b"], [1, 1], .minimum) == .length(3))
        #expect(try stage.run("u", all) == .scored(members: ["y", "x", "z"], scores: [-2, 1, 3]))
        // The destination is a source only where it is named as one.
        #expect(try union("u", ["a"], [1], .maximum) == .length(2))
        #expect(try union("u", ["u", "b"], [0, 0]) == .length(3))
        let zeros = try stage.run("u", all)
        #expect(zeros == .scored(members: ["x", "y", "z"], scores: [0, 0, 0]))
        guard case .scored(_, let scores) = zeros else { return }
        #expect(scores.allSatisfy { $0.sign == .plus })
        #expect(try union("u", ["none"], [1]) == .length(0))
        #expect(try stage.kind("u") == nil)
        try stage.set("scalar", "x")
        #expect(
            try stage.error("u", .sortedSetUnionStore(sources: ["scalar"], weights: [1], .sum, ttl: nil)) == .wrongType)
    }

    // MARK: Leaderboards

    private func board(_ command: LeaderboardCommand) throws -> CollectionReply {
        try stage.run("board", .leaderboard(command))
    }

    private func ranked(_ elements: (UInt32, Int, Double)...) -> CollectionReply {
        .ranked(elements.map { RankedElement(id: $0.0, rank: $0.1, score: $0.2) })
    }

    @Test func aMissingLeaderboardIsEmpty() throws {
        #expect(try board(.length) == .length(0))
        #expect(try board(.delete) == .done)
        #expect(try board(.remove(ids: [1])) == .done)
        for command in [.byRank(0..<8192, isReversed: true), .rank(ids: [1], isReversed: false)]
            + [.competitionRank(ids: [1], isReversed: false)]
            + [LeaderboardCommand.byScore(ScoreRange(), isReversed: false, offset: 0, limit: 0)]
        {
            #expect(try board(command) == .ranked([]), "\(command)")
        }
    }

    @Test func leaderboardsRankIdsAsText() throws {
        #expect(
            try board(.upsert(ids: [2, 123, 10, 1, .max, 0], scores: [5, 5, 5, 5, 9, -1], ttl: nil)) == .done)
        #expect(try board(.length) == .length(6))
        #expect(
            try board(.byRank(0..<8192, isReversed: false))
                == ranked((0, 0, -1), (1, 1, 5), (10, 2, 5), (123, 3, 5), (2, 4, 5), (.max, 5, 9)))
        #expect(try board(.byRank(1..<3, isReversed: true)) == ranked((2, 1, 5), (123, 2, 5)))
        #expect(try board(.byRank(6..<7, isReversed: true)) == .ranked([]))
        #expect(
            try board(.rank(ids: [10, 7, .max, 10], isReversed: false)) == ranked((10, 2, 5), (.max, 5, 9), (10, 2, 5)))
        #expect(try board(.rank(ids: [10, 0], isReversed: true)) == ranked((10, 3, 5), (0, 5, -1)))
        // Equal scores share the first rank among them.
        #expect(
            try board(.competitionRank(ids: [0, 2, 1, 7, .max], isReversed: false))
                == ranked((0, 0, -1), (2, 1, 5), (1, 1, 5), (.max, 5, 9)))
        #expect(
            try board(.competitionRank(ids: [.max, 2, 1, 0], isReversed: true))
                == ranked((.max, 0, 9), (2, 1, 5), (1, 1, 5), (0, 5, -1)))
        let fives = ScoreRange(minimum: .init(5), maximum: .init(9, isExclusive: true))
        #expect(
            try board(.byScore(fives, isReversed: false, offset: 1, limit: 2)) == ranked((10, 2, 5), (123, 3, 5)))
        #expect(
            try board(.byScore(fives, isReversed: true, offset: 1, limit: 0))
                == ranked((123, 2, 5), (10, 3, 5), (1, 4, 5)))
        #expect(try board(.remove(ids: [10, 11])) == .done)
        #expect(try board(.length) == .length(5))
        #expect(try board(.delete) == .done)
        #expect(try stage.kind("board") == nil)
    }

    /// Looked up from a snapshot, in turns, beside one by one under the lock.
    @Test(arguments: [100, 3000]) func manyIdsHaveTheSameRanksAsFew(count: Int) throws {
        let ids = (0..<UInt32(count)).map { $0 * 3 }
        try stage.run(
            "board", .leaderboard(.upsert(ids: ids, scores: ids.map { Double($0 % 7) }, ttl: nil)))
        let asked = (0..<UInt32(count)).map { $0 * 2 }
        for isReversed in [false, true] {
            for isShared in [false, true] {
                func command(_ ids: [UInt32]) -> LeaderboardCommand {
                    isShared
                        ? .competitionRank(ids: ids, isReversed: isReversed) : .rank(ids: ids, isReversed: isReversed)
                }
                guard case .ranked(let many) = try board(command(asked)) else { return }
                var few: [RankedElement] = []
                for start in stride(from: 0, to: asked.count, by: 50) {
                    let some = Array(asked[start..<min(start + 50, asked.count)])
                    if case .ranked(let ranked) = try board(command(some)) { few += ranked }
                }
                #expect(many == few)
                #expect(many.count == Set(asked).intersection(ids).count)
            }
        }
    }

    @Test func aSortedSetOfOtherMembersIsNoLeaderboard() throws {
        for member in ["x", "01", "", "4294967296", "-1", "99999999999"] {
            try put("board", [member: 1])
            #expect(
                try stage.error("board", .leaderboard(.byRank(0..<1, isReversed: false))) == .wrongType, "\(member)")
            #expect(try board(.length) == .length(1))
            try stage.run("board", .sortedSetRemoveAll)
        }
    }
}
