import Tenancy

// Times of single fields of a dictionary.
//
// A dictionary of which a field has a time is large, whatever its size, and its second tree, which dictionaries do not
// use otherwise, holds the times. The tree of fields and values is as it is without them, and a dictionary without
// times is what it always was: the only trace is one bit of its record's header, which is clear.
//
// Each time lies in the tree twice, in one order of 64-bit prefixes and bytes:
//
//     prefix                        bytes
//     | 0 | time, ms            |   field               what is due: from the front
//     | 0 | ...                 |
//     | 1 | hash of the field   |   field, time: 8      when a field is due
//     | 1 | ...                 |
//
// What is due lies at the front, so "is anything due" is a look at the root, how much of it is O(log n), and to take
// some of it off is O(log n) for each.
//
// *Nobody sees a field whose time has passed.* Whoever takes the item (``ItemAccess``) first removes some of what is
// due, a bounded number. That is nearly always all. Where it is not, what is left is passed over: each entry that is
// read is looked up (``DueFields``), and the number of fields is that of the tree less that of what is due. If all of
// it is due the item goes as a whole, and its trees in the background.
//
// *Time without readers.* The index knows of each record when something of it ends (``Record/nextExpiry``), so a tick
// comes to a dictionary with a due field as it comes to an item, and removes some fields at a time.
//
// Costs, beside the dictionary's own: 2 KiB of pages at the least; some 30 bytes and twice the field for each time. To
// give or take a time is O(log n).
//
// Like scores, times lie in clear where values are sealed.

/// The times of a dictionary's fields, in the lock of its stripe.
struct FieldTimes: ~Copyable {
    private var core: TreeCore
    private let hashKey: SipHashKey

    init(_ handle: TreeHandle, source: PageSource, hashKey: SipHashKey) {
        core = TreeCore(handle, order: .scored, source: source)
        self.hashKey = hashKey
    }

    /// What names the tree now.
    var handle: TreeHandle { core.handle }
    var isEmpty: Bool { core.root == nil }
    var pages: FieldTimePages { FieldTimePages(core.root, hashKey: hashKey) }

    func snapshot() -> FieldTimesSnapshot { FieldTimesSnapshot(snapshot: core.snapshot(), hashKey: hashKey) }

    /// Gives a field a time, in the place of the one it has.
    mutating func set(_ field: UnsafeRawBufferPointer, _ time: Timestamp) {
        clear(field)
        let time = FieldTimePages.prefix(of: time)
        insert(time, field)
        let named = FieldTimePages.named(field, time)
        insert(FieldTimePages.prefix(of: field, hashKey), named.bytes)
    }

    /// Takes a field's time away. False: it had none.
    @discardableResult
    mutating func clear(_ field: UnsafeRawBufferPointer) -> Bool {
        guard let time = pages.prefix(of: field) else { return false }
        remove(time, field)
        forget(field, time)
        return true
    }

    /// Takes away the times that have passed by `now`, the earliest first, `limit` at most. Returns the fields.
    mutating func takeDue(at now: Timestamp, limit: Int) -> FieldList {
        var fields = FieldList()
        guard let root = core.root else { return fields }
        let last = FieldTimePages.prefix(of: now)
        var times: [UInt64] = []
        root.visit(from: 0, count: limit, reversed: false) { entry in
            guard entry.prefix <= last else { return false }
            times.append(entry.prefix)
            fields.append(entry.key)
            return true
        }
        core.removeSubrange(0..<fields.count)
        for index in 0..<fields.count { forget(fields[index], times[index]) }
        return fields
    }

    private mutating func forget(_ field: UnsafeRawBufferPointer, _ time: UInt64) {
        let named = FieldTimePages.named(field, time)
        remove(FieldTimePages.prefix(of: field, hashKey), named.bytes)
    }

    fileprivate mutating func insert(_ prefix: UInt64, _ key: UnsafeRawBufferPointer) {
        let entry = TreeEntry(prefix: prefix, key: key, value: PackedHashed.nothing)
        guard let root = core.root else { return core.insertFirst(entry) }
        var isPresent = false
        var path = TreePath(from: root, prefix: prefix, key: key, isEqual: &isPresent)
        if !isPresent { core.insert(entry, at: &path) }
    }

    private mutating func remove(_ prefix: UInt64, _ key: UnsafeRawBufferPointer) {
        guard let root = core.root else { return }
        var isPresent = false
        var path = TreePath(from: root, prefix: prefix, key: key, isEqual: &isPresent)
        if isPresent { core.remove(at: &path) }
    }
}

/// The pages of a tree of times, for reading only.
struct FieldTimePages {
    private let root: TreeNode?
    private let hashKey: SipHashKey

    init(_ root: TreeNode?, hashKey: SipHashKey) {
        self.root = root
        self.hashKey = hashKey
    }

    /// The earliest time of all. A look at one page.
    static func earliest(_ handle: TreeHandle) -> Timestamp? {
        TreeNode(address: handle.root).map { Timestamp(milliseconds: Int64(truncatingIfNeeded: $0.firstPrefix)) }
    }

    /// How many fields have a time that has passed. O(log n).
    static func due(in handle: TreeHandle, at now: Timestamp) -> Int {
        guard let root = TreeNode(address: handle.root) else { return 0 }
        return root.rank(prefix: prefix(of: now) + 1, key: PackedHashed.nothing).rank
    }

    func time(of field: UnsafeRawBufferPointer) -> Timestamp? {
        prefix(of: field).map { Timestamp(milliseconds: Int64(truncatingIfNeeded: $0)) }
    }

    /// The same as it lies in the tree. O(log n).
    fileprivate func prefix(of field: UnsafeRawBufferPointer) -> UInt64? {
        guard let root else { return nil }
        let prefix = Self.prefix(of: field, hashKey)
        var isEqual = false
        var path = TreePath(from: root, prefix: prefix, key: field, isEqual: &isEqual)
        var time: UInt64?
        // The field comes before the field with its time. Between the two there may be others of the same hash.
        path.visit(reversed: false) { entry in
            guard entry.prefix == prefix else { return false }
            guard entry.key.count == field.count + 8,
                PackedHashed.areEqual(UnsafeRawBufferPointer(rebasing: entry.key[..<field.count]), field)
            else { return true }
            time = UInt64(bigEndian: entry.key.loadUnaligned(fromByteOffset: field.count, as: UInt64.self))
            return false
        }
        return time
    }

    private static let named: UInt64 = 1 << 63

    fileprivate static func prefix(of field: UnsafeRawBufferPointer, _ hashKey: SipHashKey) -> UInt64 {
        SipHash.placement(of: field, key: hashKey) | named
    }

    /// What is before the first millisecond counts as the first, and what is too far for an item's time as the last.
    fileprivate static func prefix(of time: Timestamp) -> UInt64 {
        UInt64(min(max(time.milliseconds, 1), Record.latestExpiry))
    }

    fileprivate static func named(_ field: UnsafeRawBufferPointer, _ time: UInt64) -> ScratchBytes {
        var named = ScratchBytes(capacity: field.count + 8)
        named.append(field)
        withUnsafeBytes(of: time.bigEndian) { named.append($0) }
        return named
    }
}

/// The times as they were at one moment.
struct FieldTimesSnapshot: Sendable {
    fileprivate let snapshot: TreeSnapshot
    fileprivate let hashKey: SipHashKey

    var pages: FieldTimePages { FieldTimePages(TreeNode(address: snapshot.handle.root), hashKey: hashKey) }

    var count: Int { snapshot.count }

    /// Adds the times from a place on to others, so many at most: an insert for each.
    func copy(from place: Int, count: Int, into copy: inout FieldTimes) {
        TreeNode(address: snapshot.handle.root)?.visit(from: place, count: count, reversed: false) { entry in
            copy.insert(entry.prefix, entry.key)
            return true
        }
    }
}

/// Fields that were copied out of a tree.
struct FieldList: ~Copyable {
    private var bytes = ScratchBytes(capacity: 256)
    private var ends: [Int] = []

    var count: Int { ends.count }

    mutating func append(_ field: UnsafeRawBufferPointer) {
        bytes.append(field)
        ends.append(bytes.count)
    }

    subscript(index: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes.bytes[(index == 0 ? 0 : ends[index - 1])..<ends[index]])
    }
}

/// What of a dictionary is to be passed over: the fields whose time has passed and that were not removed yet.
struct DueFields {
    let times: FieldTimePages
    let now: Timestamp
    let count: Int

    func contains(_ field: UnsafeRawBufferPointer) -> Bool {
        guard let time = times.time(of: field) else { return false }
        return time <= now
    }
}

extension Record {
    /// Whether everything of it is over: the item, or all fields of a dictionary.
    @inline(__always)
    func isGone(at now: Timestamp) -> Bool {
        isExpired(at: now) || hasFieldTimes && areAllFieldsDue(at: now)
    }

    @inline(never)
    private func areAllFieldsDue(at now: Timestamp) -> Bool {
        let trees = trees
        return FieldTimePages.due(in: trees.1, at: now) == trees.0.count
    }

    /// Whether something of it is over.
    @inline(__always)
    func isDue(at now: Timestamp) -> Bool {
        isExpired(at: now) || hasFieldTimes && hasDueField(at: now)
    }

    @inline(never)
    func hasDueField(at now: Timestamp) -> Bool {
        FieldTimePages.earliest(trees.1).map { $0 <= now } ?? false
    }

    /// When something of it ends: the item, or a field of a dictionary. Nil: never.
    @inline(__always)
    var nextExpiry: Timestamp? {
        hasFieldTimes ? nextFieldExpiry : expiresAt
    }

    @inline(never)
    private var nextFieldExpiry: Timestamp? {
        guard let earliest = FieldTimePages.earliest(trees.1) else { return expiresAt }
        return expiresAt.map { min($0, earliest) } ?? earliest
    }
}
