import Engine
import Synchronization
import Tenancy

// How long the slowest in a thousand GETs take while another thread does something large, beside how long they take
// while it does nothing.
//
// One thread reads uniform keys of a cache of a million items and takes the time of each read; the other, on the other
// core, rests, then works, in turn. Each pair gives a ratio of p99.9s, and the pairs a median. What also counts is that
// two cores share a last cache and the way to memory: so there is a control, in which the other core only copies memory.
//
// A thread that is put aside while it holds a lock, because something else runs on its core, makes the reader wait, which
// says nothing of the engine. So reads are taken in batches, and those do not count in which one of the two threads turns
// out to have waited for its core.

enum Tail {
    static func run(_ options: Options) {
        let what = options.text("what")
        let cores = options.cores
        let reader = Reader(items: options.number("items", or: 1_000_000), seals: options.flag("seals"))
        let work = Disturbance.named(what, reader: reader, options)
        var (quiet, disturbed) = (Histogram(), Histogram())
        var ratios: [Double] = []
        var quietTails: [Double] = []
        var disturbedTails: [Double] = []
        var facts: [Double] = []
        for _ in 0..<options.number("rounds", or: 7) {
            work.prepare()
            let window = UInt64(options.number("window", or: 300)) * 1_000_000
            let without = reader.read(core: cores.first, forAtLeast: window, until: nil)
            let isDone = Reader.Flag()
            let worker = Worker(core: cores.second) {
                isDone.wait.withLock { $0 = CoreWait() }
                let fact = work.work(isDone)
                isDone.fact.withLock { $0 = fact }
                isDone.isSet.store(true, ordering: .releasing)
            }
            let with = reader.read(core: cores.first, forAtLeast: 0, until: isDone)
            worker.join()
            facts.append(isDone.fact.withLock { $0 })
            quiet.add(without)
            disturbed.add(with)
            quietTails.append(without.quantile(0.999))
            disturbedTails.append(with.quantile(0.999))
            ratios.append(disturbedTails[disturbedTails.count - 1] / quietTails[quietTails.count - 1])
        }
        var line = Line("tail")
        line.add("what", what)
        line.add("quiet", quietTails)
        line.add("disturbed", disturbedTails)
        line.add("ratios", ratios)
        // Of all rounds together: for what is over so soon that one round has few reads.
        line.add("pooled_ratio", disturbed.quantile(0.999) / quiet.quantile(0.999))
        line.add("quiet_median", quiet.quantile(0.5))
        line.add("disturbed_median", disturbed.quantile(0.5))
        line.add("disturbed_reads", disturbed.count)
        line.add("counted", Double(disturbed.countedBatches) / Double(max(1, disturbed.batches)))
        line.add("quiet_four_nines", quiet.quantile(0.9999))
        line.add("disturbed_four_nines", disturbed.quantile(0.9999))
        line.add("milliseconds", facts)
        line.write()
    }

    /// Reads uniform keys of one cache and takes the time of each.
    final class Reader: Sendable {
        let engine: EmbeddedEngine
        /// The cache that is read from the next window on, and how many items it has.
        let target: Mutex<(cache: EngineCache, items: Int)>

        var cache: EngineCache { target.withLock { $0.cache } }

        private static let batchSize = 64

        /// Says that a disturbance is over, and what it found.
        final class Flag: Sendable {
            let isSet = Atomic<Bool>(false)
            /// Of the thread that works, once it has begun.
            let wait = Mutex<CoreWait?>(nil)
            let fact = Mutex(0.0)
        }

        init(items: Int, seals: Bool) {
            engine = Subject.engine(memoryBytes: 6 << 30, seals: seals)
            let cache = engine.openCache(CacheID(rawValue: 1), limits: EngineCacheLimits())
            target = Mutex((cache, items))
            let keys = KeyWriter()
            let values = ValueWriter(capacity: 100)
            for number in 0..<UInt64(items) {
                cache.write(keys.key(number), values.value(number, byteCount: 100), expiresAt: Subject.expiry(number))
            }
            Subject.settle(engine)
        }

        /// Reads for a time, or until the flag is set.
        func read(core: Int, forAtLeast window: UInt64, until flag: Flag?) -> Histogram {
            Machine.pin(to: core)
            let (cache, items) = target.withLock { $0 }
            var times = Histogram()
            var random = Random(seed: Clock.monotonic())
            let keys = KeyWriter()
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 64)
            defer { buffer.deallocate() }
            let own = CoreWait()
            var other: CoreWait?
            while let flag, other == nil { other = flag.wait.withLock { $0 } }
            let start = Clock.monotonic()
            var sum = 0
            var batch: [UInt64] = []
            batch.reserveCapacity(Self.batchSize)
            var waited = own.nanoseconds() &+ (other?.nanoseconds() ?? 0)
            while true {
                batch.removeAll(keepingCapacity: true)
                for _ in 0..<Self.batchSize {
                    let key = keys.key(UInt64(random.below(items)))
                    let began = Clock.monotonic()
                    sum += cache.read(key, into: buffer) ?? 0
                    batch.append(Clock.monotonic() &- began)
                }
                let waitedNow = own.nanoseconds() &+ (other?.nanoseconds() ?? 0)
                times.batches += 1
                if waitedNow == waited {
                    times.countedBatches += 1
                    for time in batch { times.add(time) }
                }
                waited = waitedNow
                if let flag {
                    if flag.isSet.load(ordering: .acquiring) { break }
                } else if Clock.monotonic() - start > window {
                    break
                }
            }
            keep(sum)
            return times
        }
    }
}
