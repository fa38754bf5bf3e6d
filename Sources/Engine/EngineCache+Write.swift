import Synchronization
import Tenancy

extension EngineCache {
    /// Stores a value under a key, if the condition holds.
    ///
    /// Key and value are copied once, into an item that is made before the lock is taken. Where memory is short, the
    /// cache evicts items of its own, or the process those of the cache that is furthest over its share.
    ///
    /// - Parameters:
    ///   - expiresAt: the first millisecond at which the item is not served. Nil: never. One that is not after `now`
    ///     stores nothing that could be read, and removes what was there.
    ///   - condition: decided in the same step as the write.
    /// - Returns: whether the condition held and the value is stored.
    /// - Throws: ``MartletError/memoryExhausted`` when the item does not fit even with all evicted that may be, and then
    ///   an older item of that key is still there; ``MartletError/cacheNotFound`` when the cache is closed.
    package func set(
        _ key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, expiresAt: Timestamp?, condition: SetCondition,
        now: Timestamp
    ) throws(MartletError) -> Bool {
        try checkFits(keyBytes: key.count, valueBytes: value.count)
        let hash = SipHash.placement(of: key, key: core.configuration.indexKey)
        let item = Item.make(
            key: key, value: value, expiresAt: expiresAt, valueHashKey: core.configuration.valueHashKey)
        var attempts = 0
        while true {
            let attempt = withStripe(of: hash) { contents -> Attempt<Void> in
                guard !contents.isClosed else { return .closed }
                let found = contents.index.find(key, hash: hash)
                let live = found.flatMap { $0.isExpired(at: now) ? nil : $0 }
                guard holds(condition, for: live) else { return .refused }
                return store(item, replacing: found, in: &contents, hash: hash, now: now)
            }
            switch attempt {
            case .done((), let removed, let isCrowded):
                removed?.deallocate()
                if isCrowded { divide(now: now) }
                return true
            case .refused:
                item.deallocate()
                return false
            case .closed:
                item.deallocate()
                throw .cacheNotFound
            case .full(let shortage):
                attempts += 1
                do throws(MartletError) {
                    try makeRoom(for: shortage, attempts: attempts)
                } catch {
                    item.deallocate()
                    throw error
                }
            }
        }
    }

    /// Removes an item.
    /// - Returns: whether a live item was there.
    package func delete(_ key: UnsafeRawBufferPointer, now: Timestamp) -> Bool {
        delete(key, ifHashIn: nil, now: now) == .removed
    }

    /// Removes an item if the hash of its value is among those given, or whatever it is where none are given.
    package func delete(
        _ key: UnsafeRawBufferPointer, ifHashIn hashes: [ValueHash]?, now: Timestamp
    ) -> DeleteOutcome {
        let hash = SipHash.placement(of: key, key: core.configuration.indexKey)
        return withStripe(of: hash) { contents in
            guard let item = contents.index.find(key, hash: hash) else { return .absent }
            let isExpired = item.isExpired(at: now)
            if !isExpired, let hashes, !hashes.contains(item.valueHash(key: core.configuration.valueHashKey)) {
                return .kept
            }
            countIfExpired(item, now: now)
            discard(item, hash: hash, from: &contents)
            return isExpired ? .absent : .removed
        }
    }

    // MARK: Steps of a write

    /// How one attempt under the lock ended.
    enum Attempt<Success: Sendable>: Sendable {
        /// `removed` is what the write replaced, to be freed outside the lock; `isCrowded` asks for ``divide()``.
        case done(Success, removed: Item?, isCrowded: Bool)
        case refused
        case closed
        case full(Shortage)
    }

    /// What a write lacked.
    struct Shortage: Sendable {
        let reservation: Reservation
        let bytes: Int
        let items: Int
        /// The item that the write would replace: it must survive if the write fails.
        let spared: Item?
        /// The whole charge of the item to be stored.
        let itemCharge: Int
    }

    /// Evictions from the write's own stripe, under the lock it holds anyway, before it looks further.
    private static let evictionsInPlace = 8

    /// Stores an item in the place of `found` or of nothing, after reserving what it takes. `found` may have expired.
    func store(
        _ item: Item, replacing found: Item?, in contents: inout StripeContents, hash: UInt64, now: Timestamp
    ) -> Attempt<Void> {
        if item.isExpired(at: now) {
            if let found {
                countIfExpired(found, now: now)
                discard(found, hash: hash, from: &contents)
            }
            return .done((), removed: item, isCrowded: false)
        }
        let newItems = found == nil ? 1 : 0
        var evictionsLeft = Self.evictionsInPlace
        while true {
            let needed = contents.bytesToStore(item, replacing: found, hash: hash)
            let reservation = reserve(bytes: needed, items: newItems)
            if reservation == .granted {
                contents.chargedBytes += max(0, needed)
                break
            }
            if reservation == .cacheIsFull, evictionsLeft > 0, evictOne(from: &contents, sparing: found) {
                evictionsLeft -= 1
                continue
            }
            return .full(
                Shortage(
                    reservation: reservation, bytes: needed, items: newItems, spared: found, itemCharge: item.charge))
        }
        if let found {
            countIfExpired(found, now: now)
            contents.replace(found, with: item, hash: hash, now: now)
        } else {
            contents.insert(item, hash: hash, now: now)
        }
        settle(&contents)
        return .done((), removed: found, isCrowded: isCrowded(contents))
    }

    /// Books an item that a write removes as expired, if its time is over.
    private func countIfExpired(_ item: Item, now: Timestamp) {
        if item.isExpired(at: now) { expirations.wrappingAdd(1, ordering: .relaxed) }
    }

    /// Refuses at once what cannot fit however much is evicted.
    func checkFits(keyBytes: Int, valueBytes: Int) throws(MartletError) {
        guard Item.canHold(keyBytes: keyBytes, valueBytes: valueBytes) else { throw .memoryExhausted }
        let least = leastBytes + Self.firstItemOverhead + Item.charge(keyBytes: keyBytes, valueBytes: valueBytes)
        guard
            least <= maxBytes.load(ordering: .relaxed), least <= core.configuration.memoryBytes,
            maxItems.load(ordering: .relaxed) > 0
        else { throw isClosed.load(ordering: .relaxed) ? .cacheNotFound : .memoryExhausted }
    }

    private func holds(_ condition: SetCondition, for item: Item?) -> Bool {
        switch condition {
        case .always: true
        case .ifAbsent: item == nil
        case .ifPresent: item != nil
        case .ifHashIn(let hashes):
            item.map { hashes.contains($0.valueHash(key: core.configuration.valueHashKey)) } ?? false
        case .ifHashNotIn(let hashes):
            item.map { !hashes.contains($0.valueHash(key: core.configuration.valueHashKey)) } ?? true
        }
    }
}
