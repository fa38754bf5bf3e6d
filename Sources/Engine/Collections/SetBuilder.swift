import Tenancy

/// A set that is put together outside of any item: packed as long as it is small, then a tree. What is not committed is
/// given back.
///
/// A tree's pages are charged to the cache as they are taken. One thread at a time.
final class SetBuilder {
    private let source: PageSource
    private let hashKey: SipHashKey
    private var editor = PackedHashedEditor(.set)
    private var tree: HashedTree?

    init(source: PageSource, hashKey: SipHashKey) {
        self.source = source
        self.hashKey = hashKey
    }

    /// The memory that a tree takes which is not committed yet; 0 for what is still small.
    var treeBytes: Int { tree?.handle.bytes ?? 0 }

    deinit {
        if let handle = tree?.handle { source.bury(handle) }
    }

    /// Adds a member, or finds it there.
    func add(_ member: UnsafeRawBufferPointer) throws(MartletError) {
        if tree != nil {
            _ = tree?.set(member, PackedHashed.nothing)
            return
        }
        guard try editor.set(member, PackedHashed.nothing) == .full else { return }
        var tree = HashedTree(TreeHandle(), source: source, hashKey: hashKey)
        try PackedHashed.forEach(editor.bytes, .set) { (_, member, _) throws(MartletError) in
            _ = tree.set(member, PackedHashed.nothing)
        }
        _ = tree.set(member, PackedHashed.nothing)
        self.tree = consume tree
    }

    /// Makes an item this set, whatever it was before; an empty one removes it. Returns how many members it has. To be
    /// called once.
    func commit(to item: inout ItemAccess, expiresAt: Timestamp?) throws(MartletError) -> Int {
        if let tree = tree.take() {
            if item.kind != nil { item.remove() }
            item.storeTrees(.set, tree.handle, TreeHandle(), expiresAt: expiresAt)
            return tree.count
        }
        guard editor.count > 0 else {
            if item.kind != nil { item.remove() }
            return 0
        }
        try item.store(.set, editor.bytes, expiresAt: expiresAt)
        return editor.count
    }
}
