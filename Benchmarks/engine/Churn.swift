import Engine
import Synchronization
import Tenancy

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

// Churn: what an allocator holds on to shows only after its contents have changed shape many times.
//
// Two threads write, read and delete in four caches of an engine that is too small for what they store. Sizes run from
// 16 B to 1 MiB; every few seconds they change (all sizes, small ones only, large ones only, middling ones), so that
// memory that held the one must be given to the other. Half of the items expire within seconds; a cache is flushed with
// each change. A third thread ticks every 100 ms as the server does. Resident memory is read all the while.

enum Churn {
    static func run(_ options: Options) {
        let seconds = options.number("seconds", or: 60)
        let memory = options.number("memory", or: 512 << 20)
        let engine = Subject.engine(memoryBytes: memory, seals: options.flag("seals"))
        // One of them has a limit of its own, one a reserved share.
        let limits = [
            EngineCacheLimits(maxBytes: memory / 8), EngineCacheLimits(reservedBytes: memory / 8),
            EngineCacheLimits(), EngineCacheLimits(),
        ]
        let caches = limits.indices.map { engine.openCache(CacheID(rawValue: UInt64($0 + 1)), limits: limits[$0]) }
        let shared = Shared(phaseSeconds: options.number("phase", or: 5))
        let cores = options.cores
        let writers = [cores.first, cores.second].enumerated().map { position, core in
            Worker(core: core) { shared.churn(caches, seed: UInt64(position + options.number("seed", or: 1))) }
        }
        let ticker = Worker(core: cores.second) {
            while !shared.isOver.load(ordering: .relaxed) {
                // Not more than a server does: at most ten calls in a row when work waits.
                for _ in 0..<10 {
                    guard engine.tick(now: SystemClock().now()) else { break }
                }
                usleep(100_000)
            }
        }
        let start = Clock.monotonic()
        var nextReport: UInt64 = 0
        let interval = UInt64(options.number("interval", or: 1)) * 1_000_000_000
        var largest = 0
        while true {
            let elapsed = Clock.monotonic() - start
            shared.phase.store(Int(elapsed / 1_000_000_000) / shared.phaseSeconds, ordering: .relaxed)
            largest = max(largest, Machine.roughResidentBytes())
            if elapsed >= nextReport {
                nextReport += interval
                let resident = Machine.residentBytes()
                largest = max(largest, resident)
                write("churn", elapsed, engine, caches, shared, resident)
            }
            if elapsed >= UInt64(seconds) * 1_000_000_000 { break }
            usleep(20_000)
        }
        shared.isOver.store(true, ordering: .relaxed)
        for worker in writers { worker.join() }
        ticker.join()
        write("churn", Clock.monotonic() - start, engine, caches, shared, Machine.residentBytes())
        for cache in caches { cache.flush() }
        // A second of the server's life.
        for _ in 0..<10 {
            for _ in 0..<10 {
                guard engine.tick(now: SystemClock().now()) else { break }
            }
            usleep(100_000)
        }
        var line = Line("churned")
        line.add("memory", memory)
        line.add("largest_resident_bytes", largest)
        line.add("resident_bytes_after_flush", Machine.residentBytes())
        line.add("accounted_bytes_after_flush", engine.accountedBytes)
        line.add("writes", shared.writes.load(ordering: .relaxed))
        line.add("refused", shared.refused.load(ordering: .relaxed))
        line.add("violations", options.flag("check") ? engine.checkInvariants().count : 0)
        line.write()
    }

    private static func write(
        _ kind: String, _ elapsed: UInt64, _ engine: EmbeddedEngine, _ caches: [EngineCache], _ shared: Shared,
        _ resident: Int
    ) {
        var line = Line(kind)
        line.add("seconds", Double(elapsed / 1_000_000) / 1000)
        line.add("phase", shared.phase.load(ordering: .relaxed))
        line.add("resident_bytes", resident)
        line.add("accounted_bytes", engine.accountedBytes)
        line.add("sum_of_caches_bytes", caches.reduce(0) { $0 + $1.statistics.bytes })
        line.add("items", caches.reduce(0) { $0 + $1.statistics.items })
        line.add("writes", shared.writes.load(ordering: .relaxed))
        line.write()
    }

    private final class Shared: Sendable {
        let phaseSeconds: Int
        let phase = Atomic<Int>(0)
        let isOver = Atomic<Bool>(false)
        let writes = Atomic<Int>(0)
        let refused = Atomic<Int>(0)

        init(phaseSeconds: Int) { self.phaseSeconds = max(1, phaseSeconds) }

        func churn(_ caches: [EngineCache], seed: UInt64) {
            var random = Random(seed: seed)
            let keys = KeyWriter()
            let values = ValueWriter(capacity: 1 << 20)
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
            defer { buffer.deallocate() }
            var lastPhase = 0
            var done = 0
            while !isOver.load(ordering: .relaxed) {
                let phase = phase.load(ordering: .relaxed)
                if phase != lastPhase {
                    lastPhase = phase
                    if seed % 2 == 0 { caches[phase % caches.count].flush() }
                }
                let now = SystemClock().now()
                for _ in 0..<64 {
                    let cache = caches[random.below(caches.count)]
                    // As many keys as make a full engine of any size, so that most writes are of new or of evicted ones.
                    let key = keys.key(UInt64(random.below(2_000_000)))
                    switch random.below(10) {
                    case 0: _ = cache.delete(key, now: now)
                    case 1, 2: _ = cache.read(key, into: buffer, now: now)
                    default:
                        let value = values.value(random.next(), byteCount: Self.byteCount(phase, &random))
                        let ttl = random.below(2) == 0 ? 1000 + random.below(10_000) : 3_600_000
                        let isStored = cache.write(
                            key, value, expiresAt: now.adding(milliseconds: Int64(ttl)), now: now)
                        done += 1
                        if !isStored { refused.add(1, ordering: .relaxed) }
                    }
                }
                writes.add(done, ordering: .relaxed)
                done = 0
            }
        }

        /// Each doubling of the size is as frequent as the next.
        private static func byteCount(_ phase: Int, _ random: inout Random) -> Int {
            let (low, high) = [(4.0, 20.0), (4.0, 8.0), (16.0, 20.0), (8.0, 13.0)][phase % 4]
            return Int(exp2(low + (high - low) * random.unit()))
        }
    }
}
