import Engine
import Synchronization
import Tenancy

// Two threads on the same keys of one cache beside one thread.
//
// They run in slices of about a millisecond, which both begin at once, and only slices count in which none of them had to
// wait for its core: a thread that holds a lock and is put aside, because something else runs on its core, makes the
// other wait too, and that says nothing of the engine. A lock that is waited for while both run counts. A lock that puts
// threads to sleep gives their cores to others, and then on a busy machine few slices count, or none.

enum Threads {
    private static let operationsOfSlice = 2000

    static func run(_ options: Options) {
        let items = options.number("items", or: 1_000_000)
        let slices = options.number("slices", or: 100)
        let engine = Subject.engine(memoryBytes: 4 << 30, seals: options.flag("seals"))
        let cache = engine.openCache(CacheID(rawValue: 1), limits: EngineCacheLimits())
        let keys = KeyWriter()
        let values = ValueWriter(capacity: 100)
        for number in 0..<UInt64(items) {
            cache.write(keys.key(number), values.value(number, byteCount: 100), expiresAt: Subject.expiry(number))
        }
        Subject.settle(engine)
        let cores = options.cores
        for writes in options.numbers("writes", or: [0, 100, 10]) {
            var one: [Double] = []
            var two: [Double] = []
            var counted: [Double] = []
            for round in 0..<options.number("rounds", or: 7) {
                // Each core in turn, since they need not be equal.
                let alone = [round % 2 == 0 ? cores.first : cores.second]
                let both = [cores.first, cores.second]
                for threads in round % 2 == 0 ? [alone, both] : [both, alone] {
                    let race = Race(threads: threads.count, cache, items: items, writes: writes, wanted: slices)
                    let workers = threads.enumerated().map { position, core in
                        Worker(core: core) { race.run(position: position) }
                    }
                    for worker in workers { worker.join() }
                    let found = race.found.withLock { $0 }
                    if threads.count == 1 { one.append(found.median) } else { two.append(found.median) }
                    counted.append(found.countedShare)
                    Subject.settle(engine)
                }
            }
            var line = Line("threads")
            line.add("writes_percent", writes)
            line.add("one", one)
            line.add("two", two)
            line.add("counted", counted)
            line.write()
        }
    }

    /// Threads that begin each slice together.
    private final class Race: Sendable {
        private let threads: Int
        private let cache: EngineCache
        private let items: Int
        private let writes: Int
        private let wanted: Int
        private let arrivals = Atomic<Int>(0)
        private let isOver = Atomic<Bool>(false)
        let found = Mutex(Found())

        struct Found: Sendable {
            var rate = 0.0
            var isClean = true
            /// Operations a second of all threads together, of the slices that count.
            var rates: [Double] = []
            var all: [Double] = []

            /// Where hardly a slice counts, because the lock itself gives cores away on a machine where others want
            /// them, all must do.
            var median: Double { rates.count * 20 < all.count ? all.median : rates.median }
            var countedShare: Double { Double(rates.count) / Double(Swift.max(1, all.count)) }
        }

        init(threads: Int, _ cache: EngineCache, items: Int, writes: Int, wanted: Int) {
            self.threads = threads
            self.cache = cache
            self.items = items
            self.writes = writes
            self.wanted = wanted
        }

        func run(position: Int) {
            var random = Random(seed: UInt64(position) &+ Clock.monotonic())
            let keys = KeyWriter()
            let values = ValueWriter(capacity: 100)
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 64)
            defer { buffer.deallocate() }
            let wait = CoreWait()
            let deadline = Clock.monotonic() + 10_000_000_000
            var number = 0
            while true {
                let waited = wait.nanoseconds()
                meet(number * 3 + 1)
                let start = Clock.monotonic()
                for _ in 0..<Threads.operationsOfSlice { operate(&random, keys, values, buffer) }
                let spent = Clock.monotonic() - start
                let isClean = wait.nanoseconds() == waited
                found.withLock { found in
                    found.rate += Double(Threads.operationsOfSlice) / (Double(spent) / 1e9)
                    found.isClean = found.isClean && isClean
                }
                meet(number * 3 + 2)
                if position == 0 {
                    let isEnough = found.withLock { found in
                        found.all.append(found.rate)
                        // The first slices warm up.
                        if found.isClean, number > 10 { found.rates.append(found.rate) }
                        found.rate = 0
                        found.isClean = true
                        return found.rates.count >= wanted
                    }
                    isOver.store(isEnough || Clock.monotonic() > deadline, ordering: .releasing)
                }
                meet(number * 3 + 3)
                if isOver.load(ordering: .acquiring) { return }
                number += 1
            }
        }

        /// Until all have come so far for the `round`th time.
        private func meet(_ round: Int) {
            arrivals.add(1, ordering: .sequentiallyConsistent)
            while arrivals.load(ordering: .acquiring) < round * threads {}
        }

        @inline(__always)
        private func operate(
            _ random: inout Random, _ keys: borrowing KeyWriter, _ values: borrowing ValueWriter,
            _ buffer: UnsafeMutableRawBufferPointer
        ) {
            let number = UInt64(truncatingIfNeeded: random.below(items))
            if writes > 0, random.below(100) < writes {
                let value = values.value(number, byteCount: 100)
                cache.write(keys.key(number), value, expiresAt: Subject.expiry(number))
            } else {
                keep(cache.read(keys.key(number), into: buffer) ?? 0)
            }
        }
    }
}
