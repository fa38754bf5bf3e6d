import Engine
import Tenancy
import Testing

private func key(_ number: Int) -> [UInt8] { Array("key:\(number)".utf8) }

@Suite struct ExpiryTests {
    let engine = makeEngine(memoryBytes: 256 << 20)

    @Test func expiredItemIsAMissAndFreesItsBytes() throws {
        let cache = engine.open()
        let empty = cache.statistics.bytes
        for item in 0..<100 { try cache.write(key(item), [1, 2, 3], expiresAt: start.adding(milliseconds: 50)) }
        engine.settle(now: start.adding(milliseconds: 49))
        #expect(cache.statistics.items == 100)
        engine.settle(now: start.adding(milliseconds: 50 + 128))
        #expect(cache.statistics.items == 0)
        #expect(cache.statistics.bytes == empty)
        #expect(cache.statistics.expirations == 100)
        #expect(cache.statistics.evictions == 0)
    }

    /// TTLs of all magnitudes, and a clock that moves in steps of all magnitudes: nothing goes early, nothing is late.
    @Test(arguments: testSeeds())
    func itemsGoSoonAfterTheirTimeAndNeverBefore(seed: UInt64) throws {
        print("seed \(seed): set MARTLET_TEST_SEED to repeat")
        var random = SeededGenerator(seed: seed)
        let cache = engine.open()
        var expected: [Int: Int64] = [:]
        var now = start.milliseconds
        for step in 0..<3000 {
            let ttl = Int64(1) << Int64.random(in: 0...36, using: &random)
            let expiresAt = now + ttl + Int64.random(in: 0..<ttl, using: &random)
            try cache.write(
                key(step), [0], expiresAt: Timestamp(milliseconds: expiresAt), now: Timestamp(milliseconds: now))
            expected[step] = expiresAt
            if step % 10 == 9 {
                now += Int64.random(in: 0...(Int64(1) << Int64.random(in: 0...30, using: &random)), using: &random)
                engine.settle(now: Timestamp(milliseconds: now))
                let alive = expected.values.count { $0 > now }
                let waiting = expected.values.count { $0 <= now && $0 > now - 128 }
                let items = cache.statistics.items
                #expect(items >= alive, "seed \(seed), step \(step)")
                #expect(items <= alive + waiting, "seed \(seed), step \(step)")
                expected = expected.filter { $0.value > now - 128 }
            }
            if step % 100 == 99 { #expect(engine.checkInvariants() == [], "seed \(seed), step \(step)") }
        }
    }

    @Test func aTickDoesABoundedPieceOfAMassExpiry() throws {
        let cache = engine.open()
        for item in 0..<50_000 { try cache.write(key(item), [0], expiresAt: start.adding(milliseconds: 1000)) }
        let later = start.adding(milliseconds: 2000)
        var ticks = 1
        var before = 50_000
        while engine.tick(now: later) {
            ticks += 1
            #expect(before - cache.statistics.items <= 10_000)
            before = cache.statistics.items
        }
        #expect(ticks >= 5)
        #expect(cache.statistics.items == 0)
        #expect(cache.statistics.expirations == 50_000)
        #expect(engine.checkInvariants() == [])
    }

    @Test func onlyWhatIsDueIsTouchedAmongManyCaches() throws {
        let caches = (0..<300).map { engine.open(UInt64($0)) }
        for (number, cache) in caches.enumerated() {
            try cache.write("due", "x", expiresAt: start.adding(milliseconds: 100))
            try cache.write("later", "x", expiresAt: start.adding(milliseconds: 100_000 + Int64(number)))
        }
        engine.settle(now: start.adding(milliseconds: 300))
        #expect(caches.allSatisfy { $0.statistics.items == 1 && $0.statistics.expirations == 1 })
    }

    @Test func aClockThatWentBackNeitherServesNorLosesWrongly() throws {
        let cache = engine.open()
        try cache.write("key", "value", expiresAt: start.adding(milliseconds: 10_000))
        engine.settle(now: start.adding(milliseconds: 9000))
        try cache.write("other", "value", expiresAt: start.adding(milliseconds: 1000), now: start)
        engine.settle(now: start)
        #expect(cache.read("key") == "value")
        #expect(cache.read("other") == "value")
        #expect(cache.read("other", now: start.adding(milliseconds: 1000)) == nil)
        engine.settle(now: start.adding(milliseconds: 11_000))
        #expect(cache.statistics.items == 0)
        #expect(engine.checkInvariants() == [])
    }

    // The last two are the earliest; what is after the year 2248 expires then.
    static let farTimes: [Int64] = [.max, .max - 1, 1 << 62, 1 << 43, 1 << 42]

    @Test func farAndOddTimesAreHeld() throws {
        let cache = engine.open()
        for (number, milliseconds) in Self.farTimes.enumerated() {
            try cache.write(key(number), [0], expiresAt: Timestamp(milliseconds: milliseconds))
            #expect(cache.read(key(number)) != nil)
        }
        #expect(engine.checkInvariants() == [])
        engine.settle(now: Timestamp(milliseconds: -5))
        #expect(cache.statistics.items == 5)
        let between = Timestamp(milliseconds: (1 << 42) + 1000)
        engine.settle(now: between)
        #expect(cache.read(key(4), now: between) == nil)
        #expect(cache.read(key(3), now: between) != nil)
        #expect(cache.read(key(0), now: between) != nil)
        #expect(engine.checkInvariants() == [])
    }
}
