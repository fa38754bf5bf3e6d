import Engine
import Synchronization
import Tenancy

/// Something large that one thread does while another reads. `prepare` is not timed; `work` gives back a time in
/// milliseconds that says something of it.
struct Disturbance: Sendable {
    let prepare: @Sendable () -> Void
    let work: @Sendable (Tail.Reader.Flag) -> Double

    static func named(_ name: String, reader: Tail.Reader, _ options: Options) -> Disturbance {
        let bytes = options.number("bytes", or: 1 << 30)
        switch name {
        case "copying": return copying(options.number("window", or: 300))
        case "flush": return flush(reader, bytes: bytes)
        case "cleaning": return cleaning(reader, window: options.number("window", or: 300))
        case "eviction": return eviction(reader, bytes: bytes / 4, window: options.number("window", or: 300))
        case "training": return training(reader)
        case "fetch", "union", "union-store": return huge(name, reader, options)
        default: fail("there is no disturbance \(name)")
        }
    }

    /// The control: no engine, only traffic to memory.
    private static func copying(_ milliseconds: Int) -> Disturbance {
        let source = [UInt8](repeating: 1, count: 256 << 20)
        return Disturbance(prepare: {}) { _ in
            let target = UnsafeMutableRawBufferPointer.allocate(byteCount: source.count, alignment: 64)
            defer { target.deallocate() }
            let end = Clock.monotonic() + UInt64(milliseconds) * 1_000_000
            while Clock.monotonic() < end {
                for start in stride(from: 0, to: source.count, by: 1 << 20) where Clock.monotonic() < end {
                    source.withUnsafeBytes {
                        UnsafeMutableRawBufferPointer(rebasing: target[start..<start + 1 << 20]).copyMemory(
                            from: UnsafeRawBufferPointer(rebasing: $0[start..<start + 1 << 20]))
                    }
                }
            }
            return 0
        }
    }

    /// Another cache of a gigabyte is flushed and its memory given back. Gives the time from the flush to that.
    private static func flush(_ reader: Tail.Reader, bytes: Int) -> Disturbance {
        let cache = reader.engine.openCache(CacheID(rawValue: 2), limits: EngineCacheLimits())
        return Disturbance {
            let keys = KeyWriter()
            let values = ValueWriter(capacity: 400)
            var number: UInt64 = 0
            while cache.statistics.bytes < bytes {
                cache.write(keys.key(number), values.value(number, byteCount: 400), expiresAt: Subject.expiry(number))
                number += 1
            }
            Subject.settle(reader.engine)
        } work: { _ in
            let start = Clock.monotonic()
            cache.flush()
            var line = Line("flushed")
            line.add("milliseconds", Double(Clock.monotonic() - start) / 1e6)
            line.write()
            Subject.settle(reader.engine)
            return Double(Clock.monotonic() - start) / 1e6
        }
    }

    /// The items that are read are overwritten all the time by values of other sizes, and what that leaves is cleaned.
    private static func cleaning(_ reader: Tail.Reader, window: Int) -> Disturbance {
        Disturbance(prepare: {}) { _ in
            var random = Random(seed: Clock.monotonic())
            let keys = KeyWriter()
            let values = ValueWriter(capacity: 256)
            let end = Clock.monotonic() + UInt64(window) * 1_000_000
            while Clock.monotonic() < end {
                for _ in 0..<256 {
                    let number = UInt64(random.below(1_000_000))
                    reader.cache.write(
                        keys.key(number), values.value(number, byteCount: 64 + random.below(128)),
                        expiresAt: Subject.expiry(number))
                }
                _ = reader.engine.tick(now: Subject.now)
            }
            return 0
        }
    }

    /// The cache that is read is full and takes new items all the time, so that older ones go.
    private static func eviction(_ reader: Tail.Reader, bytes: Int, window: Int) -> Disturbance {
        let full = reader.cache.statistics.bytes
        reader.cache.setLimits(EngineCacheLimits(maxBytes: full))
        return Disturbance(prepare: {}) { _ in
            var random = Random(seed: Clock.monotonic())
            let keys = KeyWriter()
            let values = ValueWriter(capacity: 512)
            let end = Clock.monotonic() + UInt64(window) * 1_000_000
            while Clock.monotonic() < end {
                for _ in 0..<256 {
                    let number = random.next() | 1 << 63
                    reader.cache.write(
                        keys.key(number), values.value(number, byteCount: 32 + random.below(480)),
                        expiresAt: Subject.expiry(number))
                }
                _ = reader.engine.tick(now: Subject.now)
            }
            return 0
        }
    }

    /// A cache of small documents that is read, and goes on being written, has a dictionary trained. Gives the time from
    /// the first tick to that.
    private static func training(_ reader: Tail.Reader) -> Disturbance {
        let items = 200_000
        let number = Mutex(UInt64(10))
        return Disturbance {
            let id = number.withLock { number in
                number += 1
                return number
            }
            let earlier = reader.cache
            if earlier.id.rawValue > 10 { reader.engine.closeCache(earlier) }
            let cache = reader.engine.openCache(
                CacheID(rawValue: id), limits: EngineCacheLimits(), compression: .zstdDictionary)
            let keys = KeyWriter()
            var random = Random(seed: 13)
            for number in 0..<UInt64(items) {
                let document = Document.make(&random)
                document.withUnsafeBytes { _ = cache.write(keys.key(number), $0, expiresAt: Subject.expiry(number)) }
            }
            reader.target.withLock { $0 = (cache, items) }
        } work: { _ in
            let start = Clock.monotonic()
            let cache = reader.cache
            let keys = KeyWriter()
            var random = Random(seed: 17)
            while cache.statistics.compression.trainings == 0, Clock.monotonic() - start < 10_000_000_000 {
                for _ in 0..<256 {
                    let number = UInt64(random.below(items))
                    Document.make(&random).withUnsafeBytes {
                        _ = cache.write(keys.key(number), $0, expiresAt: Subject.expiry(number))
                    }
                }
                _ = reader.engine.tick(now: Subject.now)
            }
            return Double(Clock.monotonic() - start) / 1e6
        }
    }

    /// An operation over sets of a million members of the cache that is read. Gives its longest slice.
    private static func huge(_ name: String, _ reader: Tail.Reader, _ options: Options) -> Disturbance {
        let members = options.number("members", or: 1_000_000)
        let writer = MemberWriter(count: 1000)
        let keys = KeyWriter()
        // Of the two sets, a half of the members is in both.
        for set in 0..<2 {
            for first in stride(from: 0, to: members, by: 1000) {
                for position in 0..<1000 { writer.write(UInt64(first + position + set * members / 2), at: position) }
                do throws(MartletError) {
                    try reader.cache.add(writer.members, to: keys.key(1 << 40 | UInt64(set)), .set)
                } catch {
                    fail("\(error)")
                }
            }
        }
        Subject.settle(reader.engine)
        return Disturbance(prepare: {}) { _ in
            let first = KeyWriter()
            let second = KeyWriter()
            let third = KeyWriter()
            let sets = [first.key(1 << 40), second.key(1 << 40 | 1)]
            do throws(MartletError) {
                let found =
                    switch name {
                    case "fetch": try reader.cache.fetchSet(sets[0])
                    case "union": try reader.cache.unite(sets)
                    default: try reader.cache.unite(sets, into: third.key(1 << 40 | 2))
                    }
                guard found.count == (name == "fetch" ? members : members / 2 * 3) else { fail("members are missing") }
                return Double(found.longest) / 1e6
            } catch {
                fail("\(error)")
            }
        }
    }
}
