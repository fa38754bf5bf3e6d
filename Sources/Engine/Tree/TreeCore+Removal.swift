extension TreeCore {
    // MARK: One entry

    /// Removes the entry at a place.
    mutating func remove(at path: inout TreePath) {
        claim(&path)
        let leaf = path.leaf
        let held = leaf.header.pointee.heldBytes
        leaf.removeEntries(path.leafIndex..<path.leafIndex + 1, source: source)
        _ = mendUp(path, entries: -1, bytes: leaf.header.pointee.heldBytes - held)
        shrinkRoot()
    }

    /// After a leaf's change: goes up its way, which is claimed, writes the change down in each page, and mends pages
    /// that have become too thin. True: pages were mended.
    @discardableResult
    mutating func mendUp(_ path: TreePath, entries: Int, bytes: Int) -> Bool {
        var bytes = bytes
        var isChanged = false
        var depth = path.leafDepth
        while depth > 0 {
            depth -= 1
            let parent = path.node(at: depth)
            let index = path.index(at: depth)
            let child = path.node(at: depth + 1)
            parent.header.pointee.total += entries
            parent.header.pointee.heldBytes += bytes
            if child.count > 0 { parent.refresh(index, child) }
            guard child.isSparse else { continue }
            let isEnd = path.isFirst(at: depth + 1) || path.isLast(at: depth + 1)
            let before = parent.header.pointee.heldBytes
            if mend(parent, index, isEnd: isEnd) { isChanged = true }
            bytes += parent.header.pointee.heldBytes - before
        }
        return isChanged
    }

    /// Drops what need not be of the root.
    mutating func shrinkRoot() {
        while let top = root, !top.isLeaf, top.count == 1 {
            root = top.child(at: 0)
            free(top)
        }
        if let top = root, top.count == 0 {
            root = nil
            free(top)
        }
    }

    /// Removes an empty child, merges one that is less than half full if it fits into a neighbour's page, or lets it
    /// borrow if it is less than a quarter full. Both pages may be changed by the caller. Keeps the parent's sums.
    private func mend(_ parent: TreeNode, _ index: Int, isEnd: Bool) -> Bool {
        let child = parent.child(at: index)
        guard child.count > 0 else {
            parent.header.pointee.heldBytes -= PageSource.charge(byteCount: child.capacity)
            parent.removeChildren(index..<index + 1)
            free(child)
            return true
        }
        guard child.isSparse, parent.count > 1 else { return false }
        let used = child.usedBytes
        // A page that takes part in a merge has the full size: only a root leaf is smaller.
        let limit = child.room / 8 * 7
        if index + 1 < parent.count, used + parent.child(at: index + 1).usedBytes <= limit {
            merge(parent, index)
        } else if index > 0, used + parent.child(at: index - 1).usedBytes <= limit {
            merge(parent, index - 1)
        } else if child.isUnderfull, !isEnd {
            even(parent, index + 1 < parent.count ? index : index - 1)
        } else {
            return false
        }
        return true
    }

    /// Moves everything of the child after `index` into the one at `index`.
    private func merge(_ parent: TreeNode, _ index: Int) {
        let left = claimChild(of: parent, at: index)
        let right = claimChild(of: parent, at: index + 1)
        if left.isLeaf {
            right.moveEntries(0..<right.count, to: left, at: left.count)
        } else {
            right.moveChildren(0..<right.count, to: left, at: left.count)
        }
        parent.header.pointee.heldBytes -= PageSource.charge(byteCount: right.capacity)
        parent.removeChildren(index + 1..<index + 2)
        free(right)
        parent.refresh(index, left)
    }

    /// Gives the children at `index` and after it about the same number of bytes.
    private func even(_ parent: TreeNode, _ index: Int) {
        let left = claimChild(of: parent, at: index)
        let right = claimChild(of: parent, at: index + 1)
        if left.isLeaf {
            evenLeaves(left, right)
        } else {
            let half = (left.count + right.count) / 2
            if left.count < half {
                right.moveChildren(0..<half - left.count, to: left, at: left.count)
            } else {
                left.moveChildren(half..<left.count, to: right, at: 0)
            }
        }
        parent.refresh(index, left)
        parent.refresh(index + 1, right)
    }

    func evenLeaves(_ left: TreeNode, _ right: TreeNode) {
        let stride = order.stride
        let half = (left.usedBytes + right.usedBytes) / 2
        if left.usedBytes < half {
            var missing = half - left.usedBytes
            var count = 0
            while count < right.count - 1 {
                let size = right.entryBytes(at: count) + stride
                guard size / 2 < missing else { break }
                missing -= size
                count += 1
            }
            right.moveEntries(0..<count, to: left, at: left.count)
        } else {
            var missing = half - right.usedBytes
            var start = left.count
            while start > 1 {
                let size = left.entryBytes(at: start - 1) + stride
                guard size / 2 < missing else { break }
                missing -= size
                start -= 1
            }
            left.moveEntries(start..<left.count, to: right, at: 0)
        }
    }

    // MARK: Many entries

    /// Removes the entries of some positions. Whole pages between the two ends are only cut off, and buried.
    mutating func removeSubrange(_ range: Range<Int>) {
        let range = range.clamped(to: 0..<count)
        guard !range.isEmpty, var top = root else { return }
        if range.count == 1 {
            var path = TreePath(from: top, position: range.lowerBound)
            return remove(at: &path)
        }
        if range.count == count {
            source.bury(handle)
            root = nil
            return
        }
        var path = TreePath(from: top, position: range.lowerBound)
        claim(&path)
        top = path.node(at: 0)
        cut(top, range)
        repeat {
            shrinkRoot()
        } while mendSeam(at: range.lowerBound)
    }

    /// Removes a part of what is below a page that may be changed, but not all of it. Leaves the pages at the cut as
    /// thin as they get. Keeps the page's sums.
    private mutating func cut(_ node: TreeNode, _ range: Range<Int>) {
        if node.isLeaf { return node.removeEntries(range, source: source) }
        var first = range.lowerBound
        let start = node.childIndex(position: &first)
        var last = range.upperBound - 1
        let end = node.childIndex(position: &last)
        let startTotal = node.counts[start]
        if start == end, first > 0 || last + 1 < startTotal {
            return cutChild(of: node, at: start, first..<last + 1)
        }
        // The whole children between the two that are cut through.
        var whole = start..<end + 1
        if last + 1 < node.counts[end] {
            cutChild(of: node, at: end, 0..<last + 1)
            whole = start..<end
        }
        if first > 0 {
            cutChild(of: node, at: start, first..<startTotal)
            whole = start + 1..<whole.upperBound
        }
        detach(whole, of: node)
    }

    private mutating func cutChild(of node: TreeNode, at index: Int, _ range: Range<Int>) {
        let child = claimChild(of: node, at: index)
        let held = child.header.pointee.heldBytes
        cut(child, range)
        node.header.pointee.total -= range.count
        node.header.pointee.heldBytes += child.header.pointee.heldBytes - held
        node.refresh(index, child)
    }

    /// Cuts whole children off and buries them under a page of their own.
    private func detach(_ range: Range<Int>, of node: TreeNode) {
        guard !range.isEmpty else { return }
        let level = Int(node.header.pointee.level)
        let grave = TreeNode.make(level: level, order: order, capacity: PageSource.pageBytes, source: source)
        node.moveChildren(range, to: grave, at: 0)
        source.bury(
            TreeHandle(
                root: grave.address, count: grave.header.pointee.total, bytes: grave.header.pointee.heldBytes))
    }

    /// Mends the pages on both sides of a position, from the leaves up. True: something was changed, so that there may
    /// be more to mend.
    private mutating func mendSeam(at position: Int) -> Bool {
        var isChanged = false
        for place in [position - 1, position] where place >= 0 && place < count {
            guard let top = root else { return false }
            var path = TreePath(from: top, position: place)
            claim(&path)
            if mendUp(path, entries: 0, bytes: 0) { isChanged = true }
        }
        return isChanged
    }
}
