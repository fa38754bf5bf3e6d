import Tenancy

extension ItemAccess {
    /// Adds members, creating the set if need be. Returns how many were new. No members: nothing happens.
    package mutating func setAdd(
        _ members: Span<UnsafeRawBufferPointer>, expiry: CollectionExpiry
    ) throws(MartletError) -> Int {
        try setHashed(members.count, .set, expiry: expiry) { index in (members[index], PackedHashed.nothing) }
    }

    /// Adds one member. True: it is new.
    package mutating func setAdd(
        _ member: UnsafeRawBufferPointer, expiry: CollectionExpiry
    ) throws(MartletError) -> Bool {
        try setHashed(1, .set, expiry: expiry) { _ in (member, PackedHashed.nothing) } == 1
    }

    /// Removes members, and the set with the last. Returns how many were there; nil: no set.
    package mutating func setRemove(_ members: Span<UnsafeRawBufferPointer>) throws(MartletError) -> Int? {
        try removeHashed(members.count, .set) { members[$0] }
    }

    package mutating func setRemove(_ member: UnsafeRawBufferPointer) throws(MartletError) -> Bool? {
        try removeHashed(1, .set) { _ in member }.map { $0 == 1 }
    }

    /// Removes the set. False: there was none.
    package mutating func setRemoveAll() throws(MartletError) -> Bool {
        guard try holdsHashed(.set) else { return false }
        remove()
        return true
    }

    /// Makes the set what is left of `members` without its own, its time kept; nothing left removes it. Returns how many
    /// are left; nil: no set.
    package mutating func setBecomeDifference(of members: Span<UnsafeRawBufferPointer>) throws(MartletError) -> Int? {
        let expiresAt = self.expiresAt
        let builder = SetBuilder(source: source, hashKey: hashKey)
        let found: Void? = try withHashed(.set) { (view) throws(MartletError) in
            for index in members.indices where try view.find(members[index]) == nil {
                try builder.add(members[index])
            }
        }
        guard found != nil else { return nil }
        return try builder.commit(to: &self, expiresAt: expiresAt)
    }

    /// Takes random members out, each lent before it goes, and removes the set with the last. Returns how many; nil: no
    /// set. A count of all there are or more takes all; where that may be very many, see ``setTake()``.
    ///
    /// Cost where packed: two passes and a splice. From a tree: O(log n) for each.
    package mutating func setPop(
        _ count: Int, using generator: inout some RandomNumberGenerator, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> Int? {
        guard let total = try setLength() else { return nil }
        guard count > 0, total > 0 else { return 0 }
        if count >= total {
            try setForEach(body)
            remove()
            return total
        }
        let expiresAt = self.expiresAt
        if isLarge {
            var tree = HashedTree(trees.0, source: source, hashKey: hashKey)
            var member = ScratchBytes(capacity: 256)
            for _ in 0..<count {
                member.removeAll()
                member.append(tree.entry(at: Int.random(in: 0..<tree.count, using: &generator)).key)
                body(member.bytes)
                _ = tree.remove(member.bytes)
            }
            storeHashed(tree, .set, expiresAt: expiresAt, mayShrink: true)
            return count
        }
        var blob = ScratchBytes()
        // Selection sampling, as in ``HashedView/random(_:isDistinct:using:_:)``; the blob was walked once, so nothing
        // throws after the first member was lent.
        var needed = count
        var left = total
        _ = try withValue { (old: UnsafeRawBufferPointer) throws(MartletError) in
            blob.reserve(old.count)
            try PackedHashed.forEach(old, .set) { (_, member, _) throws(MartletError) in
                if needed > 0, left <= needed || Int.random(in: 0..<left, using: &generator) < needed {
                    needed -= 1
                    body(member)
                } else {
                    PackedWriter.append(member, to: &blob)
                }
                left -= 1
            }
        }
        try store(.set, blob.bytes, expiresAt: expiresAt)
        return count
    }

    /// Removes the set and keeps what it was, to be read without the lock; nil: there was none. O(1), or a copy of up to
    /// 4 KiB.
    package mutating func setTake() throws(MartletError) -> SetSnapshot? {
        guard let snapshot = try setSnapshot() else { return nil }
        remove()
        return snapshot
    }
}

extension Transaction {
    /// Moves a member from one set to another, creating that if need be. False: it was not in the first, and nothing
    /// was changed. A missing first set is no error, whatever the other is, as with SMOVE.
    package mutating func setMove(
        _ member: UnsafeRawBufferPointer, from: Int, to: Int, expiry: CollectionExpiry
    ) throws(MartletError) -> Bool {
        guard try self[from].holdsHashed(.set) else { return false }
        _ = try self[to].holdsHashed(.set)
        guard try self[from].setContains(member) == true else { return false }
        if PackedHashed.areEqual(self[from].key, self[to].key) { return true }
        // First what can fail.
        _ = try self[to].setAdd(member, expiry: expiry)
        _ = try self[from].setRemove(member)
        return true
    }
}
