import Tenancy

// Dictionaries: fields with values, under the lock of the item's stripe.
//
// Up to 4 KiB and 512 fields a dictionary is one packed blob (DictionarySetPacked.swift), sealed and compressed as a
// whole by the core. Beyond, it is a tree of its own (``HashedTree``), in which each value is sealed by itself with its
// field as the context, while the fields lie clear: they are what the tree is searched by. Which of the two it is shows
// in the costs only.
//
// What is handed out is lent for the duration of the closure, and the closure runs under the lock: it copies and does
// nothing else. After an error what was handed out before it is to be thrown away.

/// A field and the value that it gets.
package struct DictionaryPair {
    package var field: UnsafeRawBufferPointer
    package var value: UnsafeRawBufferPointer

    package init(field: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        self.field = field
        self.value = value
    }
}

/// What a reader of whole entries wants: without values none is opened.
package enum DictionaryParts: Sendable {
    case fields
    case pairs
}

/// How a fetch of all entries went.
package enum DictionaryFetch: Sendable {
    case missing
    /// All of them were handed out.
    case handedOut(Int)
    /// Too much to be handed out under the lock: to be read from the snapshot after it.
    case snapshot(DictionarySnapshot)
}

extension ItemAccess {
    /// Above so many bytes a fetch is a snapshot.
    static let fetchedUnderLockBytes = 64 << 10

    /// How many fields; nil: no dictionary. O(bytes) where packed, else O(1).
    package func dictionaryLength() throws(MartletError) -> Int? {
        try withHashed(.dictionary) { (view) throws(MartletError) in try view.count() }
    }

    /// Lends the value of a field. nil: no dictionary; false: no such field.
    package func dictionaryGet(
        _ field: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> Bool? {
        try withHashed(.dictionary) { (view) throws(MartletError) in
            guard let stored = try view.find(field) else { return false }
            guard view.isTree, isSealing else {
                body(stored)
                return true
            }
            var opened = ScratchBytes(capacity: stored.count)
            try largeElements.open(stored, context: field, into: &opened)
            body(opened.bytes)
            return true
        }
    }

    /// Lends the values of several fields, in their order, nil for one that is not there. False, and nothing is called:
    /// no dictionary.
    package func dictionaryGet(
        _ fields: Span<UnsafeRawBufferPointer>, _ body: (_ index: Int, UnsafeRawBufferPointer?) -> Void
    ) throws(MartletError) -> Bool {
        let found: Void? = try withHashed(.dictionary) { (view) throws(MartletError) in
            let opens = view.isTree && isSealing
            let elements = largeElements
            var opened = ScratchBytes(capacity: opens ? 1024 : 16)
            for index in fields.indices {
                let stored = try view.find(fields[index])
                if let stored, opens {
                    opened.removeAll()
                    try elements.open(stored, context: fields[index], into: &opened)
                    body(index, opened.bytes)
                } else {
                    body(index, stored)
                }
            }
        }
        return found != nil
    }

    /// Whether a field is there; nil: no dictionary.
    package func dictionaryContains(_ field: UnsafeRawBufferPointer) throws(MartletError) -> Bool? {
        try withHashed(.dictionary) { (view) throws(MartletError) in try view.find(field) != nil }
    }

    /// How many bytes the value of a field has; nil: no such field, or no dictionary.
    package func dictionaryValueLength(_ field: UnsafeRawBufferPointer) throws(MartletError) -> Int? {
        var length: Int?
        _ = try dictionaryGet(field) { length = $0.count }
        return length
    }

    /// Lends every entry, whatever the size, or with `.fields` every field and an empty value. nil: no dictionary, else
    /// how many. Where the size is not known to be small: ``dictionaryFetch(_:_:)``.
    @discardableResult
    func dictionaryForEach(
        _ parts: DictionaryParts = .pairs, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> Int? {
        try withHashed(.dictionary) { (view) throws(MartletError) in
            var lender = DictionaryLender(parts, of: view, in: self)
            var count = 0
            try view.forEach { (field, stored) throws(MartletError) in
                count += 1
                try lender.lend(field, stored, body)
            }
            return count
        }
    }

    /// Lends every entry under the lock if they are few, or takes a snapshot that is read without it.
    package func dictionaryFetch(
        _ parts: DictionaryParts = .pairs, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> DictionaryFetch {
        guard try holdsHashed(.dictionary) else { return .missing }
        if isLarge, trees.0.bytes > Self.fetchedUnderLockBytes, let snapshot = try dictionarySnapshot() {
            return .snapshot(snapshot)
        }
        return .handedOut(try dictionaryForEach(parts, body) ?? 0)
    }

    /// The dictionary as it is now, to be read without the lock; nil if there is none. O(1), or a copy of up to 4 KiB.
    package func dictionarySnapshot() throws(MartletError) -> DictionarySnapshot? {
        guard let entries = try hashedEntries(.dictionary) else { return nil }
        return DictionarySnapshot(entries, elements: largeElements)
    }

    /// Lends some entries from a cursor on (0 at first), all at once if the dictionary is small. Returns the cursor to go
    /// on from, 0 at the end; nil: no dictionary.
    ///
    /// A field that is there from the first call to the last is handed out at least once, however the dictionary
    /// changes between the calls, its form included.
    package func dictionaryScan(
        from cursor: UInt64, limit: Int, _ parts: DictionaryParts = .pairs,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> UInt64? {
        try withHashed(.dictionary) { (view) throws(MartletError) in
            var lender = DictionaryLender(parts, of: view, in: self)
            return try view.visit(from: cursor, limit: limit) { (field, stored) throws(MartletError) in
                try lender.lend(field, stored, body)
            }
        }
    }

    /// Lends random entries: `count` of them, or if distinct at most all there are. False: no dictionary.
    package func dictionaryRandom(
        _ count: Int, isDistinct: Bool, _ parts: DictionaryParts = .pairs,
        using generator: inout some RandomNumberGenerator,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> Bool {
        let found: Void? = try withHashed(.dictionary) { (view) throws(MartletError) in
            var lender = DictionaryLender(parts, of: view, in: self)
            try view.random(count, isDistinct: isDistinct, using: &generator) { (field, stored) throws(MartletError) in
                try lender.lend(field, stored, body)
            }
        }
        return found != nil
    }
}

/// Opens values, where they need it, before they are lent.
private struct DictionaryLender: ~Copyable {
    private let parts: DictionaryParts
    /// Nil: stored values are as they are.
    private let elements: ElementSealer?
    private var opened: ScratchBytes

    init(_ parts: DictionaryParts, of view: HashedView, in item: borrowing ItemAccess) {
        self.parts = parts
        elements = view.isTree && item.isSealing && parts == .pairs ? item.largeElements : nil
        opened = ScratchBytes(capacity: elements == nil ? 16 : 1024)
    }

    mutating func lend(
        _ field: UnsafeRawBufferPointer, _ stored: UnsafeRawBufferPointer,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) {
        guard let elements else { return body(field, parts == .pairs ? stored : PackedHashed.nothing) }
        opened.removeAll()
        try elements.open(stored, context: field, into: &opened)
        body(field, opened.bytes)
    }
}
