import Engine
import Foundation
import Synchronization
import Tenancy
import Testing

private func key(_ number: Int) -> [UInt8] { Array("key:\(number)".utf8) }
private let value = [UInt8](repeating: 0x76, count: 100)

@Suite struct AttachedBytesTests {
    @Test func whatIsAttachedIsChargedToTheCacheAndToTheProcess() {
        let engine = makeEngine()
        let cache = engine.open()
        let empty = cache.statistics.bytes
        for count in [0, 1, 500_000, 20, 500_000, 0] {
            cache.setAttachedBytes(count)
            #expect(cache.statistics.bytes == empty + count)
            #expect(cache.statistics.bytesAttached == count)
            #expect(engine.accountedBytes == empty + count)
            #expect(engine.checkInvariants() == [])
        }
        cache.setAttachedBytes(-1)
        #expect(cache.statistics.bytes == empty)
    }

    @Test func itemsOfTheCacheGiveWayAtTheNextWrite() throws {
        let engine = makeEngine()
        let cache = engine.open(1, EngineCacheLimits(maxBytes: 200_000))
        for item in 0..<2000 { try cache.write(key(item), value) }
        let items = cache.statistics.items
        cache.setAttachedBytes(100_000)
        #expect(cache.statistics.items == items, "the call itself evicts nothing")
        #expect(engine.checkInvariants() == [])
        try cache.write("new", "value")
        #expect(cache.statistics.bytes <= 200_000)
        #expect(cache.statistics.items < items)
        #expect(cache.read("new") == "value")
        #expect(engine.checkInvariants() == [])
    }

    @Test func itemsOfTheCacheGiveWayAtTheNextTick() throws {
        let engine = makeEngine()
        let cache = engine.open(1, EngineCacheLimits(maxBytes: 200_000))
        for item in 0..<2000 { try cache.write(key(item), value) }
        cache.setAttachedBytes(150_000)
        engine.settle()
        #expect(cache.statistics.bytes <= 200_000)
        #expect(cache.statistics.items > 0)
        // What is given back is the items' again.
        cache.setAttachedBytes(0)
        for item in 0..<2000 { try cache.write(key(item), value) }
        #expect(cache.statistics.bytes > 190_000)
        #expect(engine.checkInvariants() == [])
    }

    @Test func aCacheThatIsFullOfWhatIsAttachedTakesNoItemUntilThatGoes() throws {
        let engine = makeEngine()
        let cache = engine.open(1, EngineCacheLimits(maxBytes: 200_000))
        try cache.write("key", "value")
        cache.setAttachedBytes(300_000)
        #expect(throws: MartletError.memoryExhausted) { try cache.write("other", "value") }
        engine.settle()
        #expect(cache.statistics.items == 0)
        cache.setAttachedBytes(10)
        try cache.write("other", "value")
        #expect(engine.checkInvariants() == [])
    }

    @Test func theProcessStaysWithinItsMemoryAtTheCostOfItems() throws {
        let engine = makeEngine(memoryBytes: 1 << 20)
        let caches = (1...4).map { engine.open(UInt64($0)) }
        for item in 0..<20_000 { try caches[item % 4].write(key(item), value) }
        caches[0].setAttachedBytes(600_000)
        engine.settle()
        #expect(engine.accountedBytes <= 1 << 20)
        // The one that holds most gives first: it has no item left, the others share what there is.
        #expect(caches[0].statistics.items == 0)
        #expect(caches[1].statistics.items > 0)
        for item in 0..<5000 { try caches[1 + item % 3].write(key(item), value) }
        #expect(engine.accountedBytes <= 1 << 20)
        #expect(engine.checkInvariants() == [])
    }

    @Test func aWriteThatCannotFitBesideItEvictsNothing() throws {
        let engine = makeEngine()
        let cache = engine.open(1, EngineCacheLimits(maxBytes: 200_000))
        cache.setAttachedBytes(100_000)
        for item in 0..<100 { try cache.write(key(item), value) }
        #expect(throws: MartletError.memoryExhausted) {
            try cache.write("large".utf8, [UInt8](repeating: 1, count: 110_000))
        }
        #expect(cache.statistics.items == 100)
    }

    @Test func closingGivesItBackAndLaterCallsChangeNothing() throws {
        let engine = makeEngine()
        let kept = engine.open(1)
        let before = engine.accountedBytes
        for later in [0, 7, 1_000_000] {
            let cache = engine.open(2)
            cache.setAttachedBytes(123_456)
            engine.closeCache(cache)
            #expect(engine.accountedBytes == before)
            cache.setAttachedBytes(later)
            cache.setAttachedBytes(0)
            #expect(cache.statistics.bytesAttached == 0)
            #expect(engine.accountedBytes == before)
            engine.closeCache(cache)
            #expect(engine.accountedBytes == before)
        }
        #expect(kept.statistics.bytes == before)
        #expect(engine.checkInvariants() == [])
    }

    @Test func flushingTheItemsLeavesWhatIsAttached() throws {
        let engine = makeEngine()
        let cache = engine.open()
        let empty = cache.statistics.bytes
        cache.setAttachedBytes(5000)
        for item in 0..<100 { try cache.write(key(item), value) }
        cache.flush()
        engine.settle()
        #expect(cache.statistics.bytes == empty + 5000)
        #expect(engine.checkInvariants() == [])
    }

    @Test func closingWhileAnotherThreadAttachesLeavesTrueBooks() {
        let engine = makeEngine()
        for _ in 0..<200 {
            let cache = engine.open()
            let isRunning = Atomic<Bool>(true)
            let group = DispatchGroup()
            group.enter()
            Thread.detachNewThread {
                var count = 0
                while isRunning.load(ordering: .relaxed) || count < 50 {
                    cache.setAttachedBytes(count % 1000)
                    count += 1
                }
                group.leave()
            }
            engine.closeCache(cache)
            isRunning.store(false, ordering: .relaxed)
            group.wait()
            #expect(engine.accountedBytes == 0)
        }
        #expect(engine.checkInvariants() == [])
    }
}
