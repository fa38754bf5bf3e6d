import Synchronization
import Tenancy

extension EngineCache {
    /// Stores a scalar under a key, if the condition holds. What was there is replaced, whatever its kind.
    ///
    /// A value is compressed and sealed before the lock is taken, and copied once under it, into the log. Where memory is
    /// short, the cache evicts items of its own, or the process those of the cache that is furthest over its share.
    ///
    /// - Parameters:
    ///   - compressed: the same value as one zstd frame, stored as it is where the cache compresses with plain zstd.
    ///   - expiresAt: the first millisecond at which the item is not served. Nil: never. One that is not after `now`
    ///     stores nothing that could be read, and removes what was there.
    ///   - condition: decided in the same step as the write. Where the process is full, room is made before, and the item
    ///     that is there now may be among what goes: then the condition finds it absent.
    /// - Returns: whether the condition held and the value is stored.
    /// - Throws: ``MartletError/memoryExhausted`` when the item does not fit even with all evicted that may be, and then
    ///   an older item of that key is still there; ``MartletError/cacheNotFound`` when the cache is closed;
    ///   ``MartletError/wrongType`` when the condition speaks of the value of what is a collection.
    package func set(
        _ key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, compressed: UnsafeRawBufferPointer? = nil,
        expiresAt: Timestamp?, condition: SetCondition, now: Timestamp
    ) throws(MartletError) -> Bool {
        let hash = hash(of: key)
        guard compresses.load(ordering: .relaxed), let compressor else {
            return try set(key, hash, value, encoding: nil, plain: value, expiresAt, condition, now)
        }
        if let compressed, compressor.mode == .zstd, compressed.count < value.count {
            return try set(key, hash, compressed, encoding: (.zstd, 0), plain: value, expiresAt, condition, now)
        }
        var scratch = ScratchBytes(capacity: value.count / 2 + 64)
        let encoding = compress(value, into: &scratch)
        do throws(MartletError) {
            let isStored = try set(
                key, hash, encoding == nil ? value : scratch.bytes, encoding: encoding, plain: value, expiresAt,
                condition, now)
            // An item keeps the use of a dictionary that compressing it took.
            if !isStored, let encoding { compressor.release(version: encoding.version) }
            return isStored
        } catch {
            if let encoding { compressor.release(version: encoding.version) }
            throw error
        }
    }

    private func set(
        _ key: UnsafeRawBufferPointer, _ hash: UInt64, _ payload: UnsafeRawBufferPointer,
        encoding: (encoding: StoredEncoding, version: UInt8)?, plain: UnsafeRawBufferPointer, _ expiresAt: Timestamp?,
        _ condition: SetCondition, _ now: Timestamp
    ) throws(MartletError) -> Bool {
        let form = StoredForm(
            payloadBytes: payload.count, encoding: encoding?.encoding ?? .identity, version: encoding?.version ?? 0,
            isSealed: core.configuration.seals)
        let recordBytes = try prepare(keyBytes: key.count, storedBytes: form.storedBytes, now: now)
        let valueHash = form.keepsHash ? core.valueHash(of: plain) : nil
        let isStored: Bool
        if form.isSealed {
            isStored = try setSealed(key, hash, payload, form, valueHash, expiresAt, condition, now)
        } else {
            let stripe = lockStripe(of: hash)
            isStored = try set(key, hash, payload, form, valueHash, expiresAt, condition, now, in: stripe)
        }
        finish(written: recordBytes, now: now)
        return isStored
    }

    /// Seals outside of the lock; again, if the cache was flushed in between and its key is another.
    private func setSealed(
        _ key: UnsafeRawBufferPointer, _ hash: UInt64, _ payload: UnsafeRawBufferPointer, _ form: StoredForm,
        _ valueHash: ValueHash?, _ expiresAt: Timestamp?, _ condition: SetCondition, _ now: Timestamp
    ) throws(MartletError) -> Bool {
        var sealer = currentSealer(hash)
        while let current = sealer {
            let outcome: Result<Bool, MartletError>? = withUnsafeTemporaryAllocation(
                byteCount: form.sealedBytes, alignment: 16
            ) { sealed in
                let isSealed = current.seal(
                    payload, key: key, context: UnsafeRawBufferPointer(start: nil, count: 0), lane: Self.lane(hash),
                    into: sealed)
                guard isSealed else { return .failure(Self.unsealable) }
                let stripe = lockStripe(of: hash)
                guard stripe.contents.pointee.sealer === current else {
                    sealer = stripe.contents.pointee.sealer
                    stripe.unlock()
                    return nil
                }
                do throws(MartletError) {
                    return .success(
                        try set(
                            key, hash, UnsafeRawBufferPointer(sealed), form, valueHash, expiresAt, condition, now,
                            in: stripe))
                } catch {
                    return .failure(error)
                }
            }
            if let outcome { return try outcome.get() }
        }
        // A stripe without a sealer belongs to a closed cache.
        throw .cacheNotFound
    }

    private func currentSealer(_ hash: UInt64) -> CacheSealer? {
        let stripe = lockStripe(of: hash)
        defer { stripe.unlock() }
        return stripe.contents.pointee.sealer
    }

    /// The step under the lock, which this gives back.
    private func set(
        _ key: UnsafeRawBufferPointer, _ hash: UInt64, _ sealed: UnsafeRawBufferPointer, _ form: StoredForm,
        _ valueHash: ValueHash?, _ expiresAt: Timestamp?, _ condition: SetCondition, _ now: Timestamp,
        in stripe: StripeReference
    ) throws(MartletError) -> Bool {
        defer { stripe.unlock() }
        guard !stripe.contents.pointee.isClosed else { throw .cacheNotFound }
        let found = stripe.contents.pointee.index.find(key, hash: hash)
        if condition != .always {
            let live = found.flatMap { $0.isGone(at: now) ? nil : $0 }
            guard try holds(condition, for: live, key, hash, stripe) else { return false }
        }
        if let expiresAt, expiresAt <= now {
            if let found { remove(found, hash, now, from: stripe) }
            if form.encoding == .zstdDictionary { compressor?.release(version: form.version) }
            return true
        }
        let record = stripe.makeRecord(
            key, hash: hash, replacing: found, storedBytes: form.storedBytes, kind: .scalar, encoding: form.encoding,
            expiresAt: expiresAt, now: now, self)
        record.sealed(form).copyMemory(from: sealed)
        record.fillFrame(form, hash: valueHash)
        if stripe.isCleaning { _ = stripe.clean(limit: Self.recordsCleanedByWrite, now: now, self) }
        return true
    }

    /// How many records a write looks at on behalf of cleaning: of four, one or more are dead.
    static let recordsCleanedByWrite = 5

    /// Removes an item that may have expired.
    func remove(_ record: Record, _ hash: UInt64, _ now: Timestamp, from stripe: StripeReference) {
        let isExpired = record.isExpired(at: now)
        if isExpired { stripe.figures.pointee.addExpiration() }
        stripe.remove(record, hash: hash, isExpired ? .expired : .removed, self)
    }

    /// Removes an item of any kind.
    /// - Returns: whether a live item was there.
    package func delete(_ key: UnsafeRawBufferPointer, now: Timestamp) -> Bool {
        let hash = hash(of: key)
        let stripe = lockStripe(of: hash)
        defer { stripe.unlock() }
        guard let record = stripe.contents.pointee.index.find(key, hash: hash) else { return false }
        let isLive = !record.isGone(at: now)
        remove(record, hash, now, from: stripe)
        return isLive
    }

    /// Removes a scalar if the hash of its value is among those given.
    /// - Throws: ``MartletError/wrongType`` for a collection.
    package func delete(
        _ key: UnsafeRawBufferPointer, ifHashIn hashes: [ValueHash], now: Timestamp
    ) throws(MartletError) -> DeleteOutcome {
        let hash = hash(of: key)
        let stripe = lockStripe(of: hash)
        defer { stripe.unlock() }
        guard let record = stripe.contents.pointee.index.find(key, hash: hash) else { return .absent }
        if record.isExpired(at: now) {
            remove(record, hash, now, from: stripe)
            return .absent
        }
        guard try holds(.ifHashIn(hashes), for: record, key, hash, stripe) else { return .kept }
        remove(record, hash, now, from: stripe)
        return .removed
    }

    func holds(
        _ condition: SetCondition, for record: Record?, _ key: UnsafeRawBufferPointer, _ hash: UInt64,
        _ stripe: StripeReference
    ) throws(MartletError) -> Bool {
        switch condition {
        case .always: return true
        case .ifAbsent: return record == nil
        case .ifPresent: return record != nil
        case .ifHashIn(let hashes):
            guard let record else { return false }
            return hashes.contains(try valueHash(of: record, key, hash, stripe))
        case .ifHashNotIn(let hashes):
            guard let record else { return true }
            return !hashes.contains(try valueHash(of: record, key, hash, stripe))
        case .ifPresentAndHashNotIn(let hashes):
            guard let record else { return false }
            return !hashes.contains(try valueHash(of: record, key, hash, stripe))
        case .ifAbsentOrHashIn(let hashes):
            guard let record else { return true }
            return hashes.contains(try valueHash(of: record, key, hash, stripe))
        }
    }

    private func valueHash(
        of record: Record, _ key: UnsafeRawBufferPointer, _ hash: UInt64, _ stripe: StripeReference
    ) throws(MartletError) -> ValueHash {
        guard record.isScalar else { throw .wrongType }
        let sealer = stripe.contents.pointee.sealer
        if let stored = record.storedHash(StoredForm(of: record, isSealed: sealer != nil)) { return stored }
        return try withPlain(of: record, key: key, hash: hash, sealer: sealer) { plain throws(MartletError) in
            core.valueHash(of: plain)
        }
    }
}
