import Engine
import Tenancy

// What an operation costs a thread that is alone, in CPU time, beside a pointer chase and beside libcrypto.
//
// The chase is what the machine asks for one dependent read of memory that is in no cache: 200 MB in nodes of one cache
// line, linked to one random cycle, in memory of malloc as it comes. An operation on one of a million items cannot be
// cheaper than a few of those; ratios to it say more of another machine than nanoseconds do.
//
// All sides live in this process at once and take turns; each sample is the mean of `operations` on keys drawn anew. The
// cost of drawing and writing a key is in every sample, and is a side of its own.

enum Speed {
    private static let valueBytes = 100

    static func run(_ options: Options) {
        Machine.pin(to: options.cores.first)
        let items = options.number("items", or: 1_000_000)
        let operations = options.number("operations", or: 1_000_000)
        let chase = Chase(byteCount: options.number("chase", or: 200_000_000))
        let plain = Side(items: items, operations: operations, valueBytes: valueBytes, seals: false)
        var sides: [(name: String, take: () -> Double)] = [
            ("keys", { plain.keysAlone() }),
            ("chase", { chase.nanoseconds(steps: operations) }),
            ("get", { plain.gets() }),
            ("set", { plain.sets() }),
        ]
        sides.append(("get-of-batch", BatchRead.of(plain)))
        let sealed = Side(items: items, operations: operations, valueBytes: valueBytes, seals: true)
        sides += [("sealed-get", { sealed.gets() }), ("sealed-set", { sealed.sets() })]
        let crypto = Libcrypto(valueBytes: valueBytes)
        sides += [
            ("libcrypto-open", { crypto.opens(operations) }), ("libcrypto-seal", { crypto.seals(operations) }),
        ]

        var samples = [[Double]](repeating: [], count: sides.count)
        for round in -1..<options.number("rounds", or: 7) {
            for number in round % 2 == 0 ? Array(sides.indices) : sides.indices.reversed() {
                let sample = sides[number].take()
                // The first round warms up.
                if round >= 0 { samples[number].append(sample) }
            }
        }
        for (side, taken) in zip(sides, samples) {
            var line = Line("speed")
            line.add("side", side.name)
            line.add("nanoseconds", taken)
            line.write()
        }
        var facts = Line("facts")
        facts.add("huge_page_policy", Machine.hugePagePolicy())
        facts.add("huge_bytes", Machine.hugeBytes())
        facts.add("resident_bytes", Machine.residentBytes())
        facts.add("tick_nanoseconds_of_set", plain.tickNanoseconds)
        facts.write()
    }

    /// One engine with one cache full of items.
    final class Side {
        let engine: EmbeddedEngine
        let cache: EngineCache
        let items: Int
        let operations: Int
        private let valueBytes: Int
        private var random = Random(seed: 1)
        private let keys = KeyWriter()
        private let values: ValueWriter
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 64)
        /// What background work after the SETs cost, for each of them.
        private(set) var tickNanoseconds: [Double] = []

        init(items: Int, operations: Int, valueBytes: Int, seals: Bool) {
            engine = Subject.engine(memoryBytes: 4 << 30, seals: seals)
            cache = engine.openCache(CacheID(rawValue: 1), limits: EngineCacheLimits())
            self.items = items
            self.operations = operations
            self.valueBytes = valueBytes
            values = ValueWriter(capacity: valueBytes)
            for number in 0..<UInt64(items) {
                let value = values.value(number, byteCount: valueBytes)
                guard cache.write(keys.key(number), value, expiresAt: Subject.expiry(number)) else { fail("no room") }
            }
            Subject.settle(engine)
        }

        deinit { buffer.deallocate() }

        func keysAlone() -> Double {
            let start = Clock.threadCPU()
            var sum: UInt8 = 0
            for _ in 0..<operations { sum &+= keys.key(draw())[20] }
            let spent = Clock.threadCPU() - start
            keep(Int(sum))
            return Double(spent) / Double(operations)
        }

        func gets() -> Double {
            let start = Clock.threadCPU()
            var sum = 0
            for _ in 0..<operations { sum += cache.read(keys.key(draw()), into: buffer) ?? 0 }
            let spent = Clock.threadCPU() - start
            guard sum == operations * valueBytes else { fail("some GETs missed") }
            return Double(spent) / Double(operations)
        }

        func sets() -> Double {
            let start = Clock.threadCPU()
            for _ in 0..<operations {
                let number = draw()
                cache.write(
                    keys.key(number), values.value(number, byteCount: valueBytes), expiresAt: Subject.expiry(number))
            }
            let spent = Clock.threadCPU() - start
            tickNanoseconds.append(Double(Subject.settle(engine)) / Double(operations))
            return Double(spent) / Double(operations)
        }

        /// The key of an item, valid until the next is asked for.
        func key() -> UnsafeRawBufferPointer { keys.key(draw()) }

        @inline(__always)
        func draw() -> UInt64 { UInt64(truncatingIfNeeded: random.below(items)) }
    }
}

/// Where results go that nobody reads, so that the compiler cannot leave out the work.
@inline(never)
func keep(_ number: Int) {
    withExtendedLifetime(number) {}
}

/// One cycle through memory, in random order.
final class Chase {
    private let memory: UnsafeMutablePointer<Node>
    private var place: UInt

    /// One cache line.
    private struct Node {
        var next: UInt
        var rest: (UInt, UInt, UInt, UInt, UInt, UInt, UInt) = (0, 0, 0, 0, 0, 0, 0)
    }

    init(byteCount: Int) {
        let count = byteCount / MemoryLayout<Node>.stride
        memory = .allocate(capacity: count)
        memory.initialize(repeating: Node(next: 0), count: count)
        // Sattolo's shuffle: one cycle through all.
        var random = Random(seed: 3)
        var order = (0..<UInt32(count)).map { $0 }
        for last in stride(from: count - 1, to: 0, by: -1) { order.swapAt(last, random.below(last)) }
        for (from, to) in order.enumerated() { memory[from].next = UInt(bitPattern: memory + Int(to)) }
        place = UInt(bitPattern: memory)
    }

    deinit { memory.deallocate() }

    func nanoseconds(steps: Int) -> Double {
        let start = Clock.threadCPU()
        var place = place
        for _ in 0..<steps {
            // Every node holds the address of another.
            place = UnsafePointer<UInt>(bitPattern: place).unsafelyUnwrapped.pointee
        }
        self.place = place
        return Double(Clock.threadCPU() - start) / Double(steps)
    }
}

/// Reads of sixteen keys in one call.
enum BatchRead {
    static func of(_ side: Speed.Side) -> (() -> Double) {
        let count = EngineCache.largestBatch
        // Kept for the life of the process: a batch lends all its keys at once.
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count * 64, alignment: 64)
        var keys = [UnsafeRawBufferPointer](repeating: UnsafeRawBufferPointer(start: nil, count: 0), count: count)
        return {
            let start = Clock.threadCPU()
            var sum = 0
            for _ in 0..<side.operations / count {
                for position in 0..<count {
                    let key = side.key()
                    let place = UnsafeMutableRawBufferPointer(
                        rebasing: memory[position * 64..<position * 64 + key.count])
                    place.copyMemory(from: key)
                    keys[position] = UnsafeRawBufferPointer(place)
                }
                do {
                    try side.cache.getBatch(keys, now: Subject.now) { _, value, _ in
                        guard let value else { return }
                        side.buffer.copyMemory(from: value)
                        sum += value.count
                    }
                } catch {
                    fail("a batch failed: \(error)")
                }
            }
            let spent = Clock.threadCPU() - start
            let reads = side.operations / count * count
            guard sum == reads * 100 else { fail("some reads of a batch missed") }
            return Double(spent) / Double(reads)
        }
    }
}
