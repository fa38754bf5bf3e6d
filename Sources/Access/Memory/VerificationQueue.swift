import Foundation

/// Runs signature checks on one thread of its own, so that they never hold up an event loop, and no more of them wait
/// than a bound: when the queue is full the caller is told so and answers that the server is busy.
///
/// One thread checks some 2,000 signatures a second. More threads would let a flood of false tokens take the cores from
/// the event loops.
package final class VerificationQueue: Sendable {
    private let state: State

    /// - Parameter capacity: how many jobs may wait, at least 1.
    package init(capacity: Int = 1024) {
        let state = State(capacity: max(capacity, 1))
        self.state = state
        // The thread holds the state alone, so dropping the queue ends it.
        let thread = Thread { state.run() }
        thread.name = "martlet-verify"
        thread.start()
    }

    deinit {
        state.stop()
    }

    /// Runs `job` later, after those before it.
    ///
    /// - Returns: false when as many wait as may, or the queue was shut down. Then `job` never runs.
    package func submit(_ job: @escaping @Sendable () -> Void) -> Bool {
        state.submit(job)
    }

    /// Takes no more jobs, and returns when those that wait have run. It blocks: not to be called on an event loop, nor
    /// by a job.
    package func shutdown() {
        state.stop()
        state.waitUntilFinished()
    }
}

// Safe to share: every stored variable is read and written under `condition`'s lock alone.
private final class State: @unchecked Sendable {
    private let condition = NSCondition()
    /// A ring.
    private var jobs: [(@Sendable () -> Void)?]
    private var first = 0
    private var count = 0
    private var isStopping = false
    private var isFinished = false

    init(capacity: Int) {
        jobs = Array(repeating: nil, count: capacity)
    }

    func submit(_ job: @escaping @Sendable () -> Void) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        guard !isStopping, count < jobs.count else { return false }
        jobs[(first + count) % jobs.count] = job
        count += 1
        condition.signal()
        return true
    }

    func stop() {
        condition.lock()
        isStopping = true
        condition.broadcast()
        condition.unlock()
    }

    func waitUntilFinished() {
        condition.lock()
        while !isFinished { condition.wait() }
        condition.unlock()
    }

    func run() {
        while let job = next() {
            job()
        }
        condition.lock()
        isFinished = true
        condition.broadcast()
        condition.unlock()
    }

    private func next() -> (@Sendable () -> Void)? {
        condition.lock()
        defer { condition.unlock() }
        while count == 0, !isStopping { condition.wait() }
        guard count > 0 else { return nil }
        let job = jobs[first]
        jobs[first] = nil
        first = (first + 1) % jobs.count
        count -= 1
        return job
    }
}
