import Tenancy

extension Transaction {
    /// Pops from the first of the given keys that holds a sorted set (ZMPOP).
    ///
    /// - Parameter willPop: receives which key it is and how many elements follow, before they are handed out.
    /// - Returns: which key it was; nil if none holds a sorted set.
    /// - Throws: ``MartletError/wrongType`` for a key of another kind before that one.
    package mutating func popFromFirstSortedSet(
        of keys: Range<Int>, highest: Bool, count: Int, willPop: (Int, Int) -> Void = { _, _ in },
        _ body: (Double, UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> Int? {
        for index in keys {
            guard let present = try self[index].sortedSetCount() else { continue }
            willPop(index, min(present, max(count, 0)))
            _ = try self[index].popFromSortedSet(highest: highest, count: count, body)
            return index
        }
        return nil
    }
}
