import Tenancy

/// A list as it was at one moment, for handing out many elements in slices without holding a lock. Taking one of a large
/// list is O(1), of a packed one a copy of its blob.
package struct ListSnapshot: Sendable {
    private enum Form: Sendable {
        case packed([UInt8])
        case large(PositionalSnapshot)
    }

    package let count: Int
    private let form: Form
    /// What opens the elements of a large list, where they are sealed.
    private let elements: ElementSealer?

    init?(_ item: borrowing ItemAccess) throws(MartletError) {
        guard let count = try item.listCount() else { return nil }
        self.count = count
        if item.isLarge {
            form = .large(PositionalTree(item.trees.0, source: item.source).snapshot())
            elements = item.isSealing ? item.listElements : nil
        } else {
            form = .packed(try item.withValue { (bytes) throws(MartletError) in Array(bytes) } ?? [])
            elements = nil
        }
    }

    /// Hands out the elements at `range`, which is cut to what there is. Any thread. Callers bound the range, so that
    /// each slice is short. O(log n + range) for a large list.
    package func visit(
        _ range: Range<Int>, reversed: Bool = false, _ body: (UnsafeRawBufferPointer) -> Bool
    ) throws(MartletError) {
        let range = range.clamped(to: 0..<count)
        guard !range.isEmpty else { return }
        switch form {
        case .packed(let bytes):
            var outcome: Result<Void, MartletError> = .success(())
            bytes.withUnsafeBytes { bytes in
                do throws(MartletError) {
                    try PackedList(bytes).visit(range, reversed: reversed, body)
                } catch {
                    outcome = .failure(error)
                }
            }
            try outcome.get()
        case .large(let snapshot):
            let from = reversed ? range.upperBound - 1 : range.lowerBound
            guard let elements else {
                return snapshot.visit(from: from, count: range.count, reversed: reversed, body)
            }
            var opener = ListElementOpener(elements)
            snapshot.visit(from: from, count: range.count, reversed: reversed) { opener.open($0, body) }
            try opener.finish()
        }
    }
}

extension ItemAccess {
    /// The list as it is now, to be read after the lock is given back; nil if there is none.
    package func listSnapshot() throws(MartletError) -> ListSnapshot? {
        try ListSnapshot(self)
    }
}
