import Synchronization

/// Values set aside for training.
struct TrainingSamples: Sendable {
    /// One after the other.
    var bytes: [UInt8] = []
    var sizes: [Int] = []
}

/// Sets values of a cache aside until they are enough for one training. Takes memory only while it collects.
final class SampleCollector: Sendable {
    /// What is collected for one training.
    static let capacity = 256 << 10
    /// Of a longer value its beginning, so that there are at least 64 samples.
    static let sampleBytes = 4 << 10
    private static let firstCapacity = 8 << 10

    private let samples = Guarded(TrainingSamples())
    private let held = Atomic<Int>(0)

    init() {}

    /// Memory that it takes now.
    var bytes: Int { held.load(ordering: .relaxed) }

    /// Sets a copy of `value` aside, or skips it if another thread is just here: nobody waits.
    ///
    /// - Returns: whether there is enough, and nothing more was set aside.
    func add(_ value: UnsafeRawBufferPointer) -> Bool {
        samples.withLockIfAvailable { samples in
            let sample = UnsafeRawBufferPointer(rebasing: value.prefix(Self.sampleBytes))
            let needed = samples.bytes.count + sample.count
            guard needed <= Self.capacity else { return true }
            if needed > samples.bytes.capacity {
                let larger = min(max(Self.firstCapacity, samples.bytes.capacity * 2, needed), Self.capacity)
                samples.bytes.reserveCapacity(larger)
            }
            samples.bytes.append(contentsOf: sample)
            samples.sizes.append(sample.count)
            held.store(
                samples.bytes.capacity + samples.sizes.capacity * MemoryLayout<Int>.stride, ordering: .relaxed)
            return false
        } ?? false
    }

    /// Hands the samples over and begins with none.
    func take() -> TrainingSamples {
        samples.withLock { samples in
            defer {
                samples = TrainingSamples()
                held.store(0, ordering: .relaxed)
            }
            return samples
        }
    }
}
