import Engine
import Tenancy
import Testing

private func key(_ number: Int) -> [UInt8] { Array("key:\(number)".utf8) }
private func value(_ length: Int) -> [UInt8] { [UInt8](repeating: 0x76, count: length) }

@Suite struct AccountingTests {
    @Test func everyCacheIsChargedAndTheSumIsTheEngines() throws {
        let engine = makeEngine()
        #expect(engine.accountedBytes == 0)
        let caches = (1...5).map { engine.open(UInt64($0)) }
        #expect(caches[0].statistics.bytes > 0, "an empty cache has its fixed cost")
        #expect(caches[0].statistics.bytes <= 4096)
        for (number, cache) in caches.enumerated() {
            for item in 0..<(number * 700) {
                try cache.write(key(item), value(item % 500), expiresAt: start.adding(milliseconds: 1000))
            }
            #expect(engine.accountedBytes == caches.reduce(0) { $0 + $1.statistics.bytes })
        }
        #expect(engine.checkInvariants() == [])
    }

    @Test func anItemIsChargedAtLeastItsBytesAndGivesBackWhatItTook() throws {
        let engine = makeEngine()
        let cache = engine.open()
        let empty = cache.statistics.bytes
        for length in [0, 1, 100, 191, 192, 10_000, 200_000, 5_000_000] {
            try cache.write("key".utf8, value(length), expiresAt: start.adding(milliseconds: 10))
            #expect(cache.statistics.bytes - empty >= length + 3)
            #expect(cache.remove("key".utf8))
            #expect(cache.statistics.bytes == empty)
        }
    }

    @Test func growingAndShrinkingEndsWhereItBegan() throws {
        let engine = makeEngine()
        let cache = engine.open()
        let empty = cache.statistics.bytes
        for item in 0..<4000 { try cache.write(key(item), value(10)) }
        #expect(engine.checkInvariants() == [])
        for item in 0..<4000 {
            #expect(cache.remove(key(item)))
            if item % 500 == 0 { #expect(engine.checkInvariants() == []) }
        }
        #expect(cache.statistics.bytes == empty)
    }

    @Test func flushIsCompleteAtOnceAndGivesEverythingBack() throws {
        let engine = makeEngine()
        let cache = engine.open()
        // Once divided, a cache stays so.
        for item in 0..<5000 { try cache.write(key(item), value(50)) }
        cache.flush()
        engine.settle()
        let empty = cache.statistics.bytes
        #expect(empty < 12_000)
        for item in 0..<30_000 { try cache.write(key(item), value(50), expiresAt: start.adding(milliseconds: 9999)) }
        let full = cache.statistics.bytes
        cache.flush()
        #expect(cache.statistics.items == 0)
        #expect(cache.statistics.bytesBeingFreed == full - empty)
        for item in stride(from: 0, to: 30_000, by: 97) { #expect(cache.read(key(item)) == nil) }
        // What is written meanwhile stays.
        try cache.write(key(1), value(50))
        #expect(engine.checkInvariants() == [])
        engine.settle()
        #expect(cache.statistics.bytesBeingFreed == 0)
        #expect(cache.read(key(1))?.value == value(50))
        #expect(cache.remove(key(1)))
        #expect(cache.statistics.bytes == empty)
        #expect(engine.checkInvariants() == [])
    }

    @Test func closingGivesEverythingBackAndTheOthersStay() throws {
        let engine = makeEngine()
        let kept = engine.open(1)
        try kept.write("key", "value")
        let before = engine.accountedBytes
        for id in 2...20 {
            let cache = engine.open(UInt64(id))
            for item in 0..<(id * 150) { try cache.write(key(item), value(100)) }
            engine.closeCache(cache)
            #expect(engine.checkInvariants() == [])
        }
        engine.settle()
        #expect(engine.accountedBytes == before)
        #expect(kept.read("key") == "value")
    }

    @Test func aFlushedCacheHasItsWholeLimitAtOnce() throws {
        let engine = makeEngine()
        let cache = engine.open(1, EngineCacheLimits(maxBytes: 200_000))
        for item in 0..<5000 { try cache.write(key(item), value(100)) }
        let evictions = cache.statistics.evictions
        cache.flush()
        for item in 0..<500 { try cache.write(key(item), value(100)) }
        #expect(cache.statistics.evictions == evictions)
        #expect(cache.statistics.items == 500)
    }
}

@Suite struct CacheLimitTests {
    @Test func aCacheAtItsByteLimitEvictsItsOwnAndStaysWithin() throws {
        let engine = makeEngine()
        let neighbour = engine.open(2)
        for item in 0..<1000 { try neighbour.write(key(item), value(100)) }
        let cache = engine.open(1, EngineCacheLimits(maxBytes: 100_000))
        for item in 0..<3000 {
            try cache.write(key(item), value(item % 300), expiresAt: start.adding(milliseconds: 5000))
            #expect(cache.statistics.bytes <= 100_000)
            #expect(cache.read(key(item)) != nil, "the newest item is there")
        }
        #expect(cache.statistics.bytes > 90_000, "the limit is used")
        #expect(cache.statistics.evictions == UInt64(3000 - cache.statistics.items))
        #expect(neighbour.statistics.items == 1000)
        #expect(neighbour.statistics.evictions == 0)
        #expect(engine.checkInvariants() == [])
    }

    @Test func aDividedCacheMakesRoomForALargeItemFromAllItsStripes() throws {
        let engine = makeEngine()
        let cache = engine.open(1, EngineCacheLimits(maxBytes: 2_000_000))
        for item in 0..<10_000 { try cache.write(key(item), value(100)) }
        #expect(try cache.write("large".utf8, value(1_800_000)))
        #expect(cache.read("large".utf8)?.facts.byteCount == 1_800_000)
        #expect(cache.statistics.bytes <= 2_000_000)
        #expect(engine.checkInvariants() == [])
    }

    @Test func maxItemsIsACeiling() throws {
        let engine = makeEngine()
        let cache = engine.open(1, EngineCacheLimits(maxItems: 10))
        for item in 0..<50 {
            try cache.write(key(item), value(10))
            #expect(cache.statistics.items == min(item + 1, 10))
        }
        // An overwrite needs no other item.
        let evictions = cache.statistics.evictions
        try cache.write(key(49), value(20))
        #expect(cache.statistics.evictions == evictions)
        cache.setLimits(EngineCacheLimits(maxItems: 0))
        #expect(throws: MartletError.memoryExhausted) { try cache.write("key", "value") }
        engine.settle()
        #expect(cache.statistics.items == 0)
    }

    @Test func whatIsReadStaysAndWhatIsNotGoes() throws {
        let engine = makeEngine()
        let cache = engine.open(1, EngineCacheLimits(maxItems: 100))
        for item in 0..<100 { try cache.write(key(item), value(10)) }
        for round in 0..<20 {
            for item in 0..<20 { #expect(cache.read(key(item)) != nil, "round \(round)") }
            for item in 0..<50 { try cache.write(Array("scan:\(round):\(item)".utf8), value(10)) }
        }
        #expect(engine.checkInvariants() == [])
    }

    @Test func anItemThatCannotFitIsRefusedAndTheOldOneStays() throws {
        let engine = makeEngine()
        let cache = engine.open(1, EngineCacheLimits(maxBytes: 50_000))
        for item in 0..<50 { try cache.write(key(item), value(100)) }
        #expect(throws: MartletError.memoryExhausted) { try cache.write(key(7), value(50_000)) }
        #expect(cache.read(key(7))?.value == value(100))
        #expect(cache.statistics.items == 50, "nothing was evicted in vain")
        // What fits alone fits.
        try cache.write(key(7), value(40_000))
        #expect(cache.read(key(7))?.value == value(40_000))
        #expect(engine.checkInvariants() == [])
    }

    @Test func theLargestItemThatMayFitDoesFit() throws {
        let engine = makeEngine()
        let cache = engine.open(1, EngineCacheLimits(maxBytes: 60_000))
        for item in 0..<200 { try cache.write(key(item), value(100)) }
        var length = 60_000
        while (try? cache.write(key(7), value(length), expiresAt: start.adding(milliseconds: 10))) == nil {
            length -= 16
        }
        // Memory comes in pages.
        #expect(length > 60_000 - 2 * 4096)
        #expect(cache.read(key(7))?.facts.byteCount == length)
        #expect(engine.checkInvariants() == [])
    }

    @Test func aLoweredLimitStopsGrowthAtOnceAndIsMetByTicks() throws {
        let engine = makeEngine()
        let cache = engine.open()
        for item in 0..<20_000 { try cache.write(key(item), value(100)) }
        let before = cache.statistics.bytes
        cache.setLimits(EngineCacheLimits(maxBytes: 100_000))
        try cache.write("new", "value")
        #expect(cache.statistics.bytes <= before)
        // The first evictions also make room for the ghosts of what goes.
        #expect(cache.statistics.evictions < 2000, "one write does not do all the work")
        engine.settle()
        #expect(cache.statistics.bytes <= 100_000)
        for item in 0..<2000 {
            try cache.write(key(item), value(100))
            #expect(cache.statistics.bytes <= 100_000)
        }
        cache.setLimits(EngineCacheLimits(maxItems: 5))
        engine.settle()
        #expect(cache.statistics.items == 5)
        #expect(engine.checkInvariants() == [])
    }
}

@Suite struct PressureTests {
    @Test func theProcessStaysWithinItsMemory() throws {
        let engine = makeEngine(memoryBytes: 1 << 20)
        let caches = (1...10).map { engine.open(UInt64($0)) }
        for item in 0..<20_000 {
            try caches[item % 10].write(key(item), value(item % 200), expiresAt: start.adding(milliseconds: 9999))
            #expect(engine.accountedBytes <= 1 << 20)
        }
        #expect(engine.accountedBytes > 1_000_000, "the memory is used")
        #expect(engine.checkInvariants() == [])
    }

    @Test func theCacheFurthestAboveGivesFirst() throws {
        let engine = makeEngine(memoryBytes: 4 << 20)
        let large = engine.open(1)
        let small = engine.open(2)
        for item in 0..<1000 { try small.write(key(item), value(100)) }
        for item in 0..<30_000 { try large.write(key(item), value(100)) }
        #expect(small.statistics.evictions == 0)
        #expect(large.statistics.evictions > 0)
        // The small one grows at the large one's cost until they are level.
        for item in 0..<30_000 { try small.write(key(item), value(100)) }
        let ratio = Double(small.statistics.bytes) / Double(large.statistics.bytes)
        // To a few segments of each of their sixteen stripes, which are much in a process as small as this.
        #expect(ratio > 0.9 && ratio < 1.1)
        #expect(engine.checkInvariants() == [])
    }

    @Test func aCacheWithinItsReservationLosesNothing() throws {
        let engine = makeEngine(memoryBytes: 2 << 20)
        let reserved = engine.open(1, EngineCacheLimits(reservedBytes: 1 << 20))
        var items = 0
        while reserved.statistics.bytes < 1_000_000 {
            try reserved.write(key(items), value(100))
            items += 1
        }
        let flood = engine.open(2)
        for item in 0..<50_000 { try flood.write(key(item), value(100)) }
        #expect(reserved.statistics.evictions == 0)
        #expect(reserved.statistics.items == items)
        #expect(engine.accountedBytes <= 2 << 20)
        // An item that would need a part of the reservation is refused, with nothing evicted for it.
        let evictions = flood.statistics.evictions
        #expect(throws: MartletError.memoryExhausted) { try flood.write("large".utf8, value(1_200_000)) }
        #expect(flood.statistics.evictions == evictions)
        #expect(engine.checkInvariants() == [])
    }

    @Test func whoIsReservedMoreThanThereIsPaysForItsOwnWrites() throws {
        let engine = makeEngine(memoryBytes: 1 << 20)
        let first = engine.open(1, EngineCacheLimits(reservedBytes: 1 << 20))
        let second = engine.open(2, EngineCacheLimits(reservedBytes: 1 << 20))
        for item in 0..<3000 { try first.write(key(item), value(100)) }
        let items = first.statistics.items
        for item in 0..<10_000 { try second.write(key(item), value(100)) }
        #expect(first.statistics.items == items)
        #expect(second.statistics.evictions > 0)
        #expect(engine.checkInvariants() == [])
    }

    @Test func flushedMemoryIsUsedBeforeAnybodyIsEvicted() throws {
        let engine = makeEngine(memoryBytes: 1 << 20)
        let first = engine.open(1)
        let second = engine.open(2)
        for item in 0..<4000 { try first.write(key(item), value(100)) }
        for item in 0..<1000 { try second.write(key(item), value(100)) }
        let evictions = second.statistics.evictions
        let items = second.statistics.items
        first.flush()
        for item in 1000..<3000 { try second.write(key(item), value(100)) }
        #expect(second.statistics.evictions == evictions)
        #expect(second.statistics.items == items + 2000)
        #expect(engine.accountedBytes <= 1 << 20)
    }

    @Test func anOldItemSurvivesAWriteThatTheProcessCannotTake() throws {
        let engine = makeEngine(memoryBytes: 1 << 20)
        let holder = engine.open(1, EngineCacheLimits(reservedBytes: 2 << 20))
        let cache = engine.open(2, EngineCacheLimits(reservedBytes: 10_000))
        try cache.write("key", "old")
        while holder.statistics.evictions == 0, (try? holder.write(key(holder.statistics.items), value(1000))) != nil {}
        #expect(throws: MartletError.memoryExhausted) { try cache.write("key".utf8, value(100_000)) }
        #expect(cache.read("key") == "old")
        #expect(engine.checkInvariants() == [])
    }

    @Test func cachesOpenedInAFullProcessAreLetInAndMadeUpFor() throws {
        let engine = makeEngine(memoryBytes: 1 << 20)
        let first = engine.open(1)
        for item in 0..<10_000 { try first.write(key(item), value(100)) }
        let more = (2...50).map { engine.open(UInt64($0)) }
        engine.settle()
        #expect(engine.accountedBytes <= 1 << 20)
        for cache in more { try cache.write("key", "value") }
        #expect(engine.accountedBytes <= 1 << 20)
        #expect(engine.checkInvariants() == [])
    }
}
