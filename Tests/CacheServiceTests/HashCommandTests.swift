import Admission
import Engine
import Tenancy
import Testing

@testable import CacheService

/// What a comparison with Redis does not show of the commands on hashes: times of fields, limits, what is metered, and
/// the work in turns.
struct HashCommandTests {
    private final class Stage {
        let engine: EmbeddedEngine
        let cache: EngineCache
        var limits = Limits()
        var now = Timestamp(milliseconds: 1_700_000_000_000)
        var usage = CommandUsage()
        var turns = 0

        init() throws {
            let key = SipHashKey(k0: 3, k1: 4)
            engine = try EmbeddedEngine(
                configuration: EngineConfiguration(memoryBytes: 64 << 20, indexKey: key, valueHashKey: key))
            cache = engine.openCache(CacheID(rawValue: 1), limits: EngineCacheLimits())
        }

        /// The reply of a command, whose arguments are separated by blanks.
        func run(_ text: String, isVersion3: Bool = false) -> String {
            run(text.split(separator: " ").map { Array($0.utf8) }, isVersion3: isVersion3)
        }

        func run(_ arguments: [[UInt8]], isVersion3: Bool = false) -> String {
            let owned = OwnedArguments(arguments)
            let writer = ReplyWriter()
            writer.isVersion3 = isVersion3
            let call = CommandCall(
                owned.arguments, on: cache, sizes: SizeLimits(cache: limits), ttl: TTLRules(cache: limits), now: now,
                reply: writer)
            do throws(MartletError) {
                guard let command = CommandTable.shared.command(named: owned.arguments[0]),
                    case .items(let body) = command.action
                else { return "?" }
                try body(call)
                turns = 0
                while let work = call.work {
                    turns += 1
                    if try work.step(call) { break }
                }
            } catch {
                return "-" + error.commandText
            }
            usage = call.usage
            return String(decoding: writer.bytes, as: UTF8.self).replacing("\r\n", with: " ")
        }
    }

    private let stage: Stage

    init() throws { stage = try Stage() }

    @Test func fieldsGetTimesUnderConditions() {
        #expect(stage.run("HSET h a 1 b 2 c 3") == ":3 ")
        #expect(stage.run("HEXPIRE h 100 FIELDS 3 a x a") == "*3 :1 :-2 :1 ")
        #expect(stage.run("HTTL h FIELDS 3 a b x") == "*3 :100 :-1 :-2 ")
        #expect(stage.run("HEXPIRE h 50 NX FIELDS 2 a b") == "*2 :0 :1 ")
        #expect(stage.run("HEXPIRE h 40 XX LT FIELDS 3 a b c") == "*3 :1 :1 :0 ")
        #expect(stage.run("HPEXPIRE h 90000 GT FIELDS 2 a c") == "*2 :1 :0 ")
        #expect(stage.run("HPEXPIRETIME h FIELDS 1 a") == "*1 :1700000090000 ")
        #expect(stage.run("HPERSIST h FIELDS 3 a c x") == "*3 :1 :-1 :-2 ")
        #expect(stage.run("HEXPIREAT h 1 FIELDS 1 c") == "*1 :2 ")
        stage.now = stage.now.adding(milliseconds: 40_000)
        #expect(stage.run("HGETALL h", isVersion3: true) == "%1 $1 a $1 1 ")
        #expect(stage.run("HEXPIRE h 0 FIELDS 1 a") == "*1 :2 ")
        #expect(stage.cache.statistics.items == 0)
    }

    @Test func readingAndWritingGoTogetherWithTimes() {
        #expect(stage.run("HSETEX h FNX EX 10 FIELDS 2 a 1 b 2") == ":1 ")
        #expect(stage.run("HSETEX h FNX FIELDS 2 a 9 z 9") == ":0 ")
        #expect(stage.run("HSETEX h FXX KEEPTTL FIELDS 1 a 7") == ":1 ")
        #expect(stage.run("HSETEX h FIELDS 1 b 8") == ":1 ")
        #expect(stage.run("HTTL h FIELDS 2 a b") == "*2 :10 :-1 ")
        #expect(stage.run("HGETEX h PX 5000 FIELDS 2 b x") == "*2 $1 8 $-1 ")
        #expect(stage.run("HGETEX h PERSIST FIELDS 1 a") == "*1 $1 7 ")
        #expect(stage.run("HPTTL h FIELDS 2 a b") == "*2 :-1 :5000 ")
        #expect(stage.run("HGETDEL h FIELDS 3 a a b") == "*3 $1 7 $-1 $1 8 ")
        #expect(stage.run("HSETEX h EX 0 FIELDS 1 a 1") == ":1 ")
        #expect(stage.cache.statistics.items == 0)
    }

    @Test func theLimitsOfTheCacheHold() {
        stage.limits[.maxItemBytes] = 8192
        stage.limits[.maxElementBytes] = 1000
        stage.limits[.maxKeyBytes] = 10
        stage.limits[.maxTTLSeconds] = 100
        #expect(stage.run("HSET h a \(String(repeating: "x", count: 1001))").hasPrefix("-"))
        #expect(stage.run("HSET h a 1 \(String(repeating: "x", count: 1001)) 2").hasPrefix("-"))
        #expect(stage.run("HSET elevenbytes a 1").hasPrefix("-"))
        #expect(stage.cache.statistics.items == 0)
        var refusals = 0
        for field in 0..<30 {
            if stage.run("HSET h f\(field) \(String(repeating: "x", count: 900))").hasPrefix("-") { refusals += 1 }
        }
        #expect(refusals > 15)
        #expect(stage.run("HEXPIRE h 101 FIELDS 1 f0").hasPrefix("-ERR the time is beyond"))
        #expect(stage.run("HEXPIRE h 100 FIELDS 1 f0") == "*1 :1 ")
    }

    @Test func aFieldIsMeteredByWhatIsSentOrNamed() {
        _ = stage.run("HSET h a 12345 b 6")
        #expect(stage.usage.elementsIn == 2)
        _ = stage.run("HMGET h a x y")
        #expect(stage.usage.elementsIn == 2)
        #expect(stage.usage.elementsOut == 1)
        #expect(stage.usage.bytesOut == 5)
        #expect(stage.usage.hits == 1)
        _ = stage.run("HGETALL h")
        #expect(stage.usage.elementsOut == 2)
        _ = stage.run("HGETALL none")
        #expect(stage.usage.misses == 1)
    }

    @Test func aLargeHashIsAnsweredInTurns() {
        let pairs = (0..<9000).flatMap { ["field\($0)", "value"] }
        #expect(stage.run((["HSET", "h"] + pairs).map { Array($0.utf8) }) == ":9000 ")
        #expect(stage.turns > 4)
        #expect(stage.run("HGETALL h", isVersion3: true).hasPrefix("%9000 $"))
        #expect(stage.turns > 1)
        #expect(stage.usage.elementsOut == 9000)
        #expect(stage.run("HVALS h").hasPrefix("*9000 $"))
        let drawn = stage.run("HRANDFIELD h 4000").split(separator: " ")
        #expect(drawn.first == "*4000")
        #expect(drawn.count == 8001)
        #expect(Set(drawn).filter { $0.hasPrefix("field") }.count == 4000)
        #expect(stage.run("HRANDFIELD h -20000 WITHVALUES").hasPrefix("*40000 $"))
        #expect(stage.run("HRANDFIELD h -9000000000").hasPrefix("-ERR value is out of range"))
        let fields = (0..<9500).map { "field\($0)" }
        #expect(stage.run((["HMGET", "h"] + fields).map { Array($0.utf8) }).hasSuffix("$-1 $-1 "))
        #expect(stage.run((["HDEL", "h"] + fields).map { Array($0.utf8) }) == ":9000 ")
        #expect(stage.cache.statistics.items == 0)
    }
}
