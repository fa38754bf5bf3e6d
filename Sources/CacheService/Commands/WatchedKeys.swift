import Engine
import Synchronization
import Tenancy

/// The keys that one connection watches: whether one of them has changed since. Belongs to its lane.
///
/// The engine tells of changes by every door, of evictions and of flushes. That a time is over it tells some while later,
/// so that is decided by the times that the items had: whoever changes one writes, and that is told.
package final class WatchedKeys {
    private let items: EngineCache
    private let observer = WatchObserver()
    /// The earliest time of a watched item.
    private var expiresAt: Timestamp?
    /// Whether there was an item under any of the keys: only then a flush changes something.
    private var holdsItems = false
    private var keys: Set<[UInt8]> = []

    private var keyBytes = 0

    /// The most keys that a connection watches, and the most that they amount to.
    package static let mostKeys = 16_384
    private static let mostKeyBytes = 1 << 20

    init(_ items: EngineCache) {
        self.items = items
    }

    deinit {
        items.stopObserving(by: observer)
    }

    /// Watches one more key; false when there are too many.
    func add(_ key: UnsafeRawBufferPointer, now: Timestamp) -> Bool {
        guard keys.count < Self.mostKeys, keyBytes + key.count <= Self.mostKeyBytes else { return false }
        guard keys.insert(Array(key)).inserted else { return true }
        keyBytes += key.count
        // Observed first, then looked at: what happens in between is told.
        guard items.observe(key, by: observer) else { return false }
        if let item = items.describe(key, now: now) {
            holdsItems = true
            if let time = item.expiresAt { expiresAt = expiresAt.map { min($0, time) } ?? time }
        }
        return true
    }

    func isUnchanged(now: Timestamp) -> Bool {
        if let expiresAt, expiresAt <= now { return false }
        return !observer.isTouched.load(ordering: .acquiring)
            && !(holdsItems && observer.isFlushed.load(ordering: .acquiring))
    }
}

private final class WatchObserver: KeyObserver {
    let isTouched = Atomic<Bool>(false)
    let isFlushed = Atomic<Bool>(false)

    func keyChanged(_ key: UnsafeRawBufferPointer, _ change: KeyChange) {
        if case .expired = change { return }
        isTouched.store(true, ordering: .releasing)
    }

    func cacheFlushed() {
        isFlushed.store(true, ordering: .releasing)
    }
}

extension ServiceLane {
    /// Watches keys that the caller may read.
    ///
    /// - Parameter watched: What is watched already.
    /// - Returns: All that is watched now.
    /// - Throws: ``MartletError/cacheNotFound``, and a refusal of too many keys.
    package func watch(
        _ arguments: Arguments, for identity: CommandIdentity, besides watched: WatchedKeys?
    ) throws(MartletError) -> WatchedKeys {
        let cache = try cache(of: identity)
        guard service.lateEngine == nil else { throw .command("ERR the cache's engine offers no transactions") }
        let watched = watched ?? WatchedKeys(cache.shared.items)
        for index in 1..<arguments.count {
            guard watched.add(arguments[index], now: now) else {
                throw .command("ERR too many watched keys: at most \(WatchedKeys.mostKeys)")
            }
        }
        return watched
    }
}
