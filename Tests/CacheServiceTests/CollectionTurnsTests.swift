import Engine
import Metering
import Tenancy
import Testing

@testable import CacheService

/// Commands over so many elements that their answers are made in turns.
@Suite struct CollectionTurnsTests {
    private static let count = 200_000
    private static let limits: LimitChanges = [.defaultTTLSeconds: 60, .maxItemBytes: 1 << 30]

    private func fill(_ stage: CollectionStage, _ key: String, _ kind: ItemKind, _ count: Int) throws {
        for start in stride(from: 0, to: count, by: 10_000) {
            let texts = (start..<min(count, start + 10_000)).map { "element-\($0)" }
            let elements = Elements(texts: texts)
            switch kind {
            case .dictionary: try stage.run(key, .dictionarySet(fields: elements, values: elements, .usual))
            case .set: try stage.run(key, .setUnion(elements, .usual))
            case .list: try stage.run(key, .listPush(.back, elements, limit: 0, .usual))
            default:
                let scores = texts.indices.map { Double(start + $0) }
                try stage.run(key, .sortedSetPut(members: elements, scores: scores, .usual))
            }
        }
    }

    private func fetch(_ kind: ItemKind) -> CollectionCommand {
        switch kind {
        case .dictionary: .dictionaryFetch
        case .set: .setFetch
        case .list: .listFetch(.all)
        default: .sortedSetFetch(SortedSetSelection(.ranks(.all), isReversed: true), withScores: true)
        }
    }

    private func check(_ reply: CollectionReply, _ kind: ItemKind, _ count: Int) {
        let texts = (0..<count).map { "element-\($0)" }
        switch (kind, reply) {
        case (.dictionary, .pairs(let fields, let values)):
            #expect(fields.texts == values.texts && fields.count == count && Set(fields.texts) == Set(texts))
        case (.set, .elements(let members)):
            #expect(members.count == count && Set(members.texts) == Set(texts))
        case (.list, .elements(let elements)):
            #expect(elements.texts == texts)
        case (.sortedSet, .scored(let members, let scores)):
            #expect(members.texts == texts.reversed() && scores == (0..<count).reversed().map(Double.init))
        default:
            Issue.record("another reply")
        }
    }

    private static let kinds: [ItemKind] = [.dictionary, .set, .list, .sortedSet]

    @Test(arguments: kinds, [false, true]) func manyElementsTakeSeveralTurns(kind: ItemKind, seals: Bool) throws {
        let count = seals ? 20_000 : Self.count
        let stage = try CollectionStage(limits: Self.limits, seals: seals)
        try fill(stage, "k", kind, count)
        let before = try stage.counts()
        let answer = try stage.begin("k", fetch(kind))
        #expect(answer.result == nil)
        var turns = 0
        while answer.result == nil, stage.turn() {
            turns += 1
            // The snapshot is of the beginning, whatever happens meanwhile.
            if turns == 2 { try stage.run("k", .setUnion(["x"], .usual), ignoring: .wrongType) }
            if turns == 3 { try stage.delete("k") }
        }
        #expect(turns >= count / 2000 - 2 && turns <= count / 500)
        #expect(!stage.turn())
        check(try stage.finish(answer), kind, count)
        let counts = try stage.counts().merging(before) { $0 - $1 }
        #expect(counts[.elementsOut] == UInt64(count))
        #expect(counts[.responseChunks] == UInt64(count))
    }

    @Test(arguments: kinds) func whatIsNotMuchIsHereAtOnce(kind: ItemKind) throws {
        let stage = try CollectionStage(limits: Self.limits)
        try fill(stage, "k", kind, 1500)
        let answer = try stage.begin("k", fetch(kind))
        #expect(answer.wasHere)
        check(try stage.finish(answer), kind, 1500)
        #expect(!stage.turn())
    }

    @Test func largeElementsTakeMoreTurns() throws {
        let stage = try CollectionStage(limits: Self.limits)
        let element = String(repeating: "e", count: 100_000)
        let elements = Elements(texts: (0..<40).map { element + "\($0)" })
        try stage.run("l", .listPush(.back, elements, limit: 0, .usual))
        try stage.run("s", .setUnion(elements, .usual))
        for command in [CollectionCommand.listFetch(.all), .setFetch, .setSample(limit: 39), .setPop(count: 39)] {
            let key = if case .listFetch = command { "l" } else { "s" }
            let answer = try stage.begin(key, command)
            var turns = 0
            while answer.result == nil, stage.turn() { turns += 1 }
            #expect(turns >= 2, "\(command.operation)")
            guard case .elements(let fetched) = try stage.finish(answer) else {
                Issue.record("another reply")
                continue
            }
            #expect(fetched.count >= 39 && Set(fetched.texts).isSubset(of: elements.texts))
        }
    }

    @Test func callsTakeTurnsWithEachOther() throws {
        let stage = try CollectionStage(limits: Self.limits)
        try fill(stage, "long", .list, 40_000)
        try fill(stage, "short", .list, 10_000)
        let long = try stage.begin("long", .listFetch(.all))
        let short = try stage.begin("short", .listFetch(.all))
        while short.result == nil, stage.turn() {}
        #expect(long.result == nil)
        check(try stage.finish(short), .list, 10_000)
        check(try stage.finish(long), .list, 40_000)
        #expect(!stage.lane.hasCallsLeft)
    }

    @Test(arguments: kinds) func aCacheThatIsDeletedEndsTheFetch(kind: ItemKind) throws {
        let stage = try CollectionStage(limits: Self.limits)
        try fill(stage, "k", kind, 20_000)
        let answer = try stage.begin("k", fetch(kind))
        #expect(stage.turn() && answer.result == nil)
        let cache = try #require(try stage.grant().cache)
        let row = try stage.lane.row(cache, .grpc)
        let calls = row.count(of: .calls)
        try stage.fixture.control.deleteCache(CacheName(stage.cacheName), caller: stage.fixture.root)
        #expect(throws: MartletError.cacheNotFound) { try stage.finish(answer) }
        // Its counters were given back.
        #expect(row.count(of: .calls) == calls)
        #expect(!stage.turn())
    }

    // MARK: Samples and pops

    @Test(arguments: [100, 1000, 9000, 29_999]) func samplesOfALargeSetAreDistinct(limit: Int) throws {
        let stage = try CollectionStage(limits: Self.limits)
        try fill(stage, "s", .set, 30_000)
        let all = Set((0..<30_000).map { "element-\($0)" })
        let first = try #require(try stage.run("s", .setSample(limit: limit)).sortedTexts)
        let second = try #require(try stage.run("s", .setSample(limit: limit)).sortedTexts)
        for sample in [first, second] {
            #expect(sample.count == limit && Set(sample).count == limit && all.isSuperset(of: sample))
        }
        if limit < 20_000 { #expect(first != second) }
        #expect(try stage.run("s", .setLength) == .length(30_000))
    }

    /// Each member is as likely as every other, drawn one by one and on a walk.
    @Test(arguments: [300, 3000]) func samplesAreEven(limit: Int) throws {
        let stage = try CollectionStage(limits: Self.limits)
        let count = 5000
        try fill(stage, "s", .set, count)
        var hits: [String: Int] = [:]
        let rounds = 60_000 / limit
        for _ in 0..<rounds {
            for member in try stage.run("s", .setSample(limit: limit)).sortedTexts ?? [] {
                hits[member, default: 0] += 1
            }
        }
        // 12 draws of each on average; the chi-square statistic of 5000 cells is near its degrees of freedom.
        let mean = Double(rounds * limit) / Double(count)
        let chance = Double(limit) / Double(count)
        let statistic = (0..<count).reduce(0.0) { sum, index in
            let difference = Double(hits["element-\(index)", default: 0]) - mean
            return sum + difference * difference / (mean * (1 - chance))
        }
        #expect(abs(statistic - Double(count)) < 6 * (2 * Double(count)).squareRoot(), "\(statistic)")
    }

    @Test func largePopsTakeEachMemberOnce() throws {
        let stage = try CollectionStage(limits: Self.limits)
        try fill(stage, "s", .set, 30_000)
        var left = Set((0..<30_000).map { "element-\($0)" })
        let answer = try stage.begin("s", .setPop(count: 12_000))
        #expect(answer.result == nil)
        let popped = Set(try #require(try stage.finish(answer).sortedTexts))
        #expect(popped.count == 12_000 && popped.isSubset(of: left))
        left.subtract(popped)
        #expect(try stage.run("s", .setLength) == .length(18_000))
        let few = Set(try #require(try stage.run("s", .setPop(count: 10)).sortedTexts))
        #expect(few.count == 10 && few.isSubset(of: left))
        left.subtract(few)
        #expect(Set(try #require(try stage.run("s", .setPop(count: .max)).sortedTexts)) == left)
        #expect(try stage.kind("s") == nil)
    }

    @Test func aPopEndsWithWhatThereIs() throws {
        let stage = try CollectionStage(limits: Self.limits)
        try fill(stage, "s", .set, 30_000)
        let answer = try stage.begin("s", .setPop(count: 20_000))
        #expect(stage.turn() && answer.result == nil)
        try stage.set("s", "a scalar now")
        let popped = try #require(try stage.finish(answer).sortedTexts)
        #expect(popped.count >= 500 && popped.count < 20_000)
        #expect(try stage.value("s") == "a scalar now")
    }

    // MARK: Unions

    @Test func aLargeUnionTakesTurns() throws {
        let stage = try CollectionStage(limits: Self.limits)
        try fill(stage, "a", .sortedSet, 20_000)
        try fill(stage, "b", .sortedSet, 10_000)
        let answer = try stage.begin(
            "u", .sortedSetUnionStore(sources: ["a", "b"], weights: [1, 10], .sum, ttl: nil))
        var turns = 0
        while answer.result == nil, stage.turn() {
            turns += 1
            if turns < 5 { #expect(try stage.kind("u") == nil) }
        }
        #expect(turns > 20)
        #expect(try stage.finish(answer) == .length(20_000))
        #expect(
            try stage.run("u", .sortedSetGetScore(members: ["element-3", "element-15000"])) == .scores([33, 15_000]))
    }

    @Test func aUnionOfAChangingSourceIsOfOneMoment() throws {
        let stage = try CollectionStage(limits: Self.limits)
        try fill(stage, "a", .sortedSet, 5000)
        let answer = try stage.begin("u", .sortedSetUnionStore(sources: ["a"], weights: [1], .sum, ttl: nil))
        var changes = 0
        while answer.result == nil, stage.turn() {
            changes += 1
            try stage.run("a", .sortedSetIncrement(member: Array("x".utf8), by: 1, .usual))
        }
        #expect(try stage.finish(answer) == .length(5001))
        #expect(changes > 10)
    }
}

extension CollectionStage {
    func run(_ key: String, _ command: CollectionCommand, ignoring ignored: MartletError) throws {
        let error = try error(key, command)
        #expect(error == nil || error == ignored)
    }
}
