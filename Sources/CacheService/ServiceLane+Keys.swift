import Admission
import Catalog
import Engine
import Metering
import Tenancy

/// Steps four to six for what is asked of a key whatever it holds, and for conditional writes by value.
extension ServiceLane {
    /// Stores an item in the place of whatever is there, if a condition on that holds.
    ///
    /// - Parameter ttl: Nil for the cache's default.
    /// - Returns: Whether the condition held and the item is stored.
    package func setIf(
        _ grant: CacheGrant, _ door: Door, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, ttl: TTL?,
        condition: ValueCondition, later: () -> LateHandler<Bool>
    ) -> Reply<Bool> {
        let (keyBytes, valueBytes) = (key.count, value.count)
        // The value that is compared with is no item: it is received, and not billed.
        let bodyBytes = valueBytes + condition.byteCount
        let charge = BillingPolicy.write(keyBytes: keyBytes, valueBytes: valueBytes, isConditional: true)
        do throws(MartletError) {
            let (cache, row) = try admit(
                grant, door, .other, key: key, operations: charge.operations, bytesIn: bodyBytes)
            do throws(MartletError) {
                try cache.sizes.checkItem(keyBytes: keyBytes, valueBytes: valueBytes)
                let expiresAt = try cache.ttl.expiry(of: ttl, now: now, field: door.ttlField)
                guard let engine = service.lateEngine else {
                    let isStored = try cache.shared.items.set(
                        key, value: value, expiresAt: expiresAt, if: condition, now: now)
                    row.record(charge, bytesIn: keyBytes + bodyBytes, bytesOut: 0)
                    return .here(isStored)
                }
                let command = LateCommand.setIf(
                    key: Array(key), value: Array(value), expiresAt: expiresAt, condition: condition)
                perform(engine, command, cache, row, later()) { _, reply in
                    guard case .isDone(let isStored) = reply else { return nil }
                    row.record(charge, bytesIn: keyBytes + bodyBytes, bytesOut: 0)
                    return isStored
                }
                return .later
            } catch {
                row.recordRefusal(error)
                return .refused(error)
            }
        } catch {
            return .refused(error)
        }
    }

    /// Kind and expiry of an item of any kind; nil for a miss.
    package func describe(
        _ grant: CacheGrant, _ door: Door, key: UnsafeRawBufferPointer, later: () -> LateHandler<ItemDescription?>
    ) -> Reply<ItemDescription?> {
        do throws(MartletError) {
            let (cache, row) = try admit(grant, door, .read, key: key)
            let keyBytes = key.count
            guard let engine = service.lateEngine else {
                let description = cache.shared.items.description(of: key, now: now)
                row.recordFacts(keyBytes: keyBytes, found: description != nil)
                return .here(description)
            }
            perform(engine, .describe(key: Array(key)), cache, row, later()) { _, reply in
                guard case .description(let description) = reply else { return nil }
                row.recordFacts(keyBytes: keyBytes, found: description != nil)
                return .some(description)
            }
            return .later
        } catch {
            return .refused(error)
        }
    }

    /// Whether there is an item of any kind under each of the keys, in their order. The door has permitted each.
    package func exist(
        _ grant: CacheGrant, _ door: Door, keys: Elements, later: () -> LateHandler<[Bool]>
    ) -> Reply<[Bool]> {
        do throws(MartletError) {
            guard let cache = grant.cache else { throw .cacheNotFound }
            let row = try row(cache, door)
            do throws(MartletError) {
                guard keys.count <= CollectionCommand.mostElements else {
                    throw MartletError.invalidArgument(
                        field: "keys", reason: "must be at most \(CollectionCommand.mostElements)")
                }
                let sizes = cache.sizes
                try keys.forEach { (key) throws(MartletError) in try sizes.checkKey(byteCount: key.count) }
                var cost = CollectionCost()
                cost.add(keys)
                let charge = BillingPolicy.collection(
                    keyBytes: 0, requestElementChunks: cost.chunks, responseElementChunks: 0)
                try admit(cache, .read, operations: charge.operations, bytesIn: UInt64(keys.byteCount))
                keys.forEach { countOperation(on: $0, of: cache) }
                let (count, keyBytes) = (keys.count, keys.byteCount)
                func write(_ found: [Bool]) {
                    row.recordExistence(
                        charge, keys: count, keyBytes: keyBytes, found: found.count { $0 })
                }
                guard let engine = service.lateEngine else {
                    let found = cache.shared.items.exist(keys, now: now)
                    write(found)
                    return .here(found)
                }
                perform(engine, .exist(keys: keys), cache, row, later()) { _, reply in
                    guard case .existence(let found) = reply, found.count == count else { return nil }
                    write(found)
                    return found
                }
                return .later
            } catch {
                row.recordRefusal(error)
                return .refused(error)
            }
        } catch {
            return .refused(error)
        }
    }

    /// Changes when an item of any kind expires, if the rule allows.
    package func updateTTL(
        _ grant: CacheGrant, _ door: Door, key: UnsafeRawBufferPointer, ttl: TTL, rule: ExpiryRule,
        later: () -> LateHandler<ExpiryOutcome>
    ) -> Reply<ExpiryOutcome> {
        do throws(MartletError) {
            let (cache, row) = try admit(grant, door, .other, key: key)
            let keyBytes = key.count
            do throws(MartletError) {
                let expiresAt = try cache.ttl.expiry(of: ttl, now: now, field: door.ttlField)
                guard let engine = service.lateEngine else {
                    let outcome = try cache.shared.items.setExpiry(key, expiresAt, rule: rule, now: now)
                    row.recordDelete(keyBytes: keyBytes)
                    return .here(outcome)
                }
                let command = LateCommand.updateExpiry(key: Array(key), expiresAt: expiresAt, rule: rule)
                perform(engine, command, cache, row, later()) { _, reply in
                    guard case .expiry(let outcome) = reply else { return nil }
                    row.recordDelete(keyBytes: keyBytes)
                    return outcome
                }
                return .later
            } catch {
                row.recordRefusal(error)
                return .refused(error)
            }
        } catch {
            return .refused(error)
        }
    }

    /// Writes a call down that asks nothing of the data: a ping, an empty batch.
    package func recordCall(_ grant: CacheGrant, _ door: Door) {
        // A cache that is gone has given its counters back.
        guard let cache = grant.cache, snapshot.cache(cache.record.id) != nil else { return }
        try? row(cache, door).recordCall()
    }
}

extension EngineCache {
    /// What is known of an item of any kind; nil for a miss.
    package func description(of key: UnsafeRawBufferPointer, now: Timestamp) -> ItemDescription? {
        describe(key, now: now).map { ItemDescription(kind: $0.kind, expiresAt: $0.expiresAt) }
    }

    /// Whether there is an item under each of the keys.
    package func exist(_ keys: Elements, now: Timestamp) -> [Bool] {
        var found: [Bool] = []
        found.reserveCapacity(keys.count)
        keys.forEach { found.append(describe($0, now: now) != nil) }
        return found
    }
}
