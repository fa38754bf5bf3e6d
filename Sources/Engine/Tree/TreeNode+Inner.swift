// Inner pages: three parallel arrays after the header, so that a search reads prefixes only and a count counts only.

extension TreeNode {
    /// Children that an inner page has room for.
    static let fanout = (PageSource.pageBytes - headerBytes) / 24

    @inline(__always)
    var prefixes: UnsafeMutablePointer<UInt64> {
        (base + Self.headerBytes).assumingMemoryBound(to: UInt64.self)
    }
    @inline(__always)
    var counts: UnsafeMutablePointer<Int> {
        (base + Self.headerBytes + Self.fanout * 8).assumingMemoryBound(to: Int.self)
    }
    @inline(__always)
    var children: UnsafeMutablePointer<UInt> {
        (base + Self.headerBytes + Self.fanout * 16).assumingMemoryBound(to: UInt.self)
    }
    /// Children of a page are never 0.
    @inline(__always)
    func child(at index: Int) -> TreeNode {
        TreeNode(UnsafeMutableRawPointer(bitPattern: children[index]).unsafelyUnwrapped)
    }

    // MARK: Search

    /// The child in which an entry belongs: the last whose first entry is not above it.
    @inline(__always)
    func childIndex(prefix: UInt64, key: UnsafeRawBufferPointer) -> Int {
        let prefixes = prefixes
        // The first child's lower bound does not matter: what is below it belongs there too.
        var low = 1
        var high = count
        while low < high {
            let middle = (low &+ high) &>> 1
            let found = prefixes[middle]
            if found < prefix || (found == prefix && !isBefore(key, child(at: middle).firstEntry.key)) {
                low = middle &+ 1
            } else {
                high = middle
            }
        }
        return low &- 1
    }

    /// The child that has the entry at a position, and the position in it. The position behind the last entry is in
    /// the last child.
    @inline(__always)
    func childIndex(position: inout Int) -> Int {
        let counts = counts
        let last = count &- 1
        let beforeLast = header.pointee.total &- counts[last]
        if position >= beforeLast {
            position &-= beforeLast
            return last
        }
        var index = 0
        while index &+ 8 <= last {
            let group = counts + index
            let left = (group[0] &+ group[1]) &+ (group[2] &+ group[3])
            let right = (group[4] &+ group[5]) &+ (group[6] &+ group[7])
            guard position >= left &+ right else { break }
            position &-= left &+ right
            index &+= 8
        }
        while index < last, position >= counts[index] {
            position &-= counts[index]
            index &+= 1
        }
        return index
    }

    /// Entries below the children before `index`.
    @inline(__always)
    func total(before index: Int) -> Int {
        let counts = counts
        var sum = 0
        for before in 0..<index { sum &+= counts[before] }
        return sum
    }

    // MARK: Change

    /// Writes down again what this page knows of a child.
    @inline(__always)
    func refresh(_ index: Int, _ child: TreeNode) {
        prefixes[index] = child.firstPrefix
        counts[index] = child.header.pointee.total
        children[index] = child.address
    }

    /// Makes room for `length` children at `index`, moving the arrays' tails up; or, if negative, closes such a gap.
    private func shift(at index: Int, by length: Int) {
        let tail = count - index
        prefixes.advanced(by: index + length).update(from: prefixes + index, count: tail)
        counts.advanced(by: index + length).update(from: counts + index, count: tail)
        children.advanced(by: index + length).update(from: children + index, count: tail)
        header.pointee.count = UInt16(count + length)
    }

    /// Takes over a child. Its entries and bytes are not added to this page's sums.
    func insertChild(_ child: TreeNode, at index: Int) {
        shift(at: index, by: 1)
        refresh(index, child)
    }

    /// Forgets children. Their entries and bytes stay in this page's sums.
    func removeChildren(_ range: Range<Int>) {
        shift(at: range.upperBound, by: -range.count)
    }

    /// Moves children from here to another page, sums included.
    func moveChildren(_ range: Range<Int>, to other: TreeNode, at index: Int) {
        guard !range.isEmpty else { return }
        other.shift(at: index, by: range.count)
        (other.prefixes + index).update(from: prefixes + range.lowerBound, count: range.count)
        (other.counts + index).update(from: counts + range.lowerBound, count: range.count)
        (other.children + index).update(from: children + range.lowerBound, count: range.count)
        var total = 0
        var bytes = 0
        for moved in range {
            total += counts[moved]
            bytes += child(at: moved).header.pointee.heldBytes
        }
        other.header.pointee.total += total
        other.header.pointee.heldBytes += bytes
        header.pointee.total -= total
        header.pointee.heldBytes -= bytes
        removeChildren(range)
    }
}
