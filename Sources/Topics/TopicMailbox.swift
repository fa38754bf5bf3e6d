import Synchronization

/// Where publishers tell a lane which of its topics have something new. A lane and its listeners share it.
///
/// Thread safety: any thread. Its lock is the innermost: nothing else is taken or called under it.
final class TopicMailbox: Sendable {
    private let listeners = Mutex<ContiguousArray<TopicListener>>([])
    private let isWakeDue = Atomic<Bool>(false)
    private let wake: @Sendable () -> Void

    init(wake: @escaping @Sendable () -> Void) {
        self.wake = wake
    }

    /// Puts a listener in. Called under the lock of its space; ``wakeIfDue()`` follows when that is given back, because
    /// waking a loop may enter the kernel.
    func post(_ listener: TopicListener) {
        listeners.withLock { listeners in
            listeners.append(listener)
            if listeners.count == 1 { isWakeDue.store(true, ordering: .relaxed) }
        }
    }

    /// Wakes the lane if its mailbox has changed from empty to not empty and nobody has done it.
    func wakeIfDue() {
        guard isWakeDue.load(ordering: .relaxed), isWakeDue.exchange(false, ordering: .relaxed) else { return }
        wake()
    }

    /// Moves what is in the mailbox into an empty array, whose memory the mailbox takes over.
    func fetch(into empty: inout ContiguousArray<TopicListener>) {
        let fetched = listeners.withLock { [given = empty] listeners in
            let fetched = listeners
            listeners = given
            return fetched
        }
        empty = fetched
    }

    var isEmpty: Bool {
        listeners.withLock { $0.isEmpty }
    }
}
