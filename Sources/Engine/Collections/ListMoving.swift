import Tenancy

// Operations on several lists at once.
extension Transaction {
    /// Moves one element from an end of one list to an end of another or the same (LMOVE, RPOPLPUSH), and hands it out.
    ///
    /// - Returns: false, and nothing done, if there is no source.
    /// - Throws: ``MartletError/wrongType`` if either is of another kind.
    package mutating func moveListElement(
        from source: Int, _ sourceEnd: ListEnd, to destination: Int, _ destinationEnd: ListEnd,
        expiry rule: CollectionExpiry = CollectionExpiry(expiresAt: nil, refresh: false),
        _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> Bool {
        // Both are read to their ends before either is changed, so that damage leaves both as they are.
        guard try self[source].listCount() != nil else { return false }
        _ = try self[destination].listCount()
        var element = ScratchBytes(capacity: 256)
        _ = try self[source].withListElement(at: sourceEnd == .front ? 0 : -1) { element.append($0) }
        // Adding first, so that a list of one element that turns within itself keeps its time. What is taken away then
        // is the element that was at that end before, or its equal that has just been put there.
        _ = try self[destination].pushToList(CollectionOfOne(element.bytes), at: destinationEnd, expiry: rule)
        _ = try self[source].popFromList(sourceEnd) { _ in }
        body(element.bytes)
        return true
    }

    /// Pops from the first of the given keys that holds a list (LMPOP).
    ///
    /// - Parameter willPop: receives which key it is and how many elements follow, before they are handed out.
    /// - Returns: which key it was; nil if none holds a list.
    /// - Throws: ``MartletError/wrongType`` for a key of another kind before that one.
    package mutating func popFromFirstList(
        of keys: Range<Int>, _ end: ListEnd, count: Int, willPop: (Int, Int) -> Void = { _, _ in },
        _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> Int? {
        for index in keys {
            guard let present = try self[index].listCount() else { continue }
            willPop(index, min(present, max(count, 0)))
            _ = try self[index].popFromList(end, count: count, body)
            return index
        }
        return nil
    }
}
