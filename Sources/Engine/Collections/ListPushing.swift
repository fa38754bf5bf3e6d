import Tenancy

// Adding to the ends of a list: one element or many, with what is too much cut off the other end in the same step.
extension ItemAccess {
    /// Adds elements to an end of the list, which is created if absent (LPUSH, RPUSH, LPUSHX, RPUSHX, ListPushFront,
    /// ListPushBack, ListConcatenateFront, ListConcatenateBack).
    ///
    /// - Parameters:
    ///   - keepingOrder: at the front: whether the values stand in the list as they are given (concatenation) or each
    ///     before the one given earlier (LPUSH). At the back there is no difference.
    ///   - onlyIfPresent: adds nothing to a list that does not exist.
    ///   - limit: how many elements the list may have afterwards, the rest cut from the other end; 0 for no limit.
    /// - Returns: how many elements the list has now; 0 if there is none.
    /// - Throws: ``MartletError/wrongType``.
    ///
    /// Large: O(log n) for each value. Packed: one walk and one copy of the blob. No value may point into this item.
    package mutating func pushToList(
        _ values: some BidirectionalCollection<UnsafeRawBufferPointer>, at end: ListEnd, keepingOrder: Bool = true,
        onlyIfPresent: Bool = false, limit: Int = 0, expiry rule: CollectionExpiry
    ) throws(MartletError) -> Int {
        try expectList()
        if kind == nil, onlyIfPresent || values.isEmpty { return 0 }
        let expiresAt = expiry(after: rule)
        let limit = limit > 0 ? limit : .max
        if !isLarge {
            // Of more values than the list may hold, those nearer to the far end would be cut off again at once.
            if end == .back || !keepingOrder {
                if let count = try pushPacked(values.suffix(limit), end, keepingOrder, limit, expiresAt) {
                    return count
                }
            } else {
                if let count = try pushPacked(values.prefix(limit), end, keepingOrder, limit, expiresAt) {
                    return count
                }
            }
        }
        return try pushLarge(values, end, keepingOrder, limit, expiresAt)
    }

    /// nil, and nothing done: the list would be too large for a blob.
    private mutating func pushPacked(
        _ values: some BidirectionalCollection<UnsafeRawBufferPointer>, _ end: ListEnd, _ keepingOrder: Bool,
        _ limit: Int, _ expiresAt: Timestamp?
    ) throws(MartletError) -> Int? {
        var added = 0
        var addedBytes = 0
        for value in values {
            added += 1
            addedBytes += PackedWriter.size(of: value.count)
            guard Self.staysPackedList(bytes: addedBytes, count: added) else { return nil }
        }
        var packed = ScratchBytes(capacity: PackedList.maximumBytes)
        if end == .front {
            if keepingOrder {
                for value in values { PackedWriter.append(value, to: &packed) }
            } else {
                for value in values.reversed() { PackedWriter.append(value, to: &packed) }
            }
        }
        let total = try withValue { (bytes) throws(MartletError) -> Int in
            let list = PackedList(bytes)
            let count = try list.count()
            let kept = min(count, limit - added)
            let range = end == .front ? 0..<kept : count - kept..<count
            let span = kept == count ? 0..<bytes.count : try list.span(of: range)
            guard packed.count + span.count <= PackedList.maximumBytes else { return .max }
            packed.append(UnsafeRawBufferPointer(rebasing: bytes[span]))
            return kept + added
        }
        let count = total ?? added
        if end == .back {
            for value in values where count != .max { PackedWriter.append(value, to: &packed) }
        }
        guard Self.staysPackedList(bytes: packed.count, count: count) else { return nil }
        try store(.list, packed.bytes, expiresAt: expiresAt)
        return count
    }

    private mutating func pushLarge(
        _ values: some BidirectionalCollection<UnsafeRawBufferPointer>, _ end: ListEnd, _ keepingOrder: Bool,
        _ limit: Int, _ expiresAt: Timestamp?
    ) throws(MartletError) -> Int {
        let isNew = !isLarge
        let elements = elements
        var tree = try listTree(sealedBy: elements)
        let countBefore = tree.count
        do throws(MartletError) {
            var position = end == .back ? countBefore : 0
            for value in values {
                try tree.insert(value, at: position, sealedBy: elements)
                if end == .back || keepingOrder { position += 1 }
            }
        } catch {
            // A value that could not be sealed: those before it go again.
            let added = tree.count - countBefore
            if isNew {
                source.bury(tree.handle)
            } else {
                tree.removeSubrange(end == .back ? countBefore..<countBefore + added : 0..<added)
                storeTrees(.list, tree.handle, TreeHandle(), expiresAt: self.expiresAt, hasChanged: false)
            }
            throw error
        }
        let excess = tree.count - limit
        if excess > 0 {
            tree.removeSubrange(end == .back ? 0..<excess : limit..<tree.count)
        }
        let count = tree.count
        storeList(tree, hasShrunk: excess > 0, expiresAt: expiresAt)
        return count
    }
}
