import Tenancy

// Between the two forms of a list. A list that outgrows a blob becomes a tree whose elements are sealed one by one; a
// tree that has become small is packed again, and the core seals the blob as a whole. Callers see neither.
extension ItemAccess {
    /// Whether a packed list of that size stays packed.
    @inline(__always)
    static func staysPackedList(bytes: Int, count: Int) -> Bool {
        bytes <= PackedList.maximumBytes && count <= PackedList.maximumCount
    }

    /// The tree of a large list, a new one with the elements of a packed list, or an empty one. The item itself is not
    /// touched: whoever calls this stores the tree, or buries it if it is new.
    func listTree(sealedBy elements: ElementSealer) throws(MartletError) -> PositionalTree {
        if isLarge { return PositionalTree(trees.0, source: source) }
        var tree = PositionalTree(TreeHandle(), source: source)
        do throws(MartletError) {
            _ = try withValue { (bytes) throws(MartletError) in
                var reader = PackedReader(bytes)
                while !reader.isAtEnd { try tree.insert(try reader.next(), at: tree.count, sealedBy: elements) }
            }
        } catch {
            source.bury(tree.handle)
            throw error
        }
        return tree
    }

    /// Writes a changed tree back as the list: removes the item if nothing is left, packs what has become small.
    mutating func storeList(_ tree: borrowing PositionalTree, hasShrunk: Bool, expiresAt: Timestamp?) {
        storeTrees(.list, tree.handle, TreeHandle(), expiresAt: expiresAt)
        if tree.handle.count == 0 {
            remove()
        } else if hasShrunk, tree.handle.count <= PackedList.repackedCount, isLarge {
            // It is not, if its new time has removed it.
            repackList(tree, expiresAt: expiresAt)
        }
    }

    /// Packs a large list if it has become small. An error is not reported from here: what was asked for is done, and
    /// the list may stay as it is.
    private mutating func repackList(_ tree: borrowing PositionalTree, expiresAt: Timestamp?) {
        // Stored elements are no shorter than plain ones and not much longer, so most lists of long elements are told
        // apart here, before any of them is opened.
        let most = PackedList.repackedBytes + (isSealing ? 32 * tree.count : 0)
        var storedBytes = 0
        tree.visit(from: 0, count: tree.count, reversed: false) { stored in
            storedBytes += stored.count
            return storedBytes <= most
        }
        guard storedBytes <= most else { return }
        var packed = ScratchBytes(capacity: PackedList.repackedBytes)
        do throws(MartletError) {
            try visit(tree, 0..<tree.count, reversed: false) { element in
                PackedWriter.append(element, to: &packed)
                return packed.count <= PackedList.repackedBytes
            }
            guard packed.count <= PackedList.repackedBytes else { return }
            try store(.list, packed.bytes, expiresAt: expiresAt)
        } catch {
            return
        }
    }

    /// When the item expires after a write under that rule.
    @inline(__always)
    func expiry(after rule: CollectionExpiry) -> Timestamp? {
        kind == nil || rule.refresh ? rule.expiresAt : expiresAt
    }
}

extension PositionalTree {
    /// Seals an element and inserts it.
    mutating func insert(
        _ element: UnsafeRawBufferPointer, at position: Int, sealedBy elements: ElementSealer
    ) throws(MartletError) {
        guard elements.isSealing else { return insert(element, at: position) }
        var stored = ScratchBytes(capacity: element.count + 64)
        try elements.seal(element, context: UnsafeRawBufferPointer(start: nil, count: 0), into: &stored)
        insert(stored.bytes, at: position)
    }
}
