import Access
import Admission
import Engine
import Metering
import Tenancy
import Testing

@testable import CacheService

/// One cache on which commands are executed without a door, turn by turn.
private final class Bench {
    private let engine: EmbeddedEngine
    private let items: EngineCache
    private let sizes: SizeLimits
    /// Of the last command.
    private(set) var turns = 0
    private(set) var usage = CommandUsage()

    init(_ set: [LimitName: UInt64] = [:]) throws {
        var limits = Limits()
        for (name, value) in set { limits[name] = value }
        engine = try EmbeddedEngine(
            configuration: EngineConfiguration(
                memoryBytes: 64 << 20, indexKey: SipHashKey(k0: 3, k1: 4), valueHashKey: SipHashKey(k0: 3, k1: 4)))
        items = engine.openCache(CacheID(rawValue: 7), limits: EngineCacheLimits())
        sizes = SizeLimits(cache: limits)
    }

    /// Executes a command and returns its reply with line ends as blanks.
    func run(_ words: [String], isVersion3: Bool = false) throws -> String {
        let owned = OwnedArguments(words.map { Array($0.utf8) })
        let spec = try #require(CommandTable.shared.command(named: owned.arguments[0]))
        guard case .items(let execute) = spec.action else { throw MartletError.syntax }
        let writer = ReplyWriter()
        writer.isVersion3 = isVersion3
        let call = CommandCall(
            owned.arguments, on: items, sizes: sizes, ttl: TTLRules(), now: Timestamp(milliseconds: 1_000_000),
            reply: writer)
        turns = 0
        try execute(call)
        if let work = call.work {
            #expect(writer.count == 0, "a command that is answered in turns has written before them")
            repeat { turns += 1 } while try !work.step(call)
        }
        usage = call.usage
        return String(decoding: writer.bytes, as: UTF8.self).replacing("\r\n", with: " ")
    }

    func run(_ line: String, isVersion3: Bool = false) throws -> String {
        try run(line.split(separator: " ").map(String.init), isVersion3: isVersion3)
    }

    /// Adds so many members with their numbers as scores.
    func fill(_ key: String, _ numbers: Range<Int>) throws {
        for start in stride(from: numbers.lowerBound, to: numbers.upperBound, by: 1000) {
            let part = start..<min(start + 1000, numbers.upperBound)
            _ = try run(["ZADD", key] + part.flatMap { ["\($0)", "m\($0)"] })
        }
    }
}

@Suite struct SortedSetCommandTests {
    @Test func largeRangesAreAnsweredInTurnsAsSmallOnesAtOnce() throws {
        let bench = try Bench()
        try bench.fill("z", 0..<10_000)
        let all = try bench.run("ZRANGE z 0 -1")
        #expect(bench.turns > 3)
        #expect(all.hasPrefix("*10000 $2 m0 $2 m1 ") && all.hasSuffix("$5 m9999 "))
        #expect(bench.usage.elementsOut == 10_000)
        let reversed = try bench.run("ZRANGE z 9000 8000 BYSCORE REV WITHSCORES", isVersion3: true)
        #expect(bench.turns == 0)
        #expect(reversed.hasPrefix("*1001 *2 $5 m9000 ,9000 *2 $5 m8999 ,8999 "))
        let scored = try bench.run("ZREVRANGE z 0 -1 WITHSCORES")
        #expect(scored.hasPrefix("*20000 $5 m9999 $4 9999 ") && scored.hasSuffix("$2 m0 $1 0 "))
    }

    @Test func largeRemovalsAndPopsGoInPieces() throws {
        let bench = try Bench()
        try bench.fill("z", 0..<6000)
        #expect(try bench.run("ZREMRANGEBYRANK z -5000 -2001") == ":3000 ")
        #expect(bench.turns > 3)
        #expect(try bench.run("ZCARD z") == ":3000 ")
        #expect(try bench.run("ZRANGE z 999 1000") == "*2 $4 m999 $5 m4000 ")
        #expect(try bench.run("ZREMRANGEBYSCORE z 4000 (5500") == ":1500 ")
        let popped = try bench.run("ZPOPMAX z 1200")
        #expect(bench.turns > 2)
        #expect(popped.hasPrefix("*2400 $5 m5999 $4 5999 ") && popped.hasSuffix("$4 m300 $3 300 "))
        #expect(bench.usage.elementsOut == 1200)
        #expect(try bench.run("ZREMRANGEBYRANK z 0 -1") == ":300 ")
        #expect(bench.turns == 0)
        #expect(try bench.run("ZCARD z") == ":0 ")
    }

    @Test func largeCombinationsGoInTurns() throws {
        let bench = try Bench()
        try bench.fill("a", 0..<3000)
        try bench.fill("b", 2000..<4000)
        #expect(try bench.run("ZUNIONSTORE d 2 a b") == ":4000 ")
        #expect(bench.turns > 3)
        #expect(try bench.run("ZSCORE d m2500") == "$4 5000 ")
        #expect(try bench.run("ZINTERCARD 2 a b") == ":1000 ")
        #expect(try bench.run("ZINTERCARD 2 a b LIMIT 7") == ":7 ")
        #expect(try bench.run("ZDIFF 2 a b").hasPrefix("*2000 $2 m0 "))
        #expect(try bench.run("ZRANGESTORE d a 100 2999") == ":2900 ")
        #expect(try bench.run("ZRANGE d 0 0 WITHSCORES") == "*2 $4 m100 $3 100 ")
    }

    @Test func randomMembersAreDifferentOrAsManyAsAsked() throws {
        let bench = try Bench()
        try bench.fill("z", 0..<3000)
        for count in [10, 700, 2900, 3000, 5000] {
            let words = try bench.run("ZRANDMEMBER z \(count)").split(separator: " ")
            #expect(words[0] == "*\(min(count, 3000))")
            #expect(Set(words.filter { $0.hasPrefix("m") }).count == min(count, 3000))
        }
        #expect(try bench.run("ZRANDMEMBER z -4000 WITHSCORES").hasPrefix("*8000 "))
        #expect(bench.turns > 3)
        #expect(throws: MartletError.self) { try bench.run("ZRANDMEMBER z -9223372036854775807") }
    }

    @Test func sizesAreLimited() throws {
        let bench = try Bench([.maxItemBytes: 40_000, .maxElementBytes: 100, .maxKeyBytes: 10])
        #expect(throws: MartletError.tooLarge(limit: .maxElementBytes, value: 100)) {
            try bench.run(["ZADD", "z", "1", String(repeating: "m", count: 101)])
        }
        #expect(throws: MartletError.tooLarge(limit: .maxKeyBytes, value: 10)) {
            try bench.run("ZADD 01234567890 1 m")
        }
        #expect(throws: MartletError.tooLarge(limit: .maxKeyBytes, value: 10)) {
            try bench.run("ZUNIONSTORE 01234567890 1 z")
        }
        #expect(throws: MartletError.tooLarge(limit: .maxItemBytes, value: 40_000)) {
            for number in 0..<4000 { _ = try bench.run("ZADD z \(number) m\(number)") }
        }
        #expect(throws: MartletError.tooLarge(limit: .maxItemBytes, value: 40_000)) {
            try bench.run("GEOADD z 1 1 m")
        }
    }

    @Test func elementsAreCounted() throws {
        let bench = try Bench()
        _ = try bench.run("ZADD z 1 a 2 b 3 c")
        #expect(bench.usage.elementsIn == 3 && bench.usage.charge.operations == 3)
        _ = try bench.run("ZMSCORE z a nobody")
        #expect(bench.usage.elementsIn == 1 && bench.usage.elementsOut == 1 && bench.usage.hits == 1)
        _ = try bench.run("ZRANGE nothing 0 -1")
        #expect(bench.usage.charge.operations == 0 && bench.usage.misses == 1)
        _ = try bench.run("ZPOPMIN z 2")
        #expect(bench.usage.elementsOut == 2 && bench.usage.charge.operations == 2)
        _ = try bench.run(["ZADD", "z", "1", String(repeating: "m", count: 2000)])
        #expect(bench.usage.charge.operations == 2)
    }

    @Test func minusZeroIsAnsweredAndStoredAsZero() throws {
        let bench = try Bench()
        #expect(try bench.run("ZINCRBY z -0 a", isVersion3: true) == ",-0 ")
        #expect(try bench.run("ZSCORE z a", isVersion3: true) == ",0 ")
        #expect(try bench.run("ZINCRBY z -0 a") == "$1 0 ")
    }

    @Test func whoStoresNeedsWritingOnTheOneAndReadingOnTheOthers() throws {
        func access(_ line: String) throws -> [Int: KeyAccess] {
            let owned = OwnedArguments(line.split(separator: " ").map { Array($0.utf8) })
            let spec = try #require(CommandTable.shared.command(named: owned.arguments[0]))
            let found = try #require(spec.foundKeys(owned.arguments))
            return Dictionary(found.map { ($0.index, $0.access) }, uniquingKeysWith: { first, _ in first })
        }
        #expect(try access("ZUNIONSTORE d 2 a b WEIGHTS 1 2") == [1: .write, 3: .read, 4: .read])
        #expect(try access("ZRANGESTORE d s 0 -1") == [1: .write, 2: .read])
        #expect(try access("BZMPOP 0 2 a b MIN") == [3: .readWrite, 4: .readWrite])
        #expect(try access("BZPOPMIN a b 0") == [1: .readWrite, 2: .readWrite])
        #expect(try access("GEORADIUS g 1 1 5 km STORE d") == [1: .read, 7: .write])
        #expect(try access("GEORADIUSBYMEMBER g m 5 km ASC STOREDIST d") == [1: .read, 7: .write])
        #expect(try access("GEOSEARCHSTORE d g FROMMEMBER m BYRADIUS 5 km") == [1: .write, 2: .read])
    }
}

@Suite struct GeoCommandTests {
    /// Members on a grid of so many columns and rows in steps of a tenth of a degree.
    private func grid(_ bench: Bench, _ side: Int) throws {
        for column in 0..<side {
            _ = try bench.run(
                ["GEOADD", "g"]
                    + (0..<side).flatMap { row in
                        ["\(Double(column) / 10)", "\(Double(row) / 10)", "m\(column)_\(row)"]
                    })
        }
    }

    @Test func largeSearchesGoInTurnsAndAreSorted() throws {
        let bench = try Bench()
        try grid(bench, 60)
        let found = try bench.run("GEOSEARCH g FROMLONLAT 3 3 BYBOX 2000 2000 km ASC WITHDIST")
        #expect(bench.turns > 3)
        #expect(bench.usage.elementsOut == 3600)
        let distances = found.split(separator: " ").filter { $0.contains(".") }.compactMap { Double($0) }
        #expect(distances.count == 3600 && distances == distances.sorted())
        #expect(try bench.run("GEOSEARCH g FROMLONLAT 3 3 BYRADIUS 1 km") == "*1 $6 m30_30 ")
        #expect(try bench.run("GEOSEARCHSTORE d g FROMLONLAT 3 3 BYRADIUS 2000 km STOREDIST") == ":3600 ")
        #expect(try bench.run("ZRANGE d 0 0") == "*1 $6 m30_30 ")
        #expect(try bench.run("ZCARD d") == ":3600 ")
        #expect(try bench.run("GEOSEARCHSTORE d g FROMLONLAT -100 3 BYRADIUS 2 km") == ":0 ")
        #expect(try bench.run("ZCARD d") == ":0 ")
    }

    @Test func nothingIsMissedNearAPoleOrTheDateLine() throws {
        let bench = try Bench()
        var dice = Dice(seed: (5, 6))
        var members: [(String, GeoPoint)] = []
        for number in 0..<400 {
            let point = GeoPoint(
                longitude: Double.random(in: -180...180, using: &dice),
                latitude: Double.random(in: 60...85, using: &dice))
            members.append(("m\(number)", point))
            _ = try bench.run("GEOADD g \(point.longitude) \(point.latitude) m\(number)")
        }
        for _ in 0..<100 {
            let center = GeoPoint(
                longitude: Double.random(in: -180...180, using: &dice),
                latitude: Double.random(in: 70...85, using: &dice))
            let radius = Double.random(in: 1000...3_000_000, using: &dice)
            let answer = try bench.run(
                "GEOSEARCH g FROMLONLAT \(center.longitude) \(center.latitude) BYRADIUS \(radius) m")
            let found = Set(answer.split(separator: " ").filter { $0.hasPrefix("m") }.map(String.init))
            // Some millimetres are lost in the score.
            for (member, point) in members where abs(center.distance(to: point) - radius) > 1 {
                #expect(found.contains(member) == (center.distance(to: point) < radius))
            }
        }
    }

    @Test(arguments: [0, 1, 255, 256, 257, 1000, 5000])
    func sortingInPiecesIsSorting(_ count: Int) {
        var dice = Dice(seed: (7, UInt64(count)))
        let elements = (0..<count).map { (Int.random(in: 0..<max(1, count / 3), using: &dice), $0) }
        var sort = SlicedSort(elements)
        var steps = 0
        while !sort.step(budget: 100, by: { $0.0 < $1.0 }) { steps += 1 }
        #expect(sort.elements.map(\.0) == elements.map(\.0).sorted())
        // Equal ones stay in order.
        #expect(zip(sort.elements, sort.elements.dropFirst()).allSatisfy { $0.0 != $1.0 || $0.1 < $1.1 })
        #expect(steps >= count / 256 - 1)
    }
}
