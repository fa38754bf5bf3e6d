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
    /// Cost: for a large collection an insert for each element, outside of any lock.
    package func copy(
        _ key: UnsafeRawBufferPointer, to newKey: UnsafeRawBufferPointer, overwrites: Bool, now: Timestamp
    ) throws(MartletError) -> Bool? {
        switch try beginCopy(key, to: newKey, overwrites: overwrites, now: now) {
        case .done(let outcome): return outcome
        case .large(let copy):
            while !copy.advance(entries: .max) {}
            return try copy.commit(to: newKey, in: self, overwrites: overwrites, now: now)
        }
    }

    /// As ``copy(_:to:overwrites:now:)``, for whoever takes turns at what is large.
    package func beginCopy(
        _ key: UnsafeRawBufferPointer, to newKey: UnsafeRawBufferPointer, overwrites: Bool, now: Timestamp
    ) throws(MartletError) -> CopyStep {
        let held = (storedBytes(key, now: now) ?? 0) + Record.treesBytes
        return try transact([key, newKey], reserving: held, now: now) { items throws(MartletError) in
            let original = items[0]
            guard let kind = original.kind else { return CopyStep.done(nil) }
            guard overwrites || items[1].kind == nil else { return .done(false) }
            if key.elementsEqual(newKey) { return .done(true) }
            if let snapshot = original.snapshotTrees() {
                return .large(CollectionCopy(snapshot, of: original, kind))
            }
            try original.copyValue(kind, to: items[1])
            return .done(true)
        }
    }
}

/// How far copying an item has come.
package enum CopyStep {
    /// Nil: there is no item to copy; else whether it was copied.
    case done(Bool?)
    /// A large collection, which is copied in turns and then committed.
    case large(CollectionCopy)
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
