import Engine
import Tenancy
import Testing

@testable import CacheService

/// What each command on a dictionary, set or list does and answers.
@Suite struct CollectionSemanticsTests {
    private let stage: CollectionStage

    init() throws { stage = try CollectionStage() }

    private func text(_ string: String) -> [UInt8] { Array(string.utf8) }

    /// One of each kind of command on collections, with the kind that it is for.
    static let commands: [(ItemKind, CollectionCommand)] = [
        (.dictionary, .dictionaryGet(fields: ["a"])), (.dictionary, .dictionaryFetch),
        (.dictionary, .dictionarySet(fields: ["a"], values: ["b"], .usual)),
        (.dictionary, .dictionaryIncrement(field: [97], by: 1, .usual)),
        (.dictionary, .dictionaryDelete(fields: ["a"])),
        (.dictionary, .dictionaryDeleteAll), (.dictionary, .dictionaryLength), (.set, .setFetch),
        (.set, .setSample(limit: 1)), (.set, .setUnion(["a"], .usual)), (.set, .setBecomeDifference(of: ["a"])),
        (.set, .setSubtract(["a"])), (.set, .setRemoveAll), (.set, .setContains(["a"])), (.set, .setLength),
        (.set, .setPop(count: 1)), (.list, .listPush(.front, ["a"], limit: 0, .usual)), (.list, .listPop(.back)),
        (.list, .listErase([0..<1])), (.list, .listEraseAll), (.list, .listRemove(value: [97])),
        (.list, .listRetain(.all, .usual)), (.list, .listFetch(.all)), (.list, .listLength),
        (.sortedSet, .sortedSetPut(members: ["a"], scores: [1], .usual)),
        (.sortedSet, .sortedSetFetch(SortedSetSelection(.ranks(.all)), withScores: true)),
        (.sortedSet, .sortedSetGetScore(members: ["a"])), (.sortedSet, .sortedSetRemove(members: ["a"])),
        (.sortedSet, .sortedSetRemoveAll), (.sortedSet, .sortedSetIncrement(member: [97], by: 1, .usual)),
        (.sortedSet, .sortedSetGetRank(member: [97], isReversed: false)), (.sortedSet, .sortedSetLength),
        (.sortedSet, .sortedSetLengthByScore(ScoreRange())),
        (.sortedSet, .leaderboard(.upsert(ids: [1], scores: [1], ttl: nil))),
        (.sortedSet, .leaderboard(.remove(ids: [1]))), (.sortedSet, .leaderboard(.delete)),
        (.sortedSet, .leaderboard(.length)), (.sortedSet, .leaderboard(.byRank(0..<1, isReversed: false))),
        (.sortedSet, .leaderboard(.rank(ids: [1], isReversed: false))),
        (.sortedSet, .leaderboard(.byScore(ScoreRange(), isReversed: false, offset: 0, limit: 0))),
        (.sortedSet, .leaderboard(.competitionRank(ids: [1], isReversed: true))),
    ]

    @Test func whatIsOfAnotherKindIsRefusedAndStays() throws {
        try stage.set("scalar", "text")
        for (kind, command) in Self.commands {
            #expect(try stage.error("scalar", command) == .wrongType, "\(command)")
            let other: CollectionCommand =
                kind == .set ? .listPush(.back, ["x"], limit: 0, .usual) : .setUnion(["x"], .usual)
            try stage.run("other", other)
            #expect(try stage.error("other", command) == .wrongType, "\(command)")
            try stage.run("other", kind == .set ? .listEraseAll : .setRemoveAll)
        }
        #expect(try stage.value("scalar") == "text")
    }

    // MARK: Dictionaries

    @Test func dictionariesKeepFieldsAndValues() throws {
        #expect(try stage.run("d", .dictionaryGet(fields: ["a"])) == .missing)
        #expect(try stage.run("d", .dictionaryFetch) == .missing)
        #expect(try stage.run("d", .dictionaryLength) == .missing)
        #expect(try stage.run("d", .dictionaryDelete(fields: ["a"])) == .done)
        #expect(try stage.run("d", .dictionaryDeleteAll) == .done)
        // Of equal fields the last holds.
        let set = CollectionCommand.dictionarySet(fields: ["a", "b", "a", ""], values: ["1", "", "3", "x"], .usual)
        #expect(try stage.run("d", set) == .done)
        #expect(try stage.run("d", .dictionaryLength) == .length(3))
        #expect(try stage.run("d", .dictionaryFetch).pairs == ["a": "3", "b": "", "": "x"])
        #expect(
            try stage.run("d", .dictionaryGet(fields: ["b", "none", "a", "a"]))
                == .values(["", "", "3", "3"], isPresent: [true, false, true, true]))
        #expect(try stage.run("d", .dictionaryGet(fields: [])) == .values([], isPresent: []))
        #expect(try stage.run("d", .dictionaryDelete(fields: ["b", "none"])) == .done)
        #expect(try stage.run("d", .dictionaryFetch).pairs == ["a": "3", "": "x"])
        #expect(try stage.run("d", .dictionaryDelete(fields: ["a", ""])) == .done)
        #expect(try stage.kind("d") == nil)
        try stage.run("d", set)
        #expect(try stage.run("d", .dictionaryDeleteAll) == .done)
        #expect(try stage.kind("d") == nil)
    }

    @Test func dictionaryFieldsCount() throws {
        func add(_ amount: Int64) -> CollectionCommand { .dictionaryIncrement(field: [110], by: amount, .usual) }
        #expect(try stage.run("d", add(0)) == .number(0))
        #expect(try stage.run("d", add(-5)) == .number(-5))
        #expect(try stage.run("d", add(.max)) == .number(.max - 5))
        #expect(try stage.error("d", add(6)) == .integerOverflow)
        #expect(try stage.run("d", .dictionaryFetch).pairs == ["n": "\(Int64.max - 5)"])
        try stage.run("d", .dictionarySet(fields: ["n"], values: ["1.5"], .usual))
        #expect(try stage.error("d", add(1)) == .notAnInteger)
    }

    // MARK: Sets

    @Test func setsKeepMembersOnce() throws {
        for command in [.setFetch, .setLength, .setContains(["a"]), .setSample(limit: 3), .setPop(count: 3)]
            + [.setSubtract(["a"]), .setBecomeDifference(of: ["a"]), CollectionCommand.setRemoveAll]
        {
            #expect(try stage.run("s", command) == .missing, "\(command)")
        }
        #expect(try stage.run("s", .setUnion(["a", "b", "a", ""], .usual)) == .done)
        #expect(try stage.run("s", .setUnion(["b", "c"], .usual)) == .done)
        #expect(try stage.run("s", .setLength) == .length(4))
        #expect(try stage.run("s", .setFetch).sortedTexts == ["", "a", "b", "c"])
        #expect(try stage.run("s", .setContains(["c", "x", ""])) == .presence([true, false, true]))
        #expect(try stage.run("s", .setSubtract(["x"])) == .done)
        #expect(try stage.run("s", .setSubtract(["", "a"])) == .done)
        #expect(try stage.run("s", .setBecomeDifference(of: ["b", "d", "e"])) == .done)
        #expect(try stage.run("s", .setFetch).sortedTexts == ["d", "e"])
        #expect(try stage.run("s", .setBecomeDifference(of: ["d", "e"])) == .done)
        #expect(try stage.run("s", .setFetch) == .missing)
        try stage.run("s", .setUnion(["a"], .usual))
        #expect(try stage.run("s", .setRemoveAll) == .done)
        #expect(try stage.run("s", .setFetch) == .missing)
    }

    @Test func samplesAndPopsAreDistinctMembers() throws {
        let all = Set((0..<50).map { "m\($0)" })
        try stage.run("s", .setUnion(Elements(texts: Array(all)), .usual))
        for limit in [0, -3] { #expect(try stage.run("s", .setSample(limit: limit)) == .elements([])) }
        for limit in [50, 51, Int.max] {
            #expect(try stage.run("s", .setSample(limit: limit)).sortedTexts == all.sorted())
        }
        let sample = try #require(try stage.run("s", .setSample(limit: 20)).sortedTexts)
        #expect(Set(sample).count == 20 && Set(sample).isSubset(of: all))
        #expect(try stage.run("s", .setLength) == .length(50))
        for count in [0, -1] { #expect(try stage.run("s", .setPop(count: count)) == .elements([])) }
        let popped = Set(try #require(try stage.run("s", .setPop(count: 20)).sortedTexts))
        #expect(popped.count == 20 && popped.isSubset(of: all))
        #expect(try stage.run("s", .setFetch).sortedTexts == all.subtracting(popped).sorted())
        #expect(try stage.run("s", .setPop(count: .max)).sortedTexts == all.subtracting(popped).sorted())
        #expect(try stage.run("s", .setPop(count: 1)) == .missing)
    }

    // MARK: Lists

    private func makeList(_ count: Int = 10) throws {
        try stage.run("l", .listEraseAll)
        try stage.run("l", .listPush(.back, Elements(texts: (0..<count).map(String.init)), limit: 0, .usual))
    }

    private func list() throws -> [String] {
        guard case .elements(let elements) = try stage.run("l", .listFetch(.all)) else { return [] }
        return elements.texts
    }

    @Test func listsGrowAtBothEnds() throws {
        func push(_ end: ListEnd, _ values: Elements, limit: Int = 0) throws -> CollectionReply {
            try stage.run("l", .listPush(end, values, limit: limit, .usual))
        }
        #expect(try push(.back, ["3"]) == .length(1))
        #expect(try push(.front, ["1", "2"]) == .length(3))
        #expect(try push(.back, ["4", "5"]) == .length(5))
        #expect(try list() == ["1", "2", "3", "4", "5"])
        // What is too much is cut from the other end; the length is the one after that.
        #expect(try push(.front, ["0"], limit: 4) == .length(4))
        #expect(try list() == ["0", "1", "2", "3"])
        #expect(try push(.back, ["8", "9"], limit: 3) == .length(3))
        #expect(try list() == ["3", "8", "9"])
        #expect(try push(.back, ["a", "b", "c", "d"], limit: 2) == .length(2))
        #expect(try list() == ["c", "d"])
        #expect(try push(.front, []) == .length(2))
        #expect(try stage.run("l", .listPop(.front)) == .element(text("c"), length: 1))
        #expect(try stage.run("l", .listPop(.back)) == .element(text("d"), length: 0))
        #expect(try stage.run("l", .listPop(.back)) == .missing)
        #expect(try stage.kind("l") == nil)
        #expect(try push(.front, []) == .length(0))
        #expect(try stage.kind("l") == nil)
    }

    @Test func listSlicesFollowPythonsRules() throws {
        try makeList()
        let ten = (0..<10).map(String.init)
        let table: [(Int?, Int?, Range<Int>)] = [
            (5, nil, 5..<10), (-5, nil, 5..<10), (nil, 5, 0..<5), (nil, -5, 0..<5), (2, 6, 2..<6), (2, -6, 2..<4),
            (-7, -2, 3..<8), (-2, -6, 0..<0), (5, 0, 0..<0), (10, nil, 0..<0), (nil, 0, 0..<0), (-99, 99, 0..<10),
            (Int(Int32.min), Int(Int32.max), 0..<10), (.max, .min, 0..<0), (.min, .max, 0..<10),
        ]
        for (start, end, range) in table {
            let bounds = SliceBounds.halfOpen(start: start, end: end)
            let expected: CollectionReply = range.isEmpty ? .missing : .elements(Elements(texts: Array(ten[range])))
            #expect(try stage.run("l", .listFetch(bounds)) == expected, "\(bounds)")
            try makeList()
            #expect(try stage.run("l", .listRetain(bounds, .usual)) == .length(range.count), "\(bounds)")
            #expect(try list() == Array(ten[range]))
            #expect(try stage.kind("l") == (range.isEmpty ? nil : .list))
            try makeList()
        }
        #expect(try stage.run("none", .listRetain(.all, .usual)) == .missing)
        #expect(try stage.run("none", .listFetch(.all)) == .missing)
    }

    @Test func listElementsAreErasedByPlaceAndByValue() throws {
        let table: [([Range<Int>], [String])] = [
            ([], (0..<10).map(String.init)), ([0..<2, 1..<3, 5..<5], ["3", "4", "5", "6", "7", "8", "9"]),
            ([8..<4_294_967_295, 9..<20], (0..<8).map(String.init)),
            ([4_294_967_295..<8_589_934_590], (0..<10).map(String.init)),
            ([6..<7, 2..<3, 2..<3], ["0", "1", "3", "4", "5", "7", "8", "9"]), ([0..<5, 5..<10], []),
        ]
        for (ranges, left) in table {
            try makeList()
            #expect(try stage.run("l", .listErase(ranges)) == .length(left.count), "\(ranges)")
            #expect(try list() == left)
        }
        #expect(try stage.kind("l") == nil)
        for command in [.listErase([0..<1]), .listEraseAll, .listRemove(value: [0]), CollectionCommand.listLength] {
            #expect(try stage.run("l", command) == .missing, "\(command)")
        }
        try stage.run("l", .listPush(.back, ["a", "b", "a", "c", "a"], limit: 0, .usual))
        #expect(try stage.run("l", .listLength) == .length(5))
        #expect(try stage.run("l", .listRemove(value: text("x"))) == .length(5))
        #expect(try stage.run("l", .listRemove(value: text("a"))) == .length(2))
        #expect(try list() == ["b", "c"])
        #expect(try stage.run("l", .listEraseAll) == .length(0))
        #expect(try stage.kind("l") == nil)
    }
}
