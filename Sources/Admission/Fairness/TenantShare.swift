import Synchronization
import Tenancy

/// What a tenant is to get of a machine that has more to do than it can.
package struct TenantShare: ~Copyable, Sendable {
    /// Its part of what nobody has reserved, beside the others'.
    private let storedWeight = Atomic<UInt64>(LimitName.defaultWeight)
    private let reserved = RateLimiter(rate: nil)
    private let hasReserved = Atomic<Bool>(false)

    package init(_ limits: Limits = Limits()) {
        set(limits, reservedOperations: limits[.reservedOperationsPerSecond], nowNanoseconds: 0)
    }

    package var weight: UInt64 { storedWeight.load(ordering: .relaxed) }

    /// Takes up changed limits.
    ///
    /// - Parameter reservedOperations: The tenant's own reservation or, where that is more, the sum of its caches'.
    package borrowing func set(_ limits: Limits, reservedOperations: UInt64?, nowNanoseconds: UInt64) {
        let (weight, range) = (limits[.weight] ?? LimitName.defaultWeight, LimitName.weight.range)
        // Never nothing, by which would be divided: a catalog may hold what the control plane does not take.
        storedWeight.store(min(max(weight, range.lowerBound), range.upperBound), ordering: .relaxed)
        guard let rate = reservedOperations, rate > 0 else { return hasReserved.store(false, ordering: .relaxed) }
        // A twentieth of a second at once, so that what was not used does not become a flood that goes first.
        reserved.setRate(rate, burst: max(1, rate / 20), nowNanoseconds: nowNanoseconds)
        hasReserved.store(true, ordering: .relaxed)
    }

    /// Whether one more operation is within the reservation.
    package borrowing func hasReservation(nowNanoseconds: UInt64) -> Bool {
        hasReserved.load(ordering: .relaxed) && reserved.hasRoom(nowNanoseconds: nowNanoseconds)
    }

    /// Takes operations from the reservation, as far as they are within it. Cost: one load where nothing is reserved.
    @inline(__always)
    package borrowing func take(_ operations: UInt64, nowNanoseconds: UInt64) {
        guard hasReserved.load(ordering: .relaxed) else { return }
        _ = reserved.take(operations, nowNanoseconds: nowNanoseconds)
    }
}
