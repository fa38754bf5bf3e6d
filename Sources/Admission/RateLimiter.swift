import Synchronization

/// A limit of so many units a second, as a generic cell rate algorithm on one atomic word.
///
/// How it works
/// ------------
/// Think of a bucket that a burst fills and that drains at the limit's rate. Instead of the level, which changes all the
/// time, the limiter keeps the instant at which the bucket will be empty (the theoretical arrival time):
///
///     start   = max(emptyAt, now)
///     end     = start + units × (1 second / rate)
///     admit   if end - now ≤ burst × (1 second / rate), and then emptyAt = end
///     refuse  otherwise; it fits after end - now - that
///
/// One word changes by compare-and-exchange, so any number of event loops share a limiter without a lock, and together
/// they never get more than the rate times the time that passed, plus one burst. An event loop whose clock reading is
/// older than another's is only judged more strictly.
///
/// A call of more units than a burst waits for an empty bucket and then overfills it: it is admitted, and its excess is
/// paid off before the next. So a value larger than one second's worth of bytes can still be stored, and the rate holds.
///
/// The word counts sixteenths of a nanosecond, which lasts for 18 years from the machine's start. Costs are rounded
/// up, so rounding never admits more than the limit.
///
/// Reference: ITU-T I.371, annex A.
package struct RateLimiter: ~Copyable, Sendable {
    /// When the bucket is empty, in sixteenths of a nanosecond of the monotonic clock.
    @usableFromInline let emptyAt = Atomic<UInt64>(0)
    /// The time that one unit takes, as sixteenths of a nanosecond with 24 binary places. 0: no limit is set;
    /// `.max`: a limit of nothing.
    @usableFromInline let interval = Atomic<UInt64>(0)
    /// The time that a burst takes, in sixteenths of a nanosecond.
    @usableFromInline let tolerance = Atomic<UInt64>(0)
    /// The limit in units a second, as it was set: what a refusal names.
    private let configuredRate = Atomic<UInt64>(0)

    /// Whether it has refused since somebody last looked.
    @usableFromInline let hasRefused = Atomic<Bool>(false)

    /// Sixteenths of a nanosecond in one second.
    private static let second: UInt64 = 16_000_000_000
    /// Rates up to here are counted in whole sixteenths, so that a burst of n admits n single units exactly.
    private static let largestExactRate: UInt64 = 10_000_000
    /// Nothing is charged further into the future than this, 18 years, so that no sum overflows.
    @usableFromInline static let horizon: UInt64 = 1 << 63

    /// - Parameters:
    ///   - rate: units a second; nil for no limit, 0 to refuse everything.
    ///   - burst: units that may come at once after a rest; nil for one second's worth.
    package init(rate: UInt64? = nil, burst: UInt64? = nil) {
        setRate(rate, burst: burst, nowNanoseconds: 0)
    }

    /// The limit in units a second; nil if none is set.
    package var rate: UInt64? {
        interval.load(ordering: .relaxed) == 0 ? nil : configuredRate.load(ordering: .relaxed)
    }

    /// How many units of the allowance are taken now; 0 where no limit is set. More than the limit: a debt. For reports.
    package borrowing func used(nowNanoseconds: UInt64) -> UInt64 {
        let unit = interval.load(ordering: .relaxed)
        let rate = configuredRate.load(ordering: .relaxed)
        guard unit != 0, unit != .max, rate > 0 else { return 0 }
        let now = Self.instant(nowNanoseconds)
        let backlog = max(emptyAt.load(ordering: .relaxed), now) &- now
        let second = Double(Self.duration(of: rate, interval: unit))
        guard second > 0 else { return 0 }
        return UInt64(exactly: (Double(backlog) / second * Double(rate)).rounded()) ?? .max
    }

    /// Changes the limit, in force for every call that follows. A debt is forgiven down to a full bucket's worth, so
    /// that a limit that was too low does not outlive its correction. Setting what is set already forgives nothing:
    /// limits are handed on with every change of the catalog, whosever it is.
    package borrowing func setRate(_ rate: UInt64?, burst: UInt64? = nil, nowNanoseconds: UInt64) {
        guard let rate else {
            interval.store(0, ordering: .relaxed)
            return
        }
        let unit = Self.interval(of: rate)
        let allowance = rate == 0 ? 0 : Self.duration(of: max(1, burst ?? rate), interval: unit)
        if self.rate == rate, tolerance.load(ordering: .relaxed) == allowance { return }
        configuredRate.store(rate, ordering: .relaxed)
        tolerance.store(allowance, ordering: .relaxed)
        interval.store(unit, ordering: .relaxed)
        if nowNanoseconds > 0 { forgiveDebt(beyond: min(Self.instant(nowNanoseconds) &+ allowance, Self.horizon)) }
    }

    /// Written out, because the standard library's atomic minimum compares unsigned words as signed ones.
    private borrowing func forgiveDebt(beyond latest: UInt64) {
        var empty = emptyAt.load(ordering: .relaxed)
        while empty > latest {
            let (exchanged, original) = emptyAt.weakCompareExchange(
                expected: empty, desired: latest, ordering: .relaxed)
            if exchanged { return }
            empty = original
        }
    }

    /// Takes units if they are within the limit.
    ///
    /// - Parameters:
    ///   - units: what the call costs. 0 asks only whether the bucket is in debt.
    ///   - nowNanoseconds: the monotonic clock (`NIODeadline.now().uptimeNanoseconds`), read once per event-loop tick.
    /// - Returns: nil if taken; else after how many milliseconds, at least 1, the same call fits if no other comes first.
    /// - Complexity: one load if no limit is set; else a multiplication and one compare-and-exchange.
    @inlinable @inline(__always)
    package borrowing func take(_ units: UInt64, nowNanoseconds: UInt64) -> UInt64? {
        let unit = interval.load(ordering: .relaxed)
        if unit == 0 { return nil }
        return takeLimited(units, interval: unit, nowNanoseconds: nowNanoseconds)
    }

    @usableFromInline
    borrowing func takeLimited(_ units: UInt64, interval unit: UInt64, nowNanoseconds: UInt64) -> UInt64? {
        if unit == .max {
            noteRefusal()
            return 1_000  // A limit of nothing: no wait helps, and no client should ask in a hurry.
        }
        let now = Self.instant(nowNanoseconds)
        let cost = Self.duration(of: units, interval: unit)
        let allowance = tolerance.load(ordering: .relaxed)
        var empty = emptyAt.load(ordering: .relaxed)
        while true {
            let start = max(empty, now)
            let backlog = start &- now
            // An oversized call is judged as one burst: it needs an empty bucket.
            let needed = backlog &+ min(cost, allowance)
            guard needed <= allowance else {
                noteRefusal()
                return Self.milliseconds(needed &- allowance)
            }
            if cost == 0 { return nil }
            let end = min(start &+ cost, Self.horizon)
            let (exchanged, original) = emptyAt.weakCompareExchange(
                expected: empty, desired: end, ordering: .relaxed)
            if exchanged { return nil }
            empty = original
        }
    }

    /// Whether it has refused a call since this was last asked. For one observer, on any thread.
    package borrowing func takeRefused() -> Bool {
        // Asked of every limiter each second, and mostly in vain.
        hasRefused.load(ordering: .relaxed) && hasRefused.exchange(false, ordering: .relaxed)
    }

    /// Loops that refuse at once read the word, and one of them writes it.
    @inline(__always)
    private borrowing func noteRefusal() {
        if !hasRefused.load(ordering: .relaxed) { hasRefused.store(true, ordering: .relaxed) }
    }

    /// Takes units whatever the limit says: for a cost that is known only when the work is done. The debt holds back the
    /// calls that follow.
    @inlinable @inline(__always)
    package borrowing func charge(_ units: UInt64, nowNanoseconds: UInt64) {
        let unit = interval.load(ordering: .relaxed)
        if unit == 0 || units == 0 { return }
        chargeLimited(units, interval: unit, nowNanoseconds: nowNanoseconds)
    }

    @usableFromInline
    borrowing func chargeLimited(_ units: UInt64, interval unit: UInt64, nowNanoseconds: UInt64) {
        if unit == .max { return }
        let now = Self.instant(nowNanoseconds)
        let cost = Self.duration(of: units, interval: unit)
        var empty = emptyAt.load(ordering: .relaxed)
        while true {
            let end = min(max(empty, now) &+ cost, Self.horizon)
            let (exchanged, original) = emptyAt.weakCompareExchange(
                expected: empty, desired: end, ordering: .relaxed)
            if exchanged { return }
            empty = original
        }
    }

    /// Gives back units that were just taken, because another limit refused the call.
    package borrowing func giveBack(_ units: UInt64) {
        let unit = interval.load(ordering: .relaxed)
        if unit == 0 || unit == .max { return }
        let cost = Self.duration(of: units, interval: unit)
        var empty = emptyAt.load(ordering: .relaxed)
        while true {
            let (exchanged, original) = emptyAt.weakCompareExchange(
                expected: empty, desired: empty - min(empty, cost), ordering: .relaxed)
            if exchanged { return }
            empty = original
        }
    }

    /// Whether a unit would be within the limit now. Takes nothing.
    package borrowing func hasRoom(nowNanoseconds: UInt64) -> Bool {
        let unit = interval.load(ordering: .relaxed)
        guard unit != 0 else { return true }
        guard unit != .max else { return false }
        let now = Self.instant(nowNanoseconds)
        let backlog = max(emptyAt.load(ordering: .relaxed), now) &- now
        return backlog &+ Self.duration(of: 1, interval: unit) <= tolerance.load(ordering: .relaxed)
    }

    // MARK: Arithmetic

    /// The time of one unit with 24 binary places, rounded up; `.max` for a rate of nothing.
    private static func interval(of rate: UInt64) -> UInt64 {
        guard rate > 0 else { return .max }
        if rate <= largestExactRate {
            return (second / rate + (second % rate == 0 ? 0 : 1)) << 24
        }
        // Never zero, which would mean no limit.
        return ((second << 24) - 1) / rate + 1
    }

    /// The time of so many units, rounded up, at most half the horizon.
    private static func duration(of units: UInt64, interval unit: UInt64) -> UInt64 {
        let (high, low) = units.multipliedFullWidth(by: unit)
        // 2^62 << 24 is 2^86: beyond it the high word has more than 22 bits.
        if high >= 1 << 22 { return horizon / 2 }
        let (rounded, carry) = low.addingReportingOverflow(1 << 24 - 1)
        return (high &+ (carry ? 1 : 0)) << 40 | rounded >> 24
    }

    private static func instant(_ nanoseconds: UInt64) -> UInt64 {
        min(nanoseconds, horizon / 16) &* 16
    }

    private static func milliseconds(_ duration: UInt64) -> UInt64 {
        max(1, (duration + 15_999_999) / 16_000_000)
    }
}
