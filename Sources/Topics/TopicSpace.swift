import Synchronization
import Tenancy

/// The topics of one cache. Any thread may call any method; each takes the space's one short lock, and never waits for
/// anything else.
package final class TopicSpace: Sendable {
    package let id: CacheID
    let core: HubCore
    /// What is retained is sealed by this; nil: it lies in clear.
    let sealer: (any MessageSealer)?
    private let contents: Mutex<SpaceContents>
    private let held: @Sendable (Int) -> Void
    /// Half of what the cache may hold in all: the other half is for its items.
    private let halfOfMaxBytes: Atomic<Int>

    // What the hub looks at without the lock, as of the last operation.
    let heldBytes = Atomic<Int>(0)
    let evictableTopics = Atomic<Int>(0)

    /// Only the hub makes spaces.
    init(
        _ id: CacheID, maxBytes: Int?, sealer: (any MessageSealer)?, core: HubCore,
        held: @escaping @Sendable (Int) -> Void
    ) {
        self.id = id
        self.sealer = sealer
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
    /// and a wake for each whose mailbox was empty. Where what is retained is sealed, sealing it once, before the lock
    /// is taken, and a second copy for those who are subscribed now.
    /// - Parameter alongside: given the message when it has its number, for listeners that no topic knows: under the
    ///   space's lock, so that they get the messages of all topics in the order in which they were published. It may
    ///   put the message somewhere under another lock, and nothing else.
    /// - Returns: its place in the topic.
    /// - Throws: ``MartletError/cacheNotFound`` when the space is closed, ``MartletError/memoryExhausted`` when another
    ///   topic would be too many and none can give way.
    package func publish(
        _ bytes: UnsafeRawBufferPointer, _ kind: TopicValueKind, publisherID: [UInt8], to name: TopicName,
        now: Timestamp, alongside: ((TopicMessage) -> Void)? = nil
    ) throws(MartletError) -> TopicPosition {
        let key = HashedName(name)
        let payload = MessagePayload(copying: bytes)
        let retention = retention(of: bytes, in: name)
        let published: (position: TopicPosition, listeners: ContiguousArray<TopicListener>)
        do throws(MartletError) {
            published = try withContents { (contents) throws(MartletError) in
                let topic = try contents.openTopic(key, now: now)
                let position = TopicPosition(sequence: topic.last + 1, page: topic.page)
                let message = TopicMessage(
                    owning: payload, kind, at: position, publisherID: publisherID, publishedAt: now)
                contents.publish(message, retaining: retention.message(message), to: topic, now: now)
                alongside?(message)
                return (position, topic.listeners)
            }
        } catch {
            payload.deallocate()
            if case .sealed(let sealed) = retention { sealed.deallocate() }
            throw error
        }
        for listener in published.listeners { listener.mailbox.wakeIfDue() }
        core.relieve()
        return published.position
    }

    /// In which form a message is retained.
    private enum Retention: Sendable {
        case none
        /// As it is handed on: one object for both.
        case clear
        case sealed(MessagePayload)

        func message(_ live: TopicMessage) -> TopicMessage? {
            switch self {
            case .none: nil
            case .clear: live
            case .sealed(let payload):
                TopicMessage(
                    owning: payload, live.kind, at: TopicPosition(sequence: live.sequence, page: live.page),
                    publisherID: live.publisherID, publishedAt: live.publishedAt, isSealed: true)
            }
        }
    }

    /// What cannot be retained anyway is not sealed.
    private func retention(of bytes: UnsafeRawBufferPointer, in name: TopicName) -> Retention {
        guard core.limits.canRetain(byteCount: bytes.count) else { return .none }
        guard let sealer else { return .clear }
        guard let sealed = sealer.seal(bytes, of: name) else { return .none }
        return .sealed(sealed.withUnsafeBytes { MessagePayload(copying: $0) })
    }

    /// Retained messages as they are handed on: those of the front that can be opened. Cost: opening each, where they
    /// are sealed; without the lock.
    /// - Returns: none if the first cannot be opened: the cache was flushed while it was being published.
    func opened(_ messages: [TopicMessage], of name: TopicName) -> [TopicMessage] {
        guard let sealer, messages.contains(where: \.isSealed) else { return messages }
        var opened: [TopicMessage] = []
        opened.reserveCapacity(messages.count)
        for message in messages {
            guard let message = message.isSealed ? message.opened(by: sealer, of: name) : message else { break }
            opened.append(message)
        }
        return opened
    }

    /// Whether there is a topic of that name: somebody is subscribed to it, or it has messages. Cost: one lock.
    package func hasTopic(_ name: TopicName) -> Bool {
        let key = HashedName(name)
        return contents.withLock { $0.topics[key] != nil }
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
