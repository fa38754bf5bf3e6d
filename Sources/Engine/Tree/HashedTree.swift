/// Entries (key, value) in the order of (hash of key, key): dictionaries, sets (with empty values) and the
/// member -> score half of sorted sets. See TreeHandle.swift.
///
/// A view for the duration of one operation under the lock of the collection's stripe: made from the handle that the
/// item's record holds, and the changed handle is written back. Bytes handed in must not lie in the tree; bytes handed
/// out are valid until its next mutation.
struct HashedTree: ~Copyable, HashedReading {
    private var core: TreeCore
    let hashKey: SipHashKey
    let hashMask: UInt64

    /// - Parameter hashMask: bits of the hash that count. Fewer make collisions, for tests.
    init(_ handle: TreeHandle, source: PageSource, hashKey: SipHashKey, hashMask: UInt64 = .max) {
        core = TreeCore(handle, order: .hashed, source: source)
        self.hashKey = hashKey
        self.hashMask = hashMask
    }

    /// What names the tree now.
    @inline(__always)
    var handle: TreeHandle { core.handle }
    @inline(__always)
    var root: TreeNode? { core.root }

    /// The tree as it is now, for readers without the lock. O(1).
    func snapshot() -> HashedSnapshot {
        HashedSnapshot(snapshot: core.snapshot(), hashKey: hashKey, hashMask: hashMask)
    }

    /// Adds or replaces the value of a key. O(log n).
    ///
    /// - Returns: true if the key was absent.
    @discardableResult
    mutating func set(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool {
        let entry = TreeEntry(prefix: hash(of: key), key: key, value: value)
        guard let root = core.root else {
            core.insertFirst(entry)
            return true
        }
        var isPresent = false
        var path = TreePath(from: root, prefix: entry.prefix, key: key, isEqual: &isPresent)
        if isPresent {
            if core.replace(entry, at: &path) { return false }
            core.remove(at: &path)
            reinsert(entry)
            return false
        }
        core.insert(entry, at: &path)
        return true
    }

    private mutating func reinsert(_ entry: TreeEntry) {
        guard let root = core.root else { return core.insertFirst(entry) }
        var isPresent = false
        var path = TreePath(from: root, prefix: entry.prefix, key: entry.key, isEqual: &isPresent)
        core.insert(entry, at: &path)
    }

    /// Removes a key. O(log n).
    ///
    /// - Returns: whether it was there.
    @discardableResult
    mutating func remove(_ key: UnsafeRawBufferPointer) -> Bool {
        guard let root = core.root else { return false }
        var isPresent = false
        var path = TreePath(from: root, prefix: hash(of: key), key: key, isEqual: &isPresent)
        guard isPresent else { return false }
        core.remove(at: &path)
        return true
    }

    /// Frees a bounded part of a tree that nobody reads any more, see `TreeCore.dismantle`.
    static func dismantle(_ handle: inout TreeHandle, source: PageSource, budget: inout Int) -> Bool {
        TreeCore.dismantle(&handle, source: source, budget: &budget)
    }
}

/// A dictionary or set as it was at one moment.
struct HashedSnapshot: Sendable, HashedReading {
    let snapshot: TreeSnapshot
    let hashKey: SipHashKey
    let hashMask: UInt64
    var root: TreeNode? { TreeNode(address: snapshot.handle.root) }
}

/// What can be read of a hashed tree and of its snapshot.
protocol HashedReading: ~Copyable {
    var root: TreeNode? { get }
    var hashKey: SipHashKey { get }
    var hashMask: UInt64 { get }
}

extension HashedReading where Self: ~Copyable {
    @inline(__always)
    var count: Int { root?.header.pointee.total ?? 0 }

    @inline(__always)
    func hash(of key: UnsafeRawBufferPointer) -> UInt64 { SipHash.placement(of: key, key: hashKey) & hashMask }

    /// The value of a key. O(log n).
    @inline(__always)
    func find(_ key: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard let root else { return nil }
        return root.find(prefix: hash(of: key), key: key)?.value
    }

    @inline(__always)
    func contains(_ key: UnsafeRawBufferPointer) -> Bool { find(key) != nil }

    /// The entry at a position in the order of hashes, `0 <= rank < count`: for random entries. O(log n).
    func entry(at rank: Int) -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        guard let entry = root?.entry(rank: rank) else {
            let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
            return (nothing, nothing)
        }
        return (entry.key, entry.value)
    }

    /// Visits about `limit` entries whose hash is not below `cursor`: at least that many if there are, and all that
    /// share the last one's hash. An entry that is there from the first call to the last is visited at least once
    /// (exactly once, in fact: its hash does not change), whatever else is added and removed between the calls.
    ///
    /// - Returns: the cursor to go on from, 0 at the end.
    func visit(
        from cursor: UInt64, limit: Int, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void
    ) -> UInt64 {
        guard let root else { return 0 }
        var isEqual = false
        var path = TreePath(
            from: root, prefix: cursor, key: UnsafeRawBufferPointer(start: nil, count: 0), isEqual: &isEqual)
        var visited = 0
        var last = cursor
        var next: UInt64 = 0
        path.visit(reversed: false) { entry in
            if visited >= max(limit, 1), entry.prefix != last {
                next = entry.prefix
                return false
            }
            body(entry.key, entry.value)
            visited += 1
            last = entry.prefix
            return true
        }
        return next
    }

    /// Visits all entries in the order of their hashes until the body says false.
    func forEach(_ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool) {
        guard let root else { return }
        var path = TreePath(from: root, position: 0)
        path.visit(reversed: false) { body($0.key, $0.value) }
    }
}
