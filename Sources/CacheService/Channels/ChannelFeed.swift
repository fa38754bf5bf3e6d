import Synchronization
import Topics

/// One message on its way to the subscribers of one lane.
struct ChannelPosting: Sendable {
    let name: [UInt8]
    let origin: ChannelOrigin
    let message: TopicMessage
    /// Those that match the name, of whatever lane.
    let patterns: [ChannelPattern]

    /// What it takes while it waits, the message itself counted for each lane.
    var charge: Int { 160 + name.count + message.byteCount }
}

/// What was published in one cache and the subscribers of one lane have not had. Publishers put in, the lane takes out.
///
/// Thread safety: any thread. Its lock is taken under that of the topics' space; only the mailbox's is taken under it.
final class ChannelFeed: Sendable {
    let mailbox: ChannelMailbox
    private let contents = Mutex(Contents())
    private let bytes = Atomic<Int>(0)

    private struct Contents: Sendable {
        var postings: ContiguousArray<ChannelPosting> = []
        /// Of the first posting that waits.
        var firstNumber: UInt64 = 1
        var waitingBytes = 0
        var isQueued = false
        /// Whether nobody of the lane listens any more.
        var isClosed = false
        /// Whether something was lost because the lane was too far behind.
        var isOverrun = false
    }

    /// What may wait for a lane to fetch it.
    static let mostBytes = 8 << 20
    /// Publishers that can wait do so from here on.
    static let congestedBytes = 1 << 20

    init(mailbox: ChannelMailbox) {
        self.mailbox = mailbox
    }

    var isCongested: Bool { bytes.load(ordering: .relaxed) > Self.congestedBytes }

    /// Whether something was published that the lane has not handed on yet.
    var hasWaiting: Bool { bytes.load(ordering: .relaxed) > 0 }

    func post(_ posting: ChannelPosting) {
        contents.withLock { contents in
            guard !contents.isClosed else { return }
            let held = bytes.wrappingAdd(posting.charge, ordering: .relaxed).newValue
            if held > Self.mostBytes, !contents.postings.isEmpty {
                contents.isOverrun = true
                contents.firstNumber += UInt64(contents.postings.count)
                contents.postings = []
                bytes.wrappingSubtract(contents.waitingBytes, ordering: .relaxed)
                contents.waitingBytes = 0
            }
            contents.waitingBytes += posting.charge
            contents.postings.append(posting)
            guard !contents.isQueued else { return }
            contents.isQueued = true
            mailbox.post(self)
        }
    }

    /// The number of the next posting: whoever subscribes now gets it and those behind.
    var nextNumber: UInt64 {
        contents.withLock { $0.firstNumber + UInt64($0.postings.count) }
    }

    /// Takes everything out.
    func fetch() -> (postings: ContiguousArray<ChannelPosting>, firstNumber: UInt64, isOverrun: Bool) {
        contents.withLock { contents in
            let fetched = (contents.postings, contents.firstNumber, contents.isOverrun)
            contents.firstNumber += UInt64(contents.postings.count)
            contents.postings = []
            contents.waitingBytes = 0
            contents.isQueued = false
            contents.isOverrun = false
            return fetched
        }
    }

    /// Nobody of the lane listens any more: what waits is dropped, and nothing more is taken. Publishers wait for it no
    /// longer.
    func close() {
        contents.withLock { contents in
            contents.isClosed = true
            contents.postings = []
            contents.waitingBytes = 0
            bytes.store(0, ordering: .relaxed)
        }
    }

    /// A posting that was fetched has been handed on.
    func settle(_ posting: ChannelPosting) {
        bytes.wrappingSubtract(posting.charge, ordering: .relaxed)
    }
}

/// The feeds of one lane that have something, as ``TopicMailbox`` is for topics.
final class ChannelMailbox: Sendable {
    private let feeds = Mutex<[ChannelFeed]>([])
    private let isWakeDue = Atomic<Bool>(false)
    private let wake: @Sendable () -> Void

    init(wake: @escaping @Sendable () -> Void) {
        self.wake = wake
    }

    func post(_ feed: ChannelFeed) {
        feeds.withLock { feeds in
            feeds.append(feed)
            if feeds.count == 1 { isWakeDue.store(true, ordering: .relaxed) }
        }
    }

    func wakeIfDue() {
        guard isWakeDue.load(ordering: .relaxed), isWakeDue.exchange(false, ordering: .relaxed) else { return }
        wake()
    }

    func fetch() -> [ChannelFeed] {
        feeds.withLock { feeds in
            let fetched = feeds
            feeds = []
            return fetched
        }
    }

    var isEmpty: Bool { feeds.withLock { $0.isEmpty } }
}
