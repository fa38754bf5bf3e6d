import Tenancy

// Sets: members without order, under the lock of the item's stripe.
//
// The same two forms as dictionaries have (DictionaryAccess.swift): a packed blob of the members, or a tree. Members are
// never sealed by themselves: they are what a tree is searched by. What is handed out is lent for the duration of the
// closure, which runs under the lock.

/// How a fetch of all members went.
package enum SetFetch: Sendable {
    case missing
    /// All of them were handed out.
    case handedOut(Int)
    /// Too much to be handed out under the lock: to be read from the snapshot after it.
    case snapshot(SetSnapshot)
}

extension ItemAccess {
    /// How many members; nil: no set. O(bytes) where packed, else O(1).
    package func setLength() throws(MartletError) -> Int? {
        try withHashed(.set) { (view) throws(MartletError) in try view.count() }
    }

    /// Whether a member is there; nil: no set.
    package func setContains(_ member: UnsafeRawBufferPointer) throws(MartletError) -> Bool? {
        try withHashed(.set) { (view) throws(MartletError) in try view.find(member) != nil }
    }

    /// The same for several, in their order. False, and nothing is called: no set.
    package func setContains(
        _ members: Span<UnsafeRawBufferPointer>, _ body: (_ index: Int, Bool) -> Void
    ) throws(MartletError) -> Bool {
        let found: Void? = try withHashed(.set) { (view) throws(MartletError) in
            for index in members.indices { body(index, try view.find(members[index]) != nil) }
        }
        return found != nil
    }

    /// Lends every member, whatever the size. nil: no set, else how many. Where the size is not known to be small:
    /// ``setFetch(_:)``.
    @discardableResult
    package func setForEach(_ body: (UnsafeRawBufferPointer) -> Void) throws(MartletError) -> Int? {
        try withHashed(.set) { (view) throws(MartletError) in
            var count = 0
            try view.forEach { (member, _) in
                count += 1
                body(member)
            }
            return count
        }
    }

    /// Lends every member under the lock if they are few, or takes a snapshot that is read without it.
    package func setFetch(_ body: (UnsafeRawBufferPointer) -> Void) throws(MartletError) -> SetFetch {
        guard try holdsHashed(.set) else { return .missing }
        if isLarge, trees.0.bytes > Self.fetchedUnderLockBytes, let snapshot = try setSnapshot() {
            return .snapshot(snapshot)
        }
        return .handedOut(try setForEach(body) ?? 0)
    }

    /// The set as it is now, to be read without the lock; nil if there is none. O(1), or a copy of up to 4 KiB.
    package func setSnapshot() throws(MartletError) -> SetSnapshot? {
        try hashedEntries(.set).map { SetSnapshot($0) }
    }

    /// Lends some members from a cursor on (0 at first), all at once if the set is small. Returns the cursor to go on
    /// from, 0 at the end; nil: no set.
    ///
    /// A member that is there from the first call to the last is handed out at least once, however the set changes
    /// between the calls, its form included.
    package func setScan(
        from cursor: UInt64, limit: Int, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> UInt64? {
        try withHashed(.set) { (view) throws(MartletError) in
            try view.visit(from: cursor, limit: limit) { (member, _) in body(member) }
        }
    }

    /// Lends random members: `count` of them, or if distinct at most all there are. False: no set.
    package func setRandom(
        _ count: Int, isDistinct: Bool, using generator: inout some RandomNumberGenerator,
        _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> Bool {
        let found: Void? = try withHashed(.set) { (view) throws(MartletError) in
            try view.random(count, isDistinct: isDistinct, using: &generator) { (member, _) in body(member) }
        }
        return found != nil
    }
}
