import Engine
import Tenancy
import Testing

@Suite struct GroupTests {
    @Test func aGroupsFiguresAreTheSumsOverItsCaches() throws {
        let engine = makeEngine()
        let tenant = GroupOfCaches(engine, EngineCacheLimits())
        let alone = engine.open(9)
        try alone.write("key", "value")
        func check(_ place: Comment) {
            #expect(tenant.group.statistics.bytes == tenant.caches.reduce(0) { $0 + $1.statistics.bytes }, place)
            #expect(tenant.group.statistics.items == tenant.caches.reduce(0) { $0 + $1.statistics.items }, place)
            #expect(engine.checkInvariants() == [], place)
        }
        check("empty")
        // Enough to divide them.
        try tenant.fill(0..<5000)
        check("full")
        #expect(tenant.group.statistics.items == 15_000)
        tenant.caches[0].setAttachedBytes(12_345)
        check("attached")
        for item in stride(from: 0, to: 5000, by: 3) { #expect(tenant.caches[1].remove(groupKey(item))) }
        check("removed")
        tenant.caches[2].flush()
        check("flushed")
        #expect(tenant.group.statistics.bytesBeingFreed > 100_000)
        engine.settle()
        check("settled")
        #expect(tenant.group.statistics.bytesBeingFreed == 0)
        #expect(engine.accountedBytes == tenant.group.statistics.bytes + alone.statistics.bytes)
    }

    @Test func aClosedCacheGivesItsGroupEverythingBack() throws {
        let engine = makeEngine()
        let tenant = GroupOfCaches(engine, EngineCacheLimits(maxBytes: 4 << 20))
        try tenant.fill(0..<1000)
        let before = tenant.group.statistics
        let passing = engine.open(9, EngineCacheLimits(reservedBytes: 1 << 20), in: tenant.group)
        for item in 0..<6000 { try passing.write(groupKey(item), groupValue()) }
        passing.setAttachedBytes(50_000)
        engine.closeCache(passing)
        #expect(engine.checkInvariants() == [])
        #expect(tenant.group.statistics.items == before.items)
        passing.setAttachedBytes(50_000)
        passing.setLimits(EngineCacheLimits(reservedBytes: 2 << 20))
        engine.settle()
        #expect(tenant.group.statistics == before)
        #expect(engine.checkInvariants() == [])
    }

    @Test func closingAGroupClosesItsCachesAndWhatIsOpenedInItLater() throws {
        let engine = makeEngine()
        let kept = GroupOfCaches(engine, EngineCacheLimits())
        try kept.fill(0..<100)
        let before = engine.accountedBytes
        let tenant = GroupOfCaches(engine, EngineCacheLimits())
        try tenant.fill(0..<1000)
        engine.closeGroup(tenant.group)
        engine.closeGroup(tenant.group)
        let late = engine.open(9, in: tenant.group)
        for cache in tenant.caches + [late] {
            #expect(throws: MartletError.cacheNotFound) { try cache.write("key", "value") }
            #expect(cache.read("key") == nil)
        }
        #expect(tenant.group.statistics.items == 0)
        #expect(engine.checkInvariants() == [])
        engine.settle()
        #expect(tenant.group.statistics.bytes == 0)
        #expect(engine.accountedBytes == before)
        #expect(kept.group.statistics.items == 300)
        #expect(engine.checkInvariants() == [])
    }

    @Test func anEngineThatGoesTakesItsGroupsWithIt() throws {
        weak var group: EngineGroup?
        do {
            let engine = makeEngine()
            let tenant = GroupOfCaches(engine, EngineCacheLimits(maxBytes: 300_000))
            try tenant.fill(0..<2000)
            group = tenant.group
            #expect(group != nil)
        }
        #expect(group == nil)
    }
}

@Suite struct GroupLimitTests {
    @Test func aGroupAtItsCeilingStaysWithinAndChangesNobodyElse() throws {
        let engine = makeEngine()
        let neighbour = GroupOfCaches(engine, EngineCacheLimits(maxBytes: 500_000))
        let alone = engine.open(9)
        try neighbour.fill(0..<1000)
        for item in 0..<1000 { try alone.write(groupKey(item), groupValue()) }
        let before = neighbour.group.statistics
        let tenant = GroupOfCaches(engine, EngineCacheLimits(maxBytes: 300_000))
        for item in 0..<9000 {
            let cache = tenant.caches[item % 3]
            try cache.write(groupKey(item), groupValue(item % 300), expiresAt: start.adding(milliseconds: 5000))
            #expect(tenant.bytes <= 300_000)
            #expect(cache.read(groupKey(item)) != nil, "the newest item is there")
            if item % 500 == 0 { #expect(engine.checkInvariants() == []) }
        }
        #expect(tenant.bytes > 270_000, "the limit is used")
        #expect(tenant.evictions == UInt64(9000 - tenant.group.statistics.items))
        #expect(neighbour.group.statistics == before)
        #expect(neighbour.evictions == 0 && alone.statistics.evictions == 0)
        for item in 0..<1000 { #expect(neighbour.caches[item % 3].read(groupKey(item)) != nil) }
    }

    @Test func theCacheFurthestAboveGivesFirst() throws {
        let engine = makeEngine()
        let tenant = GroupOfCaches(engine, EngineCacheLimits(maxBytes: 2 << 20), count: 2)
        let (small, large) = (tenant.caches[0], tenant.caches[1])
        for item in 0..<500 { try small.write(groupKey(item), groupValue()) }
        for item in 0..<30_000 { try large.write(groupKey(item), groupValue()) }
        #expect(small.statistics.evictions == 0)
        #expect(large.statistics.evictions > 0)
        for item in 0..<30_000 { try small.write(groupKey(item), groupValue()) }
        let ratio = Double(small.statistics.bytes) / Double(large.statistics.bytes)
        #expect(ratio > 0.8 && ratio < 1.25)
        #expect(tenant.bytes <= 2 << 20)
        #expect(engine.checkInvariants() == [])
    }

    @Test func aCacheWithinItsReservationLosesNothingToItsGroup() throws {
        let engine = makeEngine()
        let tenant = GroupOfCaches(engine, EngineCacheLimits(maxBytes: 1 << 20), reserved: [400_000])
        let reserved = tenant.caches[0]
        var items = 0
        while reserved.statistics.bytes < 390_000 {
            try reserved.write(groupKey(items), groupValue())
            items += 1
        }
        for item in 0..<20_000 { try tenant.caches[1 + item % 2].write(groupKey(item), groupValue()) }
        #expect(reserved.statistics.evictions == 0)
        #expect(reserved.statistics.items == items)
        #expect(tenant.bytes <= 1 << 20)
        #expect(engine.checkInvariants() == [])
    }

    @Test func whereMoreIsReservedThanTheGroupMayHoldACachePaysForItself() throws {
        let engine = makeEngine()
        let tenant = GroupOfCaches(
            engine, EngineCacheLimits(maxBytes: 300_000), count: 2, reserved: [300_000, 300_000])
        let (first, second) = (tenant.caches[0], tenant.caches[1])
        while first.statistics.bytes < 200_000 {
            try first.write(groupKey(first.statistics.items), groupValue())
        }
        let items = first.statistics.items
        for item in 0..<5000 { try second.write(groupKey(item), groupValue()) }
        #expect(first.statistics.items == items)
        #expect(second.statistics.evictions > 0)
        #expect(tenant.bytes <= 300_000)
        // What would need the other's reservation is refused, with nothing evicted for it.
        let evictions = second.statistics.evictions
        #expect(throws: MartletError.memoryExhausted) { try second.write("large".utf8, groupValue(150_000)) }
        #expect(second.statistics.evictions == evictions)
        // Lowered below what is reserved, the limit holds all the same.
        tenant.group.setLimits(EngineCacheLimits(maxBytes: 100_000))
        engine.settle()
        #expect(tenant.bytes <= 100_000)
        #expect(engine.checkInvariants() == [])
    }

    @Test func maxItemsHoldsOverAllCachesAndTheOneWithMostGives() throws {
        let engine = makeEngine()
        let tenant = GroupOfCaches(engine, EngineCacheLimits(maxItems: 100))
        // Few and large ones do not go for many and small ones.
        for item in 0..<10 { try tenant.caches[0].write(groupKey(item), groupValue(20_000)) }
        for item in 0..<2000 {
            try tenant.caches[1 + item % 2].write(groupKey(item), groupValue(10))
            #expect(tenant.group.statistics.items == min(item + 11, 100))
        }
        #expect(tenant.caches[0].statistics.items == 10)
        #expect(abs(tenant.caches[1].statistics.items - tenant.caches[2].statistics.items) < 10)
        #expect(engine.checkInvariants() == [])
    }

    @Test func aLimitOfNothingTakesNothing() throws {
        let engine = makeEngine()
        for limits in [EngineCacheLimits(maxBytes: 0), EngineCacheLimits(maxItems: 0)] {
            let tenant = GroupOfCaches(engine, limits)
            #expect(throws: MartletError.memoryExhausted) { try tenant.caches[0].write("key", "value") }
            #expect(tenant.caches[0].read("key") == nil)
            tenant.group.setLimits(EngineCacheLimits())
            try tenant.fill(0..<100)
            tenant.group.setLimits(limits)
            engine.settle()
            #expect(tenant.group.statistics.items == 0)
            #expect(engine.checkInvariants() == [])
        }
    }

    @Test func anItemLargerThanTheGroupMayHoldIsRefusedAndNothingGoes() throws {
        let engine = makeEngine()
        let tenant = GroupOfCaches(engine, EngineCacheLimits(maxBytes: 100_000))
        try tenant.fill(0..<100)
        #expect(throws: MartletError.memoryExhausted) {
            try tenant.caches[0].write(groupKey(7), groupValue(100_000))
        }
        #expect(tenant.caches[0].read(groupKey(7))?.value == groupValue())
        #expect(tenant.evictions == 0)
        // What fits alone fits.
        try tenant.caches[0].write(groupKey(7), groupValue(70_000))
        #expect(tenant.caches[0].read(groupKey(7))?.value == groupValue(70_000))
        #expect(tenant.bytes <= 100_000)
        // A limit below what one item takes.
        tenant.group.setLimits(EngineCacheLimits(maxBytes: 1000))
        #expect(throws: MartletError.memoryExhausted) { try tenant.caches[1].write("key", "value") }
        engine.settle()
        #expect(tenant.group.statistics.items == 0)
        #expect(engine.checkInvariants() == [])
    }

    @Test func aLoweredLimitStopsGrowthAtOnceAndIsMetByTicks() throws {
        let engine = makeEngine()
        let tenant = GroupOfCaches(engine, EngineCacheLimits())
        try tenant.fill(0..<10_000)
        let before = tenant.bytes
        tenant.group.setLimits(EngineCacheLimits(maxBytes: 300_000))
        try tenant.caches[0].write("new", "value")
        #expect(tenant.bytes <= before)
        #expect(tenant.evictions < 2000, "one write does not do all the work")
        var ticks = 0
        while tenant.bytes > 300_000, ticks < 1000 {
            _ = engine.tick(now: start)
            ticks += 1
        }
        #expect(ticks < 200)
        engine.settle()
        for item in 0..<2000 {
            try tenant.caches[item % 3].write(groupKey(item), groupValue())
            #expect(tenant.bytes <= 300_000)
        }
        tenant.group.setLimits(EngineCacheLimits(maxItems: 7))
        engine.settle()
        #expect(tenant.group.statistics.items == 7)
        tenant.group.setLimits(EngineCacheLimits())
        try tenant.fill(0..<3000)
        #expect(tenant.group.statistics.items >= 9000)
        #expect(engine.checkInvariants() == [])
    }

    @Test func whatIsAttachedCountsAndItemsOfAllCachesGiveWay() throws {
        let engine = makeEngine()
        let tenant = GroupOfCaches(engine, EngineCacheLimits(maxBytes: 600_000))
        try tenant.fill(0..<3000)
        let items = tenant.group.statistics.items
        tenant.caches[0].setAttachedBytes(300_000)
        #expect(tenant.group.statistics.items == items, "the call itself evicts nothing")
        try tenant.caches[1].write("new", "value")
        #expect(tenant.bytes <= 600_000)
        #expect(tenant.caches[1].read("new") == "value")
        tenant.caches[2].setAttachedBytes(150_000)
        engine.settle()
        #expect(tenant.bytes <= 600_000)
        // More than there is: nothing more fits, and it is said so.
        tenant.caches[2].setAttachedBytes(400_000)
        #expect(throws: MartletError.memoryExhausted) { try tenant.caches[1].write("key", "value") }
        engine.settle()
        #expect(tenant.group.statistics.items == 0)
        tenant.caches[2].setAttachedBytes(0)
        try tenant.fill(0..<100)
        #expect(engine.checkInvariants() == [])
    }

    @Test func aFlushedCacheGivesItsGroupRoomAtOnce() throws {
        let engine = makeEngine()
        let tenant = GroupOfCaches(engine, EngineCacheLimits(maxBytes: 600_000))
        try tenant.fill(0..<3000)
        let evictions = tenant.evictions
        for cache in tenant.caches { cache.flush() }
        try tenant.fill(0..<400)
        #expect(tenant.evictions == evictions)
        #expect(tenant.group.statistics.items == 1200)
        #expect(engine.checkInvariants() == [])
    }

    @Test func exclusiveAccessIsWithinTheGroupsLimitWhenItEnds() throws {
        let engine = makeEngine()
        let tenant = GroupOfCaches(engine, EngineCacheLimits(maxBytes: 600_000))
        try tenant.fill(0..<3000)
        for reserving in [0, 50_000, 10_000_000] {
            try tenant.caches[0].withExclusiveAccess(reserving: reserving, now: start) { () throws(MartletError) in
                for item in 0..<300 { try tenant.caches[0].write("\(reserving):\(item)".utf8, groupValue()) }
            }
            #expect(tenant.bytes <= 600_000)
            #expect(tenant.caches[0].read(Array("\(reserving):299".utf8)) != nil)
            #expect(engine.checkInvariants() == [])
        }
    }

    /// The caches of a thousand are looked at one by one to find who gives, but once in many writes.
    @Test func aThousandCachesInAGroupMakeNoWriteExpensive() throws {
        let engine = makeEngine(memoryBytes: 256 << 20)
        let group = engine.openGroup(limits: EngineCacheLimits())
        let caches = (0..<1000).map { engine.open(UInt64($0), in: group) }
        for item in 0..<20_000 { try caches[item % 1000].write(groupKey(item), groupValue()) }
        let limit = group.statistics.liveBytes
        group.setLimits(EngineCacheLimits(maxBytes: limit))
        var mostEvicted = 0
        for item in 20_000..<40_000 {
            let before = group.statistics.items
            try caches[(item * 7919) % 1000].write(groupKey(item), groupValue())
            mostEvicted = max(mostEvicted, before + 1 - group.statistics.items)
            #expect(group.statistics.liveBytes <= limit)
        }
        #expect(mostEvicted <= 64)
        let looksOfBytes = group.looks
        #expect(looksOfBytes < 20_000 * 100, "\(looksOfBytes) looks")
        group.setLimits(EngineCacheLimits(maxItems: group.statistics.items))
        for item in 40_000..<60_000 { try caches[(item * 7919) % 1000].write(groupKey(item), groupValue()) }
        #expect(group.looks - looksOfBytes < 20_000 * 200, "\(group.looks - looksOfBytes) looks")
        #expect(engine.checkInvariants() == [])
    }
}

@Suite struct GroupPressureTests {
    @Test func aGroupWithinItsReservationLosesNothingToOthers() throws {
        let engine = makeEngine(memoryBytes: 2 << 20)
        let tenant = GroupOfCaches(engine, EngineCacheLimits(reservedBytes: 1 << 20))
        var items = 0
        while tenant.bytes < 1_000_000 {
            try tenant.fill(items..<items + 1)
            items += 1
        }
        let flood = GroupOfCaches(engine, EngineCacheLimits())
        let alone = engine.open(9)
        for item in 0..<30_000 {
            try flood.caches[item % 3].write(groupKey(item), groupValue())
            if item % 3 == 0 { try alone.write(groupKey(item), groupValue()) }
        }
        #expect(tenant.evictions == 0)
        #expect(tenant.group.statistics.items == 3 * items)
        #expect(engine.accountedBytes <= 2 << 20)
        // An item that would need a part of the reservation is refused, with nothing evicted for it.
        let evictions = flood.evictions
        #expect(throws: MartletError.memoryExhausted) { try flood.caches[0].write("large".utf8, groupValue(1_200_000)) }
        #expect(flood.evictions == evictions)
        #expect(engine.checkInvariants() == [])
    }

    @Test func aGroupAboveItsReservationGivesDownToItAndItsCachesGiveAlike() throws {
        let engine = makeEngine(memoryBytes: 2_500_000)
        let tenant = GroupOfCaches(engine, EngineCacheLimits(reservedBytes: 1 << 20), count: 2)
        var items = 0
        while tenant.bytes < 2_000_000 {
            try tenant.fill(items..<items + 1)
            items += 1
        }
        let flood = engine.open(9)
        for item in 0..<50_000 { try flood.write(groupKey(item), groupValue()) }
        #expect(tenant.evictions > 0)
        #expect(tenant.bytes >= 1 << 20)
        let ratio = Double(tenant.caches[0].statistics.bytes) / Double(tenant.caches[1].statistics.bytes)
        #expect(ratio > 0.75 && ratio < 1.34)
        #expect(engine.accountedBytes <= 2_500_000)
        #expect(engine.checkInvariants() == [])
    }

    @Test func aGroupWithinItsReservationPaysForItsOwnWritesWhereNobodyElseMay() throws {
        let engine = makeEngine(memoryBytes: 1 << 20)
        let other = engine.open(9, EngineCacheLimits(reservedBytes: 1 << 20))
        while other.statistics.bytes < 500_000 { try other.write(groupKey(other.statistics.items), groupValue()) }
        let items = other.statistics.items
        let tenant = GroupOfCaches(engine, EngineCacheLimits(reservedBytes: 1 << 20), count: 2)
        for item in 0..<20_000 { try tenant.caches[0].write(groupKey(item), groupValue()) }
        // The sibling grows at the first one's cost.
        for item in 0..<500 { try tenant.caches[1].write(groupKey(item), groupValue()) }
        #expect(tenant.caches[1].statistics.items == 500)
        #expect(other.statistics.items == items)
        #expect(engine.accountedBytes <= 1 << 20)
        #expect(engine.checkInvariants() == [])
    }
}
