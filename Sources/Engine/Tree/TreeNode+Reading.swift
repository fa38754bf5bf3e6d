// What is read from a root on, without a path where none is needed.

extension TreeNode {
    /// The entry with this prefix and key.
    @inline(__always)
    func find(prefix: UInt64, key: UnsafeRawBufferPointer) -> TreeEntry? {
        var node = self
        var level = header.pointee.level
        var count = count
        while level > 0 {
            let index = node.childIndex(prefix: prefix, key: key)
            count = node.counts[index]
            node = node.child(at: index)
            level &-= 1
        }
        let found = node.lowerBound(prefix: prefix, key: key, count: count)
        return found.isEqual ? node.entry(at: found.index) : nil
    }

    /// How many entries are below (prefix, key), and whether that one is there.
    @inline(__always)
    func rank(prefix: UInt64, key: UnsafeRawBufferPointer) -> (rank: Int, isEqual: Bool) {
        var node = self
        var level = header.pointee.level
        var count = count
        var before = 0
        while level > 0 {
            let index = node.childIndex(prefix: prefix, key: key)
            before &+= node.total(before: index)
            count = node.counts[index]
            node = node.child(at: index)
            level &-= 1
        }
        let found = node.lowerBound(prefix: prefix, key: key, count: count)
        return (before &+ found.index, found.isEqual)
    }

    /// The entry at a rank; nil if there is none.
    @inline(__always)
    func entry(rank: Int) -> TreeEntry? {
        guard rank >= 0, rank < header.pointee.total else { return nil }
        var node = self
        var rest = rank
        while !node.isLeaf { node = node.child(at: node.childIndex(position: &rest)) }
        return node.entry(at: rest)
    }

    /// Visits up to `count` entries from a rank on, in one direction, until the body says false.
    @inline(__always)
    func visit(from rank: Int, count: Int, reversed: Bool, _ body: (TreeEntry) -> Bool) {
        guard rank >= 0, rank < header.pointee.total, count > 0 else { return }
        var left = count
        var path = TreePath(from: self, position: rank)
        path.visit(reversed: reversed) { entry in
            left &-= 1
            return body(entry) && left > 0
        }
    }
}
