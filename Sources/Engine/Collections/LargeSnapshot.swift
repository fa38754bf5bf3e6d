/// The trees of a large collection as they were at one moment, and how to make others like them.
struct LargeSnapshot: Sendable {
    private enum Trees: Sendable {
        case hashed(HashedSnapshot)
        case positional(PositionalSnapshot)
        case scored(HashedSnapshot, ScoredSnapshot)
    }

    private let trees: Trees
    private let binding: UInt64
    private let source: PageSource
    private let hashKey: SipHashKey

    /// Called under the lock of the collection's stripe.
    init(
        _ handles: (TreeHandle, TreeHandle), _ kind: ItemKind, binding: UInt64, source: PageSource, hashKey: SipHashKey
    ) {
        switch kind {
        case .list: trees = .positional(PositionalTree(handles.0, source: source).snapshot())
        case .sortedSet:
            trees = .scored(
                HashedTree(handles.0, source: source, hashKey: hashKey).snapshot(),
                ScoredTree(handles.1, source: source).snapshot())
        case .scalar, .dictionary, .set:
            trees = .hashed(HashedTree(handles.0, source: source, hashKey: hashKey).snapshot())
        }
        self.binding = binding
        self.source = source
        self.hashKey = hashKey
    }

    /// Trees of the same entries that share no page with these. Cost: an insert for each entry; no lock.
    func copied() -> LargeCollection {
        switch trees {
        case .hashed(let entries):
            return LargeCollection(first: copied(entries), binding: binding)
        case .scored(let members, let scores):
            var copy = ScoredTree(TreeHandle(), source: source)
            scores.visit(from: 0, count: scores.count, reversed: false) { score, member in
                copy.insert(score: score, member)
                return true
            }
            return LargeCollection(first: copied(members), second: copy.handle, binding: binding)
        case .positional(let elements):
            var copy = PositionalTree(TreeHandle(), source: source)
            elements.visit(from: 0, count: elements.count, reversed: false) { element in
                copy.append(element)
                return true
            }
            return LargeCollection(first: copy.handle, binding: binding)
        }
    }

    private func copied(_ entries: HashedSnapshot) -> TreeHandle {
        var copy = HashedTree(TreeHandle(), source: source, hashKey: hashKey)
        entries.forEach { key, value in
            copy.set(key, value)
            return true
        }
        return copy.handle
    }
}
