import NIOPosix
import Synchronization

/// The threads on which control-plane requests wait for the catalog. Bounded: when too many wait, the next is refused.
package final class ControlExecutor: Sendable {
    private let pool: NIOThreadPool
    private let waiting = Atomic<Int>(0)
    private let capacity: Int

    package init(capacity: Int) {
        self.capacity = capacity
        // Two, so that a long list or bill does not hold up a short change; the catalog serialises changes itself.
        pool = NIOThreadPool(numberOfThreads: 2)
        pool.start()
    }

    /// Runs `work` on a thread that may block. Returns false when the queue is full.
    func submit(_ work: @escaping @Sendable () -> Void) -> Bool {
        if waiting.add(1, ordering: .relaxed).newValue > capacity {
            waiting.subtract(1, ordering: .relaxed)
            return false
        }
        pool.submit { state in
            if case .active = state { work() }
            self.waiting.subtract(1, ordering: .relaxed)
        }
        return true
    }

    package func shutDown() async {
        try? await pool.shutdownGracefully()
    }
}
