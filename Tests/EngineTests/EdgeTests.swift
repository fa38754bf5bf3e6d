import Tenancy
import Testing

@testable import Engine

private func key(_ number: Int) -> [UInt8] { Array("key:\(number)".utf8) }

private func value(_ length: Int) -> [UInt8] { [UInt8](repeating: 0x76, count: length) }

/// What lies at the ends of what the engine may hold.
@Suite struct EdgeTests {
    @Test func aScalarDoesNotGrowBeyondWhatARecordHolds() throws {
        let engine = makeEngine(memoryBytes: 256 << 20)
        let cache = engine.open()
        let part = value(40 << 20)
        func append() throws -> Int {
            try key(1).withUnsafeBytes { key in
                try part.withUnsafeBytes { try cache.append(key, $0, limit: .max, expiresAt: nil, now: start) }
            }
        }
        #expect(try append() == 40 << 20)
        #expect(throws: MartletError.tooLarge(limit: .maxItemBytes, value: UInt64(Record.largestValue))) {
            try append()
        }
        #expect(cache.read(key(1))?.facts.byteCount == 40 << 20)
        #expect(throws: MartletError.memoryExhausted) { try cache.write(value(200_000), [1]) }
        #expect(engine.checkInvariants() == [])
    }

    /// Up to the last page that fits, what is said to be stored is there.
    @Test(arguments: [60_000, 1 << 20, 3 << 20])
    func whatIsStoredIsNotEvictedByItsOwnWrite(maxBytes: Int) throws {
        let engine = makeEngine()
        let cache = engine.open(1, EngineCacheLimits(maxBytes: maxBytes))
        var refused = false
        for length in stride(from: maxBytes * 9 / 10, to: maxBytes, by: 4096) {
            do throws(MartletError) {
                try cache.write(key(1), value(length))
                #expect(!refused)
                #expect(cache.read(key(1))?.facts.byteCount == length)
            } catch {
                refused = true
            }
        }
        #expect(refused)
        #expect(engine.checkInvariants() == [])
    }

    /// A host whose clock is set only after the start.
    @Test func itemsExpireAfterTheClockWasSet() throws {
        let engine = makeEngine()
        let cache = engine.open()
        let early = Timestamp(milliseconds: 5000)
        try cache.write("early", "value", expiresAt: early.adding(milliseconds: 1000), now: early)
        for item in 0..<1000 { try cache.write(key(item), [1], expiresAt: start.adding(milliseconds: 1000)) }
        engine.settle(now: start.adding(milliseconds: 2000))
        #expect(cache.statistics.items == 0)
    }

    /// What is refused has cost nothing, and what others have beyond their reservation is there for who needs it.
    @Test func aRefusedWriteLeavesTheCacheAsItWas() throws {
        let engine = makeEngine(memoryBytes: 2 << 20)
        let reserved = engine.open(1, EngineCacheLimits(reservedBytes: 1 << 20))
        for item in 0..<8000 where reserved.statistics.bytes < (1 << 20) + 50_000 {
            try reserved.write(key(item), value(200))
        }
        let other = engine.open(2)
        for item in 0..<2000 { try other.write(key(item), value(100)) }
        let before = other.statistics.items
        #expect(throws: MartletError.memoryExhausted) { try other.write(key(7), value(1_100_000)) }
        #expect(other.statistics.items == before)
        #expect(other.read(key(7))?.value == value(100))
        #expect(engine.checkInvariants() == [])
    }

    @Test func whatOnlyLooksIsNotRefusedForTheLackOfRoom() throws {
        let engine = makeEngine()
        let cache = engine.open()
        try cache.write(key(1), value(10))
        cache.setLimits(EngineCacheLimits(maxItems: 0))
        let outcome = try key(1).withUnsafeBytes { try cache.setExpiry($0, start.adding(milliseconds: 9), now: start) }
        #expect(outcome == .changed)
    }

    /// Topics that grow take items' room a piece at a time.
    @Test func noSingleWriteMakesUpForWhatIsAttached() throws {
        let engine = makeEngine()
        let cache = engine.open(1, EngineCacheLimits(maxBytes: 20 << 20))
        for item in 0..<100_000 { try cache.write(key(item), value(100)) }
        let before = cache.statistics.evictions
        cache.setAttachedBytes(12 << 20)
        try cache.write(key(1), value(100))
        #expect(cache.statistics.evictions - before < 10_000)
        engine.settle()
        #expect(cache.statistics.bytes <= 20 << 20)
        #expect(engine.checkInvariants() == [])
    }
}
