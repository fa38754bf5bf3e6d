import Foundation
import Tenancy

/// Runs signature checks on one thread of its own, so that they never hold up an event loop, and no more of them wait
/// than a bound: when the queue is full the caller is told so and answers that the server is busy.
///
/// Addresses take turns, one check each, so that one with very many waits for itself. When the queue is full, the newest
/// check of the address that has most of them makes room for one with fewer: a flood from one place does not keep out
/// the others.
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

    /// Runs `job` later: after those of the same address that came before it, in turn with those of others.
    ///
    /// - Parameters:
    ///   - address: the peer's IP address in network order.
    ///   - refused: called in the place of `job`, on the thread of who submits then, when others needed its room.
    /// - Returns: false when as many wait as may, or the queue was shut down. Then neither is ever called.
    package func submit(
        from address: [UInt8] = [], _ job: @escaping @Sendable () -> Void, refused: @escaping @Sendable () -> Void = {}
    ) -> Bool {
        state.submit(VerificationJob(run: job, refuse: refused), from: NetworkPrefix(address))
    }

    /// Takes no more jobs, and returns when those that wait have run. It blocks: not to be called on an event loop, nor
    /// by a job.
    package func shutdown() {
        state.stop()
        state.waitUntilFinished()
    }
}

private struct VerificationJob: Sendable {
    let run: @Sendable () -> Void
    let refuse: @Sendable () -> Void
}

/// First in, first out; the last can be taken back.
private struct FIFO<Element> {
    private var elements: [Element?] = []
    private var first = 0

    var count: Int { elements.count - first }

    mutating func append(_ element: Element) {
        elements.append(element)
    }

    mutating func popFirst() -> Element? {
        guard first < elements.count else { return nil }
        let element = elements[first]
        elements[first] = nil
        first += 1
        if first > 64, first * 2 > elements.count {
            elements.removeFirst(first)
            first = 0
        }
        return element
    }

    mutating func popLast() -> Element? {
        guard first < elements.count else { return nil }
        return elements.removeLast()
    }
}

// Safe to share: every stored variable is read and written under `condition`'s lock alone.
private final class State: @unchecked Sendable {
    private let condition = NSCondition()
    private let capacity: Int
    private var lines: [NetworkPrefix: FIFO<VerificationJob>] = [:]
    /// Those that have jobs, in the order in which it is their turn.
    private var turns = FIFO<NetworkPrefix>()
    private var count = 0
    private var isStopping = false
    private var isFinished = false

    init(capacity: Int) {
        self.capacity = capacity
    }

    func submit(_ job: VerificationJob, from network: NetworkPrefix) -> Bool {
        condition.lock()
        guard !isStopping else {
            condition.unlock()
            return false
        }
        var pushedOut: VerificationJob?
        if count >= capacity {
            pushedOut = takeNewestOfLongest(thanLine: network)
            guard pushedOut != nil else {
                condition.unlock()
                return false
            }
            count -= 1
        }
        if lines[network] == nil { turns.append(network) }
        lines[network, default: FIFO()].append(job)
        count += 1
        condition.signal()
        condition.unlock()
        pushedOut?.refuse()
        return true
    }

    /// Nil when no line would still be as long as the newcomer's. Cost: a look at every line; only when the queue is full.
    private func takeNewestOfLongest(thanLine network: NetworkPrefix) -> VerificationJob? {
        guard let longest = lines.max(by: { $0.value.count < $1.value.count }),
            longest.value.count > (lines[network]?.count ?? 0) + 1
        else { return nil }
        return lines[longest.key]?.popLast()
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
            job.run()
        }
        condition.lock()
        isFinished = true
        condition.broadcast()
        condition.unlock()
    }

    private func next() -> VerificationJob? {
        condition.lock()
        defer { condition.unlock() }
        while count == 0, !isStopping { condition.wait() }
        guard let network = turns.popFirst(), let job = lines[network]?.popFirst() else { return nil }
        count -= 1
        if lines[network]?.count == 0 { lines[network] = nil } else { turns.append(network) }
        return job
    }
}
