import Admission
import Catalog
import Engine
import Metering
import Tenancy

/// Steps four to six: within their limits, do it, write it down. One method for each operation on items.
///
/// Each answers at once when the engine does, or later through the closure that `later` makes; that closure is asked for
/// only when it is needed, so an answer that is here costs no allocation. The counters are raised before the answer is
/// handed out.
extension ServiceLane {
    /// Reads an item.
    ///
    /// - Parameters:
    ///   - condition: Nil when the value is wanted whatever it is. A value that its hash rules out is read, but neither
    ///     sent nor billed as sent.
    ///   - accepted: What the caller takes beside the value as it is. ``ItemFacts/storedEncoding`` says what it got.
    ///   - reserve: Gives the memory into which the value is copied. Called at most once, on a hit that is here.
    /// - Returns: The item's facts, nil for a miss.
    package func get(
        _ grant: CacheGrant, _ door: Door, key: UnsafeRawBufferPointer, condition: ReadCondition? = nil,
        accepting accepted: AcceptedEncoding = .identity, into reserve: (Int) -> UnsafeMutableRawBufferPointer,
        later: () -> LateHandler<LateItem?>
    ) -> Reply<ItemFacts?> {
        do throws(MartletError) {
            let (cache, row) = try admit(grant, door, .read, key: key)
            guard let engine = service.lateEngine else {
                do throws(MartletError) {
                    let facts = try cache.shared.items.get(key, now: now, accepting: accepted, into: reserve)
                    meterRead(cache, row, keyBytes: key.count, facts, condition)
                    return .here(facts)
                } catch {
                    row.recordRefusal(error)
                    return .refused(error)
                }
            }
            let keyBytes = key.count
            perform(engine, .get(key: Array(key)), cache, row, later()) { lane, reply in
                guard case .item(let item) = reply else { return nil }
                lane.meterRead(cache, row, keyBytes: keyBytes, item?.facts, condition)
                return .some(item)
            }
            return .later
        } catch {
            return .refused(error)
        }
    }

    @inline(__always)
    private func meterRead(
        _ cache: LaneCache, _ row: MeterRow, keyBytes: Int, _ facts: ItemFacts?, _ condition: ReadCondition?
    ) {
        if let facts, let condition, condition.outcome(of: facts.valueHash) != .send {
            row.recordFacts(keyBytes: keyBytes, found: true)
            return
        }
        row.recordRead(keyBytes: keyBytes, valueBytes: facts?.byteCount, sentBytes: facts?.handedOutByteCount)
        guard let facts, facts.byteCount > 0 else { return }
        // One operation was admitted; what a large value costs beyond it holds back the calls that follow.
        cache.shared.admission.settle(
            extraOperations: BillingPolicy.read(keyBytes: keyBytes, valueBytes: facts.byteCount).operations - 1,
            bytesOut: UInt64(facts.handedOutByteCount), nowNanoseconds: nowNanoseconds)
    }

    /// Reads what is known of an item without its value.
    ///
    /// - Parameter accepted: As for a read, whose answer this tells.
    package func facts(
        _ grant: CacheGrant, _ door: Door, key: UnsafeRawBufferPointer,
        accepting accepted: AcceptedEncoding = .identity, later: () -> LateHandler<ItemFacts?>
    ) -> Reply<ItemFacts?> {
        do throws(MartletError) {
            let (cache, row) = try admit(grant, door, .read, key: key)
            guard let engine = service.lateEngine else {
                do throws(MartletError) {
                    let facts = try cache.shared.items.facts(key, now: now, accepting: accepted)
                    row.recordFacts(keyBytes: key.count, found: facts != nil)
                    return .here(facts)
                } catch {
                    row.recordRefusal(error)
                    return .refused(error)
                }
            }
            let keyBytes = key.count
            perform(engine, .facts(key: Array(key)), cache, row, later()) { _, reply in
                guard case .facts(let facts) = reply else { return nil }
                row.recordFacts(keyBytes: keyBytes, found: facts != nil)
                return .some(facts)
            }
            return .later
        } catch {
            return .refused(error)
        }
    }

    /// Stores an item.
    ///
    /// - Parameters:
    ///   - value: In the form that `coding` says.
    ///   - ttl: Nil for the cache's default.
    /// - Returns: Whether the condition held and the item is stored.
    package func set(
        _ grant: CacheGrant, _ door: Door, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer,
        coding: ContentCoding = .identity, ttl: TTL?, condition: SetCondition, later: () -> LateHandler<Bool>
    ) -> Reply<Bool> {
        let isConditional = condition != .always
        let operations = operationsAnnounced(
            grant, keyBytes: key.count, value, coding, isConditional: isConditional)
        do throws(MartletError) {
            let (cache, row) = try admit(grant, door, .other, key: key, operations: operations, bytesIn: value.count)
            do throws(MartletError) {
                guard coding == .zstd else {
                    return try store(
                        cache, row, key: key, value: value, ttl: ttl, ttlField: door.ttlField, condition: condition,
                        later: later)
                }
                let received = try unpackValue(
                    cache, keyBytes: key.count, value, admitted: operations, isConditional: isConditional)
                return try received.withBytes(body: value) { (plain, frame) throws(MartletError) in
                    try store(
                        cache, row, key: key, value: plain, frame: frame, bodyBytes: value.count, ttl: ttl,
                        ttlField: door.ttlField, condition: condition, later: later)
                }
            } catch {
                row.recordRefusal(error)
                return .refused(error)
            }
        } catch {
            return .refused(error)
        }
    }

    /// - Parameters:
    ///   - frame: The value as one zstd frame, to be kept so where the cache compresses so.
    ///   - bodyBytes: The length of the form in which the value came; nil where it came as it is.
    private func store(
        _ cache: LaneCache, _ row: MeterRow, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer,
        frame: UnsafeRawBufferPointer? = nil, bodyBytes: Int? = nil, ttl: TTL?, ttlField: String,
        condition: SetCondition,
        later: () -> LateHandler<Bool>
    ) throws(MartletError) -> Reply<Bool> {
        try cache.sizes.checkItem(keyBytes: key.count, valueBytes: value.count)
        let expiresAt = now + (try cache.ttl.resolve(ttl, field: ttlField))
        let (keyBytes, valueBytes) = (key.count, value.count)
        let isConditional = condition != .always
        guard let engine = service.lateEngine else {
            let isStored = try cache.shared.items.set(
                key, value: value, compressed: frame, expiresAt: expiresAt, condition: condition, now: now)
            row.recordWrite(
                keyBytes: keyBytes, valueBytes: valueBytes, bodyBytes: bodyBytes, isConditional: isConditional)
            return .here(isStored)
        }
        let command = LateCommand.set(
            key: Array(key), value: Array(value), expiresAt: expiresAt, condition: condition)
        perform(engine, command, cache, row, later()) { _, reply in
            guard case .isDone(let isStored) = reply else { return nil }
            row.recordWrite(
                keyBytes: keyBytes, valueBytes: valueBytes, bodyBytes: bodyBytes, isConditional: isConditional)
            return isStored
        }
        return .later
    }

    /// Removes an item.
    ///
    /// - Parameter condition: ``SetCondition/always`` removes whatever is there; the others remove only if they hold.
    /// - Returns: False when a condition was given and did not hold.
    package func delete(
        _ grant: CacheGrant, _ door: Door, key: UnsafeRawBufferPointer, condition: SetCondition,
        later: () -> LateHandler<Bool>
    ) -> Reply<Bool> {
        do throws(MartletError) {
            let (cache, row) = try admit(grant, door, .other, key: key)
            guard let engine = service.lateEngine else {
                do throws(MartletError) {
                    let isDone = try delete(key, from: cache.shared.items, condition)
                    row.recordDelete(keyBytes: key.count)
                    return .here(isDone)
                } catch {
                    row.recordRefusal(error)
                    return .refused(error)
                }
            }
            let keyBytes = key.count
            perform(engine, .delete(key: Array(key), condition: condition), cache, row, later()) { _, reply in
                guard case .isDone(let isDone) = reply else { return nil }
                row.recordDelete(keyBytes: keyBytes)
                return isDone
            }
            return .later
        } catch {
            return .refused(error)
        }
    }

    private func delete(
        _ key: UnsafeRawBufferPointer, from items: EngineCache, _ condition: SetCondition
    ) throws(MartletError) -> Bool {
        switch condition {
        case .always, .ifAbsent, .ifHashNotIn, .ifPresentAndHashNotIn, .ifAbsentOrHashIn:
            // All but the first never come here: a door has no such delete.
            _ = items.delete(key, now: now)
            return true
        case .ifPresent:
            return items.delete(key, now: now)
        case .ifHashIn(let hashes):
            return try items.delete(key, ifHashIn: hashes, now: now) == .removed
        }
    }

    /// Adds to the integer that an item's text spells, and stores the sum. A missing item counts as 0.
    ///
    /// - Parameter ttl: For an item that is made by this; one that exists keeps its expiry. Nil for the cache's default.
    package func increment(
        _ grant: CacheGrant, _ door: Door, key: UnsafeRawBufferPointer, by amount: Int64, ttl: TTL?,
        later: () -> LateHandler<Int64>
    ) -> Reply<Int64> {
        do throws(MartletError) {
            let (cache, row) = try admit(grant, door, .other, key: key)
            do throws(MartletError) {
                let expiresAt = now + (try cache.ttl.resolve(ttl, field: door.ttlField))
                guard let engine = service.lateEngine else {
                    let value = try cache.shared.items.increment(key, by: amount, expiresAt: expiresAt, now: now)
                    row.recordIncrement(keyBytes: key.count, valueBytes: Self.digits(of: value))
                    return .here(value)
                }
                let keyBytes = key.count
                let command = LateCommand.increment(key: Array(key), by: amount, expiresAt: expiresAt)
                perform(engine, command, cache, row, later()) { _, reply in
                    guard case .number(let value) = reply else { return nil }
                    row.recordIncrement(keyBytes: keyBytes, valueBytes: Self.digits(of: value))
                    return value
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

    private static func digits(of value: Int64) -> Int {
        String(value).utf8.count
    }

    // MARK: What a door asks before it takes a body or makes an answer

    /// Whether the answer to a read would be larger than that, as far as can be known now: a door whose reader is behind
    /// asks before it reads. Nothing is metered. An engine elsewhere cannot tell, so its answers count as large.
    package func isLarger(
        _ grant: CacheGrant, key: UnsafeRawBufferPointer, accepting accepted: AcceptedEncoding = .identity,
        than byteCount: Int
    ) -> Bool {
        guard service.lateEngine == nil, let cache = grant.cache else { return true }
        // What cannot be read is answered with an error, which is small.
        let facts = try? cache.shared.items.facts(key, now: now, accepting: accepted)
        return facts.map { $0.handedOutByteCount > byteCount } ?? false
    }

    /// The largest item that the cache takes, key and value together.
    package func itemBytesLimit(_ grant: CacheGrant) -> Int {
        grant.cache?.sizes.itemBytes ?? 0
    }

    /// The longest key that the cache takes.
    package func keyBytesLimit(_ grant: CacheGrant) -> Int {
        grant.cache?.sizes.keyBytes ?? 0
    }

    /// The hash of a value, as reads and conditions know it.
    package func hash(of value: UnsafeRawBufferPointer) -> ValueHash {
        service.engine.hash(of: value)
    }

    /// Whether the cache accepts a TTL, or the absence of one.
    package func checkTTL(_ grant: CacheGrant, _ ttl: TTL?) throws(MartletError) {
        guard let cache = grant.cache else { throw .cacheNotFound }
        _ = try cache.ttl.resolve(ttl)
    }

    /// How large a value may be beside a key of so many bytes, and the body that it comes in.
    ///
    /// - Parameter declared: The length of the body that the request announces, where it does.
    /// - Throws: ``MartletError/tooLarge(limit:value:)`` when the key or the announced body is over the limit.
    package func valueLimit(
        _ grant: CacheGrant, _ door: Door, keyCount: Int, declared: Int?, coding: ContentCoding = .identity
    ) throws(MartletError) -> (valueBytes: Int, bodyBytes: Int) {
        guard let cache = grant.cache else { throw .cacheNotFound }
        let valueBytes = cache.sizes.valueBytes(besideKeyOf: keyCount)
        let bodyBytes = coding.bodyBytes(holding: valueBytes)
        do throws(MartletError) {
            try cache.sizes.checkItem(keyBytes: keyCount, valueBytes: 0)
            guard declared ?? 0 <= bodyBytes else {
                throw MartletError.tooLarge(limit: .maxItemBytes, value: UInt64(cache.sizes.itemBytes))
            }
        } catch {
            throw refused(grant, door, error)
        }
        return (valueBytes, bodyBytes)
    }

    /// Reserves memory for bytes of a body, from the tenant's and the process's budgets.
    package func reserveBytes(_ count: Int, _ grant: CacheGrant?) -> Bool {
        if let cache = grant?.cache { return cache.shared.admission.tenant.bytesInFlight.reserve(count) }
        return bodyBudget.reserve(count)
    }

    package func releaseBytes(_ count: Int, _ grant: CacheGrant?) {
        if let cache = grant?.cache {
            cache.shared.admission.tenant.bytesInFlight.release(count)
        } else {
            bodyBudget.release(count)
        }
    }

    // MARK: Admit

    @inline(__always)
    func admit(
        _ grant: CacheGrant, _ door: Door, _ kind: CallKind, key: UnsafeRawBufferPointer, operations: UInt64 = 1,
        bytesIn: Int = 0
    ) throws(MartletError) -> (LaneCache, MeterRow) {
        // A grant is only given out for a cache that exists.
        guard let cache = grant.cache else { throw .cacheNotFound }
        let row = try row(cache, door)
        do throws(MartletError) {
            try cache.sizes.checkKey(byteCount: key.count)
            try admit(cache, kind, operations: operations, bytesIn: UInt64(key.count + bytesIn))
        } catch {
            row.recordRefusal(error)
            throw error
        }
        countOperation(on: key, of: cache)
        return (cache, row)
    }

    // MARK: Late engines

    /// Sends a command away and takes its answer on this lane's thread: metered there, then handed over.
    func perform<Value>(
        _ engine: any LateEngine, _ command: LateCommand, _ cache: LaneCache, _ row: MeterRow,
        _ handler: @escaping LateHandler<Value>, take: @escaping (ServiceLane, LateReply) -> Value?
    ) {
        let bound = LaneBound((lane: self, handler: handler, take: take))
        let schedule = schedule
        let id = cache.record.id
        engine.perform(command, on: id, now: now) { result in
            schedule {
                let (lane, handler, take) = bound.value
                lane.beginTick()
                guard lane.snapshot.cache(id) != nil else {
                    // Its counters were given back with the cache, and may be another's by now.
                    handler(.failure(.cacheNotFound))
                    return
                }
                switch result {
                case .failure(let error):
                    row.recordRefusal(error)
                    handler(.failure(error))
                case .success(let reply):
                    guard let value = take(lane, reply) else {
                        let error = MartletError.internalFailure("the engine answered another question")
                        row.recordRefusal(error)
                        handler(.failure(error))
                        return
                    }
                    handler(.success(value))
                }
            }
        }
    }
}
