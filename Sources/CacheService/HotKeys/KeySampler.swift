/// Which operations of one event loop on one cache are looked at for its hot keys. Belongs to its loop.
///
/// While there are few operations, each is. As they become more, one in ever more is, with a random distance, so that no
/// pattern of a pipeline hides a key, and each stands for the mean distance. The distance settles where some two thousand a
/// second are looked at, so a sample's cost, a tenth of a microsecond, vanishes among a million operations a second.
struct KeySampler {
    /// Operations until the next that is looked at, that one included.
    private var countdown = 1
    /// One in so many is looked at, in the mean: a power of two.
    private(set) var interval = 1
    private var samples = 0
    private var windowEnd: Int64 = 0

    static let windowMilliseconds: Int64 = 100
    /// From so many samples in a window on, the distance is doubled.
    static let mostSamples = 256
    static let longestInterval = 4096

    /// Counts an operation. On the hot path of every call: one subtraction and one branch; nothing may be added.
    ///
    /// - Returns: whether it is to be looked at; then ``next(nowMilliseconds:using:)`` says what it stands for.
    @inline(__always)
    mutating func isDue() -> Bool {
        countdown &-= 1
        return countdown <= 0
    }

    /// Chooses the next operation to look at.
    ///
    /// - Returns: how many operations the one that is due stands for.
    mutating func next(nowMilliseconds: Int64, using dice: inout Dice) -> UInt64 {
        let weight = interval
        if nowMilliseconds >= windowEnd {
            if samples < Self.mostSamples / 4 { interval = max(1, interval / 2) }
            windowEnd = nowMilliseconds &+ Self.windowMilliseconds
            samples = 0
        }
        samples += 1
        if samples >= Self.mostSamples {
            interval = min(Self.longestInterval, interval * 2)
            samples = 0
        }
        // From 1 to 2 × interval - 1, all alike: the mean is the interval.
        countdown = 1 &+ Int(dice.next().multipliedFullWidth(by: UInt64(2 * interval - 1)).high)
        return UInt64(weight)
    }

    /// Comes nearer when a window has ended and no operation was due: where a flood has stopped, the next that it had chosen
    /// may be minutes away. To be called a few times a second.
    mutating func relax(nowMilliseconds: Int64) {
        guard interval > 1, nowMilliseconds >= windowEnd else { return }
        interval = max(1, interval / 4)
        countdown = min(countdown, interval)
        windowEnd = nowMilliseconds &+ Self.windowMilliseconds
        samples = 0
    }
}
