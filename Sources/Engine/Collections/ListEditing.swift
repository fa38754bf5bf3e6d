import Tenancy

/// What became of a LINSERT.
package enum ListInsertion: Equatable, Sendable {
    case missing
    case pivotNotFound
    /// The new length.
    case inserted(count: Int)
}

/// What became of a LSET.
package enum ListReplacement: Equatable, Sendable {
    case missing
    case outOfRange
    case replaced
}

// Taking elements out of a list and changing it in the middle. All of them find out first what is to go, which may
// throw, and then change the item, which cannot.
extension ItemAccess {
    /// Removes up to `count` elements from an end and hands them out, the outermost first (LPOP, RPOP, ListPopFront,
    /// ListPopBack). A list without elements is removed.
    ///
    /// - Returns: how many elements are left; nil if there is no list.
    package mutating func popFromList(
        _ end: ListEnd, count: Int = 1, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> Int? {
        try expectList()
        guard kind != nil else { return nil }
        guard isLarge else { return try popPacked(end, count: max(count, 0), body) }
        let before = trees.0.count
        let popped = min(max(count, 0), before)
        guard popped > 0 else { return before }
        let range = end == .front ? 0..<popped : before - popped..<before
        try visitList(range, reversed: end == .back) { element in
            body(element)
            return true
        }
        try removeFromList([range], before: before, expiresAt: expiresAt)
        return before - popped
    }

    /// Replaces one element (LSET); a negative index counts from the end. `value` must not point into this item.
    package mutating func replaceInList(
        at index: Int, with value: UnsafeRawBufferPointer
    ) throws(MartletError) -> ListReplacement {
        guard let count = try listCount() else { return .missing }
        guard let position = SliceBounds.position(index, count: count) else { return .outOfRange }
        try spliceList(position..<position + 1, with: value, before: count)
        return .replaced
    }

    /// Inserts `value` before or after the first element that is equal to `pivot` (LINSERT). Neither may point into
    /// this item.
    package mutating func insertIntoList(
        _ value: UnsafeRawBufferPointer, before isBefore: Bool, pivot: UnsafeRawBufferPointer
    ) throws(MartletError) -> ListInsertion {
        guard let count = try listCount() else { return .missing }
        var found: Int?
        _ = try findInList(pivot) { found = $0 }
        guard let found else { return .pivotNotFound }
        let position = isBefore ? found : found + 1
        try spliceList(position..<position, with: value, before: count)
        return .inserted(count: count + 1)
    }

    /// Removes elements equal to `value` (LREM, ListRemove): all of them if `limit` is 0, else the first `limit`, or
    /// if it is negative the last `-limit`.
    ///
    /// - Returns: how many were removed and how many are left; nil if there is no list.
    package mutating func removeFromList(
        equalTo value: UnsafeRawBufferPointer, limit: Int = 0
    ) throws(MartletError) -> (removed: Int, remaining: Int)? {
        guard let count = try listCount() else { return nil }
        let fromBack = limit < 0
        var ranges: [Range<Int>] = []
        var removed = 0
        let most = limit == .min ? Int.max : abs(limit)
        _ = try findInList(value, rank: fromBack ? -1 : 1, limit: most) { position in
            removed += 1
            // Neighbours go in one piece.
            if let last = ranges.last, fromBack ? last.lowerBound == position + 1 : last.upperBound == position {
                ranges[ranges.count - 1] =
                    fromBack ? position..<last.upperBound : last.lowerBound..<position + 1
            } else {
                ranges.append(position..<position + 1)
            }
        }
        guard removed > 0 else { return (0, count) }
        if fromBack { ranges.reverse() }
        try removeFromList(ranges, before: count, expiresAt: expiresAt)
        return (removed, count - removed)
    }

    /// Removes the elements at the given ranges, all counted in the list as it is before (ListErase). They may overlap,
    /// and what lies outside of the list is ignored.
    ///
    /// - Returns: how many are left; nil if there is no list.
    package mutating func eraseFromList(
        _ ranges: some Sequence<Range<Int>>
    ) throws(MartletError) -> Int? {
        guard let count = try listCount() else { return nil }
        var merged: [Range<Int>] = []
        for range in ranges.map({ $0.clamped(to: 0..<count) }).sorted(by: { $0.lowerBound < $1.lowerBound })
        where !range.isEmpty {
            if let last = merged.last, last.upperBound >= range.lowerBound {
                merged[merged.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        guard !merged.isEmpty else { return count }
        try removeFromList(merged, before: count, expiresAt: expiresAt)
        return count - merged.reduce(0) { $0 + $1.count }
    }

    /// Keeps the elements within `bounds` and removes the rest (LTRIM, ListRetain). An empty slice removes the list.
    ///
    /// - Returns: how many are left; nil if there is no list.
    package mutating func retainInList(
        _ bounds: SliceBounds, expiry rule: CollectionExpiry = CollectionExpiry(expiresAt: nil, refresh: false)
    ) throws(MartletError) -> Int? {
        guard let count = try listCount() else { return nil }
        let kept = bounds.resolved(count: count)
        let expiresAt = expiry(after: rule)
        if kept.count == count {
            if rule.refresh { setExpiry(expiresAt) }
        } else {
            let removed = kept.isEmpty ? [0..<count] : [0..<kept.lowerBound, kept.upperBound..<count]
            try removeFromList(removed.filter { !$0.isEmpty }, before: count, expiresAt: expiresAt)
        }
        return kept.count
    }

    // MARK: - Parts

    /// Queues live on this: one walk from the front, and for one element from the back too.
    private mutating func popPacked(
        _ end: ListEnd, count: Int, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> Int {
        var packed = ScratchBytes(capacity: PackedList.maximumBytes)
        let (popped, left) =
            try withValue { (bytes) throws(MartletError) -> (Int, Int) in
                let list = PackedList(bytes)
                if end == .front {
                    var reader = PackedReader(bytes)
                    var popped = 0
                    while popped < count, !reader.isAtEnd {
                        body(try reader.next())
                        popped += 1
                    }
                    packed.append(UnsafeRawBufferPointer(rebasing: bytes[reader.position...]))
                    return (popped, try PackedList(packed.bytes).count())
                }
                let (before, last) = try list.countAndLast()
                let popped = min(count, before)
                let start = popped == 1 ? last : try list.offset(of: before - popped)
                try PackedList(UnsafeRawBufferPointer(rebasing: bytes[start...])).visit(0..<popped, reversed: true) {
                    body($0)
                    return true
                }
                packed.append(UnsafeRawBufferPointer(rebasing: bytes[..<start]))
                return (popped, before - popped)
            } ?? (0, 0)
        if left == 0 {
            remove()
        } else if popped > 0 {
            try store(.list, packed.bytes, expiresAt: expiresAt)
        }
        return left
    }

    /// Removes the elements of ascending ranges that do not overlap and lie within the list of `before` elements.
    private mutating func removeFromList(
        _ ranges: [Range<Int>], before: Int, expiresAt: Timestamp?
    ) throws(MartletError) {
        if ranges.reduce(0, { $0 + $1.count }) >= before {
            remove()
        } else if isLarge {
            var tree = PositionalTree(trees.0, source: source)
            for range in ranges.reversed() {
                if range.count == 1 {
                    tree.remove(at: range.lowerBound)
                } else {
                    tree.removeSubrange(range)
                }
            }
            storeList(tree, hasShrunk: true, expiresAt: expiresAt)
        } else {
            var packed = ScratchBytes(capacity: PackedList.maximumBytes)
            _ = try withValue { (bytes) throws(MartletError) in
                try PackedList(bytes).removing(ranges, into: &packed)
            }
            try store(.list, packed.bytes, expiresAt: expiresAt)
        }
    }

    /// Puts `value` in the place of one element, or between two if `range` is empty.
    private mutating func spliceList(
        _ range: Range<Int>, with value: UnsafeRawBufferPointer, before: Int
    ) throws(MartletError) {
        let expiresAt = self.expiresAt
        if !isLarge, PackedWriter.size(of: value.count) <= PackedList.maximumBytes {
            var packed = ScratchBytes(capacity: PackedList.maximumBytes)
            _ = try withValue { (bytes) throws(MartletError) in
                try PackedList(bytes).replacing(range, with: value, into: &packed)
            }
            if Self.staysPackedList(bytes: packed.count, count: before + 1 - range.count) {
                return try store(.list, packed.bytes, expiresAt: expiresAt)
            }
        }
        let elements = elements
        var stored = ScratchBytes(capacity: value.count + 64)
        try elements.seal(value, context: UnsafeRawBufferPointer(start: nil, count: 0), into: &stored)
        var tree = try listTree(sealedBy: elements)
        if range.isEmpty {
            tree.insert(stored.bytes, at: range.lowerBound)
        } else {
            tree.replace(at: range.lowerBound, with: stored.bytes)
        }
        storeList(tree, hasShrunk: !range.isEmpty, expiresAt: expiresAt)
    }
}
