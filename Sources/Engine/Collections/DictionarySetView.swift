import Tenancy

/// The pages of a tree, for reading only: neither the tree's handle nor a reference to it.
struct HashedPages: HashedReading {
    let root: TreeNode?
    let hashKey: SipHashKey
    let hashMask: UInt64

    @inline(__always)
    init(_ handle: TreeHandle, hashKey: SipHashKey) {
        root = TreeNode(address: handle.root)
        self.hashKey = hashKey
        hashMask = .max
    }

    init(_ snapshot: HashedSnapshot) {
        root = snapshot.root
        hashKey = snapshot.hashKey
        hashMask = snapshot.hashMask
    }
}

/// The entries of a dictionary or set, packed or in a tree, for reading: under the lock, or from a snapshot without it.
///
/// Values come as they are stored: those of a tree may be sealed. Nothing that is lent outlives the call.
enum HashedView {
    case packed(UnsafeRawBufferPointer, HashedForm)
    case tree(HashedPages)
    /// The entries of a dictionary but some, whose time has passed.
    case filtered(HashedPages, DueFields)

    typealias Body = (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(MartletError) -> Void

    var isTree: Bool {
        switch self {
        case .packed: false
        case .tree, .filtered: true
        }
    }

    private var isFiltered: Bool {
        if case .filtered = self { true } else { false }
    }

    /// O(bytes) where packed, else O(1).
    func count() throws(MartletError) -> Int {
        switch self {
        case .packed(let blob, let form): try PackedHashed.count(blob, form)
        case .tree(let tree): tree.count
        case .filtered(let tree, let due): tree.count - due.count
        }
    }

    /// O(bytes) where packed, else O(log n).
    @inline(__always)
    func find(_ key: UnsafeRawBufferPointer) throws(MartletError) -> UnsafeRawBufferPointer? {
        switch self {
        case .packed(let blob, let form): try PackedHashed.find(key, in: blob, form).entry?.value
        case .tree(let tree): tree.find(key)
        case .filtered(let tree, let due): due.contains(key) ? nil : tree.find(key)
        }
    }

    func forEach(_ body: Body) throws(MartletError) {
        switch self {
        case .packed(let blob, let form):
            try PackedHashed.forEach(blob, form) { (_, key, value) throws(MartletError) in try body(key, value) }
        case .tree(let tree):
            var failure: MartletError?
            tree.forEach { (key, value) in
                do throws(MartletError) { try body(key, value) } catch { failure = error }
                return failure == nil
            }
            if let failure { throw failure }
        case .filtered(let tree, let due):
            try HashedView.tree(tree).forEach { (key, value) throws(MartletError) in
                if !due.contains(key) { try body(key, value) }
            }
        }
    }

    /// Some entries from a cursor on: all of them where packed, about `limit` from a tree. The cursor to go on from, 0
    /// at the end.
    func visit(from cursor: UInt64, limit: Int, _ body: Body) throws(MartletError) -> UInt64 {
        switch self {
        case .packed:
            try forEach(body)
            return 0
        case .tree(let tree):
            var failure: MartletError?
            let next = tree.visit(from: cursor, limit: max(1, limit)) { (key, value) in
                guard failure == nil else { return }
                do throws(MartletError) { try body(key, value) } catch { failure = error }
            }
            if let failure { throw failure }
            return next
        case .filtered(let tree, let due):
            return try HashedView.tree(tree).visit(from: cursor, limit: limit) { (key, value) throws(MartletError) in
                if !due.contains(key) { try body(key, value) }
            }
        }
    }

    /// Lends random entries, each equally likely.
    ///
    /// - Parameters:
    ///   - count: how many; if distinct, all of them if there are no more. In no particular order.
    ///   - isDistinct: no entry more than once.
    ///
    /// Cost where packed: two passes. From a tree: O(log n) for each; if distinct and more than a third of all, O(n).
    func random(
        _ count: Int, isDistinct: Bool, using generator: inout some RandomNumberGenerator, _ body: Body
    ) throws(MartletError) {
        guard count > 0 else { return }
        let total = try self.count()
        guard total > 0 else { return }
        if isFiltered {
            try randomUnfiltered(count, isDistinct: isDistinct, of: total, using: &generator, body)
        } else if count == 1 {
            try at(Int.random(in: 0..<total, using: &generator), body)
        } else if !isDistinct {
            try repeated(count, of: total, using: &generator, body)
        } else if isTree, count < total / 3 {
            // Floyd's sampling: `count` draws, none of them in vain.
            var drawn = Set<Int>(minimumCapacity: count)
            for top in total - count..<total {
                let rank = Int.random(in: 0...top, using: &generator)
                let taken = drawn.insert(rank).inserted ? rank : top
                if taken == top { drawn.insert(top) }
                try at(taken, body)
            }
        } else {
            try selected(count, of: total, using: &generator, body)
        }
    }

    /// Selection sampling (Knuth, volume 2, 3.4.2, algorithm S): each entry is taken with the chance that the rest
    /// needs it.
    private func selected(
        _ count: Int, of total: Int, using generator: inout some RandomNumberGenerator, _ body: Body
    ) throws(MartletError) {
        var needed = min(count, total)
        var left = total
        try forEach { (key, value) throws(MartletError) in
            guard needed > 0, left > 0 else { return }
            if left <= needed || Int.random(in: 0..<left, using: &generator) < needed {
                needed -= 1
                try body(key, value)
            }
            left -= 1
        }
    }

    /// Where some entries are to be passed over, a position does not say how many of them lie before it: positions are
    /// drawn until one is not of them, or after some draws in vain a pass over all finds it.
    private func randomUnfiltered(
        _ count: Int, isDistinct: Bool, of total: Int, using generator: inout some RandomNumberGenerator, _ body: Body
    ) throws(MartletError) {
        guard case .filtered(let tree, let due) = self else { return }
        if isDistinct, count > 1 { return try selected(count, of: total, using: &generator, body) }
        for _ in 0..<count {
            var isFound = false
            for _ in 0..<64 where !isFound {
                let entry = tree.entry(at: Int.random(in: 0..<tree.count, using: &generator))
                guard !due.contains(entry.key) else { continue }
                isFound = true
                try body(entry.key, entry.value)
            }
            if !isFound { try selected(1, of: total, using: &generator, body) }
        }
    }

    /// Lends the entry at a position in the order of the entries, which must exist. O(log n) in a tree.
    func at(_ rank: Int, _ body: Body) throws(MartletError) {
        switch self {
        case .packed(let blob, let form):
            var position = 0
            for _ in 0..<rank { position = try PackedHashed.entry(at: position, in: blob, form).end }
            let entry = try PackedHashed.entry(at: position, in: blob, form)
            try body(entry.key, entry.value)
        case .tree(let tree), .filtered(let tree, _):
            let entry = tree.entry(at: rank)
            try body(entry.key, entry.value)
        }
    }

    private func repeated(
        _ count: Int, of total: Int, using generator: inout some RandomNumberGenerator, _ body: Body
    ) throws(MartletError) {
        switch self {
        case .packed(let blob, let form):
            var starts: [Int] = []
            starts.reserveCapacity(total)
            try PackedHashed.forEach(blob, form) { (start, _, _) throws(MartletError) in starts.append(start) }
            for _ in 0..<count {
                let start = starts[Int.random(in: 0..<total, using: &generator)]
                let entry = try PackedHashed.entry(at: start, in: blob, form)
                try body(entry.key, entry.value)
            }
        case .tree, .filtered:
            for _ in 0..<count { try at(Int.random(in: 0..<total, using: &generator), body) }
        }
    }
}

extension ItemAccess {
    /// Whether the item is there. Throws `wrongType` if it is of another kind.
    @inline(__always)
    func holdsHashed(_ form: HashedForm) throws(MartletError) -> Bool {
        guard let kind else { return false }
        guard kind == form.kind else { throw .wrongType }
        return true
    }

    /// Lends the entries; nil if there is no such item.
    @inline(__always)
    func withHashed<R>(
        _ form: HashedForm, _ body: (HashedView) throws(MartletError) -> R
    ) throws(MartletError) -> R? {
        guard try holdsHashed(form) else { return nil }
        if isLarge {
            let tree = HashedPages(trees.0, hashKey: hashKey)
            if let dueFields { return try body(.filtered(tree, dueFields)) }
            return try body(.tree(tree))
        }
        return try withValue { (blob) throws(MartletError) in try body(.packed(blob, form)) }
    }

    /// What opens the values of a dictionary that is large. (What makes the getter a mutating one is what it does for an
    /// item that is not large yet.)
    var largeElements: ElementSealer {
        var item = self
        return item.elements
    }
}
