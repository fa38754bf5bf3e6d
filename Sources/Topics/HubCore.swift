import Synchronization
import Tenancy

/// What the spaces of one hub share: the limits, the books of the process, pages, and who exists. The spaces hold it;
/// ``TopicHub`` holds it too and breaks the circle when it goes.
///
/// Order of locks: `ticking` or `relieving`, then either `registry` or the lock of a space, then that of a mailbox.
final class HubCore: Sendable {
    let limits: TopicLimits
    /// Everything that all spaces are charged.
    let chargedBytes = Atomic<Int>(0)
    /// How many spaces are charged anything.
    private let holdingSpaces = Atomic<Int>(0)
    private let lastPage = Atomic<UInt64>(0)
    private let registry = Mutex(Registry())
    private let ticking = Mutex(Ticking())
    private let relieving = Mutex(())
    /// Where the process was left that could not be relieved: until it holds more than this, trying again is of no use.
    private let relieveAbove: Atomic<Int>

    private struct Registry: Sendable {
        var spaces: [TopicSpace] = []
        var positions: [ObjectIdentifier: Int] = [:]
        var graveyard: [ClosedTopics] = []
    }

    private struct Ticking: Sendable {
        /// The space that the next tick begins with.
        var cursor = 0
    }

    /// How many topics one tick looks at: about half a millisecond. See ``SpaceContents/work(droppedMessages:)``.
    private static let workOfTick = 4096
    /// How much of it is done under one lock.
    private static let workOfLock = 64

    init(limits: TopicLimits) {
        self.limits = limits
        relieveAbove = Atomic(limits.totalBytes)
    }

    /// A page that was never given out before: the time in milliseconds, unless that was.
    func nextPage(now: Timestamp) -> UInt64 {
        let time = UInt64(clamping: now.milliseconds)
        var last = lastPage.load(ordering: .relaxed)
        while true {
            let page = max(time, last + 1)
            let (isExchanged, original) = lastPage.weakCompareExchange(
                expected: last, desired: page, ordering: .relaxed)
            if isExchanged { return page }
            last = original
        }
    }

    // MARK: Books

    func settle(from before: Int, to after: Int) {
        chargedBytes.wrappingAdd(after - before, ordering: .relaxed)
        if (before > 0) != (after > 0) { holdingSpaces.wrappingAdd(after > 0 ? 1 : -1, ordering: .relaxed) }
    }

    /// An equal part of the whole for each space that holds anything.
    private func fairShare(plus newcomers: Int = 0) -> Int {
        limits.totalBytes / max(1, holdingSpaces.load(ordering: .relaxed) + newcomers)
    }

    /// What a space that is charged `byteCount` may hold: its fair share, or more where others leave room.
    func share(ofSpaceHolding byteCount: Int) -> Int {
        let free = limits.totalBytes - chargedBytes.load(ordering: .relaxed)
        return max(fairShare(plus: byteCount > 0 ? 0 : 1), byteCount + free)
    }

    // MARK: Spaces

    func open(
        _ id: CacheID, maxBytes: Int?, sealer: (any MessageSealer)?, held: @escaping @Sendable (Int) -> Void
    ) -> TopicSpace {
        let space = TopicSpace(id, maxBytes: maxBytes, sealer: sealer, core: self, held: held)
        registry.withLock { registry in
            registry.positions[ObjectIdentifier(space)] = registry.spaces.count
            registry.spaces.append(space)
        }
        return space
    }

    func close(_ space: TopicSpace) {
        let topics = space.close()
        registry.withLock { registry in
            registry.graveyard.append(topics)
            guard let position = registry.positions.removeValue(forKey: ObjectIdentifier(space)) else { return }
            // The last takes the place of the one that goes.
            let last = registry.spaces.removeLast()
            if last !== space {
                registry.spaces[position] = last
                registry.positions[ObjectIdentifier(last)] = position
            }
        }
    }

    /// Frees what closed spaces left.
    private func emptyGraveyard() {
        let graveyard = registry.withLock { registry in
            let graveyard = registry.graveyard
            registry.graveyard = []
            return graveyard
        }
        for topics in graveyard { topics.dismantle() }
    }

    /// Closes every space and frees everything, for the end of the hub.
    func shutDown() {
        for space in spaces { close(space) }
        emptyGraveyard()
    }

    var spaces: [TopicSpace] {
        registry.withLock { $0.spaces }
    }

    // MARK: In the background

    /// See ``TopicHub/tick(now:)``.
    func tick(now: Timestamp) {
        // A second caller has nothing to do while the first is at it.
        _ = ticking.withLockIfAvailable { ticking in
            emptyGraveyard()
            var budget = Self.workOfTick
            var visited = 0
            while budget > 0, let space = nextSpace(&ticking, visited: visited) {
                sweep(space, now: now, budget: &budget)
                visited += 1
                // A space that used the budget up may have more to do: it is the first of the next tick.
                if budget > 0 { ticking.cursor += 1 }
            }
        }
        relieveAbove.store(limits.totalBytes, ordering: .relaxed)
        relieve()
    }

    /// The space at the cursor, or nil when the round is complete.
    private func nextSpace(_ ticking: inout Ticking, visited: Int) -> TopicSpace? {
        registry.withLock { registry in
            guard visited < registry.spaces.count else { return nil }
            if ticking.cursor >= registry.spaces.count { ticking.cursor = 0 }
            return registry.spaces[ticking.cursor]
        }
    }

    private func sweep(_ space: TopicSpace, now: Timestamp, budget: inout Int) {
        budget -= 1
        var isComplete = space.evictableTopics.load(ordering: .relaxed) == 0
        while !isComplete, budget > 0 {
            let slice = min(Self.workOfLock, budget)
            let left: Int
            (left, isComplete) = space.withContents { contents in
                var left = slice
                let isComplete = contents.sweep(now: now, budget: &left)
                return (left, isComplete)
            }
            budget -= slice - left
        }
    }

    /// Brings the process down to its total where spaces went over it, because each of them was within its fair share:
    /// the one that holds most gives, down to its fair share. Cost: one load as long as nothing is to be done.
    func relieve() {
        guard chargedBytes.load(ordering: .relaxed) > relieveAbove.load(ordering: .relaxed) else { return }
        let slack = limits.totalBytes / 64
        relieving.withLockIfAvailable { _ in
            while chargedBytes.load(ordering: .relaxed) > limits.totalBytes {
                guard let space = largestSpace, relieve(space, by: slack) else {
                    relieveAbove.store(chargedBytes.load(ordering: .relaxed) + slack, ordering: .relaxed)
                    return
                }
            }
        }
    }

    /// The space that holds most, of those that can give.
    private var largestSpace: TopicSpace? {
        registry.withLock { registry in
            registry.spaces.filter { $0.evictableTopics.load(ordering: .relaxed) > 0 }
                .max { $0.heldBytes.load(ordering: .relaxed) < $1.heldBytes.load(ordering: .relaxed) }
        }
    }

    /// - Returns: whether anything was evicted.
    private func relieve(_ space: TopicSpace, by slack: Int) -> Bool {
        let excess = chargedBytes.load(ordering: .relaxed) - limits.totalBytes
        return space.withContents { contents in
            let goal = max(fairShare(), contents.retainedBytes - excess - slack)
            // Beginning the operation may have been enough.
            return contents.trim(to: goal, atMost: Self.workOfLock) > 0
                || contents.chargedBytes < contents.settledBytes
        }
    }
}
