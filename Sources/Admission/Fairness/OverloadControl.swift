import Tenancy

/// What a call is to a server that cannot do everything.
package enum CallKind: Sendable {
    /// Answers from memory, at little more than the cost of a refusal.
    case read
    case other
}

/// Which calls an event loop refuses while it cannot keep up: those of the tenants with the least weight first, and
/// reads last.
///
/// Measured is the delay with which the loop looks at its sockets: how long a request may lie there unseen. What stands
/// for an interval is the least delay in it, so a single slow piece of work is no overload and a standing queue is. With
/// each interval over the target one tenth more of the tenants, by ascending weight, has its calls refused; with each
/// interval under half of it one tenth less. Beyond ten times the target reads are refused like all others; before, they
/// are answered. What is within a tenant's reservation is never refused.
///
/// Belongs to one event loop. Cost: one comparison for each look at the sockets; for each call, one while all is well.
///
/// Reference: Nichols, Jacobson, "Controlling Queue Delay", ACM Queue 2012 (the least delay of an interval).
package struct OverloadControl {
    package static let targetNanoseconds: UInt64 = 20_000_000
    package static let intervalNanoseconds: UInt64 = 100_000_000
    package static let levels = 10

    /// How many tenths of the tenants are refused.
    package private(set) var level = 0
    /// The least delay of the interval before, in nanoseconds.
    package private(set) var standingDelay: UInt64 = 0
    private var refusesReads = false
    private var intervalBegan: UInt64
    private var leastDelay = UInt64.max
    /// Tenants of less weight are refused, those of more are not, and of this one some calls are, of 1,024.
    private var cutoff: UInt64 = 0
    private var refusedAtCutoff: UInt64 = 0

    package init(nowNanoseconds: UInt64) {
        intervalBegan = nowNanoseconds
    }

    package var isShedding: Bool { level > 0 }

    /// Takes in how long the sockets were not looked at.
    ///
    /// - Parameter weights: The weights of the tenants that the loop serves; asked for at the end of an interval only.
    /// - Returns: Whether an interval has ended.
    @inline(__always)
    @discardableResult
    package mutating func observe(
        delayNanoseconds delay: UInt64, nowNanoseconds now: UInt64, weights: () -> [UInt64]
    ) -> Bool {
        if delay < leastDelay { leastDelay = delay }
        guard now &- intervalBegan >= Self.intervalNanoseconds else { return false }
        endInterval(now, weights)
        return true
    }

    @inline(never)
    private mutating func endInterval(_ now: UInt64, _ weights: () -> [UInt64]) {
        let delay = leastDelay
        standingDelay = delay
        intervalBegan = now
        leastDelay = .max
        if delay > Self.targetNanoseconds {
            level = min(level + 1, Self.levels)
        } else if delay < Self.targetNanoseconds / 2 {
            level = max(level - 1, 0)
        }
        refusesReads = level > 0 && delay > 10 * Self.targetNanoseconds
        if level > 0 { setCutoff(weights().sorted()) }
    }

    private mutating func setCutoff(_ weights: [UInt64]) {
        guard level < Self.levels, !weights.isEmpty else {
            (cutoff, refusedAtCutoff) = (level < Self.levels ? 0 : .max, 0)
            return
        }
        // In tenths of a tenant, so that few tenants are treated as finely as many.
        let refused = weights.count * level
        cutoff = weights[min(refused / Self.levels, weights.count - 1)]
        let below = weights.count { $0 < cutoff } * Self.levels
        let at = weights.count { $0 == cutoff } * Self.levels
        refusedAtCutoff = UInt64(max(0, refused - below) * 1024 / max(1, at))
    }

    /// Whether a call is refused.
    ///
    /// - Parameter random: Any number, evenly distributed.
    package func refuses(_ kind: CallKind, weight: UInt64, random: UInt64) -> Bool {
        guard level > 0, kind == .other || refusesReads else { return false }
        return weight < cutoff || weight == cutoff && random % 1024 < refusedAtCutoff
    }

    /// After how many milliseconds a refused caller may come back: longer the more is refused, and spread over as much
    /// again, so that they do not come back together.
    package func retryAfterMilliseconds(random: UInt64) -> UInt64 {
        let base = UInt64(100 * max(1, level))
        return base + random % base
    }
}
