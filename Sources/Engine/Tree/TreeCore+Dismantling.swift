extension TreeCore {
    /// Frees a part of a tree that nobody reads any more: gives up the reference to its root and, as far as it was the
    /// last one, all that is only reached from it. One block freed, or one reference given up, takes 1 from the budget.
    ///
    /// The handle names what is left, which may only be dismantled further. True: nothing is left.
    static func dismantle(_ handle: inout TreeHandle, source: PageSource, budget: inout Int) -> Bool {
        guard let root = TreeNode(address: handle.root) else { return true }
        guard budget > 0 else { return false }
        if root.releaseUnlessLast() {
            guard clear(root, source: source, bytes: &handle.bytes, budget: &budget) else { return false }
        } else {
            budget -= 1
        }
        handle = TreeHandle()
        return true
    }

    /// Frees a page that the caller alone refers to, and what is below it, from the end. False: the budget is spent.
    private static func clear(_ node: TreeNode, source: PageSource, bytes: inout Int, budget: inout Int) -> Bool {
        while node.count > 0, !(node.isLeaf && node.header.pointee.outsideCount == 0) {
            guard budget > 0 else { return false }
            let last = node.count - 1
            if node.isLeaf {
                if let outside = node.outside(at: last) {
                    bytes -= outside.charge
                    outside.release(source: source)
                    node.header.pointee.outsideCount -= 1
                    budget -= 1
                }
            } else {
                let child = node.child(at: last)
                let held = child.header.pointee.heldBytes
                if child.releaseUnlessLast() {
                    guard clear(child, source: source, bytes: &bytes, budget: &budget) else { return false }
                } else {
                    bytes -= held
                    budget -= 1
                }
            }
            node.header.pointee.count -= 1
        }
        guard budget > 0 else { return false }
        budget -= 1
        bytes -= PageSource.charge(byteCount: node.capacity)
        source.deallocate(node.base, byteCount: node.capacity)
        return true
    }
}
