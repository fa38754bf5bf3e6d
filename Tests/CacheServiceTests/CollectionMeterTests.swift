import Engine
import Metering
import Tenancy
import Testing

@testable import CacheService

/// What a call on a collection adds to the counters, exactly.
@Suite struct CollectionMeterTests {
    private let stage: CollectionStage

    init() throws { stage = try CollectionStage() }

    private func expect(
        _ key: String, _ command: CollectionCommand, _ counts: [Meter: UInt64],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let counted = try stage.counted(key, command)
        #expect(counted == counts, "\(command)", sourceLocation: sourceLocation)
    }

    private let long = String(repeating: "v", count: 1500)

    @Test func dictionaries() throws {
        // A field and its value are one element.
        try expect(
            "d", .dictionarySet(fields: ["a", "bb"], values: ["1", "22"], .usual),
            [.calls: 1, .operations: 2, .requestChunks: 2, .bytesIn: 7, .elementsIn: 2])
        try expect(
            "d", .dictionarySet(fields: ["l"], values: Elements(texts: [long]), .usual),
            [.calls: 1, .operations: 2, .requestChunks: 2, .bytesIn: 1502, .elementsIn: 1])
        // 1 for a, 2 for l, 1 for the name that is not there.
        try expect(
            "d", .dictionaryGet(fields: ["a", "none", "l"]),
            [
                .calls: 1, .operations: 4, .requestChunks: 3, .responseChunks: 3, .bytesIn: 7, .bytesOut: 1501,
                .elementsIn: 3, .elementsOut: 2, .hits: 1,
            ])
        try expect(
            "none", .dictionaryGet(fields: ["a", "b"]),
            [.calls: 1, .operations: 2, .requestChunks: 2, .bytesIn: 6, .elementsIn: 2, .misses: 1])
        try expect(
            "d", .dictionaryFetch,
            [
                .calls: 1, .operations: 4, .requestChunks: 1, .responseChunks: 4, .bytesIn: 1, .bytesOut: 1507,
                .elementsOut: 3, .hits: 1,
            ])
        try expect(
            "none", .dictionaryFetch, [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 4, .misses: 1])
        try expect("d", .dictionaryLength, [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 1, .hits: 1])
        try expect(
            "d", .dictionaryIncrement(field: [110], by: -12, .usual),
            [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 2, .bytesOut: 3, .elementsIn: 1])
        try expect(
            "d", .dictionaryDelete(fields: ["a", "x", "y"]),
            [.calls: 1, .operations: 3, .requestChunks: 3, .bytesIn: 4, .elementsIn: 3])
        try expect("d", .dictionaryDeleteAll, [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 1])
    }

    @Test func sets() throws {
        let ten = Elements(texts: (0..<10).map { "m\($0)" })
        try expect(
            "s", .setUnion(ten, .usual),
            [.calls: 1, .operations: 10, .requestChunks: 10, .bytesIn: 21, .elementsIn: 10])
        try expect(
            "s", .setFetch,
            [
                .calls: 1, .operations: 10, .requestChunks: 1, .responseChunks: 10, .bytesIn: 1, .bytesOut: 20,
                .elementsOut: 10, .hits: 1,
            ])
        try expect(
            "s", .setSample(limit: 3),
            [
                .calls: 1, .operations: 3, .requestChunks: 1, .responseChunks: 3, .bytesIn: 1, .bytesOut: 6,
                .elementsOut: 3, .hits: 1,
            ])
        try expect("s", .setSample(limit: 0), [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 1, .hits: 1])
        try expect(
            "s", .setContains(["m1", "x"]),
            [.calls: 1, .operations: 2, .requestChunks: 2, .bytesIn: 4, .elementsIn: 2, .hits: 1])
        try expect(
            "s", .setSubtract(["m1"]), [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 3, .elementsIn: 1])
        try expect(
            "s", .setPop(count: 4),
            [
                .calls: 1, .operations: 4, .requestChunks: 1, .responseChunks: 4, .bytesIn: 1, .bytesOut: 8,
                .elementsOut: 4,
            ])
        try expect("s", .setLength, [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 1, .hits: 1])
        try expect("none", .setPop(count: 4), [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 4])
        try expect("none", .setContains([]), [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 4, .misses: 1])
    }

    @Test func lists() throws {
        try expect(
            "l", .listPush(.back, Elements(texts: ["a", long, ""]), limit: 0, .usual),
            [.calls: 1, .operations: 4, .requestChunks: 4, .bytesIn: 1502, .elementsIn: 3])
        try expect(
            "l", .listFetch(.halfOpen(start: 1, end: nil)),
            [
                .calls: 1, .operations: 3, .requestChunks: 1, .responseChunks: 3, .bytesIn: 1, .bytesOut: 1500,
                .elementsOut: 2, .hits: 1,
            ])
        try expect(
            "l", .listRemove(value: [120]),
            [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 2, .elementsIn: 1])
        try expect(
            "l", .listPop(.front),
            [
                .calls: 1, .operations: 1, .requestChunks: 1, .responseChunks: 1, .bytesIn: 1, .bytesOut: 1,
                .elementsOut: 1,
            ])
        try expect("l", .listErase([0..<1]), [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 1])
        try expect("l", .listRetain(.all, .usual), [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 1])
        try expect("l", .listLength, [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 1, .hits: 1])
    }

    @Test func sortedSets() throws {
        // A score has eight bytes.
        try expect(
            "z", .sortedSetPut(members: ["a", "bb"], scores: [1, 2], .usual),
            [.calls: 1, .operations: 2, .requestChunks: 2, .bytesIn: 20, .elementsIn: 2])
        try expect(
            "y", .sortedSetPut(members: Elements(texts: [String(repeating: "m", count: 1017)]), scores: [1], .usual),
            [.calls: 1, .operations: 2, .requestChunks: 2, .bytesIn: 1026, .elementsIn: 1])
        let all = SortedSetSelection(.ranks(.all))
        try expect(
            "z", .sortedSetFetch(all, withScores: true),
            [
                .calls: 1, .operations: 2, .requestChunks: 1, .responseChunks: 2, .bytesIn: 1, .bytesOut: 19,
                .elementsOut: 2, .hits: 1,
            ])
        try expect(
            "z", .sortedSetFetch(all, withScores: false),
            [
                .calls: 1, .operations: 2, .requestChunks: 1, .responseChunks: 2, .bytesIn: 1, .bytesOut: 3,
                .elementsOut: 2, .hits: 1,
            ])
        try expect(
            "z", .sortedSetGetScore(members: ["a", "none"]),
            [
                .calls: 1, .operations: 2, .requestChunks: 2, .responseChunks: 1, .bytesIn: 6, .bytesOut: 8,
                .elementsIn: 2, .elementsOut: 1, .hits: 1,
            ])
        try expect(
            "z", .sortedSetGetRank(member: [97], isReversed: false),
            [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 2, .elementsIn: 1, .hits: 1])
        try expect(
            "z", .sortedSetIncrement(member: [97], by: 1, .usual),
            [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 10, .bytesOut: 8, .elementsIn: 1])
        try expect(
            "u", .sortedSetUnionStore(sources: ["z", "yy"], weights: [1, 1], .sum, ttl: nil),
            [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 4])
        try expect(
            "z", .sortedSetRemove(members: ["a"]),
            [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 2, .elementsIn: 1])
    }

    @Test func leaderboards() throws {
        func expect(_ command: LeaderboardCommand, _ counts: [Meter: UInt64]) throws {
            try self.expect("b", .leaderboard(command), counts)
        }
        try expect(.length, [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 1, .misses: 1])
        try expect(
            .byRank(0..<9, isReversed: false),
            [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 1, .misses: 1])
        try expect(
            .upsert(ids: [1, 2, 3], scores: [1, 2, 3], ttl: nil),
            [.calls: 1, .operations: 3, .requestChunks: 3, .bytesIn: 37, .elementsIn: 3])
        try expect(.length, [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 1, .hits: 1])
        try expect(
            .byRank(0..<9, isReversed: false),
            [
                .calls: 1, .operations: 3, .requestChunks: 1, .responseChunks: 3, .bytesIn: 1, .bytesOut: 36,
                .elementsOut: 3, .hits: 1,
            ])
        for command in [.rank(ids: [1, 9], isReversed: false)]
            + [LeaderboardCommand.competitionRank(ids: [1, 9], isReversed: false)]
        {
            try expect(
                command,
                [
                    .calls: 1, .operations: 2, .requestChunks: 2, .responseChunks: 1, .bytesIn: 9, .bytesOut: 12,
                    .elementsIn: 2, .elementsOut: 1, .hits: 1,
                ])
        }
        try expect(
            .remove(ids: [1, 9]), [.calls: 1, .operations: 2, .requestChunks: 2, .bytesIn: 9, .elementsIn: 2])
        try expect(.delete, [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 1])
    }

    @Test func refusalsAreWrittenDownOnce() throws {
        try stage.run("s", .setUnion(["a"], .usual))
        for (kind, command) in CollectionSemanticsTests.commands where kind != .set {
            try expect("s", command, [.calls: 1, .operations: 1, .clientErrors: 1])
        }
    }
}
