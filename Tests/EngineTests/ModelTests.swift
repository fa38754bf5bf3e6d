import Engine
import Tenancy
import Testing

/// What a cache ought to hold: a dictionary, and nothing about memory.
private struct Model {
    struct Entry {
        var value: [UInt8]
        var expiresAt: Timestamp?
    }

    var entries: [[UInt8]: Entry] = [:]
    /// Items that the engine no longer had although their time was not over.
    var lost: UInt64 = 0

    func live(_ key: [UInt8], now: Timestamp) -> Entry? {
        entries[key].flatMap { entry in entry.expiresAt.map { $0 <= now } == true ? nil : entry }
    }
}

/// Random operations on several caches of one engine, each beside its model.
private struct Run {
    let seed: UInt64
    let isLimited: Bool
    let keyCount: Int
    let compression: CompressionMode
    var random: SeededGenerator
    let engine: EmbeddedEngine
    var caches: [EngineCache] = []
    var models: [Model] = []
    var now = start
    var step = 0

    init(seed: UInt64, isLimited: Bool, keyCount: Int, seals: Bool = false, compression: CompressionMode = .off) {
        self.seed = seed
        self.isLimited = isLimited
        self.keyCount = keyCount
        random = SeededGenerator(seed: seed)
        engine = makeEngine(memoryBytes: isLimited ? 60_000 : 1 << 30, seals: seals)
        self.compression = compression
        for number in 0..<4 {
            caches.append(open(number))
            models.append(Model())
        }
    }

    func open(_ number: Int) -> EngineCache {
        engine.openCache(CacheID(rawValue: UInt64(number)), limits: limits(number), compression: compression)
    }

    var place: Comment { "seed \(seed), step \(step)" }

    func limits(_ number: Int) -> EngineCacheLimits {
        guard isLimited else { return EngineCacheLimits() }
        switch number {
        case 0: return EngineCacheLimits()
        case 1: return EngineCacheLimits(maxBytes: 12_000)
        case 2: return EngineCacheLimits(maxItems: 20)
        default: return EngineCacheLimits(reservedBytes: 15_000)
        }
    }

    mutating func pick<T>(_ choices: [T]) -> T {
        choices[Int.random(in: 0..<choices.count, using: &random)]
    }

    mutating func randomKey() -> [UInt8] {
        Array("key:\(Int.random(in: 0..<keyCount, using: &random))".utf8)
    }

    mutating func randomValue() -> [UInt8] {
        let length = pick([0, 1, 5, 20, 60, 191, 192, 250, isLimited ? 3000 : 600, 2048, 2063, 2064])
        if Int.random(in: 0..<4, using: &random) == 0 {
            return Array(String(Int64.random(in: -2000...2000, using: &random)).utf8)
        }
        return (0..<length).map { _ in UInt8.random(in: 0...3, using: &random) }
    }

    mutating func randomExpiry() -> Timestamp? {
        pick([nil, 0, 1, 50, 400, 5000, 100_000, 10_000_000] as [Int64?]).map { now.adding(milliseconds: $0) }
    }

    mutating func randomCondition(_ old: [UInt8]?) -> SetCondition {
        let hash = pick([engine.hash(of: old ?? []), engine.hash(of: [9])])
        return pick([
            .always, .always, .always, .ifAbsent, .ifPresent, .ifHashIn([hash]), .ifHashNotIn([hash]),
            .ifPresentAndHashNotIn([hash]), .ifAbsentOrHashIn([hash]),
        ])
    }

    func holds(_ condition: SetCondition, for value: [UInt8]?) -> Bool {
        switch condition {
        case .always: true
        case .ifAbsent: value == nil
        case .ifPresent: value != nil
        case .ifHashIn(let hashes): value.map { hashes.contains(engine.hash(of: $0)) } ?? false
        case .ifHashNotIn(let hashes): value.map { !hashes.contains(engine.hash(of: $0)) } ?? true
        case .ifPresentAndHashNotIn(let hashes): value.map { !hashes.contains(engine.hash(of: $0)) } ?? false
        case .ifAbsentOrHashIn(let hashes): value.map { hashes.contains(engine.hash(of: $0)) } ?? true
        }
    }

    /// Takes note of what the engine evicted, which only limits may make it do, and compares what both hold.
    mutating func reconcile(_ number: Int, _ key: [UInt8]) {
        let entry = models[number].live(key, now: now)
        let found = caches[number].read(key, now: now)
        if entry != nil, found == nil {
            #expect(isLimited, "an item is lost without any limit: \(place)")
            models[number].entries[key] = nil
            models[number].lost += 1
            return
        }
        #expect(found?.value == entry?.value, place)
        #expect(found?.facts.expiresAt == entry?.expiresAt, place)
        #expect(found?.facts == caches[number].facts(key, now: now), place)
        #expect(found?.facts.valueHash == entry.map { engine.hash(of: $0.value) }, place)
    }

    mutating func write(_ number: Int, _ key: [UInt8]) {
        let old = models[number].live(key, now: now)
        let value = randomValue()
        let expiresAt = randomExpiry()
        let condition = randomCondition(old?.value)
        let expected = holds(condition, for: old?.value)
        do throws(MartletError) {
            let isStored = try caches[number].write(key, value, expiresAt: expiresAt, condition: condition, now: now)
            // Room for the write may have been made of the very item that the condition speaks of: it is absent then.
            let isEvicted = isLimited && isStored != expected && old != nil && isStored == holds(condition, for: nil)
            #expect(isStored == expected || isEvicted, place)
            if isEvicted { models[number].lost += 1 }
            if isEvicted { models[number].entries[key] = nil }
            if isStored { models[number].entries[key] = Model.Entry(value: value, expiresAt: expiresAt) }
        } catch {
            #expect(isLimited && error == .memoryExhausted, place)
            // The old item is intact: the next reconciliation would count it as lost.
            #expect(caches[number].read(key, now: now)?.value == old?.value, place)
        }
    }

    mutating func increment(_ number: Int, _ key: [UInt8]) {
        let old = models[number].live(key, now: now)
        let amount = pick([1, -1, 90, -1000, Int64.max, .min])
        let expiresAt = randomExpiry()
        // Strictly the text that this language would write itself.
        let text = old.map { String(decoding: $0.value, as: UTF8.self) } ?? "0"
        let before = Int64(text).flatMap { String($0) == text ? $0 : nil }
        let expected: Result<Int64, MartletError>
        if let before {
            let (sum, overflow) = before.addingReportingOverflow(amount)
            expected = overflow ? .failure(.integerOverflow) : .success(sum)
        } else {
            expected = .failure(.notAnInteger)
        }
        var outcome: Result<Int64, MartletError>
        do throws(MartletError) {
            outcome = .success(try caches[number].add(amount, to: key, expiresAt: expiresAt, now: now))
        } catch {
            outcome = .failure(error)
        }
        if isLimited, outcome == .failure(.memoryExhausted) { return }
        // As for a write: an item that was evicted to make room counts from zero.
        let isEvicted = isLimited && outcome != expected && old != nil && outcome == .success(amount)
        #expect(outcome == expected || isEvicted, place)
        if isEvicted { models[number].lost += 1 }
        if case .success(let sum) = outcome {
            models[number].entries[key] = Model.Entry(
                value: Array(String(sum).utf8), expiresAt: old == nil || isEvicted ? expiresAt : old?.expiresAt)
        }
    }

    mutating func delete(_ number: Int, _ key: [UInt8]) {
        let old = models[number].live(key, now: now)
        if Bool.random(using: &random) {
            #expect(caches[number].remove(key, now: now) == (old != nil), place)
            models[number].entries[key] = nil
        } else {
            let hash = pick([engine.hash(of: old?.value ?? []), engine.hash(of: [9])])
            let isMatch = old.map { engine.hash(of: $0.value) == hash }
            let expected: DeleteOutcome = isMatch.map { $0 ? .removed : .kept } ?? .absent
            #expect(caches[number].remove(key, ifHashIn: [hash], now: now) == expected, place)
            if expected != .kept { models[number].entries[key] = nil }
        }
    }

    mutating func doSomething() {
        step += 1
        let number = Int.random(in: 0..<caches.count, using: &random)
        let key = randomKey()
        reconcile(number, key)
        switch Int.random(in: 0..<1000, using: &random) {
        case 0..<450: write(number, key)
        case 450..<600: increment(number, key)
        case 600..<720: delete(number, key)
        case 720..<800: now = now.adding(milliseconds: pick([1, 10, 100, 1000, 20_000] as [Int64]))
        case 800..<900: _ = engine.tick(now: now)
        case 900..<903:
            caches[number].flush()
            models[number].entries = [:]
        case 903..<906:
            engine.closeCache(caches[number])
            #expect(caches[number].read(key, now: now) == nil, place)
            caches[number] = open(number)
            models[number] = Model()
        case 906..<915 where isLimited:
            let tight = EngineCacheLimits(maxBytes: pick([5_000, 9_000, 30_000]), maxItems: pick([nil, 3, 10]))
            caches[number].setLimits(pick([limits(number), tight]))
            engine.settle(now: now)
        // With limits it would take room that the model does not know of.
        case 915..<930 where !isLimited: caches[number].setAttachedBytes(pick([0, 1, 5000, 100_000]))
        default: break
        }
        reconcile(number, key)
        if isLimited { #expect(engine.accountedBytes <= engine.memoryBytes, place) }
        #expect(caches.allSatisfy { $0.statistics.items >= 0 }, place)
    }

    func checkInvariants() {
        #expect(engine.checkInvariants() == [], place)
    }

    /// At the end: every item of every model, and the figures.
    mutating func finish() {
        for number in caches.indices {
            for key in Array(models[number].entries.keys) { reconcile(number, key) }
            #expect(models[number].lost <= caches[number].statistics.evictions, place)
            if !isLimited { #expect(caches[number].statistics.evictions == 0, place) }
        }
        engine.settle(now: now.adding(milliseconds: 200))
        for number in caches.indices where !isLimited {
            let end = now.adding(milliseconds: 200)
            let live = models[number].entries.keys.count { models[number].live($0, now: end) != nil }
            let soon = models[number].entries.keys.count { models[number].live($0, now: now) != nil }
            #expect((live...soon).contains(caches[number].statistics.items), place)
        }
        for cache in caches { engine.closeCache(cache) }
        engine.settle(now: now)
        #expect(engine.accountedBytes == 0, place)
        checkInvariants()
    }
}

@Suite struct ModelTests {
    @Test(arguments: testSeeds(), [false, true])
    func agreesWithADictionaryAfterEachOperation(seed: UInt64, isLimited: Bool) {
        print("seed \(seed): set MARTLET_TEST_SEED to repeat")
        var run = Run(seed: seed, isLimited: isLimited, keyCount: 60)
        for _ in 0..<4000 {
            run.doSomething()
            run.checkInvariants()
        }
        run.finish()
    }

    /// The same with values that are sealed, compressed, or both, and longer ones whose hash is kept.
    @Test(arguments: testSeeds(), [CompressionMode.off, .zstd, .zstdDictionary])
    func agreesWithADictionaryWhenValuesAreSealedAndCompressed(seed: UInt64, compression: CompressionMode) {
        print("seed \(seed): set MARTLET_TEST_SEED to repeat")
        var run = Run(seed: seed, isLimited: false, keyCount: 60, seals: seed % 2 == 1, compression: compression)
        for step in 0..<4000 {
            run.doSomething()
            if step % 20 == 0 { run.checkInvariants() }
        }
        run.finish()
    }

    @Test(arguments: testSeeds())
    func agreesWithADictionaryWithinLimitsWhenValuesAreSealed(seed: UInt64) {
        print("seed \(seed): set MARTLET_TEST_SEED to repeat")
        var run = Run(seed: seed, isLimited: true, keyCount: 60, seals: true)
        for _ in 0..<4000 {
            run.doSomething()
            run.checkInvariants()
        }
        run.finish()
    }

    /// Enough items to grow and shrink the index and to divide the caches.
    @Test(arguments: testSeeds())
    func agreesWithADictionaryAtSize(seed: UInt64) {
        print("seed \(seed): set MARTLET_TEST_SEED to repeat")
        var run = Run(seed: seed, isLimited: false, keyCount: 6000)
        for step in 0..<40_000 {
            run.doSomething()
            if step % 2000 == 0 { run.checkInvariants() }
        }
        run.finish()
    }
}
