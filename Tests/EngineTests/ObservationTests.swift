import Synchronization
import Tenancy
import Testing

@testable import Engine

@Suite struct ObservationTests {
    let engine: EmbeddedEngine
    let cache: EngineCache
    let recorder = Recorder()

    init() {
        engine = makeEngine(memoryBytes: 256 << 20)
        cache = engine.open()
    }

    private func later(_ milliseconds: Int64) -> Timestamp { start.adding(milliseconds: milliseconds) }

    // MARK: Scalars

    @Test func eachWriteOfAScalarIsToldOnce() throws {
        cache.observe("key", by: recorder)
        try cache.write("key", "value")
        #expect(recorder.take() == ["written key"])
        try cache.write("key", "other")
        #expect(recorder.take() == ["written key"], "in place")
        try cache.write("key", "of another length")
        #expect(recorder.take() == ["written key"])
        try cache.write("key", "5", condition: .ifPresent)
        #expect(recorder.take() == ["written key"])
        try cache.add(1, to: "key".utf8)
        #expect(recorder.take() == ["written key"])
        try cache.changeExpiry("key", later(10))
        #expect(recorder.take() == ["written key"])
        try cache.changeExpiry("key", nil)
        #expect(recorder.take() == ["written key"])
    }

    @Test func removalsAreTold() throws {
        cache.observe("key", by: recorder)
        let removals: [(EngineCache) throws -> Void] = [
            { _ = $0.remove("key".utf8) },
            { _ = $0.remove("key".utf8, ifHashIn: [engine.hash(of: "value")]) },
            { try $0.changeExpiry("key", start) },
            { try $0.write("key", "value", expiresAt: start) },
        ]
        for removal in removals {
            try cache.write("key", "value")
            _ = recorder.take()
            try removal(cache)
            #expect(recorder.take() == ["removed key"])
        }
    }

    @Test func whatChangesNothingTellsNothing() throws {
        try cache.write("key", "value", expiresAt: later(50))
        for name in ["key", "absent"] { cache.observe(name, by: recorder) }
        cache.addListener(recorder)
        #expect(cache.read("key") == "value")
        #expect(cache.facts("key".utf8) != nil)
        #expect(try cache.readTogether(["key", "absent"]) == ["value", nil])
        #expect(cache.scannedKeys().count == 1)
        #expect(try !cache.write("key", "other", condition: .ifAbsent))
        #expect(try !cache.write("absent", "other", condition: .ifPresent))
        try cache.write("absent", "over", expiresAt: start)
        #expect(!cache.remove("absent".utf8))
        #expect(cache.remove("key".utf8, ifHashIn: [engine.hash(of: "other")]) == .kept)
        try cache.changeExpiry("key", later(50))
        try cache.changeExpiry("key", later(20), rule: .onlyIfLater)
        try cache.changeExpiry("absent", later(20))
        #expect(throws: MartletError.notAnInteger) { try cache.add(1, to: "key".utf8) }
        #expect(try cache.move("absent", to: "key") == nil)
        #expect(try cache.move("key", to: "key") == true)
        #expect(recorder.take() == [])
    }

    @Test func otherKeysAreNotTold() throws {
        cache.observe("key", by: recorder)
        for number in 0..<2000 { try cache.write("key\(number)", "value") }
        #expect(recorder.take() == [])
    }

    // MARK: Collections

    /// Small and large, each change is told once, and what finds nothing to do is not.
    @Test(arguments: [1, 3000], [false, true])
    func changesOfDictionariesAndSetsAreTold(count: Int, seals: Bool) throws {
        let home = makeDictSetCache(seals: seals)
        try home.setFields("dict", (0..<count).map { (number($0), text("value")) })
        try home.addMembers("set", (0..<count).map { number($0) })
        for key in ["dict", "set"] { home.cache.observe(key, by: recorder) }
        try home.setFields("dict", [(text("new"), text("value")), (text("newer"), text("value"))])
        #expect(recorder.take() == ["written dict"])
        #expect(try home.setField("dict", number(0), text("another")) == false)
        #expect(recorder.take() == ["written dict"])
        #expect(try home.increment("dict", text("counter"), by: 2) == 2)
        #expect(recorder.take() == ["written dict"])
        #expect(try home.removeFields("dict", [text("new")]) == 1)
        #expect(recorder.take() == ["written dict"])
        #expect(try home.addMembers("set", [text("new"), number(0)]) == 1)
        #expect(recorder.take() == ["written set"])
        #expect(try home.removeMembers("set", [text("new")]) == 1)
        #expect(recorder.take() == ["written set"])

        #expect(try home.setFieldIfAbsent("dict", number(0), text("other")) == false)
        #expect(try home.removeFields("dict", [text("absent")]) == 0)
        #expect(try home.addMembers("set", [number(0)]) == 0)
        #expect(try home.addMembers("set", [number(0), number(count - 1)]) == 0)
        #expect(try home.removeMembers("set", [text("absent")]) == 0)
        _ = try (home.pairs("dict"), home.members("set"))
        #expect(recorder.take() == [])

        // Down to what is packed again, and to nothing.
        #expect(try home.removeMembers("set", (1..<max(2, count)).map { number($0) }) == count - 1)
        #expect(recorder.take() == (count > 1 ? ["written set"] : []))
        #expect(try home.removeMembers("set", [number(0)]) == 1)
        #expect(recorder.take() == ["removed set"])
        #expect(home.violations() == [])
    }

    @Test(arguments: [2, 3000], [false, true])
    func changesOfListsAndSortedSetsAreTold(count: Int, seals: Bool) throws {
        let home = CollectionHarness(seals: seals)
        try home.push("list", (0..<count).map { "element \($0)".raw })
        try home.add("zset", (0..<count).map { (Double($0), "member \($0)".raw) })
        for key in ["list", "zset"] { home.cache.observe(key, by: recorder) }
        try home.push("list", ["a".raw, "b".raw, "c".raw])
        #expect(recorder.take() == ["written list"])
        #expect(try home.pop("list", .front)?.left == count + 2)
        #expect(recorder.take() == ["written list"])
        try home.add("zset", [(1, "a".raw), (2, "b".raw)])
        #expect(recorder.take() == ["written zset"])
        try home.increment("zset", "a".raw, by: 5)
        #expect(recorder.take() == ["written zset"])

        try home.add("zset", [(6, "a".raw), (2, "b".raw)])
        try home.add("zset", [(9, "a".raw)], .onlyIfAbsent)
        _ = try (home.list("list"), home.sortedSet("zset"), home.pop("list", .front, count: 0))
        #expect(recorder.take() == [])

        #expect(try home.pop("list", .back, count: count)?.left == 2)
        #expect(recorder.take() == ["written list"])
        #expect(try home.pop("list", .back, count: 2)?.left == 0)
        #expect(recorder.take() == ["removed list"])
        home.engine.settle(now: home.now)
        #expect(home.engine.checkInvariants() == [])
    }

    @Test(arguments: [3, 3000])
    func renamingAndCopyingAreToldForBothKeys(count: Int) throws {
        let home = makeDictSetCache()
        try home.addMembers("set", (0..<count).map { number($0) })
        home.cache.addListener(recorder)
        #expect(try home.cache.move("set", to: "copy", copies: true) == true)
        #expect(recorder.take() == ["written copy"])
        #expect(try home.cache.move("copy", to: "set", overwrites: false) == false)
        #expect(recorder.take() == [])
        #expect(try home.cache.move("set", to: "new") == true)
        #expect(recorder.take().sorted() == ["removed set", "written new"])
    }

    // MARK: Time and room

    @Test func expiryIsToldWhereItIsNoticed() throws {
        cache.observe("key", by: recorder)
        try cache.write("key", "value", expiresAt: later(10))
        #expect(cache.read("key", now: later(10)) == nil)
        #expect(recorder.take() == ["written key"], "a read does not remove")
        engine.settle(now: later(200))
        #expect(recorder.take() == ["expired key"])

        try cache.write("key", "value", expiresAt: later(300), now: later(200))
        try cache.write("key", "value", now: later(300))
        #expect(recorder.take() == ["written key", "expired key", "written key"])
        try cache.changeExpiry("key", later(310), now: later(300))
        #expect(!cache.remove("key".utf8, now: later(310)))
        #expect(recorder.take() == ["written key", "expired key"])
    }

    @Test func evictionIsToldForEachItemThatGoes() throws {
        let cache = engine.open(2, EngineCacheLimits(maxItems: 50))
        let mirror = Mirror()
        cache.addListener(mirror)
        cache.observe("0", by: recorder)
        for number in 0..<500 { try cache.write("\(number)", "value") }
        #expect(recorder.take() == ["written 0", "evicted 0"])
        #expect(mirror.now.evictions == 450)
        #expect(mirror.now.keys == cache.scannedKeys())
    }

    @Test func anotherCachesNeedEvictsAndIsTold() throws {
        let engine = makeEngine(memoryBytes: 1 << 20)
        let (first, second) = (engine.open(1), engine.open(2))
        let mirror = Mirror()
        first.addListener(mirror)
        for number in 0..<20_000 { try first.write("\(number)", "value") }
        for number in 0..<20_000 { try second.write("\(number)", "value") }
        #expect(mirror.now.evictions == first.statistics.evictions)
        #expect(mirror.now.evictions > 0)
        #expect(mirror.now.keys == first.scannedKeys())
    }

    // MARK: Flushing, closing, dividing

    @Test func aFlushIsToldToEachObserverOnceAndItGoesOnObserving() throws {
        for number in 0..<100 { cache.observe("key\(number)", by: recorder) }
        cache.addListener(recorder)
        let other = Recorder()
        cache.observe("key0", by: other)
        cache.flush()
        #expect(recorder.take() == ["flushed"])
        #expect(other.take() == ["flushed"])
        try cache.write("key0", "value")
        #expect(recorder.take() == ["written key0", "written key0"], "as a listener and as an observer")
        #expect(other.take() == ["written key0"])
        #expect(engine.checkInvariants() == [])
    }

    @Test func aClosedCacheTellsSoAndLetsGo() throws {
        weak var released: Recorder?
        do {
            let observer = Recorder()
            released = observer
            cache.observe("key", by: observer)
            cache.addListener(observer)
            engine.closeCache(cache)
            #expect(observer.take() == ["flushed"])
            cache.observe("key", by: observer)
            cache.addListener(observer)
            cache.flush()
            #expect(observer.take() == [])
        }
        #expect(released == nil)
        engine.settle()
        #expect(engine.accountedBytes == 0)
    }

    @Test func observersGoWithTheirKeysWhenTheCacheIsDivided() throws {
        let listener = Recorder()
        for number in 0..<200 { cache.observe("key\(number)", by: recorder) }
        cache.addListener(listener)
        for number in 0..<10_000 { try cache.write("filler\(number)", "value") }
        #expect(cache.stripes.isDivided)
        #expect(recorder.take() == [])
        #expect(listener.take().count == 10_000, "moves are not told")
        for number in 0..<200 { try cache.write("key\(number)", "value") }
        #expect(recorder.take() == (0..<200).map { "written key\($0)" })
        #expect(listener.take().count == 200)
        #expect(engine.checkInvariants() == [])
        cache.stopObserving(by: recorder)
        cache.removeListener(listener)
        #expect(cache.observationBytes.load(ordering: .relaxed) == 0)
        #expect(cache.stripes.all.allSatisfy { $0.contents.pointee.observers == nil })
    }

    // MARK: Ending

    @Test func afterTheEndNothingIsTold() throws {
        let other = Recorder()
        let before = cache.statistics.bytes
        cache.observe("key", by: recorder)
        cache.observe("key", by: recorder)
        cache.observe("key", by: other)
        cache.observe("second", by: recorder)
        #expect(cache.statistics.bytes > before, "it is charged")
        #expect(engine.checkInvariants() == [])
        cache.stopObserving("key", by: recorder)
        cache.stopObserving("key", by: recorder)
        try cache.write("key", "value")
        try cache.write("second", "value")
        #expect(recorder.take() == ["written second"])
        #expect(other.take() == ["written key"])
        cache.stopObserving(by: recorder)
        cache.stopObserving(by: other)
        try cache.write("key", "value")
        try cache.write("second", "value")
        #expect(recorder.take() == [])
        #expect(other.take() == [])
        #expect(cache.observationBytes.load(ordering: .relaxed) == 0)
    }
}
