import Tenancy
import Testing

@testable import Engine

private func key(_ number: Int) -> [UInt8] { Array("key:\(number)".utf8) }

private func value(_ count: Int) -> [UInt8] { (0..<count).map { UInt8($0 % 7) } }

extension EngineCache {
    /// All keys, by scanning some at a time; `between` runs between two calls.
    fileprivate func scanAll(
        limit: Int, now: Timestamp = start, between: () throws -> Void = {}
    ) throws -> [[UInt8]] {
        var keys: [[UInt8]] = []
        var cursor: UInt64 = 0
        repeat {
            cursor = scan(from: cursor, limit: limit, now: now) { key, _, _ in keys.append(Array(key)) }
            try between()
        } while cursor != 0
        return keys
    }

    fileprivate func move(_ from: String, _ to: String, overwrites: Bool = true, copies: Bool = false) throws -> Bool? {
        try Array(from.utf8).withUnsafeBytes { from in
            try Array(to.utf8).withUnsafeBytes { to in
                copies
                    ? try copy(from, to: to, overwrites: overwrites, now: start)
                    : try rename(from, to: to, overwrites: overwrites, now: start)
            }
        }
    }

    fileprivate func describe(_ key: String) -> ItemKind? {
        Array(key.utf8).withUnsafeBytes { describe($0, now: start)?.kind }
    }

    fileprivate func fillList(_ key: String, _ count: Int) throws {
        try Array(key.utf8).withUnsafeBytes { key in
            try withItem(key, now: start) { item throws(MartletError) in
                for number in 0..<count {
                    _ = try item.pushToList([Array("element \(number)".utf8)])
                }
            }
        }
    }

    fileprivate func listCount(_ key: String) throws -> Int? {
        try Array(key.utf8).withUnsafeBytes { key in
            try withItem(key, now: start) { item throws(MartletError) in try item.listCount() }
        }
    }
}

extension ItemAccess {
    fileprivate mutating func pushToList(_ elements: [[UInt8]]) throws(MartletError) -> Int {
        for element in elements {
            let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: element.count, alignment: 1)
            defer { bytes.deallocate() }
            bytes.copyBytes(from: element)
            _ = try pushToList(
                [UnsafeRawBufferPointer(bytes)], at: .back, expiry: CollectionExpiry(expiresAt: nil, refresh: false))
        }
        return elements.count
    }
}

@Suite struct KeyTests {
    @Test(arguments: [10, 3000, 20_000])
    func aScanVisitsEachKeyOnceWhenNothingChanges(count: Int) throws {
        let engine = makeEngine()
        let cache = engine.open()
        defer { #expect(engine.checkInvariants() == []) }
        for item in 0..<count { try cache.write(key(item), [1]) }
        for limit in [1, 10, 1000] {
            let keys = try cache.scanAll(limit: limit)
            #expect(keys.count == count && Set(keys) == Set((0..<count).map { key($0) }))
        }
        let none = try engine.open(2).scanAll(limit: 10)
        #expect(none.isEmpty)
    }

    /// The index grows, shrinks, and the cache is divided, all while a scan is under way.
    @Test(arguments: testSeeds())
    func aScanMissesNothingThatStays(seed: UInt64) throws {
        print("seed \(seed): set MARTLET_TEST_SEED to repeat")
        var random = SeededGenerator(seed: seed)
        let engine = makeEngine()
        let cache = engine.open()
        defer { #expect(engine.checkInvariants() == []) }
        for item in 0..<1500 { try cache.write(key(item), [1]) }
        var next = 1_000_000
        var passing: [Int] = []
        let seen = try cache.scanAll(limit: 20) {
            if Int.random(in: 0..<3, using: &random) > 0 || next < 1_003_500 {
                for _ in 0..<80 {
                    try cache.write(key(next), [2])
                    passing.append(next)
                    next += 1
                }
            } else {
                for _ in 0..<min(200, passing.count) { _ = cache.remove(key(passing.removeLast())) }
            }
        }
        #expect(cache.statistics.items >= 1500)
        #expect(Set(seen).isSuperset(of: (0..<1500).map { key($0) }), "seed \(seed)")
    }

    @Test func renamingAndCopyingKeepValueKindAndTime() throws {
        let engine = makeEngine(seals: true)
        let cache = engine.open()
        defer { #expect(engine.checkInvariants() == []) }
        try cache.write("a", "one", expiresAt: start.adding(milliseconds: 5000))
        #expect(try cache.move("none", "b") == nil)
        #expect(try cache.move("a", "b") == true)
        #expect(cache.read("a") == nil)
        #expect(cache.read("b") == "one")
        #expect(cache.facts("b".utf8)?.expiresAt == start.adding(milliseconds: 5000))
        try cache.write("c", "two")
        #expect(try cache.move("b", "c", overwrites: false) == false)
        #expect(try cache.move("b", "c", copies: true) == true)
        #expect(cache.read("b") == "one" && cache.read("c") == "one")
        #expect(try cache.move("b", "b") == true)
        #expect(cache.read("b") == "one")
    }

    /// A large sealed list keeps its elements readable under another key, and a copy is one of its own.
    @Test(arguments: [false, true])
    func largeCollectionsAreRenamedAndCopied(seals: Bool) throws {
        let engine = makeEngine(seals: seals)
        let cache = engine.open()
        try cache.fillList("list", 2000)
        #expect(try cache.move("list", "other") == true)
        #expect(cache.describe("list") == nil && cache.describe("other") == .list)
        #expect(try cache.listCount("other") == 2000)
        #expect(try cache.move("other", "copy", copies: true) == true)
        try cache.fillList("copy", 5)
        #expect(try cache.listCount("copy") == 2005)
        #expect(try cache.listCount("other") == 2000)
        engine.settle()
        #expect(engine.checkInvariants() == [])
        #expect(cache.remove("other".utf8) && cache.remove("copy".utf8))
        engine.settle()
        #expect(engine.checkInvariants() == [])
        #expect(cache.statistics.bytes < 10_000)
    }

    @Test func aTimeIsChangedByItsRule() throws {
        let engine = makeEngine()
        let cache = engine.open()
        defer { #expect(engine.checkInvariants() == []) }
        try cache.write("k", "v")
        func change(_ milliseconds: Int64?, _ rule: ExpiryRule) throws -> ExpiryOutcome {
            try Array("k".utf8).withUnsafeBytes { key in
                try cache.setExpiry(key, milliseconds.map { start.adding(milliseconds: $0) }, rule: rule, now: start)
            }
        }
        #expect(try change(100, .onlyIfSome) == .kept)
        #expect(try change(100, .onlyIfLater) == .kept, "never is later than all")
        #expect(try change(100, .onlyIfNone) == .changed)
        #expect(try change(200, .onlyIfNone) == .kept)
        #expect(try change(50, .onlyIfLater) == .kept)
        #expect(try change(200, .onlyIfLater) == .changed)
        #expect(try change(300, .onlyIfEarlier) == .kept)
        #expect(try change(150, .onlyIfEarlier) == .changed)
        #expect(try change(nil, .onlyIfEarlier) == .kept)
        #expect(try change(nil, .onlyIfLater) == .changed)
        #expect(cache.facts("k".utf8)?.expiresAt == nil)
        #expect(try change(0, .always) == .changed)
        #expect(cache.read("k") == nil)
        #expect(try change(1, .always) == .absent)
    }

    @Test func aRandomKeyIsAnyOfThem() throws {
        let engine = makeEngine()
        let cache = engine.open()
        defer { #expect(engine.checkInvariants() == []) }
        var random = SeededGenerator(seed: 5)
        #expect(cache.withRandomKey(now: start, using: &random) { _ in 0 } == nil)
        for item in 0..<20 { try cache.write(key(item), [1]) }
        var seen = Set<[UInt8]>()
        for _ in 0..<600 { seen.insert(cache.withRandomKey(now: start, using: &random) { Array($0) } ?? []) }
        #expect(seen == Set((0..<20).map { key($0) }))
    }
}

@Suite struct PartOfScalarTests {
    private func bytes<Result>(
        _ key: String, _ value: String, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result {
        try Array(key.utf8).withUnsafeBytes { key in try Array(value.utf8).withUnsafeBytes { try body(key, $0) } }
    }

    @Test(arguments: [false, true])
    func appendingAndOverwritingChangeAPart(seals: Bool) throws {
        let engine = makeEngine(seals: seals)
        let cache = engine.open()
        defer { #expect(engine.checkInvariants() == []) }
        func append(_ text: String) throws -> Int {
            try bytes("k", text) { try cache.append($0, $1, limit: 100, expiresAt: nil, now: start) }
        }
        func put(_ offset: Int, _ text: String) throws -> Int {
            try bytes("k", text) {
                try cache.setRange($0, at: offset, $1, limit: 100, expiresAt: nil, now: start)
            }
        }
        #expect(try append("Hello") == 5)
        #expect(try append(" World") == 11)
        #expect(try put(6, "Redis") == 11)
        #expect(cache.read("k") == "Hello Redis")
        #expect(try put(13, "!") == 14)
        #expect(cache.read("k") == "Hello Redis\0\0!")
        #expect(try put(50, "") == 14)
        #expect(throws: MartletError.tooLarge(limit: .maxItemBytes, value: 100)) { try put(100, "x") }
        #expect(throws: MartletError.tooLarge(limit: .maxItemBytes, value: 100)) { try put(.max, "x") }
        #expect(throws: MartletError.self) { try put(-1, "x") }
        #expect(cache.read("k") == "Hello Redis\0\0!")
        let part = try bytes("k", "") { key, _ in
            try cache.withRange(key, { $0 - 9..<$0 + 10 }, now: start) { String(decoding: $0, as: UTF8.self) }
        }
        #expect(part == " Redis\0\0!".suffix(9).description)
    }

    @Test func aConditionOnTheValueIsDecidedInTheSameStep() throws {
        let engine = makeEngine(seals: true)
        let cache = engine.open()
        defer { #expect(engine.checkInvariants() == []) }
        func set(_ value: String, ifEqual expected: String?) throws -> Bool {
            try bytes("k", value) { key, value in
                try cache.set(key, value: value, expiresAt: nil, now: start) { current in
                    current.map { String(decoding: $0, as: UTF8.self) } == expected
                }
            }
        }
        #expect(try !set("a", ifEqual: "x"))
        #expect(try set("a", ifEqual: nil))
        #expect(try !set("b", ifEqual: nil))
        #expect(try set("b", ifEqual: "a"))
        #expect(cache.read("k") == "b")
    }

    @Test func aScalarOperationOnACollectionIsRefused() throws {
        let engine = makeEngine()
        let cache = engine.open()
        defer { #expect(engine.checkInvariants() == []) }
        try cache.fillList("list", 3)
        let key = Array("list".utf8)
        key.withUnsafeBytes { key in
            #expect(throws: MartletError.wrongType) { try cache.facts(key, now: start) }
            #expect(throws: MartletError.wrongType) {
                try cache.get(key, now: start) { _ in fatalError("nothing is read") }
            }
            #expect(throws: MartletError.wrongType) { try cache.increment(key, by: 1, expiresAt: nil, now: start) }
            #expect(throws: MartletError.wrongType) {
                try cache.append(key, key, limit: 100, expiresAt: nil, now: start)
            }
        }
        #expect(try cache.listCount("list") == 3)
        try cache.write("list", "scalar")
        #expect(cache.read("list") == "scalar")
    }
}

@Suite struct BatchTests {
    @Test(arguments: [false, true], [CompressionMode.off, .zstd])
    func aBatchReadsWhatSingleReadsRead(seals: Bool, compression: CompressionMode) throws {
        let engine = makeEngine(seals: seals)
        let cache = engine.openCache(CacheID(rawValue: 1), limits: EngineCacheLimits(), compression: compression)
        for item in 0..<6000 where item % 3 != 0 {
            try cache.write(
                key(item), value(item % 700), expiresAt: item % 5 == 0 ? start.adding(milliseconds: 10) : nil)
        }
        let now = start.adding(milliseconds: 20)
        var random = SeededGenerator(seed: 8)
        for count in [0, 1, 2, 15, 16, 17, 100] {
            let items = (0..<count).map { _ in Int.random(in: 0..<6000, using: &random) }
            let memory = items.map { Array(key($0)) }
            let pointers = memory.map { bytes in
                let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
                copy.copyBytes(from: bytes)
                return UnsafeRawBufferPointer(copy)
            }
            defer { for pointer in pointers { pointer.deallocate() } }
            var found: [[UInt8]?] = []
            try cache.getBatch(pointers, now: now) { position, value, _ in
                #expect(position == found.count)
                found.append(value.map(Array.init))
            }
            #expect(found == items.map { cache.read(key($0), now: now)?.value })
        }
    }
}
