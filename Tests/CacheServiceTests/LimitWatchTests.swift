import Tenancy
import Testing

@testable import CacheService

@Suite struct LimitWatchTests {
    private var watch = LimitWatch()
    private var now: Int64 = 1_000_000

    /// The thresholds that are told when `used` of a limit is seen, a second after what was seen before.
    private mutating func told(
        _ used: UInt64, of value: UInt64 = 1000, _ limit: LimitName = .maxBytes, isRefusing: Bool = false
    ) -> [UInt64] {
        now += 1000
        let sample = LimitSample(
            limit, value: value, used: used, isMomentary: limit.isRateOfCalls, isRefusing: isRefusing)
        return watch.observe([sample], nowMilliseconds: now).map(\.threshold.rawValue)
    }

    @Test mutating func eachThresholdIsToldOnceWhenItIsReached() {
        #expect(told(799).isEmpty)
        #expect(told(800) == [80])
        #expect(told(801).isEmpty)
        #expect(told(999).isEmpty)
        #expect(told(1000) == [100])
        #expect(told(5000).isEmpty)
    }

    @Test mutating func aJumpOverBothTellsBothInOrder() {
        #expect(told(1500) == [80, 100])
        #expect(told(1500).isEmpty)
    }

    @Test mutating func whatSwaysAboutAThresholdIsToldOnce() {
        #expect(told(810) == [80])
        for used in [790, 805, 750, 800, 799, 850] as [UInt64] { #expect(told(used).isEmpty) }
        #expect(told(749).isEmpty)
        #expect(told(800) == [80])
    }

    @Test mutating func theUpperThresholdIsArmedAgainOnItsOwn() {
        #expect(told(1000) == [80, 100])
        #expect(told(950).isEmpty)
        #expect(told(1000).isEmpty)
        #expect(told(949).isEmpty)
        #expect(told(1000) == [100])
    }

    @Test(arguments: [800, 850, 990] as [UInt64])
    mutating func aSteadyRateIsToldOnce(rate: UInt64) {
        var found: [UInt64] = []
        for second in 0..<120 { found += told(rate + UInt64(second % 3) * 5 - 5, of: 1000, .maxOperationsPerSecond) }
        #expect(found == [80] || found == [80, 100] && rate == 990)
    }

    @Test mutating func aRateThatComesInBurstsIsToldOnce() {
        var found: [UInt64] = []
        for second in 0..<60 { found += told(second.isMultiple(of: 4) ? 900 : 0, .maxOperationsPerSecond) }
        #expect(found == [80])
        for _ in 0..<10 { #expect(told(0, .maxOperationsPerSecond).isEmpty) }
        #expect(told(900, .maxOperationsPerSecond) == [80])
    }

    @Test mutating func aLimitThatRefusesIsReachedWhateverIsUsed() {
        #expect(told(400, .maxPublishPerSecond, isRefusing: true) == [80, 100])
        for _ in 0..<9 { #expect(told(400, .maxPublishPerSecond).isEmpty) }
        // Calm for ten seconds.
        _ = told(400, .maxPublishPerSecond)
        #expect(told(400, .maxPublishPerSecond, isRefusing: true) == [80, 100])
    }

    @Test mutating func aFullCacheThatEvictsIsToldOnce() {
        var found: [UInt64] = []
        for second in 0..<60 {
            found += told(second.isMultiple(of: 2) ? 960 : 930, isRefusing: second.isMultiple(of: 3))
        }
        #expect(found == [80, 100])
    }

    @Test mutating func aLimitThatIsLoweredIsToldAtOnce() {
        #expect(told(500, of: 1000).isEmpty)
        #expect(told(500, of: 600) == [80])
        #expect(told(500, of: 500) == [100])
        // Raised, it is armed again; and told when that is used up.
        #expect(told(500, of: 2000).isEmpty)
        #expect(told(1700, of: 2000) == [80])
    }

    @Test mutating func aRateWhoseLimitIsRaisedIsArmedWithoutDelay() {
        #expect(told(1000, of: 1000, .maxBytesInPerSecond) == [80, 100])
        #expect(told(1000, of: 4000, .maxBytesInPerSecond).isEmpty)
        #expect(told(3400, of: 4000, .maxBytesInPerSecond) == [80])
    }

    @Test mutating func aLimitThatIsUnsetIsForgotten() {
        #expect(told(900) == [80])
        now += 1000
        #expect(watch.observe([], nowMilliseconds: now).isEmpty)
        #expect(told(900) == [80])
    }

    @Test func limitsAreWatchedApart() {
        var watch = LimitWatch()
        let bytes = LimitSample(.maxBytes, value: 100, used: 85)
        let items = LimitSample(.maxItems, value: 10, used: 10)
        #expect(watch.observe([bytes], nowMilliseconds: 0) == [LimitCrossing(threshold: .near, sample: bytes)])
        let second = watch.observe([bytes, items], nowMilliseconds: 1000)
        #expect(second.map(\.threshold) == [.near, .reached])
        #expect(second.allSatisfy { $0.sample == items })
    }

    @Test func afterARestartWhatIsStillAboveIsToldAgain() {
        let sample = LimitSample(.maxCaches, value: 10, used: 9)
        var (first, second) = (LimitWatch(), LimitWatch())
        #expect(first.observe([sample], nowMilliseconds: 0).count == 1)
        #expect(second.observe([sample], nowMilliseconds: 0).count == 1)
    }

    @Test(
        arguments: [
            (1000, 801, 80), (1000, 799, 79), (3, 2, 66), (1, 1, 100), (.max, .max, 100), (.max, 0, 0),
            (1, .max, .max), (.max / 2, .max, 200), (0, 0, 0), (0, 5, 100),
        ] as [(UInt64, UInt64, UInt64)])
    func perCentAreRoundedDownAndNeverOverflow(value: UInt64, used: UInt64, percent: UInt64) {
        #expect(LimitSample(.maxBytes, value: value, used: used).percent == percent)
    }

    @Test func aLimitOfNothingIsReachedWhenItRefuses() {
        #expect(LimitSample(.maxPublishPerSecond, value: 0, used: 0, isRefusing: true).percent == 100)
        #expect(LimitSample(.maxPublishPerSecond, value: 0, used: 0, isRefusing: true).ratio == 1)
    }
}
