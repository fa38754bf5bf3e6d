import Tenancy

/// The two ends of a list.
package enum ListEnd: Sendable {
    case front, back

    package var opposite: ListEnd { self == .front ? .back : .front }
}

// Reading a list. Elements are lent to closures while the stripe's lock is held; they point into the item or into
// scratch memory and are gone when the closure returns.
extension ItemAccess {
    /// How many elements the list has; nil if there is none. Large: O(1); packed: one walk.
    ///
    /// - Throws: ``MartletError/wrongType``.
    package func listCount() throws(MartletError) -> Int? {
        try expectList()
        if isLarge { return trees.0.count }
        return try withValue { (bytes) throws(MartletError) in try PackedList(bytes).count() }
    }

    /// The positions that `bounds` names in this list (LRANGE, ListFetch); nil if there is no list.
    package func listRange(_ bounds: SliceBounds) throws(MartletError) -> Range<Int>? {
        guard let count = try listCount() else { return nil }
        return bounds.resolved(count: count)
    }

    /// Hands out the elements at `range`, which must lie within the list (see ``listRange(_:)``), the last one first if
    /// `reversed`. `body` ends it by returning false. O(log n + range), with an opening for each element where sealed.
    package func visitList(
        _ range: Range<Int>, reversed: Bool = false, _ body: (UnsafeRawBufferPointer) -> Bool
    ) throws(MartletError) {
        try expectList()
        guard !range.isEmpty else { return }
        if isLarge {
            let tree = PositionalTree(trees.0, source: source)
            try visit(tree, range, reversed: reversed, body)
        } else {
            _ = try withValue { (bytes) throws(MartletError) in
                try PackedList(bytes).visit(range, reversed: reversed, body)
            }
        }
    }

    /// Lends one element (LINDEX); a negative index counts from the end. False if there is none.
    package func withListElement(
        at index: Int, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> Bool {
        guard let count = try listCount(), let position = SliceBounds.position(index, count: count) else {
            return false
        }
        try visitList(position..<position + 1) { element in
            body(element)
            return false
        }
        return true
    }

    /// Where elements equal to `value` are, ascending positions, found as LPOS does.
    ///
    /// - Parameters:
    ///   - rank: which match to begin with: 1 the first, 2 the second; -1 the last, and so on backwards. Not 0.
    ///   - limit: how many to report; 0 for all.
    ///   - maximumLength: how many elements to compare; 0 for all.
    ///   - body: receives each position, in the order of the search.
    /// - Returns: false if there is no list.
    package func findInList(
        _ value: UnsafeRawBufferPointer, rank: Int = 1, limit: Int = 1, maximumLength: Int = 0, _ body: (Int) -> Void
    ) throws(MartletError) -> Bool {
        guard rank != 0, rank != .min else {
            throw .invalidArgument(
                field: "rank", reason: "must be 1, 2 ... for the first matches or -1, -2 ... for the last")
        }
        guard limit >= 0 else { throw .invalidArgument(field: "count", reason: "must not be negative") }
        guard maximumLength >= 0 else { throw .invalidArgument(field: "maxlen", reason: "must not be negative") }
        guard let count = try listCount() else { return false }
        let compared = maximumLength == 0 ? count : min(count, maximumLength)
        let range = rank > 0 ? 0..<compared : count - compared..<count
        var toSkip = abs(rank) - 1
        var found = 0
        var position = rank > 0 ? range.lowerBound : range.upperBound - 1
        try visitList(range, reversed: rank < 0) { element in
            defer { position += rank > 0 ? 1 : -1 }
            guard equalBytes(element, value) else { return true }
            if toSkip > 0 {
                toSkip -= 1
                return true
            }
            body(position)
            found += 1
            return found != limit
        }
        return true
    }

    // MARK: - Parts

    @inline(__always)
    func expectList() throws(MartletError) {
        guard let kind, kind != .list else { return }
        throw .wrongType
    }

    /// Visits elements of this list, which is large, and opens them.
    func visit(
        _ tree: borrowing PositionalTree, _ range: Range<Int>, reversed: Bool,
        _ body: (UnsafeRawBufferPointer) -> Bool
    ) throws(MartletError) {
        let from = reversed ? range.upperBound - 1 : range.lowerBound
        guard isSealing else {
            return tree.visit(from: from, count: range.count, reversed: reversed, body)
        }
        var opener = ListElementOpener(listElements)
        tree.visit(from: from, count: range.count, reversed: reversed) { opener.open($0, body) }
        try opener.finish()
    }

    /// What opens the elements of this list, which is large.
    var listElements: ElementSealer {
        // The getter may give a collection that is still to become large its number, for which it wants to change the
        // access; of a large one it only reads.
        var access = self
        return access.elements
    }
}

/// Opens the stored elements of a large list one after the other, and keeps the first error for the end.
struct ListElementOpener: ~Copyable {
    private let elements: ElementSealer
    private var plain = ScratchBytes()
    private var failure: MartletError?

    init(_ elements: ElementSealer) {
        self.elements = elements
    }

    /// What `body` makes of the plain bytes; false if there are none.
    mutating func open(_ stored: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Bool) -> Bool {
        plain.removeAll()
        do throws(MartletError) {
            try elements.open(stored, context: UnsafeRawBufferPointer(start: nil, count: 0), into: &plain)
        } catch {
            failure = error
            return false
        }
        return body(plain.bytes)
    }

    func finish() throws(MartletError) {
        if let failure { throw failure }
    }
}
