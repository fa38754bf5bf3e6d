import NIOCore
import Synchronization
import Tenancy

/// All connections of the RESP door, over all event loops: where a connection is found by its number, and whose it is.
///
/// A connection is used on its own loop alone; what another loop wants of it, it sends there.
final class RESPRegistry: Sendable {
    /// Where a connection is, and whose.
    struct Entry: Sendable {
        let home: NIOLoopBound<WeakSession>
        var tenant: TenantID?
        var cacheName: [UInt8] = []
    }

    /// When the server started, and a name for this life of it.
    let startedAt: Timestamp
    let runID: String
    private let lastID = Atomic<UInt64>(0)
    private let entries = Mutex<[UInt64: Entry]>([:])

    init(now: Timestamp) {
        startedAt = now
        runID = (0..<40).map { _ in String(UInt8.random(in: 0..<16), radix: 16) }.joined()
    }

    /// A number that no other connection has had: they grow.
    func takeID() -> UInt64 { lastID.wrappingAdd(1, ordering: .relaxed).newValue }

    func add(_ session: RESPSession) {
        let entry = Entry(home: NIOLoopBound(WeakSession(session), eventLoop: session.lane.eventLoop))
        entries.withLock { $0[session.id] = entry }
    }

    func remove(_ id: UInt64) {
        entries.withLock { $0[id] = nil }
    }

    func setOwner(of id: UInt64, tenant: TenantID?, cacheName: [UInt8]) {
        entries.withLock {
            $0[id]?.tenant = tenant
            $0[id]?.cacheName = cacheName
        }
    }

    /// Where a connection of a tenant is; nil when there is none of that number.
    func find(_ id: UInt64, of tenant: TenantID) -> NIOLoopBound<WeakSession>? {
        entries.withLock { entries in
            guard let entry = entries[id], entry.tenant == tenant else { return nil }
            return entry.home
        }
    }

    /// All connections of a tenant, by number.
    func all(of tenant: TenantID) -> [(id: UInt64, home: NIOLoopBound<WeakSession>)] {
        entries.withLock { entries in
            entries.filter { $0.value.tenant == tenant }.map { ($0.key, $0.value.home) }
        }.sorted { $0.id < $1.id }
    }

    /// How many connections a tenant has, to one cache or to all. Cost: a look at each connection.
    func count(of tenant: TenantID, cacheName: [UInt8]? = nil) -> Int {
        entries.withLock { entries in
            entries.values.count { $0.tenant == tenant && (cacheName == nil || $0.cacheName == cacheName) }
        }
    }
}

/// A session as others know it: it may be over.
final class WeakSession {
    private weak var session: RESPSession?

    init(_ session: RESPSession) {
        self.session = session
    }

    var live: RESPSession? {
        guard let session, !session.isOver else { return nil }
        return session
    }
}

extension NIOLoopBound where Value == WeakSession {
    /// Does something with a session on its own loop, later, if it still lives then.
    func send(_ body: @escaping @Sendable (RESPSession) -> Void) {
        eventLoop.execute {
            guard let session = value.live else { return }
            session.lane.beginTick()
            body(session)
        }
    }

    /// Asks a session on its own loop.
    ///
    /// - Returns: The answer; nil from one that is over.
    func ask<Answer: Sendable>(_ body: @escaping @Sendable (RESPSession) -> Answer) -> EventLoopFuture<Answer?> {
        eventLoop.submit {
            guard let session = value.live else { return nil }
            session.lane.beginTick()
            return body(session)
        }
    }
}
