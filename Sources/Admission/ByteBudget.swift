import Synchronization
import Tenancy

/// How many bytes one connection may have in flight. Belongs to the connection's event loop.
package struct ByteBudget: Equatable {
    package let limit: Int
    package private(set) var inUse = 0

    package init(limit: Int) {
        self.limit = max(0, limit)
    }

    /// Reserves bytes, or nothing.
    /// - Returns: whether they were within the budget.
    package mutating func reserve(_ byteCount: Int) -> Bool {
        guard byteCount >= 0, byteCount <= limit - inUse else { return false }
        inUse += byteCount
        return true
    }

    /// Gives back bytes that were reserved.
    package mutating func release(_ byteCount: Int) {
        assert(byteCount >= 0 && byteCount <= inUse, "more bytes were released than were reserved")
        inUse -= min(max(0, byteCount), inUse)
    }
}

/// How many bytes may be in flight over many connections: those of a tenant, within those of the process.
///
/// Thread safety: any thread; one compare-and-exchange for each level, no lock.
package final class SharedByteBudget: Sendable {
    private let parent: SharedByteBudget?
    private let used = Atomic<Int>(0)
    private let ceiling: Atomic<Int>

    package init(limit: Int, parent: SharedByteBudget? = nil) {
        ceiling = Atomic(max(0, limit))
        self.parent = parent
    }

    /// May be changed while bytes are reserved; those stay reserved.
    package var limit: Int {
        get { ceiling.load(ordering: .relaxed) }
        set { ceiling.store(max(0, newValue), ordering: .relaxed) }
    }

    package var inUse: Int { used.load(ordering: .relaxed) }

    /// Reserves bytes at every level, or at none.
    /// - Returns: whether they were within all budgets.
    package func reserve(_ byteCount: Int) -> Bool {
        guard byteCount >= 0, reserveHere(byteCount) else { return false }
        guard let parent, !parent.reserve(byteCount) else { return true }
        releaseHere(byteCount)
        return false
    }

    /// Reserves bytes for a request.
    /// - Throws: ``MartletError/tooLarge(limit:value:)`` if they could never fit, ``MartletError/busy(retryAfterMilliseconds:)``
    ///   if they do not fit now.
    package func reserveOrRefuse(_ byteCount: Int) throws(MartletError) {
        guard !reserve(byteCount) else { return }
        let largest = largestReservation
        guard byteCount <= largest else { throw .tooLarge(limit: .maxItemBytes, value: UInt64(largest)) }
        throw .busy(retryAfterMilliseconds: 100)
    }

    /// Gives back bytes that were reserved, at every level.
    package func release(_ byteCount: Int) {
        releaseHere(byteCount)
        parent?.release(byteCount)
    }

    private var largestReservation: Int {
        min(limit, parent?.largestReservation ?? .max)
    }

    private func reserveHere(_ byteCount: Int) -> Bool {
        let limit = limit
        var current = used.load(ordering: .relaxed)
        while true {
            // Not limit - current on its own: the limit may have sunk below what is in use.
            guard current <= limit, byteCount <= limit - current else { return false }
            let (exchanged, original) = used.weakCompareExchange(
                expected: current, desired: current + byteCount, ordering: .relaxed)
            if exchanged { return true }
            current = original
        }
    }

    private func releaseHere(_ byteCount: Int) {
        var current = used.load(ordering: .relaxed)
        while true {
            assert(byteCount >= 0 && byteCount <= current, "more bytes were released than were reserved")
            let (exchanged, original) = used.weakCompareExchange(
                expected: current, desired: current - min(max(0, byteCount), current), ordering: .relaxed)
            if exchanged { return }
            current = original
        }
    }
}
