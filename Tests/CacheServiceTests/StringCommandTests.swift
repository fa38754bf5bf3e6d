import Engine
import Metering
import Tenancy
import Testing

@testable import CacheService

/// What cannot be seen in a comparison with Redis: limits, costs, turns.
@Suite struct StringCommandTests {
    private let tooLarge = "-ERR the item size (key and value) is over the limit of 100 bytes "

    @Test func noStringGrowsBeyondTheLimitOfItems() throws {
        var limits = Limits()
        limits[.maxItemBytes] = 100
        let stage = try CommandStage(limits: limits)
        #expect(stage.run("SET k 12345") == "+OK ")
        let value = String(repeating: "x", count: 95)
        let refused = [
            "SET k \(value)12345", "SETNX n \(value)12345", "GETSET k \(value)12345", "SETEX k 10 \(value)12345",
            "APPEND k \(value)", "SETRANGE k 99 x", "SETRANGE k 4000000 x", "SETBIT k 792 1", "BITFIELD k SET u8 785 1",
            "MSET a 1 k \(value)12345", "MSETNX a 1 b \(value)12345",
        ]
        for line in refused {
            #expect(stage.run(line) == tooLarge, "\(line)")
            #expect(stage.run("GET k") == "$5 12345 ", "\(line)")
            #expect(stage.run("DBSIZE") == ":1 ", "\(line)")
        }
        #expect(stage.run("SETBIT k 791 1") == ":0 ")
        #expect(stage.run("STRLEN k") == ":99 ")
    }

    @Test func newItemsGetTheDefaultTimeAndNoneOutlivesTheMaximum() throws {
        var limits = Limits()
        limits[.defaultTTLSeconds] = 60
        limits[.maxTTLSeconds] = 100
        let stage = try CommandStage(limits: limits)
        let writes = [
            "SET k v", "SET k v KEEPTTL", "SET k v GET", "SETNX k v", "MSET k v", "APPEND k v", "INCR k",
            "SETBIT k 1 1",
            "PFADD k", "INCRBYFLOAT k 1.5", "SETRANGE k 1 v", "GETSET k v",
        ]
        for line in writes {
            #expect(stage.run("DEL k").hasPrefix(":"))
            #expect(!stage.run(line).hasPrefix("-"), "\(line)")
            #expect(stage.run("TTL k") == ":60 ", "\(line)")
        }
        for line in ["SET k v EX 101", "GETEX k EX 101", "EXPIRE k 101", "SETEX k 101 v"] {
            #expect(stage.run(line) == "-ERR the time is beyond the cache's max_ttl of 100 seconds ", "\(line)")
        }
        #expect(stage.run("PERSIST k") == ":1 ")
        #expect(stage.run("TTL k") == ":100 ")
    }

    @Test func eachKeyAndEachKilobyteIsCounted() throws {
        let stage = try CommandStage()
        let large = String(repeating: "x", count: 3000)
        func operations(_ line: String) -> UInt64 {
            _ = stage.run(line)
            return stage.usage.charge.operations
        }
        #expect(operations("MSET a 1 b \(large)") == 4)
        #expect(operations("MGET a b none") == 5)
        #expect((stage.usage.hits, stage.usage.misses) == (2, 1))
        #expect(stage.usage.bytesOut == 3001)
        #expect(operations("SET b \(large) NX") == 6)
        #expect(operations("GETRANGE b 0 9") == 1)
        #expect(stage.usage.bytesOut == 10)
        #expect(operations("INCR a") == 1)
        #expect(operations("PFADD h x y z") == 3)
        #expect(operations("EXISTS a b none") == 3)
        #expect(operations("KEYS *") == 3)
        #expect(stage.usage.elementsOut == 3)
        #expect(operations("DEL a b none") == 3)
    }

    @Test(arguments: [false, true]) func manyKeysAreWorkedAtInTurns(seals: Bool) throws {
        let stage = try CommandStage(seals: seals)
        let keys = (0..<3000).map { "key-\($0)" }
        #expect(stage.run(["MSET"] + keys.flatMap { [$0, $0] }) == "+OK ")
        #expect(stage.turns == 6)
        #expect(stage.run("DBSIZE") == ":3000 ")
        let values = "*3000 " + keys.map { "$\($0.utf8.count) \($0) " }.joined()
        #expect(stage.run(["MGET"] + keys) == values)
        #expect(stage.turns == 6)
        let found = stage.run("KEYS key-*").split(separator: " ").filter { $0.hasPrefix("key-") }
        #expect(Set(found).count == 3000 && found.count == 3000)
        #expect(stage.run(["EXISTS"] + keys) == ":3000 ")
        #expect(stage.turns > 1)
        #expect(stage.run(["MSETNX"] + (keys + ["other"]).flatMap { [$0, "x"] }) == ":0 ")
        #expect(stage.run("EXISTS other") == ":0 ")
        #expect(stage.run(["UNLINK"] + keys + ["none"]) == ":3000 ")
        #expect(stage.run("DBSIZE") == ":0 ")
        let many = (0..<5000).flatMap { ["\($0)", "x"] }
        #expect(stage.run(["MSETNX"] + many) == "-ERR too many keys to be set in one step: at most 4096 ")
    }

    @Test func aScanVisitsEveryKeyThatStays() throws {
        let stage = try CommandStage()
        for number in 0..<6000 { #expect(stage.run("SET k\(number) v") == "+OK ") }
        try stage.push("list", ["a"])
        var (cursor, seen, calls) = ("0", Set<Substring>(), 0)
        repeat {
            let parts = stage.run("SCAN \(cursor) COUNT 100 TYPE string MATCH k*").split(separator: " ")
            cursor = String(parts[2])
            seen.formUnion(parts.filter { $0.hasPrefix("k") })
            calls += 1
        } while cursor != "0"
        #expect(seen.count == 6000)
        #expect(calls > 20)
        #expect(stage.run("SCAN 0 TYPE list COUNT 100000").hasSuffix("*1 $4 list "))
        #expect(stage.run("SCAN 0 TYPE nothing COUNT 100000").hasSuffix("*0 "))
    }

    @Test func aLongCommonSubsequenceIsSearchedInTurns() throws {
        let stage = try CommandStage()
        let one = (0..<1200).map { "\($0 % 7)" }.joined()
        let other = (0..<1100).map { "\($0 * $0 % 7)" }.joined()
        _ = stage.run(["MSET", "a", one, "b", other])
        let length = stage.run("LCS a b LEN")
        #expect(stage.turns > 3)
        let common = stage.run("LCS a b").split(separator: " ")
        #expect(length == ":\(common[1].count) ")
        for text in [one, other] {
            var rest = text[...]
            for character in common[1] {
                let place = try #require(rest.firstIndex(of: character))
                rest = rest[rest.index(after: place)...]
            }
        }
    }
}
