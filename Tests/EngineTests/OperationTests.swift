import Engine
import Tenancy
import Testing

@Suite struct OperationTests {
    let engine = makeEngine()

    @Test func whatIsWrittenIsRead() throws {
        let cache = engine.open()
        #expect(cache.read("key") == nil)
        #expect(try cache.write("key", "value"))
        #expect(cache.read("key") == "value")
        #expect(try cache.write("key", "another value"))
        #expect(cache.read("key") == "another value")
        #expect(cache.statistics.items == 1)
        #expect(engine.checkInvariants() == [])
    }

    @Test func emptyAndBinaryAndLongKeysAndValuesAreHeldAsTheyAre() throws {
        let cache = engine.open()
        let keys: [[UInt8]] = [[], [0], [0, 0], Array(0...255), [UInt8](repeating: 7, count: 65_536)]
        let values: [[UInt8]] = [[], [0], Array(0...255), [UInt8](repeating: 9, count: 5_000_000)]
        for key in keys {
            for value in values {
                try cache.write(key, value)
                #expect(cache.read(key)?.value == value)
            }
        }
        #expect(cache.statistics.items == keys.count)
        #expect(engine.checkInvariants() == [])
    }

    @Test func cachesDoNotSeeEachOther() throws {
        let first = engine.open(1)
        let second = engine.open(2)
        try first.write("key", "one")
        #expect(second.read("key") == nil)
        try second.write("key", "two")
        first.flush()
        #expect(first.read("key") == nil)
        #expect(second.read("key") == "two")
    }

    @Test func expiryIsExactToTheMillisecond() throws {
        let cache = engine.open()
        let end = start.adding(milliseconds: 1)
        try cache.write("short", "value", expiresAt: end)
        try cache.write("later", "value", expiresAt: start.adding(milliseconds: 5000))
        #expect(cache.read("short") == "value")
        #expect(cache.facts("short".utf8)?.expiresAt == end)
        #expect(cache.read("short", now: end) == nil)
        #expect(cache.facts("short".utf8, now: end) == nil)
        #expect(cache.remove("short".utf8, now: end) == false)
        #expect(cache.read("later", now: start.adding(milliseconds: 4999)) == "value")
        #expect(cache.read("later", now: start.adding(milliseconds: 5000)) == nil)
    }

    @Test func anItemWithoutExpiryStays() throws {
        let cache = engine.open()
        try cache.write("key", "value")
        let later = Timestamp(milliseconds: .max - 1)
        engine.settle(now: later)
        #expect(cache.read("key", now: later) == "value")
        #expect(cache.facts("key".utf8)?.expiresAt == nil)
    }

    @Test func aWriteThatIsOverAlreadyRemovesWhatWasThere() throws {
        let cache = engine.open()
        try cache.write("key", "value")
        #expect(try cache.write("key", "gone", expiresAt: start))
        #expect(cache.read("key") == nil)
        #expect(cache.statistics.items == 0)
        #expect(engine.checkInvariants() == [])
    }

    @Test func anOverwriteReplacesTheExpiry() throws {
        let cache = engine.open()
        try cache.write("key", "a", expiresAt: start.adding(milliseconds: 10))
        try cache.write("key", "b")
        #expect(cache.read("key", now: start.adding(milliseconds: 20)) == "b")
        try cache.write("key", "c", expiresAt: start.adding(milliseconds: 10))
        #expect(cache.read("key", now: start.adding(milliseconds: 20)) == nil)
    }

    @Test func conditionsHoldAgainstAbsentAndPresentItems() throws {
        let cache = engine.open()
        let old = engine.hash(of: "old")
        let other = engine.hash(of: "other")
        let cases: [(SetCondition, absent: Bool, present: Bool)] = [
            (.always, true, true), (.ifAbsent, true, false), (.ifPresent, false, true),
            (.ifHashIn([old]), false, true), (.ifHashIn([other, old]), false, true), (.ifHashIn([other]), false, false),
            (.ifHashIn([]), false, false), (.ifHashNotIn([old]), true, false),
            (.ifHashNotIn([other, old]), true, false), (.ifHashNotIn([other]), true, true),
            (.ifHashNotIn([]), true, true), (.ifPresentAndHashNotIn([old]), false, false),
            (.ifPresentAndHashNotIn([other]), false, true), (.ifPresentAndHashNotIn([]), false, true),
            (.ifAbsentOrHashIn([old]), true, true), (.ifAbsentOrHashIn([other]), true, false),
            (.ifAbsentOrHashIn([]), true, false),
        ]
        for (condition, absent, present) in cases {
            _ = cache.remove("key".utf8)
            #expect(try cache.write("key", "new", condition: condition) == absent, "\(condition) on nothing")
            #expect(cache.read("key") == (absent ? "new" : nil))
            try cache.write("key", "old")
            #expect(try cache.write("key", "new", condition: condition) == present, "\(condition) on an item")
            #expect(cache.read("key") == (present ? "new" : "old"))
            // An item whose time is over counts as absent.
            try cache.write("key", "old", expiresAt: start.adding(milliseconds: 1))
            let later = start.adding(milliseconds: 1)
            #expect(
                try cache.write("key", "new", condition: condition, now: later) == absent, "\(condition) on expired")
            #expect(cache.read("key", now: later) == (absent ? "new" : nil))
        }
        #expect(engine.checkInvariants() == [])
    }

    @Test func deletesSayWhatTheyDid() throws {
        let cache = engine.open()
        #expect(cache.remove("key".utf8) == false)
        try cache.write("key", "value")
        #expect(cache.remove("key".utf8, ifHashIn: [engine.hash(of: "other")]) == .kept)
        #expect(cache.read("key") == "value")
        #expect(cache.remove("key".utf8, ifHashIn: [engine.hash(of: "value")]) == .removed)
        #expect(cache.remove("key".utf8, ifHashIn: [engine.hash(of: "value")]) == .absent)
        try cache.write("key", "value")
        #expect(cache.remove("key".utf8))
        #expect(cache.statistics.items == 0)
    }

    @Test func aClosedCacheMissesAndRefuses() throws {
        let cache = engine.open()
        try cache.write("key", "value")
        engine.closeCache(cache)
        engine.closeCache(cache)
        #expect(cache.read("key") == nil)
        #expect(cache.facts("key".utf8) == nil)
        #expect(cache.remove("key".utf8) == false)
        #expect(throws: MartletError.cacheNotFound) { try cache.write("key", "value") }
        #expect(throws: MartletError.cacheNotFound) { try cache.add(1, to: "key".utf8) }
        cache.flush()
        #expect(throws: MartletError.cacheNotFound) { try cache.write("key", "value") }
        engine.settle()
        #expect(engine.accountedBytes == 0)
        #expect(engine.checkInvariants() == [])
    }
}

@Suite struct IncrementTests {
    let engine = makeEngine()

    @Test func countsFromZeroAndKeepsCanonicalText() throws {
        let cache = engine.open()
        #expect(try cache.add(5, to: "n".utf8) == 5)
        #expect(try cache.add(-7, to: "n".utf8) == -2)
        #expect(cache.read("n") == "-2")
        #expect(try cache.add(2, to: "n".utf8) == 0)
        #expect(cache.read("n") == "0")
        #expect(try cache.add(0, to: "new".utf8) == 0)
        #expect(cache.read("new") == "0")
        #expect(engine.checkInvariants() == [])
    }

    @Test func reachesBothEndsAndNotBeyond() throws {
        let cache = engine.open()
        #expect(try cache.add(.max, to: "n".utf8) == .max)
        #expect(throws: MartletError.integerOverflow) { try cache.add(1, to: "n".utf8) }
        #expect(cache.read("n") == "9223372036854775807")
        #expect(try cache.add(.min, to: "n".utf8) == -1)
        #expect(try cache.add(.min + 1, to: "n".utf8) == .min)
        #expect(cache.read("n") == "-9223372036854775808")
        #expect(throws: MartletError.integerOverflow) { try cache.add(-1, to: "n".utf8) }
        #expect(try cache.add(.max, to: "n".utf8) == -1)
    }

    @Test(arguments: [
        "", " 1", "1 ", "+1", "-", "--1", "-0", "00", "01", "-01", "1.0", "1e3", "0x1", "abc", "1\n", "１",
        "9223372036854775808", "-9223372036854775809", "99999999999999999999", "123456789012345678901234567890",
    ])
    func textOfAnotherFormIsNoIntegerAndStays(text: String) throws {
        let cache = engine.open()
        try cache.write("n", text)
        #expect(throws: MartletError.notAnInteger) { try cache.add(1, to: "n".utf8) }
        #expect(cache.read("n") == text)
    }

    @Test(arguments: ["0", "7", "-42", "9223372036854775806", "-9223372036854775808"])
    func storedTextIsAddedTo(text: String) throws {
        let cache = engine.open()
        try cache.write("n", text)
        let number = try #require(Int64(text))
        #expect(try cache.add(1, to: "n".utf8) == number + 1)
        #expect(cache.read("n") == String(number + 1))
    }

    @Test func keepsTheExpiryOfAnItemAndSetsThatOfANewOne() throws {
        let cache = engine.open()
        let end = start.adding(milliseconds: 100)
        let later = start.adding(milliseconds: 500)
        try cache.add(9, to: "n".utf8, expiresAt: end)
        #expect(cache.facts("n".utf8)?.expiresAt == end)
        // In place, and with a longer text.
        try cache.add(-1, to: "n".utf8, expiresAt: later)
        try cache.add(100, to: "n".utf8, expiresAt: later)
        #expect(cache.facts("n".utf8)?.expiresAt == end)
        try cache.write("forever", "9")
        try cache.add(1, to: "forever".utf8, expiresAt: end)
        #expect(cache.facts("forever".utf8)?.expiresAt == nil)
        // An item whose time is over starts anew.
        #expect(try cache.add(1, to: "n".utf8, expiresAt: later, now: end) == 1)
        #expect(cache.facts("n".utf8, now: end)?.expiresAt == later)
        #expect(engine.checkInvariants() == [])
    }

    @Test func aFullCacheKeepsTheOldNumber() throws {
        let floor = engine.open(2).statistics.bytes
        let cache = engine.open(1, EngineCacheLimits(maxBytes: floor + 100))
        #expect(throws: MartletError.memoryExhausted) { try cache.add(1, to: "n".utf8) }
        #expect(engine.checkInvariants() == [])
    }
}
