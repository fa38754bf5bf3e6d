import Synchronization
import Tenancy

/// One key of a cache while the lock of its stripe is held: what collections and all other read-modify-writes are made
/// of. Never escapes the closure that it was lent to.
package struct ItemAccess {
    let cache: EngineCache
    let stripe: StripeReference
    package let key: UnsafeRawBufferPointer
    let hash: UInt64
    package let now: Timestamp
    /// The item's record, which may have expired; of what is found under a key, only a live one is shown.
    private var found: Record?
    /// What the elements are bound to, if the item becomes a large collection.
    private var newBinding: UInt64 = 0
    /// Observers know that the item was written: what is written of it further is a part of the same change.
    private var isWriteTold = false
    /// Whether fields of the dictionary are left whose time has passed: more than were removed when it was taken.
    var hasDueFields = false

    /// - Parameter expiringFields: how many fields of a dictionary are removed at most, for their time has passed.
    init(
        _ cache: EngineCache, _ stripe: StripeReference, _ key: UnsafeRawBufferPointer, _ hash: UInt64,
        _ now: Timestamp, expiringFields: Int = mostFieldsExpired
    ) {
        self.cache = cache
        self.stripe = stripe
        self.key = key
        self.hash = hash
        self.now = now
        refresh(expiringFields: expiringFields)
    }

    /// Looks, or looks again after another access may have changed the item. Of a dictionary's fields that have expired
    /// the first go here.
    mutating func refresh(expiringFields: Int = mostFieldsExpired) {
        found = stripe.contents.pointee.index.find(key, hash: hash)
        if let found, found.hasFieldTimes { expireFields(limit: expiringFields) }
    }

    private var live: Record? {
        guard let found, !found.isExpired(at: now) else { return nil }
        return found
    }

    /// Nil: absent, or expired by `now`.
    package var kind: ItemKind? { live?.kind }

    /// Nil: absent or never.
    package var expiresAt: Timestamp? { live?.expiresAt }

    /// Whether it is a collection held as trees.
    var isLarge: Bool { live?.isLarge ?? false }

    /// Whether it is a dictionary of which a field has a time.
    var hasFieldTimes: Bool { live?.hasFieldTimes ?? false }

    /// The record of a live item.
    var liveRecord: Record? { live }

    /// How much memory the elements of a large collection take; 0 for every other item, which is small or of one piece.
    package var elementBytes: Int { trees.0.bytes + trees.1.bytes }

    var source: PageSource { cache.source }
    var hashKey: SipHashKey { cache.core.configuration.indexKey }

    /// Counts as a use of the item.
    package func markUsed() { live?.markUsed() }

    // MARK: Scalars and packed collections

    /// Lends the plain bytes of a scalar or a packed collection. The body must not change the item.
    /// - Returns: nil if there is none, or a large collection.
    /// - Throws: ``MartletError/internalFailure(_:)`` when what is stored is not authentic.
    package func withValue<Result>(
        _ body: (UnsafeRawBufferPointer) throws(MartletError) -> Result
    ) throws(MartletError) -> Result? {
        guard let record = live, !record.isLarge else { return nil }
        record.markUsed()
        return try cache.withPlain(
            of: record, key: key, hash: hash, sealer: stripe.contents.pointee.sealer, body)
    }

    /// Creates or replaces the item by a scalar or a packed collection. `value` must not lie in the item itself.
    /// A time that is not after now removes it.
    /// - Throws: ``MartletError/internalFailure(_:)`` when it cannot be sealed, ``MartletError/memoryExhausted`` when it is
    ///   longer than a record may be. Nothing is changed then.
    package mutating func store(
        _ kind: ItemKind, _ value: UnsafeRawBufferPointer, expiresAt: Timestamp?
    ) throws(MartletError) {
        if let expiresAt, expiresAt <= now { return remove() }
        guard kind == .scalar, cache.compresses.load(ordering: .relaxed) else {
            return try store(kind, value, nil, plain: value, expiresAt)
        }
        var scratch = ScratchBytes(capacity: value.count / 2 + 64)
        let encoding = cache.compress(value, into: &scratch)
        try store(kind, encoding == nil ? value : scratch.bytes, encoding, plain: value, expiresAt)
    }

    private mutating func store(
        _ kind: ItemKind, _ payload: UnsafeRawBufferPointer, _ encoding: (encoding: StoredEncoding, version: UInt8)?,
        plain: UnsafeRawBufferPointer, _ expiresAt: Timestamp?
    ) throws(MartletError) {
        let sealer = stripe.contents.pointee.sealer
        let form = StoredForm(
            payloadBytes: payload.count, encoding: encoding?.encoding ?? .identity, version: encoding?.version ?? 0,
            isSealed: sealer != nil)
        guard form.storedBytes <= Record.largestValue else {
            cache.compressor?.release(version: form.version)
            throw .memoryExhausted
        }
        guard let sealer else { return fill(kind, payload, form, plain: plain, expiresAt) }
        var sealed = ScratchBytes(capacity: form.sealedBytes)
        let isSealed = sealer.seal(
            payload, key: key, context: UnsafeRawBufferPointer(start: nil, count: 0), lane: EngineCache.lane(hash),
            into: sealed.extend(by: form.sealedBytes))
        guard isSealed else {
            cache.compressor?.release(version: form.version)
            throw EngineCache.unsealable
        }
        fill(kind, sealed.bytes, form, plain: plain, expiresAt)
    }

    private mutating func fill(
        _ kind: ItemKind, _ sealed: UnsafeRawBufferPointer, _ form: StoredForm, plain: UnsafeRawBufferPointer,
        _ expiresAt: Timestamp?
    ) {
        let record = stripe.makeRecord(
            key, hash: hash, replacing: found, storedBytes: form.storedBytes, kind: kind, encoding: form.encoding,
            expiresAt: expiresAt, now: now, tells: !isWriteTold, cache)
        isWriteTold = true
        record.sealed(form).copyMemory(from: sealed)
        record.fillFrame(form, hash: form.keepsHash ? cache.core.valueHash(of: plain) : nil)
        found = record
    }

    // MARK: Large collections

    /// The trees of a large collection: one for set and list; for a dictionary entries, then times if a field has one;
    /// for a sorted set members, then scores.
    var trees: (TreeHandle, TreeHandle) {
        guard let record = live, record.isLarge else { return (TreeHandle(), TreeHandle()) }
        return record.trees
    }

    /// Creates or replaces the item by a large collection, or writes its changed handles back. The trees that it had are
    /// not freed if it was large already: the handles that are given are what became of them.
    ///
    /// - Parameter hasChanged: false when the elements are what they were, and only lie in other pages now.
    mutating func storeTrees(
        _ kind: ItemKind, _ first: TreeHandle, _ second: TreeHandle, expiresAt: Timestamp?, hasChanged: Bool = true
    ) {
        if let record = live, record.isLarge, record.kind == kind {
            let before = record.trees
            stripe.contents.pointee.treeBytes += first.bytes + second.bytes - before.0.bytes - before.1.bytes
            record.setTrees(first, second)
            record.markUsed()
            if hasChanged { tellWritten() }
            if kind == .dictionary { noteFieldTimes(record, second) }
            return setExpiry(expiresAt)
        }
        adopt(kind, LargeCollection(first: first, second: second, binding: elements.binding), expiresAt: expiresAt)
    }

    /// What seals the elements of a large dictionary or list, in the lock and, for a reader of a snapshot, outside.
    var elements: ElementSealer {
        mutating get {
            let binding: UInt64
            if let record = live, record.isLarge {
                binding = record.binding
            } else {
                if newBinding == 0 { newBinding = cache.core.nextBinding() }
                binding = newBinding
            }
            return ElementSealer(
                sealer: stripe.contents.pointee.sealer, binding: binding, lane: EngineCache.lane(hash))
        }
    }

    /// Creates or replaces the item by trees that belong to no other.
    mutating func adopt(_ kind: ItemKind, _ large: LargeCollection, expiresAt: Timestamp?) {
        let record = stripe.makeRecord(
            key, hash: hash, replacing: found, storedBytes: Record.treesBytes, kind: kind, isLarge: true,
            expiresAt: expiresAt, now: now, tells: !isWriteTold, cache)
        isWriteTold = true
        record.setTrees(large.first, large.second)
        record.setBinding(large.binding)
        if kind == .dictionary { noteFieldTimes(record, large.second) }
        stripe.contents.pointee.treeBytes += large.first.bytes + large.second.bytes
        found = record
        if let expiresAt, expiresAt <= now { remove() }
    }

    /// Writes down that a dictionary's fields have times, or none, and tells the index of the earliest.
    private func noteFieldTimes(_ record: Record, _ times: TreeHandle) {
        let earliest = FieldTimePages.earliest(times)
        record.setHasFieldTimes(earliest != nil)
        if let earliest { note(earliest) }
    }

    private func note(_ expiresAt: Timestamp?) {
        stripe.note(ExpiryMinima.tick(of: expiresAt, epoch: cache.core.epoch(now)), hash: hash)
    }

    /// Removes a large collection, whose trees are now the caller's.
    mutating func takeTrees() -> LargeCollection {
        guard let record = live, record.isLarge else { return LargeCollection() }
        let trees = record.trees
        let large = LargeCollection(first: trees.0, second: trees.1, binding: record.binding)
        stripe.contents.pointee.treeBytes -= trees.0.bytes + trees.1.bytes
        record.setTrees(TreeHandle(), TreeHandle())
        remove()
        return large
    }

    /// The trees of a large collection as they are now, to be read outside of the lock.
    func snapshotTrees() -> LargeSnapshot? {
        guard let record = live, record.isLarge else { return nil }
        return LargeSnapshot(record.trees, record.kind, binding: record.binding, source: source, hashKey: hashKey)
    }

    // MARK: Time and removal

    package mutating func setExpiry(_ expiresAt: Timestamp?) {
        guard let record = live else { return }
        if let expiresAt, expiresAt <= now { return remove() }
        guard record.expiresAt != expiresAt else { return }
        tellWritten()
        record.setExpiry(expiresAt)
        note(expiresAt)
    }

    /// Removes the item; trees are freed in the background.
    package mutating func remove() {
        guard let record = found else { return }
        cache.remove(record, hash, now, from: stripe)
        found = nil
        isWriteTold = false
    }

    /// Tells observers that the item was changed in place.
    private mutating func tellWritten() {
        if !isWriteTold { stripe.tell(key, .written, hash: hash) }
        isWriteTold = true
    }
}

/// The trees of a large collection, and what its elements are sealed with.
struct LargeCollection {
    var first = TreeHandle()
    var second = TreeHandle()
    var binding: UInt64 = 0
}
