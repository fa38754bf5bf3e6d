import Testing

@testable import Engine

/// When another dictionary is asked for, by numbers alone.
@Suite struct CompressionWatchTests {
    private static let window = RatioWatch.windowBytes

    /// Feeds windows of one ratio until it asks, at most `most`. Returns how many it took.
    private static func windows(
        _ watch: inout RatioWatch, _ sums: inout RatioWatch.Sums, ratio: Double, most: Int
    ) -> Int? {
        for count in 1...most {
            sums.total += window
            sums.plain += window
            sums.stored += UInt64(Double(window) * ratio)
            if watch.look(sums, hasDictionary: true) { return count }
        }
        return nil
    }

    @Test func aRatioThatStaysOrImprovesAsksForNothing() {
        var watch = RatioWatch()
        var sums = RatioWatch.Sums()
        watch.adopted(sums, ratio: 0.3)
        #expect(Self.windows(&watch, &sums, ratio: 0.35, most: 1000) == nil)
        #expect(Self.windows(&watch, &sums, ratio: 0.2, most: 1000) == nil)
        #expect(watch.reference.map { abs($0 - 0.2) < 0.001 } == true)
    }

    @Test func aRatioThatIsClearlyWorseAsksWhenEnoughNewValuesCame() {
        var watch = RatioWatch()
        var sums = RatioWatch.Sums()
        watch.adopted(sums, ratio: 0.3)
        let least = Int(RatioWatch.shortestInterval / Self.window)
        #expect(Self.windows(&watch, &sums, ratio: 0.4, most: 1000) == least)
        watch = RatioWatch()
        watch.adopted(sums, ratio: 0.3)
        #expect(Self.windows(&watch, &sums, ratio: 0.3, most: 100) == nil)
        #expect(Self.windows(&watch, &sums, ratio: 0.4, most: 1000) == 2)
    }

    @Test func oneBadWindowIsNoReason() {
        var watch = RatioWatch()
        var sums = RatioWatch.Sums()
        watch.adopted(sums, ratio: 0.3)
        for _ in 0..<100 {
            #expect(Self.windows(&watch, &sums, ratio: 0.9, most: 1) == nil)
            #expect(Self.windows(&watch, &sums, ratio: 0.3, most: 1) == nil)
        }
    }

    @Test func aTrainingThatBroughtNothingIsNotRepeatedUntilItBecomesWorseAgain() {
        var watch = RatioWatch()
        var sums = RatioWatch.Sums()
        watch.adopted(sums, ratio: 0.3)
        #expect(Self.windows(&watch, &sums, ratio: 0.6, most: 1000) != nil)
        watch.declined(sums)
        #expect(Self.windows(&watch, &sums, ratio: 0.6, most: 10_000) == nil)
        #expect(Self.windows(&watch, &sums, ratio: 0.8, most: 10_000) == 2)
    }

    @Test func withoutADictionaryItTriesAgainMoreAndMoreSeldom() {
        var watch = RatioWatch()
        var sums = RatioWatch.Sums()
        var waits: [UInt64] = []
        for _ in 0..<10 {
            watch.declined(sums)
            let start = sums.total
            repeat { sums.total += Self.window } while !watch.look(sums, hasDictionary: false)
            waits.append(sums.total - start)
        }
        #expect(waits == (0..<10).map { min(RatioWatch.shortestInterval << $0, RatioWatch.longestInterval) })
    }

    @Test func theIntervalShrinksAgainWhenAllIsWell() {
        var watch = RatioWatch()
        var sums = RatioWatch.Sums()
        for _ in 0..<20 { watch.adopted(sums, ratio: 0.3) }
        #expect(watch.interval == RatioWatch.longestInterval)
        #expect(Self.windows(&watch, &sums, ratio: 0.3, most: 10_000) == nil)
        #expect(watch.interval == RatioWatch.shortestInterval)
    }
}
