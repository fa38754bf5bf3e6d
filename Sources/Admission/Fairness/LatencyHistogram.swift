import Synchronization

/// How long requests took: counts in buckets that are a quarter of an octave wide, so each figure that is read from them
/// is at most 19 % too high. From 8 microseconds to 8 seconds.
///
/// Thread safety: any thread; one relaxed addition for each call of ``record(nanoseconds:count:)``.
package final class LatencyHistogram: Sendable {
    package static let bucketCount = 81
    private let counts = InlineArray<81, Atomic<UInt64>> { _ in Atomic(0) }

    package init() {}

    /// The longest time of each bucket but the last, which has none, in nanoseconds.
    package static let bounds: [UInt64] = (0..<bucketCount - 1).map { index in
        let quarters: [Double] = [1, 1.189207115, 1.414213562, 1.681792831]
        return UInt64(8000 * quarters[index % 4] * Double(UInt64(1) << UInt64(index / 4)))
    }

    /// Counts requests that each took so long.
    package func record(nanoseconds: UInt64, count: UInt64 = 1) {
        counts[Self.bucket(nanoseconds)].wrappingAdd(count, ordering: .relaxed)
    }

    private static func bucket(_ nanoseconds: UInt64) -> Int {
        if nanoseconds <= bounds[0] { return 0 }
        // The octave by the leading bit, then at most four comparisons.
        let octave = 63 - (nanoseconds / 8000).leadingZeroBitCount
        var index = max(0, min(octave * 4, bucketCount - 1))
        while index < bucketCount - 1, bounds[index] < nanoseconds { index += 1 }
        return index
    }

    /// Pairs of a bucket's longest time in nanoseconds, nil for the last one's, and its own count; empty ones left out.
    package var buckets: [(bound: UInt64?, count: UInt64)] {
        (0..<Self.bucketCount).compactMap { index in
            let count = counts[index].load(ordering: .relaxed)
            return count == 0 ? nil : (index < Self.bounds.count ? Self.bounds[index] : nil, count)
        }
    }
}
