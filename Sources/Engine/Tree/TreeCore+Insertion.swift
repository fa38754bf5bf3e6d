extension TreeCore {
    /// Adds an entry to an empty tree.
    mutating func insertFirst(_ entry: TreeEntry) {
        let bytes = TreeNode.inlineBytes(keyCount: entry.key.count, valueCount: entry.value.count, order: order)
        let needed = TreeNode.headerBytes + order.stride + min(bytes, TreeNode.inlineLimit)
        root = TreeNode.make(level: 0, order: order, capacity: needed <= 512 ? 1024 : 2048, source: source)
        guard let root else { return }
        var path = TreePath(from: root, position: 0)
        insert(entry, at: &path)
    }

    /// Adds an entry at a place.
    @inline(__always)
    mutating func insert(_ entry: TreeEntry, at path: inout TreePath) {
        claim(&path)
        var bytes = TreeNode.inlineBytes(keyCount: entry.key.count, valueCount: entry.value.count, order: order)
        var outside: OutsideEntry?
        if bytes > TreeNode.inlineLimit {
            bytes = 8
            outside = OutsideEntry(entry, source: source)
        }
        let leaf = path.leaf
        guard leaf.fits(bytes) else {
            return insertIntoFull(entry, outside: outside, bytes: bytes, at: &path)
        }
        leaf.insert(entry, outside: outside, bytes: bytes, at: path.leafIndex)
        let delta = outside?.charge ?? 0
        // Only if the entry became the first of its leaf do separators change.
        var changesPrefix = path.leafIndex == 0
        var depth = path.leafDepth
        while depth > 0 {
            depth &-= 1
            let parent = path.node(at: depth)
            let index = path.index(at: depth)
            parent.counts[index] &+= 1
            if changesPrefix {
                parent.prefixes[index] = entry.prefix
                changesPrefix = index == 0
            }
            parent.header.pointee.total &+= 1
            parent.header.pointee.heldBytes &+= delta
        }
    }

    @inline(never)
    private mutating func insertIntoFull(
        _ entry: TreeEntry, outside: OutsideEntry?, bytes: Int, at path: inout TreePath
    ) {
        let depth = path.leafDepth
        while path.leaf.capacity < PageSource.pageBytes, !path.leaf.fits(bytes) { grow(&path) }
        let isAtStart = path.leafIndex == 0 && path.isFirst(at: depth)
        let isAtEnd = path.leafIndex == path.leaf.count && path.isLast(at: depth)
        if !isAtStart, !isAtEnd { shareWithNeighbour(&path) }
        let leaf = path.leaf
        let index = path.leafIndex
        let held = leaf.header.pointee.heldBytes
        var sibling: TreeNode?
        var isBefore = false
        if leaf.fits(bytes) {
            leaf.insert(entry, outside: outside, bytes: bytes, at: index)
        } else {
            let other = TreeNode.make(level: 0, order: order, capacity: PageSource.pageBytes, source: source)
            sibling = other
            if isAtEnd {
                other.insert(entry, outside: outside, bytes: bytes, at: 0)
            } else if isAtStart {
                isBefore = true
                other.insert(entry, outside: outside, bytes: bytes, at: 0)
            } else {
                let (middle, goesLeft) = splitIndex(of: leaf, adding: bytes, at: index)
                leaf.moveEntries(middle..<leaf.count, to: other, at: 0)
                if goesLeft {
                    leaf.insert(entry, outside: outside, bytes: bytes, at: index)
                } else {
                    other.insert(entry, outside: outside, bytes: bytes, at: index - middle)
                }
            }
        }
        let heldNow = leaf.header.pointee.heldBytes + (sibling?.header.pointee.heldBytes ?? 0)
        link(sibling, before: isBefore, upFrom: path, delta: heldNow - held)
    }

    /// Lets a neighbour with room take a part of a full leaf, which is cheaper than a page more: leaves filled in
    /// random order are four fifths full instead of two thirds. The way then leads to the same place as before.
    private func shareWithNeighbour(_ path: inout TreePath) {
        let depth = path.leafDepth
        guard depth > 0 else { return }
        let parent = path.node(at: depth - 1)
        let index = path.index(at: depth - 1)
        let mostUsed = path.leaf.room / 8 * 7
        let first: Int
        if index + 1 < parent.count, canShare(parent.child(at: index + 1), mostUsed) {
            first = index
        } else if index > 0, canShare(parent.child(at: index - 1), mostUsed) {
            first = index - 1
        } else {
            return
        }
        let (left, right) = (parent.child(at: first), parent.child(at: first + 1))
        let position = path.leafIndex + (first == index ? 0 : left.count)
        evenLeaves(left, right)
        parent.refresh(first, left)
        parent.refresh(first + 1, right)
        let goesLeft = position < left.count || (position == left.count && left.usedBytes < right.usedBytes)
        path.replaceIndex(at: depth - 1, by: goesLeft ? first : first + 1)
        path.replaceNode(at: depth, by: goesLeft ? left : right)
        path.replaceIndex(at: depth, by: goesLeft ? position : position - left.count)
    }

    private func canShare(_ neighbour: TreeNode, _ mostUsed: Int) -> Bool {
        neighbour.usedBytes <= mostUsed && !neighbour.isShared
    }

    /// Puts a page of twice the size in the place of a leaf that is smaller than the usual.
    private mutating func grow(_ path: inout TreePath) {
        let leaf = path.leaf
        let larger = TreeNode.make(level: 0, order: order, capacity: leaf.capacity * 2, source: source)
        leaf.moveEntries(0..<leaf.count, to: larger, at: 0)
        let delta = PageSource.charge(byteCount: larger.capacity) - PageSource.charge(byteCount: leaf.capacity)
        free(leaf)
        let depth = path.leafDepth
        path.replaceNode(at: depth, by: larger)
        for above in 0..<depth { path.node(at: above).header.pointee.heldBytes += delta }
        if depth == 0 { root = larger } else { link(larger, in: path, at: depth) }
    }

    /// How many entries stay in a leaf that is split in two halves of bytes, and whether the new entry, which is
    /// counted at its place, comes to them.
    private func splitIndex(of leaf: TreeNode, adding bytes: Int, at index: Int) -> (Int, goesLeft: Bool) {
        let stride = order.stride
        let half = (leaf.usedBytes + bytes + stride) / 2
        var sum = 0
        for position in 0..<leaf.count {
            if position == index {
                sum += bytes + stride
                if sum - (bytes + stride) / 2 > half { return (position, false) }
            }
            let size = leaf.entryBytes(at: position) + stride
            sum += size
            if sum - size / 2 > half { return (position, index <= position) }
        }
        return (leaf.count, false)
    }

    /// Goes up a way whose leaf got one more entry, and perhaps a sibling, and writes that down in each page.
    private mutating func link(
        _ newSibling: TreeNode?, before isBefore: Bool, upFrom path: TreePath, delta: Int
    ) {
        var sibling = newSibling
        var isBefore = isBefore
        var delta = delta
        var depth = path.leafDepth
        while depth > 0 {
            depth -= 1
            let parent = path.node(at: depth)
            let index = path.index(at: depth)
            parent.refresh(index, path.node(at: depth + 1))
            parent.header.pointee.total += 1
            parent.header.pointee.heldBytes += delta
            guard let added = sibling else { continue }
            let place = isBefore ? index : index + 1
            if parent.count < TreeNode.fanout {
                parent.insertChild(added, at: place)
                sibling = nil
            } else {
                (sibling, isBefore) = split(parent, adding: added, at: place, path: path, depth: depth)
                delta += PageSource.pageBytes
            }
        }
        if let sibling { addRoot(path.node(at: 0), sibling, isBefore: isBefore) }
    }

    /// Splits a full inner page, whose sums have the new child already, and adds the child.
    private func split(
        _ parent: TreeNode, adding child: TreeNode, at place: Int, path: TreePath, depth: Int
    ) -> (TreeNode, isBefore: Bool) {
        let level = Int(parent.header.pointee.level)
        let other = TreeNode.make(level: level, order: order, capacity: PageSource.pageBytes, source: source)
        let (childTotal, childBytes) = (child.header.pointee.total, child.header.pointee.heldBytes)
        parent.header.pointee.total -= childTotal
        parent.header.pointee.heldBytes -= childBytes
        var target = other
        var index = 0
        var isBefore = false
        if place == 0, path.isFirst(at: depth) {
            isBefore = true
        } else if place < parent.count || !path.isLast(at: depth) {
            let middle = parent.count / 2
            parent.moveChildren(middle..<parent.count, to: other, at: 0)
            if place <= middle { target = parent }
            index = place <= middle ? place : place - middle
        }
        target.insertChild(child, at: index)
        target.header.pointee.total += childTotal
        target.header.pointee.heldBytes += childBytes
        return (other, isBefore)
    }

    private mutating func addRoot(_ old: TreeNode, _ sibling: TreeNode, isBefore: Bool) {
        let level = Int(old.header.pointee.level) + 1
        let top = TreeNode.make(level: level, order: order, capacity: PageSource.pageBytes, source: source)
        top.insertChild(old, at: 0)
        top.insertChild(sibling, at: isBefore ? 0 : 1)
        for child in [old, sibling] {
            top.header.pointee.total += child.header.pointee.total
            top.header.pointee.heldBytes += child.header.pointee.heldBytes
        }
        root = top
    }
}
