import Synchronization

/// A clock that stands still until it is told to move: for tests.
package final class ManualClock: WallClock {
    private let start: Timestamp
    private let milliseconds: Atomic<Int64>

    package init(_ start: Timestamp = Timestamp(milliseconds: 1_700_000_000_000)) {
        self.start = start
        milliseconds = Atomic(start.milliseconds)
    }

    package func now() -> Timestamp {
        Timestamp(milliseconds: milliseconds.load(ordering: .sequentiallyConsistent))
    }

    /// As if the machine had been started a second before the clock's first time.
    package func uptimeNanoseconds() -> UInt64 {
        UInt64(clamping: now().milliseconds - start.milliseconds + 1000) &* 1_000_000
    }

    package func advance(milliseconds delta: Int64) {
        milliseconds.add(delta, ordering: .sequentiallyConsistent)
    }
}
