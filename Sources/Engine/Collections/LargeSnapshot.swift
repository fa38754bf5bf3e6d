/// The trees of a large collection as they were at one moment.
struct LargeSnapshot: Sendable {
    private enum Trees: Sendable {
        case hashed(HashedSnapshot)
        case positional(PositionalSnapshot)
        case scored(HashedSnapshot, ScoredSnapshot)
        case timed(HashedSnapshot, FieldTimesSnapshot)
    }

    private let trees: Trees
    let binding: UInt64

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
        case .dictionary where handles.1.root != 0:
            trees = .timed(
                HashedTree(handles.0, source: source, hashKey: hashKey).snapshot(),
                FieldTimes(handles.1, source: source, hashKey: hashKey).snapshot())
        case .scalar, .dictionary, .set:
            trees = .hashed(HashedTree(handles.0, source: source, hashKey: hashKey).snapshot())
        }
        self.binding = binding
    }

    /// The entries of a dictionary, set or sorted set, and the scores of the last.
    var entries: (HashedSnapshot, scores: ScoredSnapshot?)? {
        switch trees {
        case .hashed(let entries): (entries, nil)
        case .timed(let entries, _): (entries, nil)
        case .scored(let entries, let scores): (entries, scores)
        case .positional: nil
        }
    }

    /// The times of a dictionary's fields, where one has one.
    var times: FieldTimesSnapshot? {
        if case .timed(_, let times) = trees { times } else { nil }
    }

    /// The elements of a list.
    var elements: PositionalSnapshot? {
        if case .positional(let elements) = trees { elements } else { nil }
    }
}
