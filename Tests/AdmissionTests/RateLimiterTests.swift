import Synchronization
import Tenancy
import Testing

@testable import Admission

/// A limiter that can be passed to the macros of the tests, which copy what they look at.
private final class Limiter: Sendable {
    let limiter: RateLimiter

    init(rate: UInt64? = nil, burst: UInt64? = nil) {
        limiter = RateLimiter(rate: rate, burst: burst)
    }

    var rate: UInt64? { limiter.rate }

    func take(_ units: UInt64, nowNanoseconds: UInt64) -> UInt64? {
        limiter.take(units, nowNanoseconds: nowNanoseconds)
    }

    func charge(_ units: UInt64, nowNanoseconds: UInt64) {
        limiter.charge(units, nowNanoseconds: nowNanoseconds)
    }

    func giveBack(_ units: UInt64) {
        limiter.giveBack(units)
    }

    func setRate(_ rate: UInt64?, burst: UInt64? = nil, nowNanoseconds: UInt64) {
        limiter.setRate(rate, burst: burst, nowNanoseconds: nowNanoseconds)
    }
}

@Suite struct RateLimiterTests {
    private let start: UInt64 = 5_000_000_000_000
    private let second: UInt64 = 1_000_000_000

    /// How many calls of `units` are admitted at one instant.
    private func admitted(_ limiter: Limiter, units: UInt64 = 1, at now: UInt64, tries: Int) -> Int {
        var count = 0
        for _ in 0..<tries where limiter.take(units, nowNanoseconds: now) == nil { count += 1 }
        return count
    }

    @Test func unsetLimitAdmitsEverything() {
        let limiter = Limiter()
        #expect(limiter.rate == nil)
        #expect(admitted(limiter, units: .max, at: start, tries: 1_000) == 1_000)
    }

    @Test func limitOfZeroAdmitsNothing() {
        let limiter = Limiter(rate: 0)
        #expect(limiter.rate == 0)
        #expect(admitted(limiter, at: start, tries: 10) == 0)
        #expect(limiter.take(0, nowNanoseconds: start) == 1_000)
    }

    /// Also rates that do not divide a second.
    @Test(arguments: [1, 2, 3, 7, 10, 100, 333, 1_000, 99_991, 1_000_000] as [UInt64])
    func exactlyOneSecondsWorthComesAtOnce(rate: UInt64) {
        let limiter = Limiter(rate: rate)
        #expect(admitted(limiter, at: start, tries: Int(rate) + 10) == Int(rate))
        let other = Limiter(rate: rate)
        #expect(other.take(rate, nowNanoseconds: start) == nil)
        #expect(other.take(1, nowNanoseconds: start) != nil)
    }

    @Test func burstIsConfigurable() {
        let limiter = Limiter(rate: 100, burst: 5)
        #expect(admitted(limiter, at: start, tries: 100) == 5)
        #expect(admitted(limiter, at: start + second / 100, tries: 100) == 1)
        #expect(admitted(limiter, at: start + second, tries: 100) == 5)
    }

    @Test func refusalSaysWhenTheCallFits() throws {
        let limiter = Limiter(rate: 10)
        #expect(admitted(limiter, at: start, tries: 20) == 10)
        let delay: UInt64 = try #require(limiter.take(1, nowNanoseconds: start))
        #expect(delay == 100)
        #expect(limiter.take(1, nowNanoseconds: start + (delay - 1) * 1_000_000) == 1)
        #expect(limiter.take(1, nowNanoseconds: start + delay * 1_000_000) == nil)
        #expect(limiter.take(3, nowNanoseconds: start + delay * 1_000_000) == 300)
    }

    @Test func refusalsCostNothing() {
        let limiter = Limiter(rate: 10)
        #expect(admitted(limiter, at: start, tries: 10_000) == 10)
        #expect(admitted(limiter, at: start + second, tries: 10_000) == 10)
    }

    @Test func callLargerThanABurstWaitsForAnEmptyBucketAndIsPaidOff() {
        let limiter = Limiter(rate: 1_000)
        #expect(limiter.take(1, nowNanoseconds: start) == nil)
        #expect(limiter.take(5_000, nowNanoseconds: start) == 1)
        #expect(limiter.take(5_000, nowNanoseconds: start + second) == nil)
        #expect(limiter.take(1, nowNanoseconds: start + 4 * second) == 1_001)
        #expect(limiter.take(1, nowNanoseconds: start + 6 * second) == nil)
    }

    @Test func chargedUnitsHoldBackWhatFollows() {
        let limiter = Limiter(rate: 1_000)
        #expect(limiter.take(0, nowNanoseconds: start) == nil)
        limiter.charge(3_000, nowNanoseconds: start)
        #expect(limiter.take(0, nowNanoseconds: start) == 2_000)
        #expect(limiter.take(0, nowNanoseconds: start + 2 * second) == nil)
        #expect(limiter.take(1, nowNanoseconds: start + 2 * second) == 1)
    }

    @Test func unitsGivenBackCanBeTakenAgain() {
        let limiter = Limiter(rate: 10)
        #expect(admitted(limiter, at: start, tries: 20) == 10)
        limiter.giveBack(4)
        #expect(admitted(limiter, at: start, tries: 20) == 4)
    }

    @Test func olderClockReadingIsNeverJudgedMoreKindly() {
        let limiter = Limiter(rate: 10)
        #expect(admitted(limiter, at: start + second, tries: 20) == 10)
        #expect(admitted(limiter, at: start, tries: 20) == 0)
        #expect(limiter.take(1, nowNanoseconds: 0) != nil)
        #expect(admitted(limiter, at: start + 2 * second, tries: 20) == 10)
    }

    @Test func extremeNumbersNeitherTrapNorPass() {
        for rate in [1, 2, 1_000_000_007, 1 << 40, .max] as [UInt64] {
            let limiter = Limiter(rate: rate)
            #expect(limiter.take(.max, nowNanoseconds: start) == nil, "an empty bucket takes any one call")
            if rate < 1 << 40 { #expect(limiter.take(.max, nowNanoseconds: start) != nil) }
            limiter.charge(.max, nowNanoseconds: .max)
            limiter.charge(.max, nowNanoseconds: .max)
            _ = limiter.take(.max, nowNanoseconds: .max)
            limiter.giveBack(.max)
            limiter.setRate(rate, burst: .max, nowNanoseconds: .max)
            limiter.setRate(nil, nowNanoseconds: start)
            limiter.setRate(rate, nowNanoseconds: start)
            #expect(limiter.take(1, nowNanoseconds: start + second) == nil, "no debt outlives a change")
        }
    }

    // MARK: Changed at run time

    @Test func changedLimitHoldsForTheNextCall() {
        let limiter = Limiter(rate: 10)
        #expect(admitted(limiter, at: start, tries: 100) == 10)
        limiter.setRate(100, nowNanoseconds: start)
        #expect(limiter.rate == 100)
        #expect(admitted(limiter, at: start + second, tries: 1_000) == 100)
        limiter.setRate(5, nowNanoseconds: start + second)
        #expect(admitted(limiter, at: start + 2 * second, tries: 100) == 5)
        limiter.setRate(nil, nowNanoseconds: start + 2 * second)
        #expect(admitted(limiter, at: start + 2 * second, tries: 100) == 100)
        limiter.setRate(5, nowNanoseconds: start + 2 * second)
        #expect(admitted(limiter, at: start + 3 * second, tries: 100) == 5)
    }

    @Test func debtUnderALimitThatWasTooLowEndsWithIt() {
        let limiter = Limiter(rate: 1)
        limiter.charge(1_000_000, nowNanoseconds: start)
        #expect(limiter.take(1, nowNanoseconds: start) == 999_000 * 1_000 + 1_000 * 1_000)
        limiter.setRate(1_000, nowNanoseconds: start)
        #expect(admitted(limiter, at: start + second, tries: 2_000) == 1_000)
    }

    @Test func changesOfOthersForgiveNoDebt() {
        let limiter = Limiter(rate: 10)
        limiter.charge(100, nowNanoseconds: start)
        // As with every change of the catalog, whosever it is.
        for _ in 0..<5 { limiter.setRate(10, nowNanoseconds: start) }
        #expect(limiter.take(1, nowNanoseconds: start + 5 * second) != nil)
        // Another burst is another limit.
        limiter.setRate(10, burst: 20, nowNanoseconds: start + 5 * second)
        #expect(admitted(limiter, at: start + 7 * second, tries: 100) == 20)
    }

    @Test func aBurstComesAtOnceAfterARestAndTheRateHoldsBehindIt() {
        let limiter = Limiter(rate: 10, burst: 50)
        #expect(admitted(limiter, at: start, tries: 100) == 50)
        #expect(admitted(limiter, at: start + second, tries: 100) == 10)
        #expect(admitted(limiter, at: start + 100 * second, tries: 100) == 50)
        let small = Limiter(rate: 10, burst: 1)
        #expect(admitted(small, at: start, tries: 100) == 1)
        #expect(admitted(small, at: start + second / 10, tries: 100) == 1)
    }

    // MARK: Together

    private final class Shared: Sendable {
        let limiter: Limiter
        let now: Atomic<UInt64>
        let units = Atomic<UInt64>(0)

        init(rate: UInt64, burst: UInt64?, start: UInt64) {
            limiter = Limiter(rate: rate, burst: burst)
            now = Atomic(start)
        }
    }

    @Test func manyThreadsAtOneInstantGetExactlyOneBurst() async {
        let shared = Shared(rate: 10_000, burst: nil, start: start)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask { [start] in
                    for _ in 0..<5_000 where shared.limiter.take(1, nowNanoseconds: start) == nil {
                        shared.units.add(1, ordering: .relaxed)
                    }
                }
            }
        }
        #expect(shared.units.load(ordering: .relaxed) == 10_000)
    }

    /// Threads with calls of many sizes, on clocks that run apart, while time passes.
    @Test(
        arguments: [(1_000, 1_000), (333, 50), (7_777_777, 1_000_000), (3_000_000_000, 3_000_000_000)]
            as [(UInt64, UInt64)])
    func manyThreadsNeverGetMoreThanTheLimitPlusOneBurst(rate: UInt64, burst: UInt64) async {
        let shared = Shared(rate: rate, burst: burst, start: start)
        await withTaskGroup(of: Void.self) { group in
            for thread in 0..<8 as Range<UInt64> {
                group.addTask { [start] in
                    var random = thread &* 0x9E37_79B9_7F4A_7C15 | 1
                    for _ in 0..<20_000 {
                        random ^= random << 13
                        random ^= random >> 7
                        random ^= random << 17
                        let now = shared.now.add(random % 40_000, ordering: .relaxed).newValue
                        let units = random % max(2, burst / 100) + 1
                        let lag = min(now - start, random % 3_000_000)
                        if shared.limiter.take(units, nowNanoseconds: now - lag) == nil {
                            shared.units.add(units, ordering: .relaxed)
                        }
                    }
                }
            }
        }
        let elapsed = Double(shared.now.load(ordering: .relaxed) - start) / 1e9
        let units = Double(shared.units.load(ordering: .relaxed))
        #expect(units <= Double(rate) * elapsed + Double(burst) + 1e-6)
        #expect(units >= Double(rate) * elapsed * 0.9, "and the limit is really given")
    }
}
