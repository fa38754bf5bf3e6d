/// The part of the three trees that does not depend on their order: places are given as paths.
///
/// Whoever holds the lock of the handle is the only one who mutates; pages shared with snapshots are copied before they
/// are changed. Bytes passed in must not lie in the tree itself.
struct TreeCore: ~Copyable {
    var root: TreeNode?
    let order: TreeOrder
    let source: PageSource

    init(_ handle: TreeHandle, order: TreeOrder, source: PageSource) {
        root = TreeNode(address: handle.root)
        self.order = order
        self.source = source
    }

    @inline(__always)
    var handle: TreeHandle {
        guard let root else { return TreeHandle() }
        return TreeHandle(
            root: root.address, count: root.header.pointee.total, bytes: root.header.pointee.heldBytes)
    }

    @inline(__always)
    var count: Int { root?.header.pointee.total ?? 0 }

    func snapshot() -> TreeSnapshot {
        root?.retain()
        return TreeSnapshot(handle, order: order, source: source)
    }

    // MARK: Unsharing

    /// Copies what is shared of the pages on a way, so that all of them may be changed.
    @inline(__always)
    mutating func claim(_ path: inout TreePath) {
        for depth in 0...path.leafDepth where path.node(at: depth).isShared {
            let copy = unshare(path.node(at: depth))
            path.replaceNode(at: depth, by: copy)
            if depth == 0 { root = copy } else { link(copy, in: path, at: depth) }
        }
    }

    @inline(__always)
    func link(_ node: TreeNode, in path: TreePath, at depth: Int) {
        path.node(at: depth - 1).children[path.index(at: depth - 1)] = node.address
    }

    /// Exchanges a reference to a shared page for a copy of it.
    @inline(never)
    private func unshare(_ node: TreeNode) -> TreeNode {
        let copy = node.copy(source: source)
        if node.release() {
            // The others have let go meanwhile. What the page refers to is the copy's now, except for the second
            // reference that the copy has just taken.
            if node.isLeaf {
                for index in 0..<node.count { node.outside(at: index)?.release(source: source) }
            } else {
                for index in 0..<node.count { _ = node.child(at: index).release() }
            }
            source.deallocate(node.base, byteCount: node.capacity)
        }
        return copy
    }

    /// The child at `index` of a page that may be changed, unshared.
    func claimChild(of parent: TreeNode, at index: Int) -> TreeNode {
        let child = parent.child(at: index)
        guard child.isShared else { return child }
        let copy = unshare(child)
        parent.children[index] = copy.address
        return copy
    }

    /// Frees a page that refers to nothing any more, or whose references have been moved away.
    func free(_ node: TreeNode) { source.deallocate(node.base, byteCount: node.capacity) }

    // MARK: Replacement

    /// Puts another key and value of the same prefix in the place of an entry. False: the page has no room, and the
    /// caller removes the entry and inserts it anew.
    mutating func replace(_ entry: TreeEntry, at path: inout TreePath) -> Bool {
        claim(&path)
        var bytes = TreeNode.inlineBytes(keyCount: entry.key.count, valueCount: entry.value.count, order: order)
        var outside: OutsideEntry?
        if bytes > TreeNode.inlineLimit {
            bytes = 8
            outside = OutsideEntry(entry, source: source)
        }
        let leaf = path.leaf
        let held = leaf.header.pointee.heldBytes
        guard leaf.replace(at: path.leafIndex, with: entry, outside: outside, bytes: bytes, source: source) else {
            outside?.release(source: source)
            return false
        }
        let delta = leaf.header.pointee.heldBytes - held
        if delta != 0 || leaf.isSparse {
            mendUp(path, entries: 0, bytes: delta)
            shrinkRoot()
        }
        return true
    }
}
