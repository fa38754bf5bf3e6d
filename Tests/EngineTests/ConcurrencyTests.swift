import Engine
import Foundation
import Synchronization
import Tenancy
import Testing

/// Runs `body` on several threads of its own at once, and waits for all.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    let group = DispatchGroup()
    for number in 0..<count {
        group.enter()
        Thread.detachNewThread {
            body(number)
            group.leave()
        }
    }
    group.wait()
}

@Suite struct ConcurrencyTests {
    @Test func countersLoseNoIncrement() throws {
        let engine = makeEngine()
        let cache = engine.open()
        onThreads(4) { _ in
            for step in 0..<5000 { _ = try? cache.add(1, to: "counter:\(step % 3)".utf8) }
        }
        let sum = (0..<3).reduce(Int64(0)) { $0 + (Int64(cache.read("counter:\($1)") ?? "") ?? 0) }
        #expect(sum == 20_000)
        #expect(engine.checkInvariants() == [])
    }

    @Test func onlyOneWriterFindsAKeyAbsent() throws {
        let engine = makeEngine()
        let cache = engine.open()
        let won = Atomic<Int>(0)
        onThreads(4) { number in
            for step in 0..<3000
            where (try? cache.write("key:\(step)", "\(number)", condition: .ifAbsent)) == true {
                won.add(1, ordering: .relaxed)
            }
        }
        #expect(won.load(ordering: .relaxed) == 3000)
        #expect(cache.statistics.items == 3000)
        #expect(engine.checkInvariants() == [])
    }

    /// Threads write, read, increment, delete, flush, divide, evict, tick, and change limits at once. Each value says which
    /// key it belongs to and is of one piece; afterwards the books are right.
    @Test(arguments: testSeeds())
    func allOperationsAtOnceLeaveWholeValuesAndTrueBooks(seed: UInt64) throws {
        print("seed \(seed): set MARTLET_TEST_SEED to repeat")
        let engine = makeEngine(memoryBytes: 3 << 20)
        let caches = [
            engine.open(1), engine.open(2, EngineCacheLimits(maxBytes: 400_000)),
            engine.open(3, EngineCacheLimits(reservedBytes: 1 << 20, maxItems: 2000)),
        ]
        let torn = Atomic<Int>(0)
        let overflows = Atomic<Int>(0)
        onThreads(4) { thread in
            var random = SeededGenerator(seed: seed &* 31 &+ UInt64(thread))
            for step in 0..<6000 {
                let now = start.adding(milliseconds: Int64(step))
                let cache = caches[Int.random(in: 0..<3, using: &random)]
                let number = Int.random(in: 0..<4000, using: &random)
                let key = Array("key:\(number)".utf8)
                switch Int.random(in: 0..<1000, using: &random) {
                case 0..<500:
                    let length = Int.random(in: 1...400, using: &random)
                    let value = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: length)
                    let ttl = Int64.random(in: 1...4000, using: &random)
                    _ = try? cache.write(key, value, expiresAt: now.adding(milliseconds: ttl), now: now)
                case 500..<850:
                    if let found = cache.read(key, now: now) {
                        let expected = UInt8(truncatingIfNeeded: number)
                        if !found.value.allSatisfy({ $0 == expected })
                            || found.facts.valueHash != engine.hash(of: found.value)
                        {
                            torn.add(1, ordering: .relaxed)
                        }
                    }
                case 850..<900: _ = cache.remove(key, now: now)
                case 900..<985: _ = engine.tick(now: now)
                case 985..<988: cache.flush()
                case 988..<992:
                    let passing = engine.open(9)
                    _ = try? passing.write(key, key)
                    engine.closeCache(passing)
                default: _ = try? cache.add(1, to: "counter".utf8, now: now)
                }
                if engine.accountedBytes > (3 << 20) + 4 * 4096 { overflows.add(1, ordering: .relaxed) }
            }
        }
        #expect(torn.load(ordering: .relaxed) == 0)
        #expect(overflows.load(ordering: .relaxed) == 0)
        #expect(engine.checkInvariants() == [])
        for cache in caches { engine.closeCache(cache) }
        engine.settle(now: start)
        #expect(engine.accountedBytes == 0)
    }

    /// A thread that was told that its write is done finds it, whatever the others do to other keys meanwhile.
    @Test func eachThreadReadsItsOwnWritesWhileTheCacheGrowsAndDivides() throws {
        let engine = makeEngine()
        let cache = engine.open()
        let wrong = Atomic<Int>(0)
        onThreads(4) { thread in
            for step in 0..<3000 {
                let key = "\(thread):\(step % 700)"
                _ = try? cache.write(key, "\(step)")
                if cache.read(key) != "\(step)" { wrong.add(1, ordering: .relaxed) }
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
        #expect(cache.statistics.items == 2800)
        #expect(engine.checkInvariants() == [])
    }
}
