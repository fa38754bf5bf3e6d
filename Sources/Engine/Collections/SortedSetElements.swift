import Tenancy

// The operations for what callers in other modules have at hand, so that they are compiled for just that: a generic one
// that is called from another module asks at run time for everything that it does with its elements.
extension ItemAccess {
    /// As for several elements.
    package mutating func addToSortedSet(
        _ element: SortedSetElement, condition: SortedSetCondition = [], expiry rule: CollectionExpiry
    ) throws(MartletError) -> SortedSetAddition {
        try addToSortedSet(CollectionOfOne(element), condition: condition, expiry: rule)
    }

    /// As for any collection of elements.
    package mutating func addToSortedSet(
        _ elements: UnsafeBufferPointer<SortedSetElement>, condition: SortedSetCondition = [],
        expiry rule: CollectionExpiry
    ) throws(MartletError) -> SortedSetAddition {
        try addToSortedSet(elements[...], condition: condition, expiry: rule)
    }

    /// As for any sequence of members.
    package mutating func removeFromSortedSet(
        _ members: UnsafeBufferPointer<UnsafeRawBufferPointer>
    ) throws(MartletError) -> Int? {
        try removeFromSortedSet(members[...])
    }

    /// As for any sequence of members.
    package func sortedSetScores(
        of members: UnsafeBufferPointer<UnsafeRawBufferPointer>, _ body: (Double?) -> Void
    ) throws(MartletError) -> Bool {
        try sortedSetScores(of: members[...], body)
    }
}
