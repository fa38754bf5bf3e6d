import Tenancy

/// One topic of a space.
// Everything that changes is read and changed under the lock of the space, or after the space was closed, when only the
// thread that closed it can reach the topic.
final class Topic: @unchecked Sendable {
    let name: TopicName
    let hash: UInt
    /// The next topic in the same bucket of the index.
    var following: Topic?
    /// Which incarnation of the name this is. No two topics of one hub have the same.
    let page: UInt64
    /// The number of the newest message; 0: none was published yet.
    var last: UInt64 = 0
    /// What is retained. Not empty: its newest message is number `last`.
    var ring = MessageRing()
    /// The charges of the messages in the ring.
    var ringBytes = 0
    /// One for each lane that has subscribers.
    var listeners: ContiguousArray<TopicListener> = []
    var usedAt: Timestamp
    /// The flush that the ring's messages outlived; where a later one was, they are gone. See ``TopicSpace/flush()``.
    var generation: UInt32

    // The list of topics that have something to give, in the order of use. The index holds them all.
    var isListed = false
    unowned(unsafe) var newer: Topic?
    unowned(unsafe) var older: Topic?

    init(_ key: HashedName, page: UInt64, generation: UInt32, now: Timestamp) {
        name = key.name
        hash = key.hash
        self.page = page
        self.generation = generation
        usedAt = now
    }

    /// The number of the oldest retained message; the next to come if there is none.
    var oldestRetained: UInt64 { last + 1 - UInt64(ring.count) }

    /// Whether taking something from the topic would free memory.
    var isEvictable: Bool { listeners.isEmpty || !ring.isEmpty }

    /// What a topic is charged beside its messages and listeners: this object, its name, its bucket in the index.
    static func charge(_ name: TopicName) -> Int {
        let byteCount = name.text.utf8.count
        // A text of up to 15 bytes needs no memory of its own.
        return objectCharge + bucketCharge + (byteCount > 15 ? Allocation.charge(32 + byteCount + 1) : 0)
    }

    private static let objectCharge = Allocation.charge(152)
    /// A reference, in an array that may be half full.
    private static let bucketCharge = 16
}

/// The subscribers of one topic on one lane, as the publishers see them: where to put what is published.
// `pending`, `pendingBytes` and `isQueued` belong to the holder of the space's lock (see Topic for what happens after
// it was closed); `fanout` is set and read by the thread of the lane only.
final class TopicListener: @unchecked Sendable {
    let topic: Topic
    let mailbox: TopicMailbox
    /// What was published and the lane has not fetched. Not empty: its newest message is the topic's number `last`.
    var pending = MessageRing()
    var pendingBytes = 0
    /// Whether the listener is in its lane's mailbox, or the lane knows that more is pending.
    var isQueued = false
    /// The lane's side. Nil when the last subscription has ended.
    var fanout: TopicFanout?

    init(topic: Topic, mailbox: TopicMailbox) {
        self.topic = topic
        self.mailbox = mailbox
    }

    /// The number of the oldest pending message; the next to come if there is none.
    var oldestPending: UInt64 { topic.last + 1 - UInt64(pending.count) }

    /// A listener keeps a buffer of this capacity: giving it back after each message would cost more than it saves.
    static let keptCapacity = 4
    /// What a listener is charged: itself, its pending list's kept buffer, its place in the topic's list, and the
    /// lane's side of it with the list of the first subscriptions.
    static let charge =
        Allocation.charge(96) + Allocation.arrayCharge(keptCapacity) + Allocation.arrayCharge(2)
        + Allocation.charge(96) + Allocation.arrayCharge(2)

    /// What the buffer takes beyond the one that is kept.
    var bufferCharge: Int { pending.capacity > Self.keptCapacity ? pending.charge : 0 }
}
