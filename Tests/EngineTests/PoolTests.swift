import Synchronization
import Tenancy
import Testing

@testable import Engine

@Suite struct PoolTests {
    /// What a block of random size holds, to find two blocks that overlap.
    private struct Held {
        let block: UnsafeMutableRawPointer
        let byteCount: Int
        let mark: UInt64

        func write() {
            block.storeBytes(of: mark, as: UInt64.self)
            (block + byteCount - 8).storeBytes(of: ~mark, toByteOffset: 0, as: UInt64.self)
        }

        var isIntact: Bool {
            block.load(as: UInt64.self) == mark
                && (block + byteCount - 8).loadUnaligned(as: UInt64.self) == ~mark
        }
    }

    /// Blocks of all sizes come and go; none overlap, a block's start is found from any place in it, and the pool holds no
    /// more than its budget, or what is in use and the holes of shared pages.
    @Test(arguments: testSeeds())
    func blocksKeepApartAndWithinTheBudget(seed: UInt64) throws {
        print("seed \(seed): set MARTLET_TEST_SEED to repeat")
        var random = SeededGenerator(seed: seed)
        let budget = 8 << 20
        let pool = try BlockPool(memoryBytes: budget)
        var held: [Held] = []
        var used = 0
        for step in 0..<20_000 {
            let byteCount = 16 + Int(random.next() % (UInt64(1) << UInt64.random(in: 4...19, using: &random)))
            if used + BlockPool.charge(byteCount) <= budget, Int.random(in: 0..<100, using: &random) < 55 {
                let block = pool.allocate(byteCount, budget: budget)
                #expect(UInt(bitPattern: block) & 1023 == 0)
                let new = Held(block: block, byteCount: byteCount, mark: random.next())
                new.write()
                held.append(new)
                used += BlockPool.charge(byteCount)
                #expect(pool.residentBytes <= max(budget, used + pool.holeBytes), "seed \(seed), step \(step)")
                #expect(pool.blockStart(of: block + byteCount - 1) == block, "seed \(seed), step \(step)")
            } else if !held.isEmpty {
                let old = held.remove(at: Int.random(in: 0..<held.count, using: &random))
                #expect(old.isIntact, "seed \(seed), step \(step)")
                pool.deallocate(old.block, old.byteCount)
                used -= BlockPool.charge(old.byteCount)
            }
            if step % 500 == 0 { pool.relax(budget: budget) }
            #expect(pool.bytesInUse == used)
        }
        #expect(held.allSatisfy { $0.isIntact })
        for old in held { pool.deallocate(old.block, old.byteCount) }
        #expect(pool.bytesInUse == 0 && pool.holeBytes == 0)
        for _ in 0..<200 { pool.relax(budget: budget) }
        #expect(pool.residentBytes <= 1 << 20, "what nobody uses goes back to the system")
    }

    @Test func aBlockThatCameBackIsHandedOutAgain() throws {
        let pool = try BlockPool(memoryBytes: 1 << 20)
        let first = pool.allocate(5000, budget: 1 << 20)
        pool.deallocate(first, 5000)
        #expect(pool.allocate(8000, budget: 1 << 20) == first, "of the same class")
        #expect(pool.residentBytes == 8192)
        #expect(pool.allocate(5000, budget: 1 << 20) != first)
    }
}

@Suite struct GhostTests {
    private func makeTable(items: Int, bytes: Int, _ source: PageSource) -> GhostTable {
        var table = GhostTable()
        table.fit(items: items, bytes: bytes, source)
        return table
    }

    @Test func aGhostIsRememberedOnceAndForAsMuchAsTheCacheHolds() throws {
        let core = try EngineCore(
            configuration: EngineConfiguration(
                memoryBytes: 1 << 20, indexKey: SipHashKey(k0: 1, k1: 2), valueHashKey: SipHashKey(k0: 1, k1: 2)))
        let source = PageSource(core: core)
        var table = makeTable(items: 1600, bytes: 160_000, source)
        var random = SeededGenerator(seed: 3)
        let hashes = (0..<1000).map { _ in random.next() }
        for hash in hashes { table.remember(hash, byteCount: 100) }
        // Spread over all lines: of some more than half filled, few lose any.
        var known = 0
        for hash in hashes where table.take(hash) { known += 1 }
        #expect(known > 950)
        for hash in hashes where table.take(hash) { known -= 1 }
        #expect(known > 945, "each once")
        for _ in 0..<1000 where table.take(random.next()) { known -= 1 }
        #expect(known > 940, "and nobody else's")

        table.remember(hashes[0], byteCount: 100)
        for _ in 0..<3000 { table.remember(random.next(), byteCount: 100) }
        let isKnown = table.take(hashes[0])
        #expect(!isKnown, "twice the cache has gone since")
        table.free(source)
        #expect(source.bytes.load(ordering: .relaxed) == 0)
    }
}
