import Synchronization

/// How many connections of a listener's event loops are at the beginning: written by the loops, read by whoever accepts
/// connections and by the metrics.
package final class HandshakeCounters: Sendable {
    private let waitingNow = Atomic<Int>(0)
    private let underwayNow = Atomic<Int>(0)
    private let droppedSoFar = Atomic<UInt64>(0)
    private let completedSoFar = Atomic<UInt64>(0)

    package init() {}

    /// Those of which a message waits for its turn.
    package var waiting: Int { waitingNow.load(ordering: .relaxed) }
    /// Those between the first step and the last.
    package var underway: Int { underwayNow.load(ordering: .relaxed) }
    /// Connections closed before their handshake was over, or before they said anything.
    package var dropped: UInt64 { droppedSoFar.load(ordering: .relaxed) }
    /// Handshakes that ended well.
    package var completed: UInt64 { completedSoFar.load(ordering: .relaxed) }

    package func change(waiting: Int, underway: Int) {
        if waiting != 0 { waitingNow.add(waiting, ordering: .relaxed) }
        if underway != 0 { underwayNow.add(underway, ordering: .relaxed) }
    }

    package func countDrop() {
        droppedSoFar.add(1, ordering: .relaxed)
    }

    package func countCompletion() {
        completedSoFar.add(1, ordering: .relaxed)
    }
}
