import Synchronization

// When a dictionary is trained.
//
//     waiting ──▶ collecting ──▶ ready ──▶ settled
//        the cache      256 KiB of     ▲   train   │  shrinks clearly less than at first, twice in a row,
//        is worth it    values are     │           │  and enough new values came since
//                       set aside      └─ collecting ◀┘
//
// A dictionary costs a cache some 120 KiB, so one that holds less than 512 KiB gets none.
//
// Each new dictionary is judged on samples that it was not made of, beside what there was before: if it does not save a
// tenth, it is thrown away. What it made of them is the reference; the ratio (stored bytes to plain) of the values that
// come is watched in windows. Two windows in a row that are worse than the reference by a fifth ask for another training.
//
// Someone who mixes values so that no dictionary ever fits must not keep the process training: between two trainings lie
// at least 4 MiB of new values, which the cache spends ten times as long on compressing as one training takes; and that
// doubles with each training up to 256 MiB. It goes back only after eight times as much has passed without asking.

/// What a cache has learned about its ratio. Plain numbers; a test drives it.
struct RatioWatch {
    /// Sums of values that were tried, in bytes; they only grow.
    struct Sums {
        /// Of all values: what must pass between two trainings.
        var total: UInt64 = 0
        /// Of those tried with a dictionary, plain and as they are stored: what the ratio is of.
        var plain: UInt64 = 0
        var stored: UInt64 = 0
    }

    /// Plain bytes between two looks at the ratio.
    static let windowBytes: UInt64 = 512 << 10
    static let shortestInterval: UInt64 = 4 << 20
    static let longestInterval: UInt64 = 256 << 20
    /// How much worse than the reference is clearly worse.
    static let tolerance = 1.2

    private var windowStart = Sums()
    private var lastRatio: Double?
    private var badWindows = 0
    /// The sum at the last training; nil before the first.
    private var trainedAt: UInt64?
    /// The sum from which on all was well.
    private var quietSince: UInt64 = 0
    private(set) var interval = Self.shortestInterval
    private(set) var reference: Double?

    /// Whether enough new values have come since the last training for another.
    func isDue(_ sums: Sums) -> Bool { trainedAt.map { sums.total - $0 >= interval } ?? true }

    /// After a training that brought a dictionary: `ratio` is what it made of values that it had not seen, nil if that is
    /// not comparable; then the next window says.
    mutating func adopted(_ sums: Sums, ratio: Double?) {
        trained(sums)
        reference = ratio
    }

    /// After a training that brought nothing: it is as good as it gets, and must become worse again before the next.
    mutating func declined(_ sums: Sums) {
        trained(sums)
        reference = lastRatio
    }

    private mutating func trained(_ sums: Sums) {
        if trainedAt != nil { interval = min(interval * 2, Self.longestInterval) }
        trainedAt = sums.total
        quietSince = sums.total
        windowStart = sums
        badWindows = 0
    }

    /// Looks at the sums of all values so far. Returns whether it is time for another training.
    mutating func look(_ sums: Sums, hasDictionary: Bool) -> Bool {
        guard hasDictionary else { return isDue(sums) }
        let plain = sums.plain - windowStart.plain
        guard plain >= Self.windowBytes else { return false }
        let ratio = Double(sums.stored - windowStart.stored) / Double(plain)
        windowStart = sums
        lastRatio = ratio
        if let reference, ratio > reference * Self.tolerance {
            badWindows += 1
            quietSince = sums.total
            return badWindows >= 2 && isDue(sums)
        }
        reference = min(reference ?? ratio, ratio)
        badWindows = 0
        if interval > Self.shortestInterval, sums.total - quietSince >= 8 * interval {
            interval /= 2
            quietSince = sums.total
        }
        return false
    }
}

extension CacheCompressor {
    /// Below this a cache gets no dictionary.
    package static let minimumHeldBytes = 512 << 10

    /// Whether a tick has something to do at once: samples are ready to be trained on. One load.
    package var isReadyToTrain: Bool { phase.load(ordering: .relaxed) == .ready }

    /// Looks after the dictionaries: call it now and then in the background, on one thread at a time for all caches if
    /// the CPU that training takes is to be bounded for the process. Takes microseconds, or, when it trains, some 10-20
    /// milliseconds, in which it holds no lock that anything but another tick or a change of mode waits for.
    ///
    /// - Parameter heldBytes: what the cache holds in all.
    /// - Returns: whether it trained.
    package func tick(heldBytes: Int = .max) -> Bool {
        watch.withLockIfAvailable { watch in
            guard mode == .zstdDictionary else { return false }
            table.reap()
            switch phase.load(ordering: .relaxed) {
            case .waiting:
                if heldBytes >= Self.minimumHeldBytes, watch.isDue(sums) {
                    phase.store(.collecting, ordering: .relaxed)
                }
                return false
            case .collecting:
                // Half, so that a cache about that large does not go back and forth.
                if heldBytes < Self.minimumHeldBytes / 2 {
                    phase.store(.waiting, ordering: .relaxed)
                    _ = collector.take()
                }
                return false
            case .ready:
                train(&watch)
                return true
            case .settled:
                // It was emptied: the dictionary would be most of what it takes.
                if heldBytes < Self.minimumHeldBytes / 4 {
                    table.retireCurrent()
                    phase.store(.waiting, ordering: .relaxed)
                    return false
                }
                if watch.look(sums, hasDictionary: table.currentVersion != 0), table.hasRoom {
                    phase.store(.collecting, ordering: .relaxed)
                }
                return false
            }
        } ?? false
    }

    private var sums: RatioWatch.Sums {
        let declined = withDictionary.declined.load(ordering: .relaxed)
        let plain = withDictionary.plain.load(ordering: .relaxed) + declined
        let others =
            withoutDictionary.plain.load(ordering: .relaxed) + withoutDictionary.declined.load(ordering: .relaxed)
        return RatioWatch.Sums(
            total: plain + others, plain: plain, stored: withDictionary.stored.load(ordering: .relaxed) + declined)
    }

    private func train(_ watch: inout RatioWatch) {
        let samples = collector.take()
        let result = DictionaryTrainer.train(samples, current: table.currentDictionary())
        if let result, result.trainedBytes * 10 <= result.otherBytes * 9, table.adopt(result.dictionary) {
            trainings.wrappingAdd(1, ordering: .relaxed)
            // Values that were cut off shrink otherwise than whole ones.
            let isComparable = !samples.sizes.contains(SampleCollector.sampleBytes)
            watch.adopted(sums, ratio: isComparable ? Double(result.trainedBytes) / Double(result.plainBytes) : nil)
        } else {
            watch.declined(sums)
        }
        phase.store(.settled, ordering: .relaxed)
    }
}
