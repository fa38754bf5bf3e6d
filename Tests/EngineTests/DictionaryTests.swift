import Tenancy
import Testing

@testable import Engine

struct DictionaryTests {
    @Test func setsGetsAndRemovesFields() throws {
        let cache = makeDictSetCache()
        #expect(try cache.setFields("d", [(text("a"), text("1")), (text("b"), text("2"))]) == 2)
        #expect(try cache.setFields("d", [(text("b"), text("three")), (text("c"), text(""))]) == 1)
        #expect(try cache.pairs("d") == [text("a"): text("1"), text("b"): text("three"), text("c"): []])
        #expect(try cache.fields("d", [text("c"), text("x"), text("a"), text("c")]) == [[], nil, text("1"), []])
        #expect(try cache.removeFields("d", [text("a"), text("x"), text("a")]) == 1)
        #expect(try cache.field("d", text("a")) == nil)
        #expect(try cache.removeFields("d", [text("c")]) == 1)
        #expect(try cache.pairs("d") == [text("b"): text("three")])
    }

    @Test func aMissingDictionaryIsToldFromAMissingField() throws {
        let cache = makeDictSetCache()
        #expect(try cache.fields("d", [text("a")]) == nil)
        #expect(try cache.removeFields("d", [text("a")]) == nil)
        #expect(try cache.item("d") { (item) throws(MartletError) in try item.dictionaryLength() } == nil)
        try cache.setFields("d", [(text("b"), [])])
        #expect(try cache.fields("d", [text("a")]) == [nil])
        #expect(try cache.removeFields("d", [text("a")]) == 0)
        #expect(try cache.item("d") { (item) throws(MartletError) in try item.dictionaryLength() } == 1)
    }

    @Test func theLastFieldTakesTheDictionaryWithIt() throws {
        let cache = makeDictSetCache()
        for count in [1, 3, 2000] {
            let fields = (0..<count).map { number($0) }
            try cache.setFields("d", fields.map { ($0, $0) })
            #expect(try cache.removeFields("d", fields) == count)
            #expect(try cache.kind("d") == nil)
        }
    }

    @Test(arguments: [2, 20, 2000]) func ofEqualFieldsInOneCallTheLastStays(_ count: Int) throws {
        let cache = makeDictSetCache()
        let pairs = (0..<count).flatMap { [(number($0), text("first")), (number($0), number($0, "last"))] }
        #expect(try cache.setFields("d", pairs) == count)
        let found = try #require(try cache.pairs("d"))
        #expect(found.count == count)
        for index in 0..<count { #expect(found[number(index)] == number(index, "last")) }
    }

    @Test(arguments: [false, true]) func emptyFieldsAndValuesAreLegal(_ isLarge: Bool) throws {
        let cache = makeDictSetCache(seals: true)
        if isLarge { try cache.setFields("d", (0..<1000).map { (number($0), []) }) }
        let before = try cache.pairs("d")?.count ?? 0
        #expect(try cache.setField("d", [], []))
        #expect(try cache.isLarge("d") == isLarge)
        #expect(try cache.field("d", []) == [])
        #expect(try cache.setField("d", [], text("x")) == false)
        #expect(try cache.field("d", []) == text("x"))
        #expect(try cache.pairs("d")?.count == before + 1)
        #expect(try cache.removeFields("d", [[]]) == 1)
    }

    @Test(arguments: [false, true]) func largeValuesComeBackWhole(_ seals: Bool) throws {
        let cache = makeDictSetCache(seals: seals)
        var generator = DictSetGenerator(seed: 1)
        let values = [100 << 10, 4096, 65_535, 65_536, 253, 254, 1].map { generator.bytes($0) }
        for (index, value) in values.enumerated() { #expect(try cache.setField("d", number(index), value)) }
        for (index, value) in values.enumerated() { #expect(try cache.field("d", number(index)) == value) }
        #expect(try cache.isLarge("d"))
        let length = try lend([number(0)]) { (runs) throws(MartletError) in
            try cache.item("d") { (item) throws(MartletError) in try item.dictionaryValueLength(runs[0]) }
        }
        #expect(length == 100 << 10)
        // One field alone, as large.
        #expect(try cache.setField("one", text("f"), values[0]))
        #expect(try cache.field("one", text("f")) == values[0])
        #expect(try cache.removeFields("one", [text("f")]) == 1)
        #expect(try cache.kind("one") == nil)
    }

    @Test(arguments: [false, true]) func promotionAndDemotionAreInvisible(_ seals: Bool) throws {
        let cache = makeDictSetCache(seals: seals)
        var model: [Bytes: Bytes] = [:]
        // By count: 512 of the smallest are packed, one more is not.
        for index in 0..<512 {
            model[number(index)] = []
            #expect(try cache.setField("d", number(index), []))
        }
        #expect(try cache.isLarge("d") == false)
        model[text("x")] = text("y")
        #expect(try cache.setField("d", text("x"), text("y")))
        #expect(try cache.isLarge("d"))
        #expect(try cache.pairs("d") == model)
        // Down to 64 it stays, then it is packed.
        for index in 0..<448 {
            model[number(index)] = nil
            #expect(try cache.removeFields("d", [number(index)]) == 1)
        }
        #expect(model.count == 65)
        #expect(try cache.isLarge("d"))
        #expect(try cache.removeFields("d", [number(448)]) == 1)
        model[number(448)] = nil
        #expect(try cache.isLarge("d") == false)
        #expect(try cache.pairs("d") == model)
    }

    @Test(arguments: [false, true]) func fewEntriesArePackedAgainOnlyWhereTheyFit(_ seals: Bool) throws {
        let cache = makeDictSetCache(seals: seals)
        // An entry of 3 + 1 + 40 + 1 bytes at the most: 22 of them fit in 1 KiB, 23 do not.
        let value = Bytes(repeating: 1, count: 40)
        try cache.setFields("d", (100..<300).map { (number($0), value) })
        for index in 100..<299 {
            #expect(try cache.removeFields("d", [number(index)]) == 1)
            let count = 299 - index
            #expect(try cache.isLarge("d") == (count > 22), "\(count) left")
            if !(30..<190).contains(count) { #expect(try cache.pairs("d")?.count == count) }
        }
    }

    @Test func aBlobOfExactlyTheLimitIsPacked() throws {
        let cache = makeDictSetCache()
        // A length of 1 + 1 byte for the field, of 3 for the value.
        let fitting = Bytes(repeating: 7, count: 4096 - 2 - 3)
        #expect(try cache.setField("d", text("f"), fitting))
        #expect(try cache.isLarge("d") == false)
        #expect(try cache.setField("d", text("f"), fitting + [7]) == false)
        #expect(try cache.isLarge("d"))
        #expect(try cache.field("d", text("f")) == fitting + [7])
    }

    @Test func aFieldIsSetOnlyIfAbsent() throws {
        let cache = makeDictSetCache(seals: true)
        for size in [1, 2000] {
            _ = try cache.item("d") { (item) throws(MartletError) in try item.dictionaryRemoveAll() }
            try cache.setFields("d", (0..<size).map { (number($0), text("v")) })
            #expect(try cache.setFieldIfAbsent("d", number(0), text("w")) == false)
            #expect(try cache.field("d", number(0)) == text("v"))
            #expect(try cache.setFieldIfAbsent("d", text("new"), text("w")))
            #expect(try cache.field("d", text("new")) == text("w"))
        }
        #expect(try cache.setFieldIfAbsent("fresh", [], []))
        #expect(try cache.pairs("fresh") == [[]: []])
    }

    @Test(arguments: [0, 2000]) func incrementsByIntegers(_ others: Int) throws {
        let cache = makeDictSetCache(seals: true)
        try cache.setFields("d", (0..<others).map { (number($0), text("v")) })
        let field = text("n")
        #expect(try cache.increment("d", field, by: 5) == 5)
        #expect(try cache.increment("d", field, by: -12) == -7)
        #expect(try cache.field("d", field) == text("-7"))
        #expect(try cache.increment("d", field, by: .max) == .max - 7)
        let before = try cache.pairs("d")
        #expect(
            dictSetError { () throws(MartletError) in _ = try cache.increment("d", field, by: 8) } == .integerOverflow)
        #expect(try cache.pairs("d") == before)
        for bad in ["", "x", "1.5", " 1", "01", "+1", "9223372036854775808"] {
            _ = try cache.setField("d", field, text(bad))
            let before = try cache.pairs("d")
            #expect(
                dictSetError { () throws(MartletError) in _ = try cache.increment("d", field, by: 1) } == .notAnInteger)
            #expect(try cache.pairs("d") == before)
        }
    }

    @Test func incrementsByFractions() throws {
        let cache = makeDictSetCache()
        let cases: [(String?, Double, String)] = [
            (nil, 10.5, "10.5"), ("10.50", 0.1, "10.6"), ("5.0e3", 200, "5200"), ("10.6", -5, "5.6"), ("3", 0, "3"),
            ("1", -1, "0"), ("-1", 0.5, "-0.5"), ("0", 1e20, "100000000000000000000"), ("0", 1.25e-7, "0.000000125"),
            ("0", -1e-30, "0"), ("1e15", 0.5, "1000000000000000.5"), ("17", 1e15, "1000000000000017"),
            ("0", -0.0, "0"), ("0", 0.00125, "0.00125"),
        ]
        for (old, amount, sum) in cases {
            _ = try cache.removeFields("d", [text("f")])
            if let old { _ = try cache.setField("d", text("f"), text(old)) }
            #expect(try cache.increment("d", text("f"), byFraction: amount) == sum, "\(old ?? "") + \(amount)")
            #expect(try cache.field("d", text("f")) == text(sum))
        }
        #if arch(x86_64)
        _ = try cache.setField("d", text("f"), text("0.1"))
        #expect(try cache.increment("d", text("f"), byFraction: 0.2) == "0.3")
        #endif
        for bad in ["", "abc", " 1", "1 ", "0x10", "nan", "inf", "1e", "--1", String(repeating: "1", count: 600)] {
            _ = try cache.setField("d", text("f"), text(bad))
            #expect(
                dictSetError { () throws(MartletError) in _ = try cache.increment("d", text("f"), byFraction: 1.0) }
                    == .notAnInteger)
            #expect(try cache.field("d", text("f")) == text(bad))
        }
        _ = try cache.setField("d", text("f"), text("1e308"))
        for amount in [1.7e308, .infinity, -.infinity, .nan] {
            #expect(
                dictSetError { () throws(MartletError) in _ = try cache.increment("d", text("f"), byFraction: amount) }
                    == .integerOverflow)
        }
        #expect(try cache.field("d", text("f")) == text("1e308"))
    }

    @Test(arguments: [1, 2000]) func timesFollowTheCollectionRules(_ count: Int) throws {
        let cache = makeDictSetCache()
        let soon = dictSetNow.adding(milliseconds: 1000)
        let later = dictSetNow.adding(milliseconds: 5000)
        let pairs = (0..<count).map { (number($0), text("v")) }
        // New: whatever refresh says.
        try cache.setFields("d", pairs, expiry: CollectionExpiry(expiresAt: soon, refresh: false))
        #expect(try cache.expiry("d") == soon)
        // There: only if it is to be refreshed.
        try cache.setFields("d", pairs, expiry: CollectionExpiry(expiresAt: later, refresh: false))
        #expect(try cache.expiry("d") == soon)
        try cache.setFields("d", pairs, expiry: CollectionExpiry(expiresAt: later, refresh: true))
        #expect(try cache.expiry("d") == later)
        _ = try cache.increment("d", text("n"), by: 1, expiry: CollectionExpiry(expiresAt: soon, refresh: true))
        #expect(try cache.expiry("d") == soon)
        // What changed nothing changes no time.
        let refused = CollectionExpiry(expiresAt: later, refresh: true)
        #expect(try cache.setFieldIfAbsent("d", text("n"), [], expiry: refused) == false)
        #expect(try cache.expiry("d") == soon)
        try cache.removeFields("d", [text("n")])
        #expect(try cache.expiry("d") == soon)
        #expect(
            try cache.setField("d", number(0), [], expiry: CollectionExpiry(expiresAt: nil, refresh: true)) == false)
        #expect(try cache.expiry("d") == nil)
        // Expired is missing, and the next write a creation.
        _ = try cache.setField("d", number(0), [], expiry: CollectionExpiry(expiresAt: soon, refresh: true))
        #expect(try cache.fields("d", [number(0)], now: soon) == nil)
        let fresh = CollectionExpiry(expiresAt: later, refresh: false)
        #expect(try cache.setFields("d", [(number(0), text("w"))], expiry: fresh, now: soon) == 1)
        #expect(try cache.pairs("d", now: soon) == [number(0): text("w")])
        #expect(try cache.item("d", now: soon) { (item) in item.expiresAt } == later)
    }

    @Test func aTimeSurvivesPromotionAndDemotion() throws {
        let cache = makeDictSetCache()
        let soon = dictSetNow.adding(milliseconds: 1000)
        try cache.setFields("d", [(text("a"), [])], expiry: CollectionExpiry(expiresAt: soon, refresh: false))
        let others = (0..<1000).map { number($0) }
        try cache.setFields("d", others.map { ($0, $0) })
        #expect(try cache.isLarge("d"))
        #expect(try cache.expiry("d") == soon)
        try cache.removeFields("d", others)
        #expect(try cache.isLarge("d") == false)
        #expect(try cache.expiry("d") == soon)
    }

    @Test func anotherKindIsAnErrorBeforeAnythingIsChanged() throws {
        let cache = makeDictSetCache()
        try cache.addMembers("s", [text("a")])
        try cache.storePacked("x", .scalar, text("scalar"))
        for key in ["s", "x"] {
            func expect(_ operation: (inout ItemAccess, UnsafeRawBufferPointer) throws(MartletError) -> Void) {
                let error = dictSetError { () throws(MartletError) in
                    try lend([text("f")]) { (runs) throws(MartletError) in
                        try cache.item(key) { (item) throws(MartletError) in try operation(&item, runs[0]) }
                    }
                }
                #expect(error == .wrongType)
            }
            expect { (item, key) throws(MartletError) in _ = try item.dictionaryLength() }
            expect { (item, key) throws(MartletError) in _ = try item.dictionaryGet(key) { _ in } }
            expect { (item, key) throws(MartletError) in _ = try item.dictionaryGet([key].span) { _, _ in } }
            expect { (item, key) throws(MartletError) in _ = try item.dictionaryContains(key) }
            expect { (item, key) throws(MartletError) in try item.dictionaryForEach { _, _ in } }
            expect { (item, key) throws(MartletError) in _ = try item.dictionaryFetch { _, _ in } }
            expect { (item, key) throws(MartletError) in _ = try item.dictionaryScan(from: 0, limit: 1) { _, _ in } }
            expect { (item, key) throws(MartletError) in _ = try item.dictionarySnapshot() }
            expect { (item, key) throws(MartletError) in _ = try item.dictionarySet(key, key, expiry: keepTime) }
            expect { (item, key) throws(MartletError) in
                let pair = DictionaryPair(field: key, value: key)
                _ = try item.dictionarySet([pair, pair].span, expiry: keepTime)
            }
            expect { (item, key) throws(MartletError) in _ = try item.dictionarySetIfAbsent(key, key, expiry: keepTime)
            }
            expect { (item, key) throws(MartletError) in _ = try item.dictionaryRemove([key].span) }
            expect { (item, key) throws(MartletError) in _ = try item.dictionaryRemoveAll() }
            expect { (item, key) throws(MartletError) in
                _ = try item.dictionaryIncrement(key, by: 1, expiry: keepTime)
            }
            expect { (item, key) throws(MartletError) in
                try item.dictionaryIncrement(key, byFraction: 1.5, expiry: keepTime)
            }
            expect { (item, key) throws(MartletError) in
                var generator = DictSetGenerator(seed: 1)
                _ = try item.dictionaryRandom(1, isDistinct: true, using: &generator) { _, _ in }
            }
        }
        #expect(try cache.members("s") == [text("a")])
        #expect(try cache.packedBlob("x") == text("scalar"))
    }

    @Test func allOfItIsRemovedAtOnce() throws {
        let cache = makeDictSetCache()
        for count in [1, 2000] {
            try cache.setFields("d", (0..<count).map { (number($0), []) })
            #expect(try cache.item("d") { (item) throws(MartletError) in try item.dictionaryRemoveAll() })
            #expect(try cache.kind("d") == nil)
            #expect(try cache.item("d") { (item) throws(MartletError) in try item.dictionaryRemoveAll() } == false)
        }
    }

    @Test func aWriteOfNothingChangesNothing() throws {
        let cache = makeDictSetCache()
        #expect(try cache.setFields("d", []) == 0)
        #expect(try cache.kind("d") == nil)
        #expect(try cache.addMembers("s", []) == 0)
        #expect(try cache.kind("s") == nil)
    }

    @Test func aSealedValueThatDoesNotOpenIsAnErrorAndChangesNothing() throws {
        let cache = makeDictSetCache(seals: true)
        try cache.setFields("d", (0..<1000).map { (number($0), text("1")) })
        try lend([number(7), text("garbage that was never sealed")]) { (runs) throws(MartletError) in
            try cache.item("d") { (item) throws(MartletError) in
                var tree = HashedTree(item.trees.0, source: item.source, hashKey: item.hashKey)
                _ = tree.set(runs[0], runs[1])
                item.storeTrees(.dictionary, tree.handle, TreeHandle(), expiresAt: nil)
            }
        }
        let isInternal = { (error: MartletError?) in if case .internalFailure = error { true } else { false } }
        #expect(isInternal(dictSetError { () throws(MartletError) in _ = try cache.field("d", number(7)) }))
        #expect(isInternal(dictSetError { () throws(MartletError) in _ = try cache.pairs("d") }))
        #expect(isInternal(dictSetError { () throws(MartletError) in _ = try cache.increment("d", number(7), by: 1) }))
        #expect(try cache.field("d", number(8)) == text("1"))
        // Removing the others still works, though it cannot be packed.
        #expect(try cache.removeFields("d", (0..<999).filter { $0 != 7 }.map { number($0) }) == 998)
        #expect(try cache.field("d", number(999)) == text("1"))
        #expect(try cache.removeFields("d", [number(7)]) == 1)
        #expect(try cache.pairs("d") == [number(999): text("1")])
    }
}
