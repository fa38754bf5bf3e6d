import Access
import Admission
import Catalog
import Engine
import Metering
import Tenancy
import Testing

@testable import CacheService

/// What is refused before anything is done, and how long collections live.
@Suite struct CollectionLimitTests {
    private func bytes(_ count: Int) -> [UInt8] { Array(repeating: 120, count: count) }

    private func refusal(_ field: String, of command: CollectionCommand) throws {
        let stage = try CollectionStage()
        let counts = try stage.counted {
            guard case .invalidArgument(field, _) = try stage.error("k", command) else {
                Issue.record("\(command) gives \(String(describing: try stage.error("k", command)))")
                return
            }
        }
        #expect(counts == [.calls: 1, .clientErrors: 1, .operations: 1])
        #expect(try stage.kind("k") == nil)
    }

    @Test func whatIsNoNumberIsRefused() throws {
        let nan = ScoreRange.Bound(.nan)
        try refusal("score", of: .sortedSetPut(members: ["a", "b"], scores: [1, .nan], .usual))
        try refusal("amount", of: .sortedSetIncrement(member: [97], by: .nan, .usual))
        try refusal(
            "score",
            of: .sortedSetFetch(SortedSetSelection(.scores(ScoreRange(minimum: nan))), withScores: false))
        try refusal("score", of: .sortedSetLengthByScore(ScoreRange(maximum: nan)))
        try refusal("score", of: .leaderboard(.upsert(ids: [1], scores: [.nan], ttl: nil)))
        try refusal(
            "score",
            of: .leaderboard(.byScore(ScoreRange(maximum: nan), isReversed: false, offset: 0, limit: 0)))
        for weight in [Double.nan, .infinity, -.infinity] {
            try refusal(
                "weight", of: .sortedSetUnionStore(sources: ["a", "b"], weights: [1, weight], .sum, ttl: nil))
        }
        try refusal("sources", of: .sortedSetUnionStore(sources: [], weights: [], .sum, ttl: nil))
    }

    @Test func aSumThatIsNoNumberIsRefused() throws {
        let stage = try CollectionStage()
        try stage.run("z", .sortedSetPut(members: ["a"], scores: [.infinity], .usual))
        let error = try stage.error("z", .sortedSetIncrement(member: [97], by: -.infinity, .usual))
        guard case .invalidArgument("amount", _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(try stage.run("z", .sortedSetGetScore(members: ["a"])) == .scores([.infinity]))
    }

    @Test func leaderboardsTakeAndGiveSoManyElements() throws {
        let many = Array(UInt32(0)..<8193)
        let scores = many.map(Double.init)
        let whole = ScoreRange()
        try refusal("elements", of: .leaderboard(.upsert(ids: [], scores: [], ttl: nil)))
        try refusal("elements", of: .leaderboard(.upsert(ids: many, scores: scores, ttl: nil)))
        for ids in [[], many] {
            try refusal("ids", of: .leaderboard(.remove(ids: ids)))
            try refusal("ids", of: .leaderboard(.rank(ids: ids, isReversed: false)))
            try refusal("ids", of: .leaderboard(.competitionRank(ids: ids, isReversed: true)))
        }
        for range in [0..<0, 5..<5, 0..<8193, -1..<1, Int.min..<Int.max] {
            try refusal("rank_range", of: .leaderboard(.byRank(range, isReversed: false)))
        }
        for limit in [8193, -1] {
            try refusal("limit_elements", of: .leaderboard(.byScore(whole, isReversed: false, offset: 0, limit: limit)))
        }
        try refusal("offset", of: .leaderboard(.byScore(whole, isReversed: false, offset: -1, limit: 1)))

        let stage = try CollectionStage()
        func board(_ command: LeaderboardCommand) throws -> CollectionReply {
            try stage.run("b", .leaderboard(command))
        }
        #expect(
            try board(.upsert(ids: Array(many.prefix(8192)), scores: Array(scores.prefix(8192)), ttl: nil)) == .done)
        _ = try board(.upsert(ids: [8192], scores: [8192], ttl: nil))
        #expect(try board(.length) == .length(8193))
        func ids(_ command: LeaderboardCommand) throws -> [UInt32] {
            guard case .ranked(let ranked) = try board(command) else { return [] }
            return ranked.map(\.id)
        }
        #expect(try ids(.byRank(0..<8192, isReversed: false)) == Array(many.prefix(8192)))
        // 0 asks for as many as there may be.
        for limit in [0, 8192] {
            #expect(
                try ids(.byScore(whole, isReversed: true, offset: 0, limit: limit)) == many.dropFirst().reversed())
        }
        #expect(try ids(.rank(ids: Array(many.dropFirst()), isReversed: false)) == Array(many.dropFirst()))
        #expect(try board(.remove(ids: Array(many.dropFirst()))) == .done)
        #expect(try board(.length) == .length(1))
    }

    // MARK: Sizes

    @Test func elementsAreAsLargeAsTheLimitSays() throws {
        let stage = try CollectionStage(limits: [.defaultTTLSeconds: 3600, .maxElementBytes: 100])
        let (fits, large) = (bytes(100), bytes(101))
        func commands(_ element: [UInt8]) -> [CollectionCommand] {
            let elements = Elements([[1], element])
            return [
                .dictionarySet(fields: elements, values: ["", ""], .usual),
                .dictionarySet(fields: ["a", "b"], values: elements, .usual), .dictionaryGet(fields: elements),
                .dictionaryDelete(fields: elements), .dictionaryIncrement(field: element, by: 1, .usual),
                .setUnion(elements, .usual), .setContains(elements), .setSubtract(elements),
                .setBecomeDifference(of: elements), .listPush(.back, elements, limit: 0, .usual),
                .listRemove(value: element), .sortedSetPut(members: elements, scores: [1, 2], .usual),
                .sortedSetGetScore(members: elements), .sortedSetRemove(members: elements),
                .sortedSetIncrement(member: element, by: 1, .usual),
                .sortedSetGetRank(member: element, isReversed: false),
            ]
        }
        for (index, command) in commands(large).enumerated() {
            var error: MartletError?
            let counts = try stage.counted { error = try stage.error("k\(index)", command) }
            #expect(error == .tooLarge(limit: .maxElementBytes, value: 100), "\(command)")
            #expect(counts == [.calls: 1, .throttled: 1])
        }
        for (index, command) in commands(fits).enumerated() {
            #expect(try stage.error("k\(index)", command) == nil, "\(command)")
            try stage.delete("k\(index)")
        }
    }

    @Test func keysAreAsLongAsTheLimitSays() throws {
        let stage = try CollectionStage(limits: [.defaultTTLSeconds: 3600, .maxKeyBytes: 8])
        let error = MartletError.tooLarge(limit: .maxKeyBytes, value: 8)
        for (_, command) in CollectionSemanticsTests.commands {
            #expect(try stage.error("123456789", command) == error, "\(command)")
        }
        #expect(try stage.run("12345678", .setUnion(["a"], .usual)) == .done)
        #expect(
            try stage.error("d", .sortedSetUnionStore(sources: ["a", "123456789"], weights: [1, 1], .sum, ttl: nil))
                == error)
    }

    @Test func ratesAreKept() throws {
        let stage = try CollectionStage(limits: [.defaultTTLSeconds: 3600, .maxOperationsPerSecond: 10])
        let eight = CollectionCommand.setUnion(Elements(texts: (0..<8).map(String.init)), .usual)
        #expect(try stage.run("s", eight) == .done)
        let counts = try stage.counted {
            guard case .rateLimited(.maxOperationsPerSecond, 10, _) = try stage.error("s", eight) else {
                Issue.record("eight more operations were admitted")
                return
            }
        }
        #expect(counts == [.calls: 1, .throttled: 1])
        stage.advance(seconds: 2)
        // One operation is known of; the reply costs eight, which holds back the next call.
        #expect(try stage.run("s", .setFetch).sortedTexts?.count == 8)
        guard case .rateLimited = try stage.error("s", eight) else {
            Issue.record("what the reply cost was forgotten")
            return
        }
    }

    // MARK: Time

    /// Every write that a TTL goes with, each on a collection with that of the first.
    private static func writes(_ ttl: CollectionTTL) -> [(first: CollectionCommand, again: CollectionCommand)] {
        let set = { (value: String) in
            CollectionCommand.dictionarySet(fields: ["f"], values: Elements(texts: [value]), ttl)
        }
        let push = { (end: ListEnd) in CollectionCommand.listPush(end, ["a"], limit: 0, ttl) }
        let put = { (score: Double) in CollectionCommand.sortedSetPut(members: ["m"], scores: [score], ttl) }
        return [
            (set("1"), set("2")), (set("1"), set("1")), (set("1"), .dictionaryIncrement(field: [102], by: 1, ttl)),
            (.setUnion(["a"], ttl), .setUnion(["b"], ttl)), (.setUnion(["a"], ttl), .setUnion(["a"], ttl)),
            (push(.back), push(.front)), (push(.back), .listRetain(.all, ttl)),
            (put(1), put(2)), (put(1), put(1)), (put(1), .sortedSetIncrement(member: [109], by: 1, ttl)),
            (put(1), .sortedSetIncrement(member: [109], by: 0, ttl)),
        ]
    }

    @Test func onlyARefreshingWriteMovesTheEnd() throws {
        for refreshes in [false, true] {
            let stage = try CollectionStage()
            let start = stage.lane.now
            for (index, (first, _)) in Self.writes(try .seconds(10, refreshes: refreshes)).enumerated() {
                try stage.run("k\(index)", first)
                // What is made gets the TTL either way.
                #expect(try stage.expiresAt("k\(index)") == start.adding(milliseconds: 10_000), "\(first)")
            }
            stage.advance(seconds: 5)
            for (index, (_, again)) in Self.writes(try .seconds(100, refreshes: refreshes)).enumerated() {
                try stage.run("k\(index)", again)
                let end = start.adding(milliseconds: refreshes ? 105_000 : 10_000)
                #expect(try stage.expiresAt("k\(index)") == end, "\(again), refreshes: \(refreshes)")
            }
            guard !refreshes else { continue }
            // From its last millisecond on nothing is there, and the next write makes it anew.
            stage.advance(seconds: 5)
            for (index, (first, _)) in Self.writes(try .seconds(1, refreshes: false)).enumerated() {
                #expect(try stage.kind("k\(index)") == nil)
                try stage.run("k\(index)", first)
                #expect(try stage.expiresAt("k\(index)") == start.adding(milliseconds: 11_000))
            }
        }
    }

    @Test func theCachesRulesHold() throws {
        let stage = try CollectionStage(limits: [.defaultTTLSeconds: 30, .maxTTLSeconds: 60])
        let start = stage.lane.now
        for (index, (first, _)) in Self.writes(.usual).enumerated() {
            try stage.run("k\(index)", first)
            #expect(try stage.expiresAt("k\(index)") == start.adding(milliseconds: 30_000))
        }
        try stage.run("u", .sortedSetUnionStore(sources: ["k7"], weights: [1], .sum, ttl: nil))
        #expect(try stage.expiresAt("u") == start.adding(milliseconds: 30_000))
        for (index, (_, again)) in Self.writes(try .seconds(61, refreshes: false)).enumerated() {
            guard case .invalidArgument("ttl_milliseconds", _) = try stage.error("k\(index)", again) else {
                Issue.record("\(again) took a TTL over the limit")
                continue
            }
        }
        let minute = try TTL(milliseconds: 60_000, field: "ttl")
        try stage.run("u", .sortedSetUnionStore(sources: ["k7"], weights: [1], .sum, ttl: minute))
        #expect(try stage.expiresAt("u") == start.adding(milliseconds: 60_000))

        let bare = try CollectionStage(limits: [:])
        guard case .invalidArgument("ttl_milliseconds", _) = try bare.error("s", .setUnion(["a"], .usual)) else {
            Issue.record("a set without a TTL was made in a cache without a default")
            return
        }
        // Where nothing is to be refreshed, no time is missing.
        try bare.run("l", .listPush(.back, ["a", "b"], limit: 0, try .seconds(9, refreshes: false)))
        #expect(try bare.run("l", .listRetain(.halfOpen(start: 1, end: nil), .kept)) == .length(1))
        #expect(try bare.expiresAt("l") == start.adding(milliseconds: 9000))
    }

    @Test func leaderboardsLiveAWeekFromTheLastWrite() throws {
        let week: Int64 = 7 * 86_400_000
        let stage = try CollectionStage(limits: [.defaultTTLSeconds: 30])
        let start = stage.lane.now
        func board(_ command: LeaderboardCommand) throws { try stage.run("b", .leaderboard(command)) }
        try board(.upsert(ids: [1, 2], scores: [1, 2], ttl: nil))
        #expect(try stage.expiresAt("b") == start.adding(milliseconds: week))
        stage.advance(seconds: 100)
        try board(.length)
        try board(.byRank(0..<1, isReversed: false))
        #expect(try stage.expiresAt("b") == start.adding(milliseconds: week))
        try board(.upsert(ids: [1], scores: [1], ttl: nil))
        #expect(try stage.expiresAt("b") == start.adding(milliseconds: week + 100_000))
        stage.advance(seconds: 100)
        try board(.remove(ids: [3]))
        #expect(try stage.expiresAt("b") == start.adding(milliseconds: week + 200_000))
        try board(.upsert(ids: [1], scores: [1], ttl: try TTL(milliseconds: 5000, field: "ttl")))
        #expect(try stage.expiresAt("b") == start.adding(milliseconds: 205_000))
        try board(.remove(ids: [1, 2]))
        #expect(try stage.kind("b") == nil)

        let short = try CollectionStage(limits: [.maxTTLSeconds: 60])
        try short.run("b", .leaderboard(.upsert(ids: [1], scores: [1], ttl: nil)))
        #expect(try short.expiresAt("b") == short.lane.now.adding(milliseconds: 60_000))
    }
}

extension CollectionStage {
    func delete(_ key: String) throws {
        let answer = try ask(key, .delete) { lane.delete($0, .grpc, key: $1, condition: .always, later: $2) }
        _ = try finish(answer)
    }
}
