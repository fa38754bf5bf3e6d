import Tenancy

// When fields of a dictionary end. See FieldTimes.swift.

/// What a change of a field's time did.
package enum FieldExpiryOutcome: Equatable, Sendable {
    /// There is no such field.
    case missing
    /// The rule did not allow it.
    case kept
    case changed
    /// The time has passed, and the field went.
    case removed
}

/// When a field ends.
package enum FieldExpiry: Equatable, Sendable {
    /// There is no such field.
    case missing
    case never
    case at(Timestamp)
}

extension ItemAccess {
    /// Changes when fields end, or makes it never (nil), where the rule allows; a time that is not after now removes the
    /// field, and the dictionary with the last. Fields are taken in their order, so one that is named twice meets what
    /// its first mention left. The dictionary's own time stays.
    ///
    /// - Parameter body: gets what became of each.
    /// - Returns: false, and nothing is called: no dictionary.
    /// - Throws: `wrongType`; `internalFailure` when what is stored is damaged, or cannot be sealed as single values.
    ///   Nothing is changed then.
    ///
    /// Cost: O(log n) for each; for a packed dictionary that gets its first time, an insert for each of its fields.
    package mutating func dictionarySetExpiry(
        _ fields: Span<UnsafeRawBufferPointer>, _ expiresAt: Timestamp?, rule: ExpiryRule,
        _ body: (Int, FieldExpiryOutcome) -> Void
    ) throws(MartletError) -> Bool {
        guard try holdsHashed(.dictionary) else { return false }
        if !isLarge {
            guard let expiresAt, expiresAt > now, rule.allows(from: nil, to: expiresAt), try containsAny(of: fields)
            else {
                try setTimelessExpiry(fields, expiresAt, rule: rule, body)
                return true
            }
            try becomeLarge()
        }
        dropDue(fields.count) { fields[$0] }
        var tree = HashedTree(trees.0, source: source, hashKey: hashKey)
        var times = FieldTimes(trees.1, source: source, hashKey: hashKey)
        var isChanged = false
        for index in fields.indices {
            let outcome = Self.setExpiry(of: fields[index], expiresAt, now: now, rule: rule, in: &tree, &times)
            if outcome == .changed || outcome == .removed { isChanged = true }
            body(index, outcome)
        }
        if isChanged {
            storeHashed(tree, times: times.handle, .dictionary, expiresAt: self.expiresAt, mayShrink: true)
        }
        return true
    }

    private static func setExpiry(
        of field: UnsafeRawBufferPointer, _ expiresAt: Timestamp?, now: Timestamp, rule: ExpiryRule,
        in tree: inout HashedTree, _ times: inout FieldTimes
    ) -> FieldExpiryOutcome {
        guard tree.contains(field) else { return .missing }
        guard rule.allows(from: times.pages.time(of: field), to: expiresAt) else { return .kept }
        guard let expiresAt else {
            times.clear(field)
            return .changed
        }
        if expiresAt <= now {
            times.clear(field)
            tree.remove(field)
            return .removed
        }
        times.set(field, expiresAt)
        return .changed
    }

    /// The same for a packed dictionary, where no field has a time or gets one.
    private mutating func setTimelessExpiry(
        _ fields: Span<UnsafeRawBufferPointer>, _ expiresAt: Timestamp?, rule: ExpiryRule,
        _ body: (Int, FieldExpiryOutcome) -> Void
    ) throws(MartletError) {
        let isAllowed = rule.allows(from: nil, to: expiresAt)
        guard isAllowed, let expiresAt, expiresAt <= now else {
            _ = try dictionaryGet(fields) { index, value in
                body(index, value == nil ? .missing : isAllowed ? .changed : .kept)
            }
            return
        }
        var blob = ScratchBytes()
        let hasChanged = try withBlob(true) { (old) throws(MartletError) -> Bool in
            var editor = try PackedHashedEditor(old, .dictionary, changes: fields.count)
            var hasChanged = false
            for index in fields.indices {
                let isRemoved = try editor.remove(fields[index])
                if isRemoved { hasChanged = true }
                body(index, isRemoved ? .removed : .missing)
            }
            if hasChanged { blob = editor.finish() }
            return hasChanged
        }
        guard hasChanged else { return }
        if blob.count == 0 { remove() } else { try store(.dictionary, blob.bytes, expiresAt: self.expiresAt) }
    }

    /// Tells when fields end. False, and nothing is called: no dictionary.
    package mutating func dictionaryExpiry(
        _ fields: Span<UnsafeRawBufferPointer>, _ body: (Int, FieldExpiry) -> Void
    ) throws(MartletError) -> Bool {
        let times = FieldTimePages(hasFieldTimes ? TreeNode(address: trees.1.root) : nil, hashKey: hashKey)
        let found: Void? = try withHashed(.dictionary) { (view) throws(MartletError) in
            for index in fields.indices {
                guard try view.find(fields[index]) != nil else {
                    body(index, .missing)
                    continue
                }
                body(index, times.time(of: fields[index]).map { .at($0) } ?? .never)
            }
        }
        return found != nil
    }

    private func containsAny(of fields: Span<UnsafeRawBufferPointer>) throws(MartletError) -> Bool {
        try withHashed(.dictionary) { (view) throws(MartletError) in
            for index in fields.indices where try view.find(fields[index]) != nil { return true }
            return false
        } ?? false
    }

    /// Makes a tree of a packed dictionary, whatever its size.
    private mutating func becomeLarge() throws(MartletError) {
        var blob = ScratchBytes()
        try withBlob(true) { blob.append($0) }
        var added = 0
        let tree = try promoted(blob.bytes, .dictionary, adding: 0..<0, added: &added) { _ in
            (PackedHashed.nothing, PackedHashed.nothing)
        }
        storeTrees(.dictionary, tree.handle, TreeHandle(), expiresAt: expiresAt)
    }

    // MARK: What is due

    /// How many fields are removed at most before an operation, for their time has passed.
    static let mostFieldsExpired = 16

    /// Removes fields whose time has passed, at most `limit`, or the whole item if that is all of them. Returns how many
    /// it removed.
    @discardableResult
    mutating func expireFields(limit: Int) -> Int {
        hasDueFields = false
        guard let record = liveRecord, record.hasFieldTimes, record.hasDueField(at: now) else { return 0 }
        let trees = record.trees
        let due = FieldTimePages.due(in: trees.1, at: now)
        guard due < trees.0.count else {
            stripe.figures.pointee.addExpiration()
            remove()
            return 1
        }
        hasDueFields = due > limit
        var tree = HashedTree(trees.0, source: source, hashKey: hashKey)
        var times = FieldTimes(trees.1, source: source, hashKey: hashKey)
        let fields = times.takeDue(at: now, limit: limit)
        for index in 0..<fields.count { tree.remove(fields[index]) }
        let uses = record.uses
        storeHashed(tree, times: times.handle, .dictionary, expiresAt: expiresAt, mayShrink: true)
        // That a field expires is no use of the dictionary.
        liveRecord?.setUses(uses)
        return fields.count
    }

    /// Removes those of some fields whose time has passed, before they are written anew.
    mutating func dropDue(_ count: Int, _ field: (Int) -> UnsafeRawBufferPointer) {
        guard hasDueFields, hasFieldTimes else { return }
        var tree = HashedTree(trees.0, source: source, hashKey: hashKey)
        var times = FieldTimes(trees.1, source: source, hashKey: hashKey)
        var isChanged = false
        for index in 0..<count {
            guard let time = times.pages.time(of: field(index)), time <= now else { continue }
            times.clear(field(index))
            tree.remove(field(index))
            isChanged = true
        }
        if isChanged {
            storeHashed(tree, times: times.handle, .dictionary, expiresAt: expiresAt, mayShrink: true)
        }
    }

    /// Takes the times of some fields away, after they were written.
    mutating func clearTimes(_ count: Int, _ field: (Int) -> UnsafeRawBufferPointer) {
        guard hasFieldTimes else { return }
        var times = FieldTimes(trees.1, source: source, hashKey: hashKey)
        var isChanged = false
        for index in 0..<count where times.clear(field(index)) { isChanged = true }
        guard isChanged else { return }
        let tree = HashedTree(trees.0, source: source, hashKey: hashKey)
        storeHashed(tree, times: times.handle, .dictionary, expiresAt: expiresAt, mayShrink: times.isEmpty)
    }

    /// What is to be passed over by whoever reads the dictionary; nil, nearly always: nothing.
    var dueFields: DueFields? {
        guard hasDueFields, hasFieldTimes else { return nil }
        let handle = trees.1
        let count = FieldTimePages.due(in: handle, at: now)
        guard count > 0 else { return nil }
        return DueFields(
            times: FieldTimePages(TreeNode(address: handle.root), hashKey: hashKey), now: now, count: count)
    }
}
