import Foundation
import Synchronization
import Tenancy
import Testing

@testable import Engine

/// Whatever happens to a cache, who follows it by what it is told knows which keys it holds.
@Suite struct ObservationModelTests {
    @Test(arguments: testSeeds(), [false, true])
    func aListenerCanFollowTheCache(seed: UInt64, seals: Bool) throws {
        print("seed \(seed): set MARTLET_TEST_SEED to repeat")
        let engine = makeEngine(memoryBytes: 3 << 20, seals: seals)
        let caches = [engine.open(1), engine.open(2, EngineCacheLimits(maxBytes: 500_000, maxItems: 3000))]
        let mirrors = caches.map { cache in
            let mirror = Mirror()
            cache.addListener(mirror)
            return mirror
        }
        let steps = 4000
        onThreads(3) { thread in
            var random = SeededGenerator(seed: seed &* 31 &+ UInt64(thread))
            for step in 0..<steps {
                let now = start.adding(milliseconds: Int64(step))
                act(on: caches[step & 1], engine, now: now, &random)
            }
        }
        // After the latest time that any item was given.
        let end = start.adding(milliseconds: Int64(steps) + 4000)
        engine.settle(now: end)
        for (cache, mirror) in zip(caches, mirrors) {
            let seen = mirror.now
            #expect(seen.keys.symmetricDifference(cache.scannedKeys(now: end)) == [], "seed \(seed)")
            #expect(seen.evictions == cache.statistics.evictions, "seed \(seed)")
            #expect(seen.expirations == cache.statistics.expirations, "seed \(seed)")
        }
        #expect(engine.checkInvariants() == [], "seed \(seed)")
    }

    private func act(
        on cache: EngineCache, _ engine: EmbeddedEngine, now: Timestamp, _ random: inout SeededGenerator
    ) {
        let key = "key:\(Int.random(in: 0..<4000, using: &random))"
        let other = "key:\(Int.random(in: 0..<4000, using: &random))"
        let ttl = now.adding(milliseconds: Int64.random(in: 1...3000, using: &random))
        let expiresAt = Bool.random(using: &random) ? ttl : nil
        let length = Int.random(in: 1...600, using: &random)
        switch Int.random(in: 0..<1000, using: &random) {
        case 0..<400:
            _ = try? cache.write(key.raw, [UInt8](repeating: 1, count: length), expiresAt: expiresAt, now: now)
        case 400..<500: _ = cache.remove(key.raw, now: now)
        case 500..<550: _ = try? cache.changeExpiry(key, expiresAt, now: now)
        case 550..<600: _ = try? cache.move(key, to: other, now: now)
        case 600..<650: _ = try? cache.move(key, to: other, copies: true, now: now)
        case 650..<750: addMembers(to: key, length, expiresAt, cache, now)
        case 750..<850: removeMembers(from: key, length, cache, now)
        case 850..<900: _ = engine.tick(now: now)
        case 900..<902: cache.flush()
        case 902..<950:
            try? cache.exclusively(reserving: 4000, now: now) { () throws(MartletError) in
                try cache.write(key.raw, [1, 2, 3], expiresAt: expiresAt, now: now)
                _ = cache.remove(other.raw, now: now)
                addMembers(to: other, length, nil, cache, now)
            }
        default: _ = try? cache.add(1, to: "counter:\(length % 7)".utf8, expiresAt: expiresAt, now: now)
        }
    }

    private func addMembers(
        to key: String, _ count: Int, _ expiresAt: Timestamp?, _ cache: EngineCache, _ now: Timestamp
    ) {
        let slices = Slices([key.raw] + (0..<count).map { number($0) })
        try? cache.withItem(slices.all[0], reserving: count * 16, now: now) { item throws(MartletError) in
            _ = try item.setAdd(
                Array(slices.all[1...]).span, expiry: CollectionExpiry(expiresAt: expiresAt, refresh: false))
        }
        withExtendedLifetime(slices) {}
    }

    private func removeMembers(from key: String, _ count: Int, _ cache: EngineCache, _ now: Timestamp) {
        let slices = Slices([key.raw] + (0..<count).map { number($0) })
        try? cache.withItem(slices.all[0], now: now) { item throws(MartletError) in
            _ = try item.setRemove(Array(slices.all[1...]).span)
        }
        withExtendedLifetime(slices) {}
    }

    /// Who observes a key and then reads it misses no change after the read.
    @Test func whoObservesBeforeReadingMissesNothing() throws {
        let engine = makeEngine()
        let cache = engine.open()
        try cache.write("key", "0")
        let missed = Atomic<Int>(0)
        onThreads(3) { thread in
            if thread == 0 {
                for number in 1...6000 { _ = try? cache.write("key", "\(number)") }
                return
            }
            for _ in 0..<1000 {
                let recorder = Recorder()
                cache.observe("key", by: recorder)
                let first = cache.read("key")
                let second = cache.read("key")
                if first != second, recorder.take().isEmpty { missed.add(1, ordering: .relaxed) }
                cache.stopObserving("key", by: recorder)
                _ = recorder.take()
                _ = cache.read("key")
                if !recorder.take().isEmpty { missed.add(1, ordering: .relaxed) }
            }
        }
        #expect(missed.load(ordering: .relaxed) == 0)
        #expect(cache.observationBytes.load(ordering: .relaxed) == 0)
        #expect(engine.checkInvariants() == [])
    }
}
