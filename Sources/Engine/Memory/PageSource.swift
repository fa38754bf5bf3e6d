import Synchronization

/// Gives and takes memory in the name of one cache, which is charged for it at once and to the byte: the books of the
/// cache. What is charged to a cache is charged to its group and to the process in the same step. Any thread.
///
/// It may outlive its cache: a reader's snapshot of a collection holds it until it gives its pages back.
final class PageSource: Sendable {
    static let pageBytes = BlockPool.pageBytes

    let core: EngineCore
    /// Whose books are charged too.
    let group: EngineGroup?
    /// Everything charged to the cache.
    let bytes = Atomic<Int>(0)
    /// That part of it which a flush or a removal left to be freed.
    let detachedBytes = Atomic<Int>(0)

    init(core: EngineCore, group: EngineGroup? = nil) {
        self.core = core
        self.group = group
    }

    /// What ``allocate(byteCount:)`` charges for that size: 1 KiB, 2 KiB, or whole pages.
    @inline(__always)
    static func charge(byteCount: Int) -> Int { BlockPool.charge(byteCount) }

    /// Uninitialised memory, aligned to at least 1 KiB. Cost: a lock and a few loads.
    func allocate(byteCount: Int) -> UnsafeMutableRawPointer {
        charge(BlockPool.charge(byteCount))
        return core.pool.allocate(byteCount, budget: core.poolBudget)
    }

    func deallocate(_ memory: UnsafeMutableRawPointer, byteCount: Int) {
        core.pool.deallocate(memory, byteCount)
        charge(-BlockPool.charge(byteCount))
    }

    /// Changes the books without asking: ceilings are kept by making room before and after, not by refusing in between.
    func charge(_ difference: Int) {
        guard difference != 0 else { return }
        bytes.wrappingAdd(difference, ordering: .relaxed)
        group?.charge(difference)
        core.accounted.wrappingAdd(difference, ordering: .relaxed)
    }

    /// Charges what no eviction gives back: a part of ``EngineCache/leastBytes``.
    func chargeFixed(_ difference: Int) {
        guard difference != 0 else { return }
        group?.lines.charges.pointee.leastBytes.wrappingAdd(difference, ordering: .relaxed)
        charge(difference)
    }

    /// Books what a flush or a removal left as such; negative: what was freed of it.
    func addDetached(_ difference: Int) {
        guard difference != 0 else { return }
        detachedBytes.wrappingAdd(difference, ordering: .relaxed)
        group?.lines.charges.pointee.detachedBytes.wrappingAdd(difference, ordering: .relaxed)
    }

    /// Takes over a tree that nobody reads any more, to be freed a bounded piece at a time in the background.
    func bury(_ tree: TreeHandle) {
        guard tree != TreeHandle() else { return }
        addDetached(tree.bytes)
        core.graveyard.withLock { $0.append(.tree(BuriedTree(handle: tree, bytes: tree.bytes, source: self))) }
    }

    /// Takes over a snapshot of a tree. Its pages are booked with the tree that they came from as long as that lives.
    func burySnapshot(_ tree: TreeHandle) {
        core.graveyard.withLock { $0.append(.tree(BuriedTree(handle: tree, bytes: 0, source: self))) }
    }

    // MARK: Memory that is too small for a block

    /// Memory for tables below ``smallest``: from the C allocator, charged with what that takes. Larger ones are blocks.
    func allocateTable(byteCount: Int) -> UnsafeMutableRawPointer {
        guard byteCount < Self.smallestBlock else { return allocate(byteCount: byteCount) }
        charge(Self.tableCharge(byteCount))
        return .allocate(byteCount: byteCount, alignment: 16)
    }

    func deallocateTable(_ memory: UnsafeMutableRawPointer, byteCount: Int) {
        guard byteCount < Self.smallestBlock else { return deallocate(memory, byteCount: byteCount) }
        memory.deallocate()
        charge(-Self.tableCharge(byteCount))
    }

    /// Moves the first `kept` elements of a table to one of another capacity. A capacity of 0 is no table.
    func resizeTable<Element: BitwiseCopyable>(
        _ table: inout UnsafeMutablePointer<Element>?, kept: Int, from capacity: Int, to newCapacity: Int
    ) {
        let stride = MemoryLayout<Element>.stride
        var larger: UnsafeMutablePointer<Element>?
        if newCapacity > 0 {
            larger = allocateTable(byteCount: newCapacity * stride)
                .bindMemory(to: Element.self, capacity: newCapacity)
        }
        if let table {
            larger?.initialize(from: table, count: min(kept, newCapacity))
            deallocateTable(UnsafeMutableRawPointer(table), byteCount: capacity * stride)
        }
        table = larger
    }

    /// What a table of that size is charged.
    static func tableCharge(_ byteCount: Int) -> Int {
        byteCount == 0
            ? 0 : byteCount < smallestBlock ? max(32, (byteCount + 8 + 15) & ~15) : charge(byteCount: byteCount)
    }

    private static let smallestBlock = 1024
}

/// A tree on its way back to the pool.
struct BuriedTree: Sendable {
    var handle: TreeHandle
    /// What is left of it in the cache's detached bytes.
    var bytes: Int
    let source: PageSource
}
