import Tenancy

// Between the two forms. A tree that is not yet, or no more, an item's own is buried if something fails on the way.

extension ItemAccess {
    /// A tree of all that a blob holds, and of the further entries `indices`, of which `added` counts the new ones.
    mutating func promoted(
        _ blob: UnsafeRawBufferPointer, _ form: HashedForm, adding indices: Range<Int>, added: inout Int,
        _ entry: (Int) -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)
    ) throws(MartletError) -> HashedTree {
        var tree = HashedTree(TreeHandle(), source: source, hashKey: hashKey)
        let writer = HashedTreeWriter(form, elements: form.hasValues && isSealing ? elements : nil)
        var stored = ScratchBytes()
        do throws(MartletError) {
            try PackedHashed.forEach(blob, form) { (_, key, value) throws(MartletError) in
                _ = try writer.set(key, value, in: &tree, &stored)
            }
            for index in indices {
                let (key, value) = entry(index)
                if try writer.set(key, value, in: &tree, &stored) { added += 1 }
            }
        } catch {
            source.bury(tree.handle)
            throw error
        }
        return tree
    }

    /// After a change to the tree of this item: writes the handle back, removes the item if nothing is left, packs it
    /// again if little is and no field has a time.
    ///
    /// - Parameter times: the tree of times if it was changed.
    mutating func storeHashed(
        _ tree: borrowing HashedTree, times: TreeHandle? = nil, _ form: HashedForm, expiresAt: Timestamp?,
        hasChanged: Bool = true, mayShrink: Bool
    ) {
        storeTrees(form.kind, tree.handle, times ?? trees.1, expiresAt: expiresAt, hasChanged: hasChanged)
        guard mayShrink else { return }
        if let dueFields, dueFields.count == tree.count { return remove() }
        guard tree.count <= PackedHashed.repackedCount else { return }
        guard tree.count > 0 else { return remove() }
        guard !hasFieldTimes else { return }
        // A first look without opening anything: sealing adds some 24 bytes to a value.
        var storedBytes = 0
        tree.forEach { (key, value) in
            storedBytes += key.count + value.count
            return storedBytes <= PackedHashed.repackedBytes + 32 * PackedHashed.repackedCount
        }
        guard storedBytes <= PackedHashed.repackedBytes + 32 * PackedHashed.repackedCount else { return }
        let elements = form.hasValues && isSealing ? elements : nil
        var blob = ScratchBytes(capacity: PackedHashed.repackedBytes)
        var opened = ScratchBytes()
        var fits = true
        tree.forEach { (key, value) in
            var plain = value
            if let elements {
                opened.removeAll()
                do throws(MartletError) {
                    try elements.open(value, context: key, into: &opened)
                } catch {
                    // An element that does not open is the affair of whoever reads it.
                    fits = false
                    return false
                }
                plain = opened.bytes
            }
            fits = blob.count + PackedHashed.size(key, plain, form) <= PackedHashed.repackedBytes
            if fits { PackedHashed.append(key, plain, form, to: &blob) }
            return fits
        }
        // If it cannot be stored so it stays as it is.
        if fits { try? store(form.kind, blob.bytes, expiresAt: expiresAt) }
    }
}

/// Writes entries into a tree, their values sealed where that is on.
struct HashedTreeWriter {
    private let form: HashedForm
    private let elements: ElementSealer?

    init(_ form: HashedForm, elements: ElementSealer?) {
        self.form = form
        self.elements = elements
    }

    /// True: the key was absent. On an error the tree is as it was.
    @inline(__always)
    func set(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, in tree: inout HashedTree,
        _ stored: inout ScratchBytes
    ) throws(MartletError) -> Bool {
        guard let elements else { return tree.set(key, value) }
        stored.removeAll()
        try elements.seal(value, context: key, into: &stored)
        return tree.set(key, stored.bytes)
    }
}
