// What is wrong with a tree, for tests: order, counts, sums of bytes, filling. Walks over all of it.

private struct TreeWalk {
    let order: TreeOrder
    var violations: [String] = []
    private var lastPrefix: UInt64 = 0
    private var lastKey: [UInt8]?

    init(order: TreeOrder) { self.order = order }

    private mutating func expect(_ condition: Bool, _ message: @autoclosure () -> String) {
        if !condition { violations.append(message()) }
    }

    mutating func check(_ node: TreeNode, level: Int, isFirst: Bool, isLast: Bool, isRoot: Bool) {
        let header = node.header.pointee
        expect(Int(header.level) == level, "level \(header.level) instead of \(level)")
        expect(header.order == order.rawValue, "order \(header.order)")
        expect(header.count > 0, "empty page at level \(level)")
        expect(isRoot || isFirst || isLast || !node.isUnderfull, "page of \(node.usedBytes) bytes at level \(level)")
        var held = PageSource.charge(byteCount: node.capacity)
        var total = 0
        if node.isLeaf {
            checkEntries(of: node, held: &held)
            total = node.count
        } else {
            expect(!isRoot || node.count > 1, "root with one child")
            expect(node.count <= TreeNode.fanout, "too many children")
            for index in 0..<node.count {
                let child = node.child(at: index)
                let last = index == node.count - 1
                check(
                    child, level: level - 1, isFirst: isFirst && index == 0, isLast: isLast && last, isRoot: false)
                expect(node.counts[index] == child.header.pointee.total, "count of child \(index)")
                expect(child.count == 0 || node.prefixes[index] == child.firstPrefix, "prefix of child \(index)")
                total += child.header.pointee.total
                held += child.header.pointee.heldBytes
            }
        }
        expect(header.total == total, "total \(header.total) instead of \(total) at level \(level)")
        expect(header.heldBytes == held, "holds \(header.heldBytes) instead of \(held) at level \(level)")
    }

    private mutating func checkEntries(of node: TreeNode, held: inout Int) {
        let header = node.header.pointee
        var bytes = 0
        var outside = 0
        for index in 0..<node.count {
            let entry = node.entry(at: index)
            bytes += node.entryBytes(at: index)
            if let block = node.outside(at: index) {
                outside += 1
                held += block.charge
            }
            guard order != .positional else { continue }
            let key = Array(entry.key)
            if let lastKey {
                let isAscending =
                    lastPrefix < entry.prefix
                    || (lastPrefix == entry.prefix && lastKey.withUnsafeBytes { isBefore($0, entry.key) })
                expect(isAscending, "entries out of order")
            }
            (lastPrefix, lastKey) = (entry.prefix, key)
        }
        expect(Int(header.outsideCount) == outside, "\(header.outsideCount) outside instead of \(outside)")
        let heap = node.capacity - Int(header.heapStart)
        expect(heap == bytes + Int(header.deadBytes), "heap of \(heap) with \(bytes) and \(header.deadBytes) dead")
        let slots = TreeNode.headerBytes + node.count * order.stride
        expect(slots <= Int(header.heapStart), "slots run into entries")
    }
}

extension HashedReading where Self: ~Copyable {
    func violations() -> [String] { treeViolations(root, .hashed) }
}
extension ScoredReading where Self: ~Copyable {
    func violations() -> [String] { treeViolations(root, .scored) }
}
extension PositionalReading where Self: ~Copyable {
    func violations() -> [String] { treeViolations(root, .positional) }
}

private func treeViolations(_ root: TreeNode?, _ order: TreeOrder) -> [String] {
    guard let root else { return [] }
    var walk = TreeWalk(order: order)
    walk.check(root, level: Int(root.header.pointee.level), isFirst: true, isLast: true, isRoot: true)
    return walk.violations
}
