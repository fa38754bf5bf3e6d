import Tenancy
import Testing

@testable import CacheService

@Suite struct KeySketchTests {
    /// A sketch beside exact counts.
    private struct Stage: ~Copyable {
        var sketch = KeySketch(nowMilliseconds: 0)
        var exact: [[UInt8]: UInt64] = [:]
        var now: Int64 = 0

        mutating func add(_ key: [UInt8], weight: UInt64 = 1) {
            exact[key, default: 0] += weight
            let hash = UInt64(truncatingIfNeeded: key.hashValue)
            key.withUnsafeBytes { sketch.add($0, hash: hash, weight: weight, nowMilliseconds: now) }
        }

        mutating func add(_ key: String, weight: UInt64 = 1) { add(Array(key.utf8), weight: weight) }

        mutating func report(limit: Int = KeySketch.capacity) -> HotKeyReport {
            sketch.report(limit: limit, nowMilliseconds: now)
        }

        mutating func names(limit: Int = KeySketch.capacity) -> [String] {
            report(limit: limit).keys.map { String(decoding: $0.key, as: UTF8.self) }
        }
    }

    /// How many operations a report says there were, of a sketch that was never halved.
    private func count(_ key: HotKey, in report: HotKeyReport) -> Double {
        key.operationsPerSecond * report.windowSeconds
    }

    @Test(arguments: 1...5 as ClosedRange<UInt64>)
    func theHottestOfAZipfStreamAreFoundWithinTheBound(seed: UInt64) {
        var dice = Dice(seed: (seed, 99))
        // Cumulative weights 1/rank of 10,000 keys.
        var cumulative: [Double] = []
        for rank in 1...10_000 { cumulative.append((cumulative.last ?? 0) + 1 / Double(rank)) }
        var stage = Stage()
        let total = 200_000
        for _ in 0..<total {
            let point = Double.random(in: 0..<(cumulative.last ?? 1), using: &dice)
            var (low, high) = (0, cumulative.count - 1)
            while low < high {
                let middle = (low + high) / 2
                if cumulative[middle] > point { high = middle } else { low = middle + 1 }
            }
            stage.add("key\(low + 1)")
        }
        let report = stage.report()
        #expect(report.samples == UInt64(total))
        #expect(stage.names(limit: 5) == (1...5).map { "key\($0)" })
        for key in report.keys {
            let exact = Double(stage.exact[key.key] ?? 0)
            let counted = count(key, in: report)
            #expect(counted <= exact + 0.5, "never shown hotter than it is")
            #expect(counted >= exact - Double(total / KeySketch.capacity) - 0.5)
        }
        for (key, exact) in stage.exact where exact > UInt64(total / KeySketch.capacity) {
            #expect(report.keys.contains { $0.key == key }, "above a 64th, and so in the list")
        }
    }

    @Test func aFewKeysAreCountedExactly() {
        var stage = Stage()
        for round in 0..<1000 {
            for key in 0..<10 where round.isMultiple(of: key + 1) { stage.add("k\(key)") }
        }
        let report = stage.report()
        for key in report.keys { #expect(count(key, in: report).rounded() == Double(stage.exact[key.key] ?? 0)) }
        #expect(report.keys.count == 10)
        let shares = report.keys.reduce(0) { $0 + $1.share }
        #expect(abs(shares - 1) < 0.001)
    }

    @Test func aStreamWithoutAHotKeyShowsNone() {
        var stage = Stage()
        for number in 0..<100_000 { stage.add("once\(number)") }
        for key in stage.report().keys { #expect(key.share < 0.001) }
    }

    @Test func newKeysBetweenCannotPushAHotKeyOut() {
        var stage = Stage()
        // A twentieth of the stream; between two of it come nineteen keys that were never seen.
        for number in 0..<50_000 {
            stage.add(number.isMultiple(of: 20) ? "hot" : "once\(number)")
        }
        let report = stage.report(limit: 1)
        #expect(report.keys.first?.key == Array("hot".utf8))
        #expect((report.keys.first?.share ?? 0) > 0.03)
        // Coming only after the flood it is found as well.
        for _ in 0..<2_000 { stage.add("late") }
        #expect(stage.names(limit: 2).contains("late"))
    }

    @Test func keysTakeTurnsInAnOrderThatHurts() {
        // One more key than there is room for, in turns: each takes the counter of the one that comes next.
        var stage = Stage()
        for number in 0..<65_000 { stage.add("k\(number % (KeySketch.capacity + 1))") }
        let report = stage.report()
        #expect(report.keys.allSatisfy { $0.share <= 1.0 / 64 })
        #expect(report.keys.count <= KeySketch.capacity)
    }

    @Test func whatWasHotOnceMakesPlace() {
        var stage = Stage()
        for _ in 0..<10_000 { stage.add("old") }
        stage.now += 60_000
        for _ in 0..<1_000 { stage.add("new") }
        #expect(stage.names(limit: 1) == ["new"])
        stage.now += 700_000
        let isForgotten = stage.sketch.isForgotten(nowMilliseconds: stage.now)
        #expect(isForgotten)
        #expect(stage.report().keys.isEmpty)
        #expect(stage.report().samples == 0)
    }

    @Test(arguments: [1_500, 9_900, 10_100, 19_000, 30_000, 95_000] as [Int64])
    func theRateOfASteadyLoadIsRightAtAnyTime(after: Int64) {
        var stage = Stage()
        // A hundred a second.
        while stage.now < after {
            stage.add("steady")
            stage.now += 10
        }
        let report = stage.report(limit: 1)
        let rate = report.keys.first?.operationsPerSecond ?? 0
        #expect(abs(rate - 100) < 3, "\(rate) at \(after)")
        #expect(report.windowSeconds <= 20)
    }

    @Test func aClockThatGoesBackHarmsNothing() {
        var stage = Stage()
        stage.now = 50_000
        stage.add("a")
        stage.now = 10
        for _ in 0..<10 { stage.add("a") }
        #expect(stage.names() == ["a"])
        stage.now = .max
        stage.add("b")
        #expect(stage.names() == ["b"])
    }

    @Test func longKeysAreToldApartAndKeptByTheirBeginning() {
        var stage = Stage()
        let beginning = [UInt8](repeating: 0x61, count: KeySketch.mostKeyBytes)
        stage.add(beginning + [1])
        for _ in 0..<5 { stage.add(beginning + [2]) }
        stage.add(beginning, weight: 3)
        stage.add([], weight: 2)
        let report = stage.report()
        #expect(report.keys.map(\.key) == [beginning, beginning, [], beginning])
        #expect(report.keys.map(\.isTruncated) == [true, false, false, true])
    }

    @Test func weightsClampInsteadOfOverflowing() {
        var stage = Stage()
        for _ in 0..<3 { _ = stage.sketch.report(limit: 1, nowMilliseconds: 0) }
        let key: [UInt8] = [1]
        for _ in 0..<3 {
            key.withUnsafeBytes { stage.sketch.add($0, hash: 1, weight: .max, nowMilliseconds: 0) }
        }
        #expect(stage.report().keys.first?.share == 1)
    }
}

@Suite struct KeySamplerTests {
    private var dice = Dice(seed: (7, 9))

    /// How many operations the samples stand for, and how many there were.
    private mutating func run(
        _ sampler: inout KeySampler, operations: Int, perMillisecond: Int, from now: inout Int64
    ) -> (counted: UInt64, samples: Int) {
        var (counted, samples): (UInt64, Int) = (0, 0)
        for number in 0..<operations {
            if number.isMultiple(of: perMillisecond) { now += 1 }
            if sampler.isDue() {
                counted += sampler.next(nowMilliseconds: now, using: &dice)
                samples += 1
            }
        }
        return (counted, samples)
    }

    @Test mutating func whileThereAreFewEachIsLookedAt() {
        var (sampler, now) = (KeySampler(), Int64(0))
        let result = run(&sampler, operations: 5_000, perMillisecond: 1, from: &now)
        #expect(result.counted == 5_000)
        #expect(result.samples == 5_000 || sampler.interval > 1)
    }

    @Test mutating func aFloodIsSampledAndStillCountedInTheMean() {
        var (sampler, now) = (KeySampler(), Int64(0))
        // Ten seconds of 500,000 a second.
        let result = run(&sampler, operations: 5_000_000, perMillisecond: 500, from: &now)
        #expect(abs(Double(result.counted) / 5_000_000 - 1) < 0.05)
        #expect(result.samples < 50_000)
        #expect(result.samples > 5_000)
    }

    @Test mutating func afterAFloodItComesNearAgain() {
        var (sampler, now) = (KeySampler(), Int64(0))
        _ = run(&sampler, operations: 2_000_000, perMillisecond: 1000, from: &now)
        #expect(sampler.interval > 64)
        for _ in 0..<20 {
            now += 250
            sampler.relax(nowMilliseconds: now)
        }
        #expect(sampler.interval == 1)
        let result = run(&sampler, operations: 10, perMillisecond: 1, from: &now)
        #expect(result.counted >= 9)
    }
}
