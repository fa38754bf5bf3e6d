import Synchronization

/// The first bytes of a page.
struct TreeNodeHeader {
    /// Only ever accessed as `Atomic<UInt32>`, see `TreeNode.references`.
    var references: UInt32
    /// 0: leaf.
    var level: UInt8
    var order: UInt8
    /// Entries of a leaf, children of an inner page.
    var count: UInt16
    /// Leaf: offset of the lowest entry.
    var heapStart: UInt16
    /// Leaf: bytes above `heapStart` that belong to no entry any more.
    var deadBytes: UInt16
    /// Size of the page.
    var capacity: UInt16
    /// Leaf: how many entries lie outside.
    var outsideCount: UInt16
    /// Entries at and below this page.
    var total: Int
    /// Bytes charged for this page and all that can be reached from it.
    var heldBytes: Int
}

/// A page of a tree: the address and what both kinds have in common. Copying it moves no reference count.
struct TreeNode: Equatable {
    static let headerBytes = 32
    let base: UnsafeMutableRawPointer

    @inline(__always)
    init(_ base: UnsafeMutableRawPointer) { self.base = base }

    /// The page at a root's or child's address; nil for 0.
    @inline(__always)
    init?(address: UInt) {
        guard let base = UnsafeMutableRawPointer(bitPattern: address) else { return nil }
        self.base = base
    }

    @inline(__always)
    var address: UInt { UInt(bitPattern: base) }
    @inline(__always)
    var header: UnsafeMutablePointer<TreeNodeHeader> { base.assumingMemoryBound(to: TreeNodeHeader.self) }
    @inline(__always)
    var isLeaf: Bool { header.pointee.level == 0 }
    @inline(__always)
    var count: Int { Int(header.pointee.count) }
    @inline(__always)
    var order: TreeOrder { TreeOrder(rawValue: header.pointee.order).unsafelyUnwrapped }
    @inline(__always)
    var capacity: Int { Int(header.pointee.capacity) }

    static func make(level: Int, order: TreeOrder, capacity: Int, source: PageSource) -> TreeNode {
        let node = TreeNode(source.allocate(byteCount: capacity))
        node.header.initialize(
            to: TreeNodeHeader(
                references: 0, level: UInt8(level), order: order.rawValue, count: 0, heapStart: UInt16(capacity),
                deadBytes: 0, capacity: UInt16(capacity), outsideCount: 0, total: 0,
                heldBytes: PageSource.charge(byteCount: capacity)))
        node.references.initialize(to: Atomic(1))
        return node
    }

    // MARK: References

    @inline(__always)
    private var references: UnsafeMutablePointer<Atomic<UInt32>> {
        base.assumingMemoryBound(to: Atomic<UInt32>.self)
    }

    /// Whether somebody besides the one who asks refers to this page. Only meaningful for the owner of a reference
    /// whose way to it is unshared. Acquires what others did before they let go.
    @inline(__always)
    var isShared: Bool { references.pointee.load(ordering: .acquiring) != 1 }

    func retain() { references.pointee.wrappingAdd(1, ordering: .relaxed) }

    /// Gives up one reference. True: it was the last, and the caller has the page to itself.
    func release() -> Bool {
        references.pointee.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0
    }

    /// Gives up the caller's reference unless it is the only one. True: it is, and the caller keeps it.
    func releaseUnlessLast() -> Bool {
        guard isShared else { return true }
        guard release() else { return false }
        references.pointee.store(1, ordering: .relaxed)
        return true
    }

    // MARK: Both kinds

    /// The entry with the lowest position below this page, which is not empty.
    @inline(__always)
    var firstEntry: TreeEntry {
        var node = self
        while !node.isLeaf { node = node.child(at: 0) }
        return node.entry(at: 0)
    }

    /// The prefix of the first entry; 0 for lists.
    @inline(__always)
    var firstPrefix: UInt64 {
        isLeaf ? (header.pointee.order == 0 ? 0 : slotPrefix(at: 0)) : prefixes[0]
    }

    /// A copy with one reference; whatever it refers to is retained.
    func copy(source: PageSource) -> TreeNode {
        let copy = TreeNode(source.allocate(byteCount: capacity))
        // Everything but the reference count, which others may be changing.
        (copy.base + 4).copyMemory(from: base + 4, byteCount: capacity - 4)
        copy.references.initialize(to: Atomic(1))
        if isLeaf {
            retainOutside()
        } else {
            for index in 0..<count { child(at: index).retain() }
        }
        return copy
    }

    /// Bytes in use, of `room`.
    @inline(__always)
    var usedBytes: Int { isLeaf ? leafUsedBytes : count * 24 }
    @inline(__always)
    var room: Int { isLeaf ? capacity - Self.headerBytes : Self.fanout * 24 }

    /// Less than half full: to be merged if that is possible.
    var isSparse: Bool { usedBytes * 2 < room }
    /// Less than a quarter full: not to be left so, except at the ends of the tree.
    var isUnderfull: Bool { usedBytes * 4 < room }
}
