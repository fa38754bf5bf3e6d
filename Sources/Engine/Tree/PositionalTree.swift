/// Elements by position: a list. See TreeHandle.swift; as to its use, `HashedTree`.
struct PositionalTree: ~Copyable, PositionalReading {
    private var core: TreeCore

    init(_ handle: TreeHandle, source: PageSource) {
        core = TreeCore(handle, order: .positional, source: source)
    }

    /// What names the tree now.
    @inline(__always)
    var handle: TreeHandle { core.handle }
    @inline(__always)
    var root: TreeNode? { core.root }

    /// The list as it is now, for readers without the lock. O(1).
    func snapshot() -> PositionalSnapshot { PositionalSnapshot(snapshot: core.snapshot()) }

    /// Puts an element before the one at a position; `0 <= position <= count`, others are moved into these bounds.
    /// O(log n).
    mutating func insert(_ bytes: UnsafeRawBufferPointer, at position: Int) {
        guard let root = core.root else { return core.insertFirst(Self.entry(bytes)) }
        var path = TreePath(from: root, position: min(max(position, 0), count))
        core.insert(Self.entry(bytes), at: &path)
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) { insert(bytes, at: count) }

    /// Removes the element at a position; nothing if there is none. O(log n).
    mutating func remove(at position: Int) {
        guard let root = core.root, position >= 0, position < count else { return }
        var path = TreePath(from: root, position: position)
        core.remove(at: &path)
    }

    /// Puts another element in the place of the one at a position; nothing if there is none. O(log n).
    mutating func replace(at position: Int, with bytes: UnsafeRawBufferPointer) {
        guard let root = core.root, position >= 0, position < count else { return }
        var path = TreePath(from: root, position: position)
        if core.replace(Self.entry(bytes), at: &path) { return }
        core.remove(at: &path)
        insert(bytes, at: position)
    }

    /// Removes the elements at some positions, as far as they are there. O(log n); their pages are freed later.
    mutating func removeSubrange(_ range: Range<Int>) { core.removeSubrange(range) }

    @inline(__always)
    private static func entry(_ bytes: UnsafeRawBufferPointer) -> TreeEntry {
        TreeEntry(prefix: 0, key: bytes, value: UnsafeRawBufferPointer(start: nil, count: 0))
    }

    /// Frees a bounded part of a tree that nobody reads any more, see `TreeCore.dismantle`.
    static func dismantle(_ handle: inout TreeHandle, source: PageSource, budget: inout Int) -> Bool {
        TreeCore.dismantle(&handle, source: source, budget: &budget)
    }
}

/// A list as it was at one moment.
struct PositionalSnapshot: Sendable, PositionalReading {
    let snapshot: TreeSnapshot
    var root: TreeNode? { TreeNode(address: snapshot.handle.root) }
}

/// What can be read of a positional tree and of its snapshot.
protocol PositionalReading: ~Copyable {
    var root: TreeNode? { get }
}

extension PositionalReading where Self: ~Copyable {
    @inline(__always)
    var count: Int { root?.header.pointee.total ?? 0 }

    /// The element at a position, `0 <= position < count`. O(log n).
    func element(at position: Int) -> UnsafeRawBufferPointer {
        root?.entry(rank: position)?.key ?? UnsafeRawBufferPointer(start: nil, count: 0)
    }

    /// Visits up to `count` elements from a position on; `reversed`: position, position - 1, ... The body's false
    /// ends it.
    @inline(__always)
    func visit(from position: Int, count: Int, reversed: Bool, _ body: (UnsafeRawBufferPointer) -> Bool) {
        root?.visit(from: position, count: count, reversed: reversed) { body($0.key) }
    }
}
