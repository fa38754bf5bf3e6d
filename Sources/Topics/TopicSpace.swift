import Synchronization
import Tenancy

/// The topics of one cache. Any thread may call any method; each takes the space's one short lock, and never waits for
/// anything else.
package final class TopicSpace: Sendable {
    package let id: CacheID
    let core: HubCore
    private let contents: Mutex<SpaceContents>
    private let held: @Sendable (Int) -> Void
    /// Half of what the cache may hold in all: the other half is for its items.
    private let halfOfMaxBytes: Atomic<Int>

    // What the hub looks at without the lock, as of the last operation.
    let heldBytes = Atomic<Int>(0)
    let evictableTopics = Atomic<Int>(0)

    /// Only the hub makes spaces.
    init(_ id: CacheID, maxBytes: Int?, core: HubCore, held: @escaping @Sendable (Int) -> Void) {
        self.id = id
        self.core = core
        self.held = held
        contents = Mutex(SpaceContents(core: core))
        halfOfMaxBytes = Atomic(Self.half(of: maxBytes))
    }

    private static func half(of maxBytes: Int?) -> Int {
        maxBytes.map { max(0, $0) / 2 } ?? .max
    }

    /// Changes what the cache may hold in all. Below what the topics hold it stops their growth at once; later
    /// operations and ticks bring them down. Cost: a store.
    package func setMaxBytes(_ maxBytes: Int?) {
        halfOfMaxBytes.store(Self.half(of: maxBytes), ordering: .relaxed)
    }

    /// Publishes one message: gives it the next number of the topic, retains it and passes it on to the lanes that have
    /// subscribers. A topic that does not exist is made.
    ///
    /// Cost: below a microsecond beside copying the bytes, some ten nanoseconds more for each lane with subscribers,
    /// and a wake for each whose mailbox was empty.
    /// - Returns: its place in the topic.
    /// - Throws: ``MartletError/cacheNotFound`` when the space is closed, ``MartletError/memoryExhausted`` when another
    ///   topic would be too many and none can give way.
    package func publish(
        _ bytes: UnsafeRawBufferPointer, _ kind: TopicValueKind, publisherID: [UInt8], to name: TopicName,
        now: Timestamp
    ) throws(MartletError) -> TopicPosition {
        let key = HashedName(name)
        let payload = MessagePayload(copying: bytes)
        let published: (position: TopicPosition, listeners: ContiguousArray<TopicListener>)
        do throws(MartletError) {
            published = try withContents { (contents) throws(MartletError) in
                let topic = try contents.openTopic(key, now: now)
                let position = TopicPosition(sequence: topic.last + 1, page: topic.page)
                let message = TopicMessage(
                    owning: payload, kind, at: position, publisherID: publisherID, publishedAt: now)
                contents.publish(message, to: topic, now: now)
                return (position, topic.listeners)
            }
        } catch {
            payload.deallocate()
            throw error
        }
        for listener in published.listeners { listener.mailbox.wakeIfDue() }
        core.relieve()
        return published.position
    }

    /// Forgets every retained message; a topic without subscribers is forgotten whole. What is on its way to
    /// subscribers reaches them, and their topics' numbers and pages go on.
    ///
    /// Complete for every operation that begins after it returned. Cost: half a millisecond at most, or so. Where there
    /// is more to free, it comes back, and the figures follow, with the next ticks.
    package func flush() {
        withContents { contents in
            contents.generation &+= 1
            _ = contents.removeFlushed(atMost: Self.workOfFlush)
        }
    }

    private static let workOfFlush = 512

    /// The figures at this moment. Cost: one lock.
    package var statistics: TopicStatistics {
        contents.withLock { $0.statistics }
    }

    // MARK: Inside

    /// Runs `body` under the lock, after what it may hold has been determined and, if that is less than it holds, a
    /// little was given back; then tells the books.
    func withContents<Result: Sendable, Failure: Error>(
        _ body: (inout SpaceContents) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try contents.withLock { (contents) throws(Failure) in
            let share = core.share(ofSpaceHolding: contents.settledBytes)
            contents.beginOperation(ceiling: min(share, halfOfMaxBytes.load(ordering: .relaxed)))
            defer { settle(&contents) }
            return try body(&contents)
        }
    }

    /// Brings the books of the hub and of the cache up to what the contents are charged. Under the lock, so that the
    /// figures are told in order.
    private func settle(_ contents: inout SpaceContents) {
        evictableTopics.store(contents.listedTopics, ordering: .relaxed)
        let charged = contents.chargedBytes
        guard charged != contents.settledBytes else { return }
        core.settle(from: contents.settledBytes, to: charged)
        contents.settledBytes = charged
        heldBytes.store(charged, ordering: .relaxed)
        held(charged)
    }

    /// Ends the space.
    /// - Returns: what it held, to be taken apart.
    func close() -> ClosedTopics {
        withContents { $0.close() }
    }

    /// Checks everything that must hold while no operation is under way. For tests: walks over every message.
    /// - Returns: what does not hold, in words; empty when all is well.
    package func checkInvariants() -> [String] {
        contents.withLock { contents in
            var found = contents.violations()
            if heldBytes.load(ordering: .relaxed) != contents.chargedBytes { found.append("the books are not settled") }
            return found
        }
    }
}
