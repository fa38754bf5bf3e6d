import Engine
import Synchronization
import Tenancy
import Testing

/// Random operations on the caches of two groups and on one without a group, each cache beside a dictionary of what was
/// written to it.
private struct GroupRun {
    let seed: UInt64
    /// Whether the process is full too, beside the groups.
    let isTight: Bool
    var random: SeededGenerator
    let engine: EmbeddedEngine
    let groups: [EngineGroup]
    var caches: [EngineCache] = []
    var models: [[[UInt8]: [UInt8]]] = []
    /// The limit that each group has been brought down to.
    var ceilings: [Int?] = [nil, nil]
    var reservations = [0, 0]
    var step = 0

    init(seed: UInt64, isTight: Bool) {
        self.seed = seed
        self.isTight = isTight
        random = SeededGenerator(seed: seed)
        let engine = makeEngine(memoryBytes: isTight ? 250_000 : 64 << 20)
        self.engine = engine
        groups = (0..<2).map { _ in engine.openGroup(limits: EngineCacheLimits()) }
        for number in 0..<7 {
            caches.append(open(number))
            models.append([:])
        }
    }

    var place: Comment { "seed \(seed), step \(step)" }

    /// The last cache has no group.
    func group(of number: Int) -> Int? { number < 6 ? number % 2 : nil }

    func open(_ number: Int) -> EngineCache {
        engine.openCache(
            CacheID(rawValue: UInt64(number)), in: group(of: number).map { groups[$0] },
            limits: EngineCacheLimits(reservedBytes: number < 2 ? 10_000 : 0))
    }

    mutating func pick<T>(_ choices: [T]) -> T { choices[Int.random(in: 0..<choices.count, using: &random)] }

    /// An item may be gone that was evicted; nobody's but the own group's writes and the process's shortage make it go.
    mutating func reconcile(_ number: Int, _ key: [UInt8], mayBeLost: Bool) {
        let found = caches[number].read(key)?.value
        if found == nil, models[number][key] != nil {
            #expect(mayBeLost, place)
            models[number][key] = nil
        } else {
            #expect(found == models[number][key], place)
        }
    }

    mutating func write(_ number: Int, _ key: [UInt8]) {
        let value = groupValue(pick([0, 5, 60, 200, 250, 1000, 3000]))
        let before = groups.map(\.statistics)
        do throws(MartletError) {
            try caches[number].write(key, value)
            models[number][key] = value
        } catch {
            #expect(error == .memoryExhausted, place)
            let isIntact = caches[number].read(key)?.value == models[number][key]
            #expect(isIntact || isTight || group(of: number) != nil, place)
        }
        for (other, group) in groups.enumerated() where other != self.group(of: number) {
            let after = group.statistics
            if isTight {
                // Memory comes in segments.
                #expect(after.liveBytes >= min(before[other].liveBytes, reservations[other]) - 8192, place)
            } else {
                #expect(after.items == before[other].items, place)
            }
        }
    }

    mutating func setLimits() {
        let number = Int.random(in: 0..<2, using: &random)
        let maxBytes = pick([nil, 0, 900, 15_000, 40_000, 40_000, 90_000])
        let maxItems = pick([nil, nil, nil, 0, 1, 12, 60])
        reservations[number] = pick([0, 20_000, 60_000])
        groups[number].setLimits(
            EngineCacheLimits(maxBytes: maxBytes, reservedBytes: reservations[number], maxItems: maxItems))
        ceilings[number] = nil
        guard Bool.random(using: &random) else { return }
        engine.settle()
        ceilings[number] = maxBytes
        #expect(groups[number].statistics.items <= maxItems ?? .max, place)
    }

    mutating func doSomething() {
        step += 1
        let number = Int.random(in: 0..<caches.count, using: &random)
        let key = groupKey(Int.random(in: 0..<40, using: &random))
        let mayBeLost = isTight || group(of: number) != nil
        reconcile(number, key, mayBeLost: mayBeLost)
        switch Int.random(in: 0..<1000, using: &random) {
        case 0..<700: write(number, key)
        case 700..<800:
            #expect(caches[number].remove(key) == (models[number][key] != nil), place)
            models[number][key] = nil
        case 800..<900: _ = engine.tick(now: start)
        case 900..<910:
            caches[number].flush()
            models[number] = [:]
        case 910..<920:
            engine.closeCache(caches[number])
            caches[number] = open(number)
            models[number] = [:]
        case 920..<950: setLimits()
        case 950..<960: caches[number].setLimits(EngineCacheLimits(reservedBytes: pick([0, 5000, 50_000])))
        case 960..<970: caches[number].setAttachedBytes(pick([0, 0, 100, 9000]))
        default: break
        }
        reconcile(number, key, mayBeLost: mayBeLost)
        for (number, group) in groups.enumerated() {
            guard let ceiling = ceilings[number] else { continue }
            // What cannot be evicted is not refused.
            let fixed = caches.indices.filter { self.group(of: $0) == number }
                .reduce(0) { $0 + caches[$1].statistics.bytesAttached }
            #expect(group.statistics.liveBytes <= ceiling + fixed || group.statistics.items == 0, place)
        }
        #expect(engine.checkInvariants() == [], place)
    }

    mutating func finish() {
        for number in caches.indices {
            for key in Array(models[number].keys) {
                reconcile(number, key, mayBeLost: isTight || group(of: number) != nil)
            }
        }
        for group in groups { engine.closeGroup(group) }
        engine.closeCache(caches[6])
        engine.settle()
        #expect(engine.accountedBytes == 0, place)
        #expect(groups.allSatisfy { $0.statistics == EngineGroupStatistics.none }, place)
    }
}

extension EngineGroupStatistics {
    fileprivate static var none: EngineGroupStatistics {
        makeEngine(memoryBytes: 1 << 20).openGroup(limits: EngineCacheLimits()).statistics
    }
}

@Suite struct GroupModelTests {
    @Test(arguments: testSeeds(), [false, true])
    func agreesWithDictionariesAndKeepsGroupsApart(seed: UInt64, isTight: Bool) {
        print("seed \(seed): set MARTLET_TEST_SEED to repeat")
        var run = GroupRun(seed: seed, isTight: isTight)
        for _ in 0..<4000 { run.doSomething() }
        run.finish()
    }

    /// Threads write to the caches of two groups while limits change, caches come and go, and ticks run. The group whose
    /// limits stand still is never over them by more than what is under way; the books are right in the end.
    @Test(arguments: testSeeds())
    func allOperationsAtOnceKeepCeilingsAndLeaveTrueBooks(seed: UInt64) {
        print("seed \(seed): set MARTLET_TEST_SEED to repeat")
        let engine = makeEngine(memoryBytes: 4 << 20)
        let steady = GroupOfCaches(engine, EngineCacheLimits(maxBytes: 600_000, reservedBytes: 300_000, maxItems: 2500))
        let changing = GroupOfCaches(engine, EngineCacheLimits(maxBytes: 2 << 20), reserved: [100_000])
        let overflows = Atomic<Int>(0)
        let torn = Atomic<Int>(0)
        onThreads(4) { thread in
            var random = SeededGenerator(seed: seed &* 31 &+ UInt64(thread))
            for step in 0..<6000 {
                let number = Int.random(in: 0..<4000, using: &random)
                let tenant = Bool.random(using: &random) ? steady : changing
                let cache = tenant.caches[Int.random(in: 0..<3, using: &random)]
                switch Int.random(in: 0..<1000, using: &random) {
                case 0..<650:
                    let value = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 1 + number % 400)
                    _ = try? cache.write(groupKey(number), value)
                case 650..<850:
                    if let found = cache.read(groupKey(number))?.value,
                        found != [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 1 + number % 400)
                    {
                        torn.add(1, ordering: .relaxed)
                    }
                case 850..<900: _ = cache.remove(groupKey(number))
                case 900..<960: _ = engine.tick(now: start)
                case 960..<963: cache.flush()
                case 963..<970:
                    let maxBytes = [50_000, 300_000, nil, 2 << 20].randomElement(using: &random) ?? nil
                    changing.group.setLimits(EngineCacheLimits(maxBytes: maxBytes, maxItems: step % 2 == 0 ? 900 : nil))
                case 970..<975:
                    let passing = engine.open(9, EngineCacheLimits(reservedBytes: 9000), in: tenant.group)
                    _ = try? passing.write(groupKey(number), groupKey(number))
                    engine.closeCache(passing)
                case 975..<985:
                    _ = try? cache.withExclusiveAccess(reserving: 1000, now: start) { () throws(MartletError) in
                        let value = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 1 + number % 400)
                        _ = try cache.write(groupKey(number), value)
                    }
                default: changing.caches[0].setAttachedBytes(number)
                }
                if steady.bytes > 600_000 + 4 * 8192 { overflows.add(1, ordering: .relaxed) }
                if steady.group.statistics.items > 2500 + 4 { overflows.add(1, ordering: .relaxed) }
            }
        }
        #expect(torn.load(ordering: .relaxed) == 0)
        #expect(overflows.load(ordering: .relaxed) == 0)
        #expect(engine.checkInvariants() == [])
        engine.closeGroup(steady.group)
        engine.closeGroup(changing.group)
        engine.settle()
        #expect(engine.accountedBytes == 0)
        #expect(engine.checkInvariants() == [])
    }
}
