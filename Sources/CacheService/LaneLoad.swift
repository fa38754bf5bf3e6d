import Synchronization

/// How an event loop keeps up with what comes.
package struct LaneLoad: Sendable {
    /// The least time, within the last tenth of a second, for which its sockets were not looked at.
    package let standingDelayNanoseconds: UInt64
    /// How many tenths of the tenants have their calls refused.
    package let overloadLevel: Int
}

/// The loads of all event loops, by their index.
package final class LaneLoads: Sendable {
    private let loads = Mutex<[Int: LaneLoad]>([:])

    func set(_ load: LaneLoad, of index: Int) {
        loads.withLock { $0[index] = load }
    }

    package var all: [(index: Int, load: LaneLoad)] {
        loads.withLock { loads in loads.sorted { $0.key < $1.key }.map { ($0.key, $0.value) } }
    }
}
