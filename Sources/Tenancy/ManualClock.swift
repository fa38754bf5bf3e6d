import Synchronization

/// A clock that stands still until it is told to move: for tests.
package final class ManualClock: WallClock {
    private let milliseconds: Atomic<Int64>

    package init(_ start: Timestamp = Timestamp(milliseconds: 1_700_000_000_000)) {
        milliseconds = Atomic(start.milliseconds)
    }

    package func now() -> Timestamp {
        Timestamp(milliseconds: milliseconds.load(ordering: .sequentiallyConsistent))
    }

    package func advance(milliseconds delta: Int64) {
        milliseconds.add(delta, ordering: .sequentiallyConsistent)
    }
}
