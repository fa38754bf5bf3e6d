/// The keys that took the most operations of late, and about how many, in bounded memory: Space-Saving with decay.
///
/// How it works
/// ------------
///     hashes    [ h(a)  h(b)  h(c)  … ]     one for each of 64 counters, looked through in order
///     weights   [  910    40    12  … ]     what was counted while the counter was this key's, and what it began with
///     errors    [    0    11    11  … ]     what it began with
///     keys      [ a     | b     | c     … ] 128 bytes each: the key, or its beginning
///
/// A key that has a counter raises it. One that has none takes the counter of the smallest weight, and begins with that
/// weight, which is remembered as its error. So for the true weight t of a key in the list
///
///     weight - error ≤ t ≤ weight,      error ≤ total / 64
///
/// and every key with more than a 64th of all operations is in the list, whatever the order of the stream. What is
/// reported is the lower bound: a key is never shown hotter than it is. A stream without a hot key gives bounds near
/// nothing, however the counters change hands.
///
/// Decay. Every ten seconds everything is halved, so that what was hot once makes place. Under a steady load a weight
/// then stands for the operations of ``windowMilliseconds``, which is halved with it; their quotient is the rate.
///
/// Keys are told apart by a keyed 64-bit hash of all their bytes: nobody outside can make two collide on purpose.
///
/// Memory: 8 KiB for keys and 2 KiB for the rest, allocated once. Cost: a look at 64 hashes, half a microsecond at most with
/// a short key. One thread at a time.
///
/// Reference: Metwally, Agrawal and El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams"
/// (ICDT 2005). Merging, Agarwal et al., "Mergeable Summaries" (PODS 2012), is not needed: all event loops count here.
// Unchecked: it alone has the addresses, and is not copied.
package struct KeySketch: ~Copyable, @unchecked Sendable {
    /// How many keys are kept.
    package static let capacity = 64
    /// How much of a key is kept.
    package static let mostKeyBytes = 128
    package static let halvingMilliseconds: Int64 = 10_000

    private let hashes: UnsafeMutablePointer<UInt64>
    private let weights: UnsafeMutablePointer<UInt64>
    private let errors: UnsafeMutablePointer<UInt64>
    /// The whole length of each key.
    private let lengths: UnsafeMutablePointer<Int>
    private let keys: UnsafeMutableRawPointer
    private var count = 0
    /// Of all keys, those without a counter too.
    private var total: UInt64 = 0
    private var samples: UInt64 = 0
    private var halvedAt: Int64
    /// What earlier halvings left of the window.
    private var carriedMilliseconds: Int64 = 0

    package init(nowMilliseconds: Int64) {
        hashes = .allocate(capacity: Self.capacity)
        weights = .allocate(capacity: Self.capacity)
        errors = .allocate(capacity: Self.capacity)
        lengths = .allocate(capacity: Self.capacity)
        keys = .allocate(byteCount: Self.capacity * Self.mostKeyBytes, alignment: 16)
        halvedAt = nowMilliseconds
    }

    deinit {
        hashes.deallocate()
        weights.deallocate()
        errors.deallocate()
        lengths.deallocate()
        keys.deallocate()
    }

    /// Counts operations on a key.
    ///
    /// - Parameters:
    ///   - hash: Of the whole key, under a key that is the process's own.
    ///   - weight: How many operations it stands for.
    ///   - nowMilliseconds: Of a clock that does not go back; if it does, nothing is halved meanwhile.
    package mutating func add(
        _ key: UnsafeRawBufferPointer, hash: UInt64, weight: UInt64, nowMilliseconds: Int64
    ) {
        decay(nowMilliseconds)
        total = total.addingClamped(weight)
        samples = samples.addingClamped(1)
        if let place = place(of: hash, length: key.count) {
            weights[place] = weights[place].addingClamped(weight)
            return
        }
        let place: Int
        if count < Self.capacity {
            place = count
            count += 1
            errors[place] = 0
            weights[place] = weight
        } else {
            place = smallest
            errors[place] = weights[place]
            weights[place] = weights[place].addingClamped(weight)
        }
        hashes[place] = hash
        lengths[place] = key.count
        let kept = min(key.count, Self.mostKeyBytes)
        if kept > 0 {
            (keys + place * Self.mostKeyBytes).copyMemory(
                from: UnsafeRawPointer(key.baseAddress.unsafelyUnwrapped), byteCount: kept)
        }
    }

    /// Whether nothing is left of what was counted.
    package mutating func isForgotten(nowMilliseconds: Int64) -> Bool {
        decay(nowMilliseconds)
        return total == 0
    }

    /// What it holds now, the hottest first.
    ///
    /// - Parameter limit: How many keys at most.
    package mutating func report(limit: Int, nowMilliseconds: Int64) -> HotKeyReport {
        decay(nowMilliseconds)
        var places: [(place: Int, weight: UInt64)] = []
        for place in 0..<count {
            let sure = weights[place] &- errors[place]
            if sure > 0 { places.append((place, sure)) }
        }
        places.sort { $0.weight != $1.weight ? $0.weight > $1.weight : $0.place < $1.place }
        // Of a moment nothing can be said a second.
        let seconds = Double(max(1_000, windowMilliseconds(nowMilliseconds))) / 1_000
        let all = Double(max(1, total))
        let hot = places.prefix(max(0, limit)).map { entry in
            let kept = min(lengths[entry.place], Self.mostKeyBytes)
            let start = keys + entry.place * Self.mostKeyBytes
            return HotKey(
                key: Array(UnsafeRawBufferPointer(start: start, count: kept)),
                isTruncated: lengths[entry.place] > Self.mostKeyBytes,
                operationsPerSecond: Double(entry.weight) / seconds, share: Double(entry.weight) / all)
        }
        return HotKeyReport(windowSeconds: seconds, samples: samples, keys: hot)
    }

    // MARK: Inside

    /// The time whose operations the weights stand for.
    private func windowMilliseconds(_ now: Int64) -> Int64 {
        carriedMilliseconds + max(0, now &- halvedAt)
    }

    private mutating func decay(_ now: Int64) {
        let passed = now &- halvedAt
        guard passed >= Self.halvingMilliseconds else { return }
        let halvings = min(64, passed / Self.halvingMilliseconds)
        for _ in 0..<halvings { carriedMilliseconds = (carriedMilliseconds + Self.halvingMilliseconds) / 2 }
        halvedAt = passed / Self.halvingMilliseconds > 64 ? now : halvedAt &+ halvings * Self.halvingMilliseconds
        total >>= UInt64(halvings)
        samples >>= UInt64(halvings)
        var kept = 0
        for place in 0..<count {
            let weight = weights[place] >> UInt64(halvings)
            guard weight > 0 else { continue }
            let error = min(weight, errors[place] >> UInt64(halvings))
            move(place, to: kept, weight: weight, error: error)
            kept += 1
        }
        count = kept
    }

    private func move(_ place: Int, to target: Int, weight: UInt64, error: UInt64) {
        weights[target] = weight
        errors[target] = error
        guard place != target else { return }
        hashes[target] = hashes[place]
        lengths[target] = lengths[place]
        (keys + target * Self.mostKeyBytes).copyMemory(
            from: keys + place * Self.mostKeyBytes, byteCount: min(lengths[place], Self.mostKeyBytes))
    }

    private func place(of hash: UInt64, length: Int) -> Int? {
        for place in 0..<count where hashes[place] == hash && lengths[place] == length { return place }
        return nil
    }

    private var smallest: Int {
        var smallest = 0
        for place in 1..<count where weights[place] < weights[smallest] { smallest = place }
        return smallest
    }
}

extension UInt64 {
    fileprivate func addingClamped(_ other: UInt64) -> UInt64 {
        let (sum, isOver) = addingReportingOverflow(other)
        return isOver ? .max : sum
    }
}

/// What takes the most operations of a cache.
package struct HotKeyReport: Equatable, Sendable {
    /// The time that the rates are taken over, at least a second.
    package let windowSeconds: Double
    /// How many operations were looked at within it.
    package let samples: UInt64
    /// The hottest first.
    package let keys: [HotKey]
}

package struct HotKey: Equatable, Sendable {
    /// The key, or its first ``KeySketch/mostKeyBytes``.
    package let key: [UInt8]
    package let isTruncated: Bool
    /// At least so many.
    package let operationsPerSecond: Double
    /// At least so much of all operations on keys of the cache, from 0 to 1.
    package let share: Double
}
