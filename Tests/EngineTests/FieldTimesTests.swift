import Tenancy
import Testing

@testable import Engine

struct FieldTimesTests {
    private let later = dictSetNow.adding(milliseconds: 1000)
    private let muchLater = dictSetNow.adding(milliseconds: 100_000)

    @Test(arguments: [false, true]) func aFieldIsGoneFromItsMillisecondOn(_ seals: Bool) throws {
        let cache = makeDictSetCache(seals: seals)
        try cache.setFields("d", [(text("a"), text("1")), (text("b"), text("2"))])
        #expect(try cache.setFieldExpiry("d", [text("a"), text("x")], later) == [.changed, .missing])
        let before = later.adding(milliseconds: -1)
        #expect(try cache.field("d", text("a"), now: before) == text("1"))
        #expect(try cache.length("d", now: before) == 2)
        #expect(
            try cache.fieldExpiry("d", [text("a"), text("b"), text("x")], now: before) == [
                .at(later), .never, .missing,
            ])
        #expect(try cache.field("d", text("a"), now: later) == nil)
        #expect(try cache.length("d", now: later) == 1)
        #expect(try cache.pairs("d", now: later) == [text("b"): text("2")])
        #expect(try cache.isLarge("d") == false)
        #expect(cache.violations(now: later) == [])
    }

    @Test func aDictionaryGoesWithItsLastField() throws {
        let cache = makeDictSetCache()
        try cache.setFields("d", (0..<100).map { (number($0), []) })
        #expect(
            try cache.setFieldExpiry("d", (0..<100).map { number($0) }, later)?.allSatisfy { $0 == .changed } == true)
        try lend([text("d")]) { (keys) throws(MartletError) in
            #expect(cache.cache.describe(keys[0], now: dictSetNow)?.kind == .dictionary)
            #expect(cache.cache.describe(keys[0], now: later) == nil)
            var seen = 0
            _ = cache.cache.scan(from: 0, limit: 10, now: later) { _, _, _ in seen += 1 }
            #expect(seen == 0)
            let isRead = try cache.cache.get(keys[0], now: later) { _ in
                UnsafeMutableRawBufferPointer(start: nil, count: 0)
            }
            #expect(isRead == nil)
            #expect(cache.cache.delete(keys[0], now: later) == false)
        }
        #expect(try cache.kind("d", now: later) == nil)
        #expect(cache.violations(now: later) == [])
    }

    @Test func fieldsThatNobodyTouchesGiveTheirMemoryBack() throws {
        let cache = makeDictSetCache()
        let empty = cache.cache.statistics.bytes
        for item in 0..<50 {
            try cache.setFields("d\(item)", (0..<200).map { (number($0, "field"), text("value")) })
            _ = try cache.setFieldExpiry("d\(item)", (0..<200).map { number($0, "field") }, later)
        }
        cache.engine.settle(now: later.adding(milliseconds: -1))
        #expect(cache.cache.statistics.items == 50)
        cache.engine.settle(now: later.adding(milliseconds: 128))
        #expect(cache.cache.statistics.items == 0)
        #expect(cache.cache.statistics.bytes == empty)
        #expect(cache.cache.statistics.expirations == 50)
        #expect(cache.violations(now: later) == [])
    }

    /// Many fields of one dictionary are due while one is not: a tick takes some, and nobody sees the others meanwhile.
    @Test func aTickDoesABoundedPieceOfManyFields() throws {
        let cache = makeDictSetCache()
        let fields = (0..<20_000).map { number($0) }
        try cache.setFields("d", fields.map { ($0, text("value")) } + [(text("stays"), text("1"))])
        _ = try cache.setFieldExpiry("d", fields, later)
        let now = later.adding(milliseconds: 128)
        #expect(try cache.length("d", now: now) == 1)
        #expect(try cache.pairs("d", now: now) == [text("stays"): text("1")])
        #expect(try cache.field("d", fields[19_999], now: now) == nil)
        var snapshot = try cache.item("d", now: now) { (item) throws(MartletError) in try item.dictionarySnapshot() }
        #expect(snapshot?.count == 1)
        var ticks = 1
        var before = cache.cache.statistics.bytes
        while cache.engine.tick(now: now) {
            ticks += 1
            #expect(before - cache.cache.statistics.bytes < 4 << 20)
            before = cache.cache.statistics.bytes
        }
        #expect(ticks >= 3)
        #expect(try snapshot.map { try cache.contents(of: $0) } == [text("stays"): text("1")])
        snapshot = nil
        #expect(try cache.isLarge("d") == false)
        #expect(try cache.setField("d", fields[0], [], now: now))
        #expect(cache.violations(now: now) == [])
    }

    @Test func theLastLiveFieldTakesTheDictionaryWithItThoughOthersWait() throws {
        let cache = makeDictSetCache()
        let fields = (0..<500).map { number($0) }
        try cache.setFields("d", fields.map { ($0, []) } + [(text("stays"), [])])
        _ = try cache.setFieldExpiry("d", fields, later)
        #expect(try cache.removeFields("d", [fields[400], text("stays")], now: later) == 1)
        #expect(try cache.kind("d", now: later) == nil)
        #expect(cache.violations(now: later) == [])
    }

    @Test func aWriteClearsTheTimeAndAnIncrementKeepsIt() throws {
        let cache = makeDictSetCache()
        try cache.setFields("d", [(text("a"), text("1")), (text("b"), text("1"))])
        _ = try cache.setFieldExpiry("d", [text("a"), text("b")], later)
        #expect(try cache.increment("d", text("a"), by: 2) == 3)
        #expect(try cache.increment("d", text("a"), byFraction: 0.5) == "3.5")
        #expect(try cache.setField("d", text("b"), text("2")) == false)
        #expect(try cache.fieldExpiry("d", [text("a"), text("b")]) == [.at(later), .never])
        try cache.setFieldsKeepingTimes("d", [(text("a"), text("7"))])
        #expect(try cache.fieldExpiry("d", [text("a")]) == [.at(later)])
        // An expired number counts as none, and what comes after it has no time.
        #expect(try cache.increment("d", text("a"), by: 2, now: later) == 2)
        #expect(try cache.fieldExpiry("d", [text("a")], now: later) == [.never])
    }

    @Test func aPassedTimeRemovesAndRulesHold() throws {
        let cache = makeDictSetCache()
        let (a, b) = (text("a"), text("b"))
        #expect(try cache.setFieldExpiry("d", [a], later) == nil)
        try cache.setFields("d", [(a, []), (b, [])])
        #expect(try cache.setFieldExpiry("d", [a], nil) == [.changed])
        #expect(try cache.setFieldExpiry("d", [a], nil, rule: .onlyIfSome) == [.kept])
        #expect(try cache.setFieldExpiry("d", [a], later, rule: .onlyIfSome) == [.kept])
        #expect(try cache.setFieldExpiry("d", [a], later, rule: .onlyIfLater) == [.kept])
        #expect(try cache.isLarge("d") == false)
        #expect(try cache.setFieldExpiry("d", [a], later, rule: .onlyIfNone) == [.changed])
        #expect(try cache.setFieldExpiry("d", [a, b], muchLater, rule: .onlyIfNone) == [.kept, .changed])
        #expect(try cache.setFieldExpiry("d", [a, b], later, rule: .onlyIfEarlier) == [.kept, .changed])
        #expect(try cache.setFieldExpiry("d", [a, b], nil, rule: .onlyIfSome) == [.changed, .changed])
        #expect(try cache.isLarge("d") == false)
        #expect(try cache.setFieldExpiry("d", [a, a, text("x")], dictSetNow) == [.removed, .missing, .missing])
        #expect(try cache.setFieldExpiry("d", [b, b], later) == [.changed, .changed])
        #expect(try cache.setFieldExpiry("d", [b, b], Timestamp(milliseconds: -5)) == [.removed, .missing])
        #expect(try cache.kind("d") == nil)
        try cache.addMembers("s", [a])
        #expect(dictSetError { () throws(MartletError) in _ = try cache.setFieldExpiry("s", [a], later) } == .wrongType)
        #expect(dictSetError { () throws(MartletError) in _ = try cache.fieldExpiry("s", [a]) } == .wrongType)
        #expect(cache.violations() == [])
    }

    @Test func longFieldsAndFarTimesAreHeld() throws {
        let cache = makeDictSetCache(seals: true)
        let fields = [Bytes(repeating: 1, count: 60_000), Bytes(repeating: 1, count: 992), [], [0]]
        try cache.setFields("d", fields.map { ($0, text("value")) })
        #expect(try cache.setFieldExpiry("d", fields, Timestamp(milliseconds: .max)) == fields.map { _ in .changed })
        #expect(try cache.treeViolations("d", now: dictSetNow) == [])
        #expect(cache.violations() == [])
        #expect(try cache.pairs("d")?.count == 4)
        #expect(try cache.setFieldExpiry("d", fields, later) == fields.map { _ in .changed })
        #expect(try cache.treeViolations("d", now: dictSetNow) == [])
        cache.engine.settle(now: later.adding(milliseconds: 128))
        #expect(cache.cache.statistics.items == 0)
    }

    @Test func timesSurviveDividingFlushingAndEviction() throws {
        let cache = makeDictSetCache()
        for item in 0..<6000 {
            try cache.setFields("d\(item)", [(text("a"), text("1")), (text("b"), text("2"))])
            if item % 3 == 0 { _ = try cache.setFieldExpiry("d\(item)", [text("a")], later) }
        }
        #expect(cache.engine.checkInvariants() == [])
        cache.engine.settle(now: later.adding(milliseconds: 128))
        #expect(try cache.field("d3", text("a"), now: later) == nil)
        #expect(try cache.field("d4", text("a"), now: later) == text("1"))
        #expect(try cache.length("d5997", now: later) == 1)
        _ = try cache.setFieldExpiry("d3", [text("b")], muchLater, now: later)
        cache.cache.flush()
        #expect(cache.violations(now: later) == [])
        #expect(cache.cache.statistics.items == 0)
    }

    @Test func aCacheAtItsLimitEvictsDictionariesWithTimes() throws {
        let engine = makeEngine()
        let cache = DictSetCache(engine: engine, cache: engine.open(1, EngineCacheLimits(maxBytes: 1 << 20)))
        for item in 0..<2000 {
            try cache.setFields("d\(item)", (0..<20).map { (number($0), text("value")) })
            _ = try cache.setFieldExpiry("d\(item)", (0..<10).map { number($0) }, later)
            if item % 100 == 0 { #expect(engine.checkInvariants() == []) }
        }
        #expect(cache.cache.statistics.evictions > 0)
        #expect(cache.violations(now: later) == [])
    }
}
