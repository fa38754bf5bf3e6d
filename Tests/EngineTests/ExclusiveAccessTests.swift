import Foundation
import Synchronization
import Tenancy
import Testing

@testable import Engine

@Suite struct ExclusiveAccessTests {
    // MARK: One step

    /// Money goes from one account to another in several operations; nobody ever sees a sum that is not whole.
    @Test(arguments: [false, true], [10, 6000])
    func aTransferIsNeverSeenHalfDone(seals: Bool, fillers: Int) throws {
        let engine = makeEngine(seals: seals)
        let cache = engine.open()
        let accounts = (0..<8).map { "account:\($0)" }
        for account in accounts { try cache.write(account, "100") }
        for number in 0..<fillers { try cache.write("filler:\(number)", "value") }
        #expect(cache.stripes.isDivided == (fillers > 5000))
        let torn = Atomic<Int>(0)
        onThreads(4) { thread in
            var random = SeededGenerator(seed: UInt64(thread))
            for _ in 0..<1500 {
                if thread < 2 {
                    let from = Int.random(in: 0..<8, using: &random)
                    let to = (from + Int.random(in: 1..<8, using: &random)) % 8
                    let amount = Int64.random(in: 1...20, using: &random)
                    _ = try? cache.exclusively(reserving: 200) { () throws(MartletError) in
                        try cache.add(-amount, to: accounts[from].utf8)
                        let value = (cache.read(accounts[to]).flatMap { Int64($0) } ?? 0) + amount
                        try cache.write(accounts[to], "\(value)")
                    }
                } else {
                    let values = try? cache.readTogether(accounts)
                    let sum = values?.reduce(0) { $0 + ($1.flatMap { Int($0) } ?? 0) }
                    if sum != 800 { torn.add(1, ordering: .relaxed) }
                }
            }
        }
        #expect(torn.load(ordering: .relaxed) == 0)
        #expect(engine.checkInvariants() == [])
    }

    @Test func othersWaitUntilItEnds() throws {
        let engine = makeEngine()
        let cache = engine.open()
        let seen = Mutex<String?>(nil)
        let group = DispatchGroup()
        try cache.exclusively { () throws(MartletError) in
            try cache.write("key", "half")
            group.enter()
            Thread.detachNewThread {
                let value = cache.read("key")
                seen.withLock { $0 = value }
                group.leave()
            }
            // Until the other has come to the lock.
            while cache.stripes.all[0].figures.pointee.waiting.load(ordering: .relaxed) == 0 {}
            try cache.write("key", "whole")
        }
        group.wait()
        #expect(seen.withLock { $0 } == "whole")
    }

    // MARK: What works inside

    @Test(arguments: [false, true], [10, 6000])
    func everyOperationWorksInside(seals: Bool, fillers: Int) throws {
        let home = makeDictSetCache(seals: seals)
        let cache = home.cache
        for number in 0..<fillers { try cache.write("filler:\(number)", "value") }
        try cache.exclusively(reserving: 1 << 20) { () throws(MartletError) in
            try cache.write("a", "1")
            #expect(try cache.add(4, to: "a".utf8) == 5)
            #expect(try cache.readTogether(["a", "b"]) == ["5", nil])
            #expect(try cache.move("a", to: "b") == true)
            #expect(try cache.move("b", to: "a", copies: true) == true)
            #expect(cache.read("a") == "5")
            #expect(cache.scannedKeys().count == fillers + 2)
            try home.addMembers("set", (0..<3000).map { number($0) })
            #expect(try cache.move("set", to: "other set", copies: true) == true)
            #expect(try home.members("other set")?.count == 3000)
            #expect(try home.removeMembers("set", (0..<3000).map { number($0) }) == 3000)
            #expect(
                try home.items(["a", "c"]) { (items) throws(MartletError) in
                    try items[1].setAdd(items[0].key, expiry: keepTime)
                })
            #expect(try cache.exclusively { cache.read("a") } == "5", "in itself")
            cache.setLimits(EngineCacheLimits(maxBytes: 100 << 20))
            #expect(cache.statistics.items == fillers + 4)
            cache.flush()
            #expect(cache.read("a") == nil)
            try cache.write("after", "flush")
        }
        #expect(cache.read("after") == "flush")
        #expect(cache.statistics.items == 1)
        #expect(home.violations() == [])
        // The locks are free for another thread.
        onThreads(1) { _ in _ = try? cache.write("another", "thread") }
        #expect(cache.read("another") == "thread")
    }

    @Test func aCacheIsDividedWhenItEnds() throws {
        let engine = makeEngine()
        let cache = engine.open()
        let wrong = Atomic<Int>(0)
        onThreads(3) { thread in
            if thread == 0 {
                try? cache.exclusively(reserving: 2 << 20) { () throws(MartletError) in
                    for number in 0..<10_000 { try cache.write("key:\(number)", "\(number)") }
                    if cache.stripes.isDivided { wrong.add(1, ordering: .relaxed) }
                }
            } else {
                for number in 0..<1000 {
                    _ = try? cache.write("\(thread):\(number)", "x")
                    if cache.read("\(thread):\(number)") != "x" { wrong.add(1, ordering: .relaxed) }
                }
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
        #expect(cache.stripes.isDivided)
        #expect((0..<10_000).allSatisfy { cache.read("key:\($0)") == "\($0)" })
        #expect(cache.statistics.items == 12_000)
        #expect(engine.checkInvariants() == [])
    }

    // MARK: Errors

    @Test func anErrorInsideEndsItAndWhatWasDoneStays() throws {
        let engine = makeEngine()
        let cache = engine.open()
        #expect(throws: MartletError.notAnInteger) {
            try cache.exclusively { () throws(MartletError) in
                try cache.write("key", "value")
                try cache.add(1, to: "key".utf8)
            }
        }
        onThreads(1) { _ in _ = try? cache.write("another", "thread") }
        #expect(cache.read("key") == "value")
        #expect(cache.read("another") == "thread")
        #expect(engine.checkInvariants() == [])
    }

    @Test func aClosedCacheRefuses() {
        let engine = makeEngine()
        let cache = engine.open()
        engine.closeCache(cache)
        #expect(throws: MartletError.cacheNotFound) { try cache.exclusively { Issue.record("it ran") } }
    }

    // MARK: Room

    @Test func whatIsReservedForOthersIsNotReservedAgain() throws {
        let engine = makeEngine(memoryBytes: 2 << 20)
        let reserved = engine.open(1, EngineCacheLimits(reservedBytes: 1 << 20))
        for number in 0..<1000 { try reserved.write("key:\(number)".raw, [UInt8](repeating: 1, count: 1000)) }
        let cache = engine.open(2)
        #expect(throws: MartletError.memoryExhausted) {
            try cache.exclusively(reserving: 1_500_000) { Issue.record("it ran") }
        }
        _ = try cache.exclusively(reserving: 500_000) { () throws(MartletError) in try cache.write("key", "value") }
        #expect(reserved.statistics.evictions == 0)
        #expect(engine.checkInvariants() == [])
    }

    /// The process is full: what is reserved is had from others, and what goes beyond is paid with own items.
    @Test func beyondWhatIsReservedItPaysForItself() throws {
        let memoryBytes = 8 << 20
        let engine = makeEngine(memoryBytes: memoryBytes)
        let (holder, cache) = (engine.open(1), engine.open(2))
        var items = 0
        while holder.statistics.evictions == 0 {
            try holder.write("key:\(items)".raw, [UInt8](repeating: 1, count: 1000))
            items += 1
        }
        var most = 0
        var evictions: UInt64 = 0
        try cache.exclusively(reserving: 500_000) { () throws(MartletError) in
            evictions = holder.statistics.evictions
            for number in 0..<1500 {
                try cache.write("key:\(number)".raw, [UInt8](repeating: 1, count: 1000))
                most = max(most, engine.accountedBytes)
            }
            #expect(holder.statistics.evictions == evictions)
            #expect(cache.read("key:1499".raw) != nil)
        }
        #expect(evictions > 0, "room was made before")
        #expect(cache.statistics.evictions > 500)
        #expect(most <= memoryBytes + 500_000)
        #expect(engine.accountedBytes <= memoryBytes)
        #expect(engine.checkInvariants() == [])
    }

    @Test func aCacheAtItsOwnCeilingEvictsInside() throws {
        let engine = makeEngine()
        let cache = engine.open(1, EngineCacheLimits(maxBytes: 300_000))
        try cache.exclusively(reserving: 10 << 20) { () throws(MartletError) in
            for number in 0..<5000 {
                try cache.write("key:\(number)".raw, [UInt8](repeating: 1, count: 200))
                #expect(cache.statistics.bytes <= 300_000)
            }
            #expect(cache.read("key:4999".raw) != nil)
        }
        #expect(cache.statistics.evictions > 0)
        #expect(engine.checkInvariants() == [])
    }

    /// Many caches in too little memory: threads have exclusive access to one while others need room that it holds.
    @Test(arguments: testSeeds())
    func manyCachesUnderPressureWaitForNobodyForEver(seed: UInt64) throws {
        print("seed \(seed): set MARTLET_TEST_SEED to repeat")
        let memoryBytes = 4 << 20
        let engine = makeEngine(memoryBytes: memoryBytes)
        let caches = (1...6).map {
            engine.open(UInt64($0), EngineCacheLimits(reservedBytes: $0 == 1 ? 500_000 : 0))
        }
        let torn = Atomic<Int>(0)
        let overflows = Atomic<Int>(0)
        onThreads(4) { thread in
            var random = SeededGenerator(seed: seed &* 17 &+ UInt64(thread))
            for step in 0..<1500 {
                let now = start.adding(milliseconds: Int64(step))
                let cache = caches[Int.random(in: 0..<6, using: &random)]
                let length = Int.random(in: 1...2000, using: &random)
                let value = [UInt8](repeating: UInt8(65 + length % 26), count: length)
                let first = Int.random(in: 0..<3000, using: &random)
                switch Int.random(in: 0..<100, using: &random) {
                case 0..<40:
                    let count = Int.random(in: 1...30, using: &random)
                    let reserved = Bool.random(using: &random) ? count * (length + 100) : 0
                    try? cache.exclusively(reserving: reserved, now: now) { () throws(MartletError) in
                        // What was just written is there, but for what eviction took.
                        for number in first..<first + count { try cache.write("\(number)".raw, value, now: now) }
                        let keys = (first..<first + count).map(String.init)
                        for found in try cache.readTogether(keys, now: now) {
                            if let found, found.utf8.count < length { torn.add(1, ordering: .relaxed) }
                        }
                    }
                case 40..<90: _ = try? cache.write("\(first)".raw, value, now: now)
                case 90..<98: _ = engine.tick(now: now)
                case 98: cache.flush()
                default: _ = try? cache.exclusively(now: now) { cache.flush() }
                }
                // Over it by what the exclusive sections of this moment reserved or were let, and no more.
                if engine.accountedBytes > memoryBytes + 4 * (64_000 + 300_000) {
                    overflows.add(1, ordering: .relaxed)
                }
            }
        }
        #expect(torn.load(ordering: .relaxed) == 0)
        #expect(overflows.load(ordering: .relaxed) == 0)
        engine.settle(now: start.adding(milliseconds: 5000))
        #expect(engine.accountedBytes <= memoryBytes)
        #expect(engine.checkInvariants() == [])
    }
}
