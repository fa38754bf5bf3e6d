import Tenancy

/// Giving an item another key, and copying it to one.
extension EngineCache {
    /// Gives an item another key, whatever its kind, in one step.
    ///
    /// - Parameter overwrites: false leaves everything as it is when the new key has an item.
    /// - Returns: nil when there is no item to rename; else whether it was renamed.
    package func rename(
        _ key: UnsafeRawBufferPointer, to newKey: UnsafeRawBufferPointer, overwrites: Bool, now: Timestamp
    ) throws(MartletError) -> Bool? {
        let held = (storedBytes(key, now: now) ?? 0) + Record.treesBytes
        return try transact([key, newKey], reserving: held, now: now) { items throws(MartletError) in
            var original = items[0]
            guard let kind = original.kind else { return nil }
            guard overwrites || items[1].kind == nil else { return false }
            if key.elementsEqual(newKey) { return true }
            let expiresAt = original.expiresAt
            if original.isLarge {
                let large = original.takeTrees()
                var target = items[1]
                target.adopt(kind, large, expiresAt: expiresAt)
            } else {
                try original.copyValue(kind, to: items[1])
                original = items[0]
                original.remove()
            }
            return true
        }
    }

    /// Copies an item to another key. Parameters and result as ``rename(_:to:overwrites:now:)``.
    ///
    /// A large collection is copied as it was at one moment, outside of any lock: an insert for each element.
    package func copy(
        _ key: UnsafeRawBufferPointer, to newKey: UnsafeRawBufferPointer, overwrites: Bool, now: Timestamp
    ) throws(MartletError) -> Bool? {
        let held = (storedBytes(key, now: now) ?? 0) + Record.treesBytes
        let step = try transact([key, newKey], reserving: held, now: now) { items throws(MartletError) in
            let original = items[0]
            guard let kind = original.kind else { return CopyStep.done(nil) }
            guard overwrites || items[1].kind == nil else { return .done(false) }
            if key.elementsEqual(newKey) { return .done(true) }
            if let snapshot = original.snapshotTrees() { return .large(snapshot, kind, original.expiresAt) }
            try original.copyValue(kind, to: items[1])
            return .done(true)
        }
        guard case .large(let snapshot, let kind, let expiresAt) = step else {
            if case .done(let outcome) = step { return outcome }
            return nil
        }
        let large = snapshot.copied()
        do throws(MartletError) {
            return try withItem(newKey, reserving: held, now: now) { item throws(MartletError) in
                guard overwrites || item.kind == nil else {
                    source.discard(large)
                    return false
                }
                item.adopt(kind, large, expiresAt: expiresAt)
                return true
            }
        } catch {
            source.discard(large)
            throw error
        }
    }

    private enum CopyStep {
        case done(Bool?)
        case large(LargeSnapshot, ItemKind, Timestamp?)
    }
}

extension PageSource {
    /// Frees trees that no item came to hold.
    func discard(_ large: LargeCollection) {
        bury(large.first)
        bury(large.second)
    }
}

extension ItemAccess {
    /// Stores the value of a scalar or packed collection under another key too.
    fileprivate func copyValue(_ kind: ItemKind, to other: ItemAccess) throws(MartletError) {
        var target = other
        try withValue { value throws(MartletError) in
            var copy = ScratchBytes(capacity: value.count)
            copy.append(value)
            try target.store(kind, copy.bytes, expiresAt: expiresAt)
        }
    }
}
