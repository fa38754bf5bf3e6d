import Engine
import Tenancy
import Testing

@testable import CacheService

@Suite struct SortCommandTests {
    @Test(arguments: [false, true]) func aLongListIsSortedAndStoredInTurns(seals: Bool) throws {
        let stage = try CommandStage(seals: seals)
        let numbers = (0..<20_000).map { $0 &* 7919 % 20_011 }
        try stage.push("list", numbers.map(String.init))
        #expect(stage.run("SORT list STORE sorted") == ":20000 ")
        #expect(stage.turns > 10)
        #expect(try stage.list("sorted") == numbers.sorted().map(String.init))
        #expect(stage.run("SORT list ALPHA DESC LIMIT 10 5 STORE sorted") == ":5 ")
        #expect(try stage.list("sorted") == Array(numbers.map(String.init).sorted().reversed()[10..<15]))
        #expect(stage.run("SORT list LIMIT 30000 1 STORE sorted") == ":0 ")
        #expect(stage.run("EXISTS sorted") == ":0 ")
    }

    @Test func whatIsStoredKeepsTheLimits() throws {
        var limits = Limits()
        limits[.maxItemBytes] = 10_000
        limits[.defaultTTLSeconds] = 60
        let stage = try CommandStage(limits: limits)
        try stage.push("list", (0..<3000).map(String.init))
        let refusal = "-ERR the item size (key and value) is over the limit of 10000 bytes "
        #expect(stage.run("SORT list STORE sorted") == refusal)
        #expect(stage.run("EXISTS sorted") == ":0 ")
        #expect(stage.run("SORT list LIMIT 0 10 STORE sorted") == ":10 ")
        #expect(stage.run("TTL sorted") == ":60 ")
    }

    @Test func storingOnTheSourceReplacesIt() throws {
        let stage = try CommandStage()
        try stage.push("list", ["3", "1", "2"])
        #expect(stage.run("SORT list STORE list") == ":3 ")
        #expect(try stage.list("list") == ["1", "2", "3"])
    }

    @Test(arguments: [false, true]) func aLargeCollectionIsCopiedInTurns(seals: Bool) throws {
        let stage = try CommandStage(seals: seals)
        let elements = (0..<5000).map { "element-\($0)" }
        try stage.push("list", elements)
        #expect(stage.run("COPY list other") == ":1 ")
        #expect(stage.turns == 5)
        #expect(try stage.list("other") == elements)
        #expect(stage.run("COPY list other") == ":0 ")
        #expect(stage.run("COPY list other REPLACE") == ":1 ")
        #expect(stage.run("DEL list") == ":1 ")
        #expect(try stage.list("other") == elements)
    }
}
