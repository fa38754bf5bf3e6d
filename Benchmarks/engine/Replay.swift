import Engine
import Tenancy

// A trace is replayed as an application would ask: a GET, and after a miss a SET. What is counted begins after `warm`
// requests, when the cache is full.

enum Replay {
    /// Requests and bytes, asked for and missed.
    private struct Tally {
        let warm: Int
        private(set) var requests = 0
        private(set) var misses = 0
        private(set) var bytes = 0
        private(set) var missedBytes = 0
        private(set) var warmMisses = 0

        init(warm: Int) { self.warm = warm }

        mutating func count(_ number: Int, bytes size: Int, isHit: Bool) {
            guard number >= warm else {
                warmMisses += isHit ? 0 : 1
                return
            }
            requests += 1
            bytes += size
            guard !isHit else { return }
            misses += 1
            missedBytes += size
        }

        func describe(into line: inout Line) {
            line.add("requests", requests)
            line.add("misses", misses)
            line.add("bytes", bytes)
            line.add("missed_bytes", missedBytes)
            line.add("warm_misses", warmMisses)
        }
    }

    /// On one cache of the engine with a limit of bytes. Every item has a TTL that does not end.
    static func engine(_ options: Options) {
        Machine.pin(to: options.cores.first)
        let max = options.number("max", or: 16 << 20)
        // The process has hardly more, so that nothing that lies idle beside the cache counts as free.
        let engine = Subject.engine(memoryBytes: max + max / 50 + 65_536, seals: options.flag("seals"))
        let before = Machine.residentBytes()
        let cache = engine.openCache(CacheID(rawValue: 1), limits: EngineCacheLimits(maxBytes: max))
        let keys = KeyWriter()
        let values = ValueWriter(capacity: 65_536)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 64)
        defer { buffer.deallocate() }
        var tally = Tally(warm: options.number("warm", or: 0))
        var refused = 0
        let start = Clock.threadCPU()
        Trace.forEach(of: options.text("trace")) { number, object, valueBytes in
            let key = keys.key(object)
            let isHit = cache.read(key, into: buffer) != nil
            if !isHit {
                let value = values.value(object, byteCount: valueBytes)
                if !cache.write(key, value, expiresAt: Subject.expiry(object)) { refused += 1 }
            }
            tally.count(number, bytes: valueBytes, isHit: isHit)
            if number % 4096 == 0 { _ = engine.tick(now: Subject.now) }
        }
        var line = Line("replay")
        tally.describe(into: &line)
        line.add("refused", refused)
        line.add("items", cache.statistics.items)
        line.add("charged_bytes", cache.statistics.bytes)
        line.add("resident_bytes", Machine.residentBytes() - before)
        line.add("cpu_nanoseconds", Int(Clock.threadCPU() - start))
        line.write()
    }

    /// On redis-server. Requests go in batches that end before a key comes again, so that each sees what those before it
    /// stored; a read is STRLEN, which counts as a use like GET and does not send the value.
    static func redis(_ options: Options) {
        Machine.pin(to: options.cores.second)
        let client = PipelinedClient(port: options.number("port", or: 0))
        let keys = KeyWriter()
        let values = ValueWriter(capacity: 65_536)
        var tally = Tally(warm: options.number("warm", or: 0))
        var batch: [(number: Int, object: UInt64, valueBytes: Int)] = []
        var isIn = Set<UInt64>()
        var stores = 0

        func finish() {
            client.flush()
            for _ in 0..<stores { client.answer() }
            stores = 0
            for request in batch {
                let isHit = client.answer() > 0
                tally.count(request.number, bytes: request.valueBytes, isHit: isHit)
                guard !isHit else { continue }
                client.command(parts: 3)
                client.part("SET")
                client.part(keys.key(request.object))
                client.part(values.value(request.object, byteCount: request.valueBytes))
                stores += 1
            }
            batch.removeAll(keepingCapacity: true)
            isIn.removeAll(keepingCapacity: true)
        }

        let start = Clock.monotonic()
        Trace.forEach(of: options.text("trace")) { number, object, valueBytes in
            if batch.count == 64 || isIn.contains(object) { finish() }
            batch.append((number, object, valueBytes))
            isIn.insert(object)
            client.command(parts: 2)
            client.part("STRLEN")
            client.part(keys.key(object))
        }
        finish()
        client.flush()
        for _ in 0..<stores { client.answer() }
        var line = Line("replay")
        tally.describe(into: &line)
        line.add("seconds", Double(Clock.monotonic() - start) / 1e9)
        line.write()
    }
}
