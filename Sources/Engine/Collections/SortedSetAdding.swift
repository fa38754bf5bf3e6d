import Tenancy

/// The conditions of ZADD.
package struct SortedSetCondition: OptionSet, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// NX: only elements that are not there yet.
    package static let onlyIfAbsent = SortedSetCondition(rawValue: 1)
    /// XX: only elements that are there.
    package static let onlyIfPresent = SortedSetCondition(rawValue: 2)
    /// GT: an element that is there only gets a greater score.
    package static let onlyIfGreater = SortedSetCondition(rawValue: 4)
    /// LT: an element that is there only gets a lower score.
    package static let onlyIfLess = SortedSetCondition(rawValue: 8)

    var isContradiction: Bool {
        isSuperset(of: [.onlyIfAbsent, .onlyIfPresent]) || isSuperset(of: [.onlyIfGreater, .onlyIfLess])
            || (contains(.onlyIfAbsent) && !isDisjoint(with: [.onlyIfGreater, .onlyIfLess]))
    }

    /// Whether the element that has the score `old` (nil: that is not there) gets the score `new`.
    @inline(__always)
    func allows(_ new: Double, replacing old: Double?) -> Bool {
        guard let old else { return !contains(.onlyIfPresent) }
        if contains(.onlyIfAbsent) { return false }
        if contains(.onlyIfGreater), !(new > old) { return false }
        return !(contains(.onlyIfLess) && !(new < old))
    }
}

/// What adding to a sorted set did.
package struct SortedSetAddition: Equatable, Sendable {
    /// Elements that were not there before.
    package var added = 0
    /// Elements whose score is another now (with `added`, what ZADD CH counts).
    package var changed = 0
}

extension ItemAccess {
    /// Adds elements or gives them new scores (ZADD, SortedSetPut); of an element that is given twice the later holds.
    /// The sorted set is created if it is absent and an element is to be added.
    ///
    /// - Throws: ``MartletError/wrongType``; ``MartletError/invalidArgument(field:reason:)`` for a NaN and for conditions
    ///   that exclude each other.
    ///
    /// Packed: for each element one or two walks; large: O(log n). No member may point into this item.
    package mutating func addToSortedSet(
        _ elements: some Collection<SortedSetElement>, condition: SortedSetCondition = [],
        expiry rule: CollectionExpiry
    ) throws(MartletError) -> SortedSetAddition {
        try expectSortedSet()
        guard !condition.isContradiction else { throw Self.contradiction }
        for element in elements where element.score.isNaN { throw Self.notANumber }
        var addition = SortedSetAddition()
        try changeSortedSet(elements, rule) { old, element in
            let score = element.score + 0.0
            guard condition.allows(score, replacing: old), score != old else { return nil }
            if old == nil { addition.added += 1 } else { addition.changed += 1 }
            return score
        }
        return addition
    }

    /// Adds to an element's score, from 0 if it is not there (ZINCRBY, ZADD INCR, SortedSetIncrement).
    ///
    /// - Returns: the new score; nil, and nothing done, if the condition forbids it.
    /// - Throws: as ``addToSortedSet(_:condition:expiry:)``; also if the sum is no number (infinity less infinity).
    package mutating func incrementInSortedSet(
        _ member: UnsafeRawBufferPointer, by amount: Double, condition: SortedSetCondition = [],
        expiry rule: CollectionExpiry
    ) throws(MartletError) -> Double? {
        try expectSortedSet()
        guard !condition.isContradiction else { throw Self.contradiction }
        guard !amount.isNaN else { throw Self.notANumber }
        var result: Double?
        let element = SortedSetElement(score: amount, member: member)
        try changeSortedSet(CollectionOfOne(element), rule) { (old, element) throws(MartletError) in
            let score = (old ?? 0) + element.score + 0.0
            // With a condition that forbids any change the sum does not matter.
            if old == nil ? condition.contains(.onlyIfPresent) : condition.contains(.onlyIfAbsent) { return nil }
            guard !score.isNaN else {
                throw .invalidArgument(field: "amount", reason: "makes a score that is not a number")
            }
            guard condition.allows(score, replacing: old) else { return nil }
            result = score
            return score == old ? nil : score
        }
        return result
    }

    static let notANumber = MartletError.invalidArgument(field: "score", reason: "must be a number")
    private static let contradiction = MartletError.invalidArgument(
        field: "condition", reason: "excludes another condition")

    // MARK: - Parts

    /// Asks for each element which score it gets (nil: none, or the one that it has) and writes it. If `decide` throws,
    /// nothing is changed, provided that there is one element only.
    private mutating func changeSortedSet(
        _ elements: some Collection<SortedSetElement>, _ rule: CollectionExpiry,
        _ decide: (Double?, SortedSetElement) throws(MartletError) -> Double?
    ) throws(MartletError) {
        let wasPresent = kind != nil
        let expiresAt = expiry(after: rule)
        if isLarge {
            var trees = sortedSetTrees()
            var hasChanged = false
            do throws(MartletError) {
                try change(&trees, elements[...], &hasChanged, decide)
            } catch {
                // The trees are changed where they lie, so what was done before the damage was found is kept.
                if hasChanged { storeSortedSet(trees, hasShrunk: false, expiresAt: self.expiresAt) }
                throw error
            }
            if hasChanged { return storeSortedSet(trees, hasShrunk: false, expiresAt: expiresAt) }
        } else {
            var packed = ScratchBytes(capacity: PackedSortedSet.maximumBytes)
            _ = try withValue { (bytes) throws(MartletError) in packed.append(bytes) }
            var next = elements.startIndex
            var hasChanged = false
            while next != elements.endIndex {
                let element = elements[next]
                elements.formIndex(after: &next)
                let (place, count) = try PackedSortedSet.locate(element.member, in: packed)
                guard let score = try decide(place?.score, element) else { continue }
                try PackedSortedSet.put(score, element.member, replacing: place?.span, in: &packed)
                hasChanged = true
                if !Self.staysPackedSortedSet(bytes: packed.count, count: place == nil ? count + 1 : count) {
                    return try promoteSortedSet(packed, adding: elements[next...], expiresAt, decide)
                }
            }
            if hasChanged { return try store(.sortedSet, packed.bytes, expiresAt: expiresAt) }
        }
        if wasPresent, rule.refresh { setExpiry(expiresAt) }
    }

    /// Stores what has outgrown a blob as trees, with the elements that are still to come.
    private mutating func promoteSortedSet(
        _ packed: borrowing ScratchBytes, adding elements: some Collection<SortedSetElement>, _ expiresAt: Timestamp?,
        _ decide: (Double?, SortedSetElement) throws(MartletError) -> Double?
    ) throws(MartletError) {
        var trees = try sortedSetTrees(from: packed.bytes)
        var hasChanged = true
        do throws(MartletError) {
            try change(&trees, elements, &hasChanged, decide)
        } catch {
            source.bury(trees.hashed.handle)
            source.bury(trees.scored.handle)
            throw error
        }
        storeSortedSet(trees, hasShrunk: false, expiresAt: expiresAt)
    }

    private func change(
        _ trees: inout SortedSetTrees, _ elements: some Collection<SortedSetElement>, _ hasChanged: inout Bool,
        _ decide: (Double?, SortedSetElement) throws(MartletError) -> Double?
    ) throws(MartletError) {
        for element in elements {
            let old = try storedScore(of: element.member, in: trees.hashed)
            guard let score = try decide(old, element) else { continue }
            trees.put(score, element.member, replacing: old)
            hasChanged = true
        }
    }
}
