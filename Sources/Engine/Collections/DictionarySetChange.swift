import Tenancy

// Changes to dictionaries and sets, common to both. Each either happens whole, or throws and leaves the item as it was:
// a packed blob is replaced only by a whole new one, and what can fail for a tree (sealing, opening) is done before the
// tree is touched.

/// What a change to one key of a collection did.
enum HashedChange: Sendable {
    case unchanged
    case replaced
    case added
}

extension ItemAccess {
    /// The time that a collection has after a write (§7.2 of the gRPC contract).
    @inline(__always)
    func hashedExpiry(_ expiry: CollectionExpiry, exists: Bool) -> Timestamp? {
        exists && !expiry.refresh ? expiresAt : expiry.expiresAt
    }

    /// Lends the packed blob, or none for an item that is to be created.
    @inline(__always)
    func withBlob<R>(
        _ exists: Bool, _ body: (UnsafeRawBufferPointer) throws(MartletError) -> R
    ) throws(MartletError) -> R {
        guard exists else { return try body(PackedHashed.nothing) }
        guard let result = try withValue(body) else { throw PackedReader.damaged }
        return result
    }

    /// Changes one key: looks, asks, writes. The hot write: one opening, one pass, one splice, no arrays.
    ///
    /// - Parameters:
    ///   - readsCurrent: whether `decide` looks at the value; if not, it may be handed nil for a key that is there.
    ///   - decide: gets the value of the key and gives the one to write, or nil to leave everything as it is. The bytes
    ///     must not be those that it got, and live until this returns.
    ///   - keepsTimes: whether a field that is replaced keeps its own time.
    mutating func changeHashed(
        _ key: UnsafeRawBufferPointer, _ form: HashedForm, expiry: CollectionExpiry, readsCurrent: Bool,
        keepsTimes: Bool = false, _ decide: (UnsafeRawBufferPointer?) throws(MartletError) -> UnsafeRawBufferPointer?
    ) throws(MartletError) -> HashedChange {
        let exists = try holdsHashed(form)
        let expiresAt = hashedExpiry(expiry, exists: exists)
        if exists, isLarge {
            dropDue(1) { _ in key }
            let change = try changeTree(key, form, expiresAt: expiresAt, readsCurrent: readsCurrent, decide)
            if change == .replaced, !keepsTimes { clearTimes(1) { _ in key } }
            return change
        }
        var blob = ScratchBytes()
        var outgrown: UnsafeRawBufferPointer?
        let change = try withBlob(exists) { (old) throws(MartletError) -> HashedChange in
            let (entry, passed) = try PackedHashed.find(key, in: old, form)
            guard let value = try decide(entry?.value) else { return .unchanged }
            let newSize = PackedHashed.size(of: old, replacing: entry, key, value, form)
            let newCount = entry == nil ? passed + 1 : passed
            if newSize <= PackedHashed.maximumBytes, newCount <= PackedHashed.maximumCount {
                blob.reserve(newSize)
                PackedHashed.splice(old, replacing: entry, key, value, form, into: &blob)
            } else {
                blob.append(old)
                outgrown = value
            }
            return entry == nil ? .added : .replaced
        }
        if let value = outgrown {
            var added = 0
            let tree = try promoted(blob.bytes, form, adding: 0..<1, added: &added) { _ in (key, value) }
            storeTrees(form.kind, tree.handle, TreeHandle(), expiresAt: expiresAt)
        } else if change != .unchanged {
            try store(form.kind, blob.bytes, expiresAt: expiresAt)
        }
        return change
    }

    private mutating func changeTree(
        _ key: UnsafeRawBufferPointer, _ form: HashedForm, expiresAt: Timestamp?, readsCurrent: Bool,
        _ decide: (UnsafeRawBufferPointer?) throws(MartletError) -> UnsafeRawBufferPointer?
    ) throws(MartletError) -> HashedChange {
        var tree = HashedTree(trees.0, source: source, hashKey: hashKey)
        let bytesBefore = tree.handle.bytes
        var scratch = ScratchBytes()
        let value: UnsafeRawBufferPointer?
        if readsCurrent, let current = tree.find(key) {
            if form.hasValues { try elements.open(current, context: key, into: &scratch) }
            value = try decide(scratch.bytes)
        } else {
            value = try decide(nil)
        }
        guard let value else { return .unchanged }
        let writer = HashedTreeWriter(form, elements: form.hasValues && isSealing ? elements : nil)
        let wasAbsent = try writer.set(key, value, in: &tree, &scratch)
        storeHashed(tree, form, expiresAt: expiresAt, mayShrink: tree.handle.bytes < bytesBefore)
        return wasAbsent ? .added : .replaced
    }

    /// Writes several entries; of those with one key the last one stays. Returns how many keys were new.
    ///
    /// `entry` lends the key and value of each index from 0. A packed collection that outgrows its form on the way goes
    /// on as a tree.
    mutating func setHashed(
        _ count: Int, _ form: HashedForm, expiry: CollectionExpiry, keepsTimes: Bool = false,
        _ entry: (Int) -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)
    ) throws(MartletError) -> Int {
        let exists = try holdsHashed(form)
        guard count > 0 else { return 0 }
        let expiresAt = hashedExpiry(expiry, exists: exists)
        if exists, isLarge {
            dropDue(count) { entry($0).key }
            let added = try setTree(count, form, expiresAt: expiresAt, entry)
            if !keepsTimes { clearTimes(count) { entry($0).key } }
            return added
        }
        if count == 1 {
            let (key, value) = entry(0)
            let change = try changeHashed(key, form, expiry: expiry, readsCurrent: true) { current in
                form.hasValues || current == nil ? value : nil
            }
            if change == .unchanged, expiry.refresh { setExpiry(expiresAt) }
            return change == .added ? 1 : 0
        }
        var blob = ScratchBytes(capacity: 16)
        var added = 0
        var outgrown: Int?
        let hasChanged = try withBlob(exists) { (old) throws(MartletError) -> Bool in
            var editor = try PackedHashedEditor(old, form, changes: count)
            var hasChanged = false
            for index in 0..<count {
                let (key, value) = entry(index)
                switch try editor.set(key, value) {
                case .added:
                    added += 1
                    hasChanged = true
                case .replaced: hasChanged = true
                case .unchanged: break
                case .full:
                    outgrown = index
                    blob = editor.finish()
                    return true
                }
            }
            if hasChanged { blob = editor.finish() }
            return hasChanged
        }
        if let index = outgrown {
            let tree = try promoted(blob.bytes, form, adding: index..<count, added: &added, entry)
            storeTrees(form.kind, tree.handle, TreeHandle(), expiresAt: expiresAt)
        } else if hasChanged {
            try store(form.kind, blob.bytes, expiresAt: expiresAt)
        } else if expiry.refresh {
            setExpiry(expiresAt)
        }
        return added
    }

    private mutating func setTree(
        _ count: Int, _ form: HashedForm, expiresAt: Timestamp?,
        _ entry: (Int) -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)
    ) throws(MartletError) -> Int {
        var tree = HashedTree(trees.0, source: source, hashKey: hashKey)
        let bytesBefore = tree.handle.bytes
        var added = 0
        var stored = ScratchBytes()
        if form.hasValues, isSealing {
            let elements = elements
            // All sealed before the first is written: sealing may fail, the tree may not be left half written.
            var ends: [Int] = []
            ends.reserveCapacity(count)
            for index in 0..<count {
                let (key, value) = entry(index)
                try elements.seal(value, context: key, into: &stored)
                ends.append(stored.count)
            }
            var start = 0
            for index in 0..<count {
                let sealed = UnsafeRawBufferPointer(rebasing: stored.bytes[start..<ends[index]])
                if tree.set(entry(index).key, sealed) { added += 1 }
                start = ends[index]
            }
        } else {
            for index in 0..<count {
                let (key, value) = entry(index)
                if tree.set(key, value) { added += 1 }
            }
        }
        storeHashed(
            tree, form, expiresAt: expiresAt, hasChanged: form.hasValues || added > 0,
            mayShrink: tree.handle.bytes < bytesBefore)
        return added
    }

    /// Removes several keys, and the item with the last. Returns how many were there; nil if there is no item.
    mutating func removeHashed(
        _ count: Int, _ form: HashedForm, _ key: (Int) -> UnsafeRawBufferPointer
    ) throws(MartletError) -> Int? {
        guard try holdsHashed(form) else { return nil }
        guard count > 0 else { return 0 }
        let expiresAt = self.expiresAt
        if isLarge {
            dropDue(count, key)
            var tree = HashedTree(trees.0, source: source, hashKey: hashKey)
            var removed = 0
            for index in 0..<count where tree.remove(key(index)) { removed += 1 }
            guard removed > 0 else { return 0 }
            guard hasFieldTimes else {
                storeHashed(tree, form, expiresAt: expiresAt, mayShrink: true)
                return removed
            }
            var times = FieldTimes(trees.1, source: source, hashKey: hashKey)
            for index in 0..<count { times.clear(key(index)) }
            storeHashed(tree, times: times.handle, form, expiresAt: expiresAt, mayShrink: true)
            return removed
        }
        var blob = ScratchBytes()
        let removed = try withBlob(true) { (old) throws(MartletError) -> Int in
            if count == 1 {
                guard let entry = try PackedHashed.find(key(0), in: old, form).entry else { return 0 }
                blob.reserve(old.count)
                PackedHashed.cut(entry.start..<entry.end, of: old, into: &blob)
                return 1
            }
            var editor = try PackedHashedEditor(old, form, changes: count)
            var removed = 0
            for index in 0..<count where try editor.remove(key(index)) { removed += 1 }
            if removed > 0 { blob = editor.finish() }
            return removed
        }
        if removed > 0 {
            if blob.count == 0 { remove() } else { try store(form.kind, blob.bytes, expiresAt: expiresAt) }
        }
        return removed
    }
}
