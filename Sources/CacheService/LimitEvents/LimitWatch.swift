import Tenancy

/// How far a limit is used up when its tenant is told. The raw value is per cent.
package enum LimitThreshold: UInt64, CaseIterable, Sendable {
    case near = 80
    case reached = 100

    /// Below this, in per cent, the next crossing is told again.
    var rearmsBelow: UInt64 {
        switch self {
        case .near: 75
        case .reached: 95
        }
    }
}

/// How far one limit is used up at one moment.
package struct LimitSample: Equatable, Sendable {
    package let limit: LimitName
    /// The limit itself.
    package let value: UInt64
    package let used: UInt64
    /// Whether `used` is what happened within the last second, rather than what is there.
    package let isMomentary: Bool
    /// Whether the limit has refused or removed something since the last sample: then it is used up, whatever `used` says.
    package let isRefusing: Bool

    package init(_ limit: LimitName, value: UInt64, used: UInt64, isMomentary: Bool = false, isRefusing: Bool = false) {
        self.limit = limit
        self.value = value
        self.used = used
        self.isMomentary = isMomentary
        self.isRefusing = isRefusing
    }

    /// In whole per cent, rounded down. Of a limit of nothing nothing is used until it refuses.
    package var percent: UInt64 {
        let least: UInt64 = isRefusing ? 100 : 0
        guard value > 0 else { return used > 0 ? 100 : least }
        let product = used.multipliedFullWidth(by: 100)
        guard product.high < value else { return .max }
        return max(least, value.dividingFullWidth(product).quotient)
    }

    /// The share that is used, 1 for all of it.
    package var ratio: Double {
        guard value > 0 else { return Double(percent) / 100 }
        return max(Double(used) / Double(value), isRefusing ? 1 : 0)
    }
}

/// A limit has reached a threshold.
package struct LimitCrossing: Equatable, Sendable {
    package let threshold: LimitThreshold
    package let sample: LimitSample
}

/// Watches the limits of one cache, or of one tenant, for crossings of their thresholds. A value without a clock: the
/// samples go in, the crossings come out.
///
/// ```
///             percent ≥ threshold: told once
///     armed ───────────────────────────────────▶ raised
///       ▲                                          │
///       └──────────────────────────────────────────┘
///         percent < threshold - 5, and, where use is of a
///         moment or the limit refused, that for 10 s
/// ```
///
/// What is held, such as bytes, comes and goes slowly, and five per cent keep a use that sways about a threshold from being
/// told again and again. A rate sways more: a client that works in bursts uses all of its limit in one second and nothing
/// in the next. So a rate, and any limit that refused, has to be calm for ten seconds before it is told again.
///
/// A changed limit is another measure: what is used of it counts at once. A limit that is unset is forgotten, and so is
/// everything with the process: what is above a threshold at the first sample is told.
///
/// Cost: O(limits that are set).
package struct LimitWatch: Sendable {
    package static let calmMilliseconds: Int64 = 10_000

    private struct State {
        let limit: LimitName
        var value: UInt64
        var near = Level()
        var reached = Level()
    }

    private struct Level {
        var isRaised = false
        /// Not re-armed before this.
        var heldUntil: Int64 = .min
    }

    private var states: [State] = []

    package init() {}

    /// Takes in how far each limit that is set is used up now.
    ///
    /// - Parameter nowMilliseconds: Of a clock that does not go back.
    /// - Returns: what is to be told, of one limit the lower threshold first.
    package mutating func observe(_ samples: [LimitSample], nowMilliseconds: Int64) -> [LimitCrossing] {
        states.removeAll { state in !samples.contains { $0.limit == state.limit } }
        var crossings: [LimitCrossing] = []
        for sample in samples {
            let index = index(of: sample)
            let isChanged = states[index].value != sample.value
            states[index].value = sample.value
            for threshold in LimitThreshold.allCases {
                let path = threshold == .near ? \State.near : \State.reached
                if isChanged { states[index][keyPath: path].heldUntil = .min }
                if Self.isCrossed(threshold, sample, &states[index][keyPath: path], nowMilliseconds) {
                    crossings.append(LimitCrossing(threshold: threshold, sample: sample))
                }
            }
        }
        return crossings
    }

    private mutating func index(of sample: LimitSample) -> Int {
        if let index = states.firstIndex(where: { $0.limit == sample.limit }) { return index }
        states.append(State(limit: sample.limit, value: sample.value))
        return states.count - 1
    }

    private static func isCrossed(
        _ threshold: LimitThreshold, _ sample: LimitSample, _ level: inout Level, _ now: Int64
    ) -> Bool {
        let percent = sample.percent
        if percent >= threshold.rearmsBelow, sample.isMomentary || sample.isRefusing {
            level.heldUntil = now &+ calmMilliseconds
        }
        if percent >= threshold.rawValue {
            defer { level.isRaised = true }
            return !level.isRaised
        }
        if level.isRaised, percent < threshold.rearmsBelow, now >= level.heldUntil { level.isRaised = false }
        return false
    }
}
