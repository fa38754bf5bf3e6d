import Engine
import Tenancy

// What items and caches take of resident memory. Each run measures one kind in a fresh process.

enum Memory {
    /// Resident memory and the engine's own account at each of some counts of items, with keys of 21 bytes and a TTL.
    static func items(_ options: Options) {
        Machine.pin(to: options.cores.first)
        let valueBytes = options.number("value", or: 100)
        let engine = Subject.engine(memoryBytes: 4 << 30, seals: options.flag("seals"))
        let cache = engine.openCache(CacheID(rawValue: 1), limits: EngineCacheLimits())
        let keys = KeyWriter()
        let values = ValueWriter(capacity: valueBytes)
        write("items", 0, engine)
        var number: UInt64 = 0
        for count in options.numbers("counts", or: [1_000_000, 1_300_000, 1_500_000, 1_700_000, 2_000_000]) {
            while number < UInt64(count) {
                let value = values.value(number, byteCount: valueBytes)
                guard cache.write(keys.key(number), value, expiresAt: Subject.expiry(number)) else { fail("no room") }
                number += 1
                if number % 65_536 == 0 { _ = engine.tick(now: Subject.now) }
            }
            Subject.settle(engine)
            write("items", count, engine)
        }
    }

    /// Many caches, empty at first and then with a few items each.
    static func caches(_ options: Options) {
        Machine.pin(to: options.cores.first)
        let count = options.number("caches", or: 10_000)
        let items = options.number("items", or: 100)
        let valueBytes = options.number("value", or: 100)
        let engine = Subject.engine(memoryBytes: 4 << 30, seals: options.flag("seals"))
        let keys = KeyWriter()
        let values = ValueWriter(capacity: valueBytes)
        var caches: [EngineCache] = []
        caches.reserveCapacity(count + 100)
        // The first hundred pay for what all share.
        for number in 0..<100 {
            caches.append(engine.openCache(CacheID(rawValue: UInt64(number)), limits: EngineCacheLimits()))
        }
        write("empty-caches", 0, engine)
        for number in 0..<count {
            caches.append(engine.openCache(CacheID(rawValue: UInt64(number + 100)), limits: EngineCacheLimits()))
        }
        Subject.settle(engine)
        write("empty-caches", count, engine)
        for (position, cache) in caches.dropFirst(100).enumerated() {
            for number in 0..<UInt64(items) {
                let value = values.value(number, byteCount: valueBytes)
                let key = keys.key(number << 32 | UInt64(position))
                guard cache.write(key, value, expiresAt: Subject.expiry(number)) else { fail("no room") }
            }
            if position % 256 == 0 { _ = engine.tick(now: Subject.now) }
        }
        Subject.settle(engine)
        write("full-caches", count, engine)
    }

    /// Collections of one kind, each with so many members of sixteen bytes.
    static func collections(_ options: Options) {
        Machine.pin(to: options.cores.first)
        guard let kind = Collections.Kind(rawValue: options.text("of")) else { fail("there is no such collection") }
        let writer = MemberWriter(count: options.number("members", or: 100))
        let engine = Subject.engine(memoryBytes: 8 << 30, seals: options.flag("seals"))
        let cache = engine.openCache(CacheID(rawValue: 1), limits: EngineCacheLimits())
        let keys = KeyWriter()
        write("collections", 0, engine)
        for number in 0..<UInt64(options.number("count", or: 100_000)) {
            for position in writer.members.indices {
                writer.write(number << 20 | UInt64(position), at: position)
            }
            do throws(MartletError) {
                try cache.add(writer.members, to: keys.key(number), kind)
            } catch {
                fail("\(error)")
            }
            if number % 1024 == 0 { _ = engine.tick(now: Subject.now) }
        }
        Subject.settle(engine)
        write("collections", cache.statistics.items, engine)
    }

    /// Small JSON documents, with and without compression.
    static func documents(_ options: Options) {
        Machine.pin(to: options.cores.first)
        guard let mode = CompressionMode(rawValue: options.text("compression", or: "off")) else {
            fail("there is no such compression")
        }
        let count = options.number("count", or: 300_000)
        let engine = Subject.engine(memoryBytes: 4 << 30, seals: options.flag("seals"))
        let cache = engine.openCache(CacheID(rawValue: 1), limits: EngineCacheLimits(), compression: mode)
        let keys = KeyWriter()
        var random = Random(seed: 11)
        // Twice: the first documents of a cache come before its dictionary.
        for round in 0..<2 {
            write("documents", round == 0 ? 0 : count, engine)
            for number in 0..<UInt64(count) {
                let document = Document.make(&random)
                document.withUnsafeBytes { _ = cache.write(keys.key(number), $0, expiresAt: Subject.expiry(number)) }
                if number % 1024 == 0 { _ = engine.tick(now: Subject.now) }
            }
            Subject.settle(engine)
        }
        write("documents", count, engine)
    }

    static func write(_ kind: String, _ count: Int, _ engine: EmbeddedEngine) {
        var line = Line(kind)
        line.add("count", count)
        line.add("resident_bytes", Machine.residentBytes())
        line.add("accounted_bytes", engine.accountedBytes)
        line.write()
    }
}
