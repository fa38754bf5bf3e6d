import Synchronization
import Tenancy

// A group: the caches of one tenant, and what they may hold together.
//
//     EngineCore, books of the process ---- ceiling of the process
//         |
//     EngineGroup, books of the group ----- maxBytes, maxItems, reservedBytes of the tenant
//         |
//     EngineCache, books of the cache ----- maxBytes, maxItems, reservedBytes of the cache
//
// What is charged to a cache is charged to its group and to the process in the same step. So a group's figures are the sums
// over its caches whenever no operation is under way, and nobody adds up to learn them.
//
// A group at its ceiling makes room among its own caches (EngineGroup+Room.swift) and never touches another's. What is
// reserved for a group is a second floor below its caches: while the process is full, they give to others only what they
// hold together above it.

/// The caches of one tenant. Any thread may call any method.
package final class EngineGroup: Sendable {
    let lines = GroupLines()
    let members = Guarded(Members())
    let pressure = Guarded(Pressure())

    struct Members {
        var caches: [EngineCache] = []
        var positions: [ObjectIdentifier: Int] = [:]
        var isClosed = false
    }

    /// Only the engine makes groups.
    init(limits: EngineCacheLimits) {
        setLimits(limits)
    }

    deinit {
        lines.deallocate()
    }

    /// Changes the limits. One below what the caches hold stops their growth at once; later ticks bring them down.
    /// Cost: a lock and a few stores.
    package func setLimits(_ limits: EngineCacheLimits) {
        // Under the lock, because a tick lowers the ceilings too.
        pressure.withLock { _ in
            let maxBytes = limits.maxBytes ?? .max
            let maxItems = limits.maxItems ?? .max
            lines.ceilings.pointee.maxBytes.store(maxBytes, ordering: .relaxed)
            lines.ceilings.pointee.maxItems.store(maxItems, ordering: .relaxed)
            lines.ceilings.pointee.reservedBytes.store(
                EngineCacheLimits.reservation(limits.reservedBytes), ordering: .relaxed)
            lines.ceilings.pointee.byteCeiling.store(max(maxBytes, liveBytes), ordering: .relaxed)
            lines.ceilings.pointee.itemCeiling.store(max(maxItems, itemCount), ordering: .relaxed)
        }
    }

    /// The figures of all caches of the group together. Cost: three loads.
    package var statistics: EngineGroupStatistics {
        EngineGroupStatistics(
            items: itemCount, bytes: lines.charges.pointee.bytes.load(ordering: .relaxed),
            bytesBeingFreed: lines.charges.pointee.detachedBytes.load(ordering: .relaxed))
    }

    /// How many caches were looked at so far to find the one that gives: what making room costs beside evicting.
    package var looks: Int { pressure.withLock { $0.looks } }

    // MARK: Books

    @inline(__always)
    func charge(_ difference: Int) {
        lines.charges.pointee.bytes.wrappingAdd(difference, ordering: .relaxed)
    }

    /// What counts against the group's limit.
    @inline(__always)
    var liveBytes: Int {
        lines.charges.pointee.bytes.load(ordering: .relaxed)
            - lines.charges.pointee.detachedBytes.load(ordering: .relaxed)
    }

    /// What the caches are charged when every item is evicted.
    @inline(__always)
    var leastBytes: Int { lines.charges.pointee.leastBytes.load(ordering: .relaxed) }

    @inline(__always)
    var itemCount: Int { lines.items.pointee.count.load(ordering: .relaxed) }

    @inline(__always)
    func addItems(_ count: Int) {
        lines.items.pointee.count.wrappingAdd(count, ordering: .relaxed)
    }

    var maxBytes: Int { lines.ceilings.pointee.maxBytes.load(ordering: .relaxed) }
    var maxItems: Int { lines.ceilings.pointee.maxItems.load(ordering: .relaxed) }
    var reservedBytes: Int { lines.ceilings.pointee.reservedBytes.load(ordering: .relaxed) }

    /// What writes are held to: the limit, or, after it was lowered, what the caches hold until ticks have brought it down.
    @inline(__always)
    var byteCeiling: Int { lines.ceilings.pointee.byteCeiling.load(ordering: .relaxed) }
    @inline(__always)
    var itemCeiling: Int { lines.ceilings.pointee.itemCeiling.load(ordering: .relaxed) }

    /// Whether what cannot be evicted should not be added any more.
    var isAlmostFull: Bool {
        let most = byteCeiling
        return most != .max && liveBytes >= most - most / 16
    }

    // MARK: Members

    /// - Returns: false when the group is closed.
    func add(_ cache: EngineCache) -> Bool {
        members.withLock { members in
            guard !members.isClosed else { return false }
            members.positions[ObjectIdentifier(cache)] = members.caches.count
            members.caches.append(cache)
            return true
        }
    }

    func remove(_ cache: EngineCache) {
        members.withLock { members in
            guard let position = members.positions.removeValue(forKey: ObjectIdentifier(cache)) else { return }
            // The last takes the place of the one that goes.
            let last = members.caches.removeLast()
            if last !== cache {
                members.caches[position] = last
                members.positions[ObjectIdentifier(last)] = position
            }
        }
        pressure.withLock { $0.forget(cache) }
    }

    /// Lets no cache in any more.
    /// - Returns: those that are there.
    func end() -> [EngineCache] {
        members.withLock { members in
            members.isClosed = true
            return members.caches
        }
    }
}

/// The words of a group that operations touch, on cache lines of their own: what every new item writes, what every new
/// segment writes, and what is only read do not share one, nor with anything else.
// The words are atomics, and the group frees the memory when nobody holds it any more.
struct GroupLines: @unchecked Sendable {
    struct Charges: ~Copyable {
        let bytes = Atomic<Int>(0)
        /// That part of it which a flush or a removal left to be freed.
        let detachedBytes = Atomic<Int>(0)
        let leastBytes = Atomic<Int>(0)
        /// The sum of what is reserved for the caches.
        let reservedByCaches = Atomic<Int>(0)
    }

    struct Items: ~Copyable {
        let count = Atomic<Int>(0)
    }

    struct Ceilings: ~Copyable {
        let maxBytes = Atomic<Int>(.max)
        let maxItems = Atomic<Int>(.max)
        let reservedBytes = Atomic<Int>(0)
        let byteCeiling = Atomic<Int>(.max)
        let itemCeiling = Atomic<Int>(.max)
    }

    private static let lineBytes = 64
    private let start: UnsafeMutableRawPointer

    init() {
        start = .allocate(byteCount: 3 * Self.lineBytes, alignment: Self.lineBytes)
        start.bindMemory(to: Charges.self, capacity: 1).initialize(to: Charges())
        (start + Self.lineBytes).bindMemory(to: Items.self, capacity: 1).initialize(to: Items())
        (start + 2 * Self.lineBytes).bindMemory(to: Ceilings.self, capacity: 1).initialize(to: Ceilings())
    }

    func deallocate() {
        charges.deinitialize(count: 1)
        items.deinitialize(count: 1)
        ceilings.deinitialize(count: 1)
        start.deallocate()
    }

    @inline(__always)
    var charges: UnsafeMutablePointer<Charges> { start.assumingMemoryBound(to: Charges.self) }
    @inline(__always)
    var items: UnsafeMutablePointer<Items> { (start + Self.lineBytes).assumingMemoryBound(to: Items.self) }
    @inline(__always)
    var ceilings: UnsafeMutablePointer<Ceilings> {
        (start + 2 * Self.lineBytes).assumingMemoryBound(to: Ceilings.self)
    }
}
