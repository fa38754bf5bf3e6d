import Access
import Admission
import Engine
import Synchronization
import Tenancy

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// What one client may hold in a cache of its own, and what of it has changed since. Belongs to its lane.
///
/// By default the client is told once of each key that it has read, when the key changes; with prefixes it is told of every
/// change of a key that begins with one of them. Either way the memory is bounded: where the client has read too many keys,
/// the oldest guess is that it holds one no more, and it is told so; where too many changes wait, it is told to forget all.
package final class TrackedKeys {
    private let items: EngineCache
    private let mailbox: InvalidationMailbox
    private let onEnd: () -> Void
    private var keys: Set<[UInt8]> = []
    private var keyBytes = 0

    private static let mostKeys = 65_536
    private static let mostKeyBytes = 4 << 20

    init(_ items: EngineCache, _ mailbox: InvalidationMailbox, onEnd: @escaping () -> Void) {
        self.items = items
        self.mailbox = mailbox
        self.onEnd = onEnd
        if mailbox.prefixes != nil { items.addListener(mailbox) }
    }

    deinit {
        if mailbox.prefixes != nil { items.removeListener(mailbox) } else { items.stopObserving(by: mailbox) }
        onEnd()
    }

    /// The client is about to read that key. To be called before the read: what happens after this is told.
    package func note(_ key: UnsafeRawBufferPointer) {
        let copy = Array(key)
        guard !keys.contains(copy) else { return }
        while keys.count >= Self.mostKeys || keyBytes + copy.count > Self.mostKeyBytes, let other = keys.first {
            forget(other)
            mailbox.add(other)
        }
        // Where there is no room, the client is told at once that it may not keep what it reads.
        guard items.observe(key, by: mailbox) else { return mailbox.add(copy) }
        keys.insert(copy)
        keyBytes += copy.count
    }

    private func forget(_ key: [UInt8]) {
        guard keys.remove(key) != nil else { return }
        keyBytes -= key.count
        key.withUnsafeBytes { items.stopObserving($0, by: mailbox) }
    }

    /// Whether there is something to tell. Cost: a load.
    package var hasNews: Bool { mailbox.hasNews.load(ordering: .acquiring) }

    /// Takes what is to be told: keys, or nil for all of them.
    package func takeNews() -> [[UInt8]]? {
        let news = mailbox.take()
        guard mailbox.prefixes == nil else { return news }
        guard let news else {
            items.stopObserving(by: mailbox)
            keys.removeAll()
            keyBytes = 0
            return nil
        }
        for key in news { forget(key) }
        return news
    }

    /// Executes a command of the client itself; with NOLOOP it is not told of what that changes.
    package func executing<Result>(_ body: () -> Result) -> Result {
        guard mailbox.isDeafToOwn else { return body() }
        mailbox.isExecuting.store(true, ordering: .relaxed)
        defer { mailbox.isExecuting.store(false, ordering: .relaxed) }
        return body()
    }
}

/// Gathers what has changed, on whatever thread that happens, for the lane of the client.
final class InvalidationMailbox: KeyObserver {
    /// Nil: what is observed key by key.
    let prefixes: [[UInt8]]?
    let isDeafToOwn: Bool
    let isExecuting = Atomic<Bool>(false)
    let hasNews = Atomic<Bool>(false)
    private let lane: LaneThread
    private let wake: @Sendable () -> Void
    private let contents = Mutex(Contents())

    private struct Contents {
        /// In the order of the changes.
        var keys: [[UInt8]] = []
        var isKept: Set<[UInt8]> = []
        var byteCount = 0
        var isAll = false

        mutating func becomeAll() {
            self = Contents()
            isAll = true
        }
    }

    private static let mostBytes = 1 << 20
    private static let keyOverhead = 64

    /// Made on the thread of the client's lane.
    init(prefixes: [[UInt8]]?, isDeafToOwn: Bool, wake: @escaping @Sendable () -> Void) {
        self.prefixes = prefixes
        self.isDeafToOwn = isDeafToOwn
        self.wake = wake
        lane = LaneThread()
    }

    func keyChanged(_ key: UnsafeRawBufferPointer, _ change: KeyChange) {
        if let prefixes, !prefixes.isEmpty {
            guard prefixes.contains(where: { key.starts(with: $0) }) else { return }
        }
        if isDeafToOwn, isExecuting.load(ordering: .relaxed), lane.isCurrent {
            switch change {
            case .written, .removed: return
            case .expired, .evicted: break
            }
        }
        add(Array(key))
    }

    func cacheFlushed() {
        put { $0.becomeAll() }
    }

    func add(_ key: [UInt8]) {
        put { contents in
            guard !contents.isAll, contents.isKept.insert(key).inserted else { return }
            contents.keys.append(key)
            contents.byteCount += key.count + Self.keyOverhead
            if contents.byteCount > Self.mostBytes { contents.becomeAll() }
        }
    }

    private func put(_ change: (inout Contents) -> Void) {
        contents.withLock { change(&$0) }
        if !hasNews.exchange(true, ordering: .acquiringAndReleasing) { wake() }
    }

    func take() -> [[UInt8]]? {
        // Cleared first: what comes now wakes the lane again, at worst for nothing.
        hasNews.store(false, ordering: .sequentiallyConsistent)
        return contents.withLock { contents in
            defer { contents = Contents() }
            return contents.isAll ? nil : contents.keys
        }
    }
}

/// The thread of a lane, to be compared with the one that runs.
// Unchecked: a thread's handle never changes, and is only compared.
private struct LaneThread: @unchecked Sendable {
    private let thread = pthread_self()

    var isCurrent: Bool { pthread_equal(thread, pthread_self()) != 0 }
}

extension ServiceLane {
    /// The most connections that are told of all changes in a cache: each of them is asked at every change.
    package static let mostBroadcasts: UInt64 = 128

    /// Begins to tell a client of changes.
    ///
    /// - Parameters:
    ///   - prefixes: Nil for the keys that it reads; else all keys that begin with one of these, or all if there is none.
    ///   - wake: Called on any thread when there is news, once until it is taken.
    /// - Throws: ``MartletError/cacheNotFound``; a refusal where the caller may not read all items, or too many listen.
    package func track(
        for identity: CommandIdentity, prefixes: [[UInt8]]?, isDeafToOwn: Bool, wake: @escaping @Sendable () -> Void
    ) throws(MartletError) -> TrackedKeys {
        let cache = try cache(of: identity)
        guard service.lateEngine == nil else { throw .command("ERR the cache's engine offers no tracking") }
        let shared = cache.shared
        if prefixes != nil {
            guard identity.grant.scope.allows(.scan, key: nil) else {
                throw refused(
                    identity.grant, .resp,
                    .command("NOPERM this user has no permissions to be told of the changes of all keys"))
            }
            guard shared.commands.broadcasts.take() else {
                throw .command("ERR too many connections in BCAST mode: at most \(Self.mostBroadcasts) of a cache")
            }
        }
        return TrackedKeys(
            shared.items, InvalidationMailbox(prefixes: prefixes, isDeafToOwn: isDeafToOwn, wake: wake)
        ) {
            if prefixes != nil { shared.commands.broadcasts.release() }
        }
    }
}
