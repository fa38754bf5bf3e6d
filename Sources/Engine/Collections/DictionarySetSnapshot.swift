import Tenancy

/// The entries of a dictionary or set as they were at one moment. Any thread, no lock.
final class HashedEntries: Sendable {
    private enum Form {
        case packed([UInt8], HashedForm)
        case tree(HashedSnapshot)
        /// But for the fields whose time had passed by then; that is so many.
        case filtered(HashedSnapshot, FieldTimesSnapshot, Timestamp, due: Int)
    }

    private let form: Form
    let count: Int

    init(packed blob: UnsafeRawBufferPointer, _ form: HashedForm) throws(MartletError) {
        count = try PackedHashed.count(blob, form)
        self.form = .packed(Array(blob), form)
    }

    init(tree: HashedSnapshot) {
        count = tree.count
        form = .tree(tree)
    }

    init(tree: HashedSnapshot, times: FieldTimesSnapshot, now: Timestamp, due: Int) {
        count = tree.count - due
        form = .filtered(tree, times, now, due: due)
    }

    var isTree: Bool {
        if case .packed = form { false } else { true }
    }

    func withView<R>(_ body: (HashedView) throws(MartletError) -> R) throws(MartletError) -> R {
        switch form {
        case .packed(let blob, let form):
            try blob.span.bytes.withUnsafeBytes { (bytes) throws(MartletError) in try body(.packed(bytes, form)) }
        case .tree(let tree):
            try withExtendedLifetime(tree) { () throws(MartletError) in try body(.tree(HashedPages(tree))) }
        case .filtered(let tree, let times, let now, let due):
            try withExtendedLifetime((tree, times)) { () throws(MartletError) in
                try body(.filtered(HashedPages(tree), DueFields(times: times.pages, now: now, count: due)))
            }
        }
    }

    /// Whether an item is still just that: its root cannot come again while this holds the old one, for a change copies
    /// every node that is shared.
    func isCurrent(_ item: borrowing ItemAccess, _ form: HashedForm) throws(MartletError) -> Bool {
        guard item.kind == form.kind else { return false }
        switch self.form {
        case .packed(let blob, _):
            return try item.withValue { (bytes: UnsafeRawBufferPointer) throws(MartletError) in
                blob.withUnsafeBytes { PackedHashed.areEqual($0, bytes) }
            } ?? false
        case .tree(let tree):
            guard item.isLarge else { return false }
            let old = tree.snapshot.handle
            let handle = item.trees.0
            return handle.root == old.root && handle.count == old.count
        case .filtered:
            // Of a dictionary, which nobody asks about.
            return false
        }
    }
}

extension ItemAccess {
    /// O(1) for a tree, a copy of up to 4 KiB for a blob; nil if there is no such item.
    func hashedEntries(_ form: HashedForm) throws(MartletError) -> HashedEntries? {
        guard try holdsHashed(form) else { return nil }
        if isLarge {
            let tree = HashedTree(trees.0, source: source, hashKey: hashKey).snapshot()
            guard let dueFields else { return HashedEntries(tree: tree) }
            let times = FieldTimes(trees.1, source: source, hashKey: hashKey).snapshot()
            return HashedEntries(tree: tree, times: times, now: now, due: dueFields.count)
        }
        return try withValue { (blob) throws(MartletError) in try HashedEntries(packed: blob, form) }
    }
}
