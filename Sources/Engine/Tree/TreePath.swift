/// A way from the root to a place in a leaf: the pages and the index taken in each. The place may be one behind the
/// leaf's last entry.
struct TreePath {
    /// Pages above a leaf hold at least a quarter of 169 children, but for those at the ends: 42^11 entries.
    static let maximumDepth = 12

    private var nodes: InlineArray<12, UInt> = .init(repeating: 0)
    private var indices: InlineArray<12, Int> = .init(repeating: 0)
    /// The index of the leaf: 0 if the root is one.
    private(set) var leafDepth = 0

    /// The way to a position, `position <= total`.
    @inline(__always)
    init(from root: TreeNode, position: Int) {
        var node = root
        var rest = position
        var depth = 0
        while !node.isLeaf {
            nodes[depth] = node.address
            let index = node.childIndex(position: &rest)
            indices[depth] = index
            node = node.child(at: index)
            depth &+= 1
        }
        nodes[depth] = node.address
        indices[depth] = rest
        leafDepth = depth
    }

    /// The way to the first entry that is not below (prefix, key), and whether it is equal.
    @inline(__always)
    init(from root: TreeNode, prefix: UInt64, key: UnsafeRawBufferPointer, isEqual: inout Bool) {
        var node = root
        var depth = 0
        var level = Int(root.header.pointee.level)
        var count = root.count
        while level > 0 {
            nodes[depth] = node.address
            let index = node.childIndex(prefix: prefix, key: key)
            indices[depth] = index
            count = node.counts[index]
            node = node.child(at: index)
            depth &+= 1
            level &-= 1
        }
        nodes[depth] = node.address
        let found = node.lowerBound(prefix: prefix, key: key, count: count)
        indices[depth] = found.index
        leafDepth = depth
        isEqual = found.isEqual
    }

    @inline(__always)
    func node(at depth: Int) -> TreeNode {
        // Depths up to the leaf's are filled, and no page lies at 0.
        TreeNode(UnsafeMutableRawPointer(bitPattern: nodes[depth]).unsafelyUnwrapped)
    }
    @inline(__always)
    func index(at depth: Int) -> Int { indices[depth] }
    @inline(__always)
    mutating func replaceNode(at depth: Int, by node: TreeNode) { nodes[depth] = node.address }

    mutating func replaceIndex(at depth: Int, by index: Int) { indices[depth] = index }

    @inline(__always)
    var leaf: TreeNode { node(at: leafDepth) }
    @inline(__always)
    var leafIndex: Int { indices[leafDepth] }

    /// The entry there; only if the place is not behind the leaf's last.
    @inline(__always)
    var entry: TreeEntry { leaf.entry(at: leafIndex) }

    /// Whether the page at a depth is the last, or the first, of its level.
    func isLast(at depth: Int) -> Bool {
        for above in 0..<depth where indices[above] != node(at: above).count - 1 { return false }
        return true
    }
    func isFirst(at depth: Int) -> Bool {
        for above in 0..<depth where indices[above] != 0 { return false }
        return true
    }

    /// Entries before this place.
    var rank: Int {
        var sum = leafIndex
        for depth in 0..<leafDepth { sum += node(at: depth).total(before: indices[depth]) }
        return sum
    }

    /// Moves to the next leaf's first entry. False: this was the last leaf.
    mutating func advanceToNextLeaf() -> Bool {
        var depth = leafDepth
        while depth > 0 {
            depth -= 1
            guard indices[depth] + 1 < node(at: depth).count else { continue }
            indices[depth] += 1
            while depth < leafDepth {
                nodes[depth + 1] = node(at: depth).child(at: indices[depth]).address
                depth += 1
                indices[depth] = 0
            }
            return true
        }
        return false
    }

    /// Moves to the previous leaf's last entry. False: this was the first leaf.
    mutating func retreatToPreviousLeaf() -> Bool {
        var depth = leafDepth
        while depth > 0 {
            depth -= 1
            guard indices[depth] > 0 else { continue }
            indices[depth] -= 1
            while depth < leafDepth {
                let child = node(at: depth).child(at: indices[depth])
                nodes[depth + 1] = child.address
                depth += 1
                indices[depth] = child.count - 1
            }
            return true
        }
        return false
    }

    /// Moves from behind a leaf's last entry to the first of the next leaf. False: there is no entry any more.
    @inline(__always)
    mutating func settle() -> Bool {
        leafIndex < leaf.count || advanceToNextLeaf()
    }

    /// Visits the entries from here on in one direction until the body says false or all are visited.
    @inline(__always)
    mutating func visit(reversed: Bool, _ body: (TreeEntry) -> Bool) {
        if reversed {
            repeat {
                let leaf = leaf
                var index = leafIndex
                while index >= 0 {
                    guard body(leaf.entry(at: index)) else { return }
                    index &-= 1
                }
            } while retreatToPreviousLeaf()
        } else {
            guard settle() else { return }
            repeat {
                let leaf = leaf
                var index = leafIndex
                let count = leaf.count
                while index < count {
                    guard body(leaf.entry(at: index)) else { return }
                    index &+= 1
                }
            } while advanceToNextLeaf()
        }
    }
}
