import Admission
import Catalog
import Engine
import Metering
import Tenancy

/// Steps four to six for collections.
///
/// ```
/// check, resolve the time, admit ─▶ execute ─▶ reply ───────────────────────▶ write down ─▶ .here
///                                      │└──▶ unfinished ─▶ a turn ─▶ … ─▶ reply ─▶ write down ─▶ later
///                                      └──▶ an engine elsewhere ─────────▶ reply ─▶ write down ─▶ later
/// ```
extension ServiceLane {
    /// Performs a command on a collection. The door has permitted ``CollectionCommand/operation`` on the key and on every
    /// one of ``CollectionCommand/otherKeys``.
    ///
    /// A large collection is copied into its reply in several turns of the lane, so that neither its lock nor the lane is
    /// held for long; it is sent as it was in the first of them.
    package func perform(
        _ grant: CacheGrant, _ door: Door, key: UnsafeRawBufferPointer, _ command: CollectionCommand,
        standing: () -> (() -> CallStanding) = { { .wanted } }, later: () -> LateHandler<CollectionReply>
    ) -> Reply<CollectionReply> {
        do throws(MartletError) {
            // A grant is only given out for a cache that exists.
            guard let cache = grant.cache else { throw .cacheNotFound }
            let row = try row(cache, door)
            do throws(MartletError) {
                let account = CollectionAccount(cache, row, keyBytes: key.count, command)
                let expiry = try admit(account, key, door)
                guard let engine = service.lateEngine else {
                    return try execute(account, key, expiry, standing, later)
                }
                perform(engine, .collection(key: Array(key), command, expiry), cache, row, later()) { lane, reply in
                    guard case .collection(let reply) = reply else { return nil }
                    account.write(reply, lane)
                    return reply
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

    private func admit(
        _ account: CollectionAccount, _ key: UnsafeRawBufferPointer, _ door: Door
    ) throws(MartletError) -> CollectionExpiry {
        let cache = account.cache
        let expiry = try account.command.expiry(cache.ttl, now: now, field: door.ttlField)
        try account.command.check(cache.sizes)
        try cache.sizes.checkKey(byteCount: key.count)
        try admit(
            cache, .other, operations: account.admitted, bytesIn: UInt64(key.count + account.request.bytes))
        countOperation(on: key, of: cache)
        return expiry
    }

    private func execute(
        _ account: CollectionAccount, _ key: UnsafeRawBufferPointer, _ expiry: CollectionExpiry,
        _ standing: () -> (() -> CallStanding), _ later: () -> LateHandler<CollectionReply>
    ) throws(MartletError) -> Reply<CollectionReply> {
        hasSlowCalls = true
        try account.checkGrowth(of: key, now: now)
        let outcome = try account.command.execute(
            on: account.cache.shared.items, key: key, expiry: expiry, now: now, dice: &dice)
        switch outcome {
        case .reply(let reply):
            serveWaiters(account, key)
            account.write(reply, self)
            return .here(reply)
        case .unfinished(let work):
            if let reply = try work.step(now: now, dice: &dice) {
                serveWaiters(account, key)
                account.write(reply, self)
                return .here(reply)
            }
            let written = account.command.maySatisfyWaiters ? Array(key) : []
            queue(
                SlicedCall(
                    account: account, work: work, written: written, standing: standing(), handler: later()))
            return .later
        }
    }

    /// Serves commands of the Redis protocol that wait for what the call has put under its key.
    private func serveWaiters(_ account: CollectionAccount, _ key: UnsafeRawBufferPointer) {
        guard !account.cache.shared.blocked.isEmpty, account.command.maySatisfyWaiters else { return }
        serveWaiters([Array(key)], account.cache)
    }

    // MARK: Turns

    /// Whether ``continueCalls()`` has something to do.
    package var hasCallsLeft: Bool { !slicedCalls.isEmpty || !commandTurns.isEmpty }

    private func queue(_ call: SlicedCall) {
        slicedCalls.append(call)
        askForTurn()
    }

    func askForTurn() {
        if let onCallsLeft { return onCallsLeft() }
        guard !isTurnScheduled else { return }
        isTurnScheduled = true
        let bound = LaneBound(self)
        schedule {
            let lane = bound.value
            lane.isTurnScheduled = false
            lane.beginTick()
            lane.continueCalls()
            if lane.hasCallsLeft { lane.askForTurn() }
        }
    }

    /// Calls of a tenant that are gone through in turns; its others wait for one of them to end.
    private static let callsAtOnce = 4

    /// Does one turn of one of the calls that are answered in turns, the next time of another: about half a millisecond's
    /// work. Whoever set ``onCallsLeft`` calls it once a tick, after ``beginTick()``, while ``hasCallsLeft``.
    package func continueCalls() {
        areCommandsNext.toggle()
        if areCommandsNext || slicedCalls.isEmpty, !commandTurns.isEmpty { return continueCommands() }
        guard let tenant = fairest(slicedCalls.lazy.map(\.account.cache.record.tenant)) else { return }
        // In turns among the tenant's first few: what the others have so far is little.
        var places: [Int] = []
        for place in slicedCalls.indices where slicedCalls[place].account.cache.record.tenant == tenant {
            places.append(place)
            if places.count == Self.callsAtOnce { break }
        }
        nextSlicedCall = (nextSlicedCall &+ 1) % places.count
        let place = places[nextSlicedCall]
        let call = slicedCalls.remove(at: place)
        serve(tenant) { continueCall(call, at: place) }
    }

    private func continueCall(_ call: SlicedCall, at place: Int) {
        guard snapshot.cache(call.account.cache.record.id) != nil else {
            // Its counters were given back with the cache, and may be another's by now.
            return call.handler(.failure(.cacheNotFound))
        }
        switch call.standing() {
        case .wanted: break
        case .abandoned:
            // It was asked and has cost something, and nobody is there to be told.
            return call.account.row.recordRefusal(.requestTimeout)
        case .refused(let error):
            call.account.row.recordRefusal(error)
            return call.handler(.failure(error))
        }
        do throws(MartletError) {
            guard let reply = try call.work.step(now: now, dice: &dice) else {
                slicedCalls.insert(call, at: min(place, slicedCalls.count))
                return
            }
            if call.account.command.maySatisfyWaiters { serveWaiters([call.written], call.account.cache) }
            call.account.write(reply, self)
            call.handler(.success(reply))
        } catch {
            call.account.row.recordRefusal(error)
            call.handler(.failure(error))
        }
    }
}

/// How it stands with the caller of a call that is answered in turns. Asked before each turn.
package enum CallStanding {
    case wanted
    /// Nobody waits for the answer any more.
    case abandoned
    /// The answer has no place to wait in.
    case refused(MartletError)
}

/// A call that is answered in turns.
struct SlicedCall {
    let account: CollectionAccount
    let work: any SlicedWork
    /// The key under which it puts what others may wait for.
    let written: [UInt8]
    let standing: () -> CallStanding
    let handler: LateHandler<CollectionReply>
}

/// What it takes to write a call on a collection down.
struct CollectionAccount {
    let cache: LaneCache
    let row: MeterRow
    let keyBytes: Int
    let command: CollectionCommand
    let request: CollectionCost
    /// Operations that are known before anything is done.
    let admitted: UInt64

    init(_ cache: LaneCache, _ row: MeterRow, keyBytes: Int, _ command: CollectionCommand) {
        self.cache = cache
        self.row = row
        self.keyBytes = keyBytes
        self.command = command
        request = command.cost
        admitted = max(1, request.chunks)
    }

    /// A collection that takes as much memory as an item may have bytes does not grow any more; a leaderboard may take ten
    /// times that. Cost: a look at the item.
    func checkGrowth(of key: UnsafeRawBufferPointer, now: Timestamp) throws(MartletError) {
        guard let factor = command.growthFactor else { return }
        let limit = cache.sizes.itemBytes
        let held = try cache.shared.items.withItem(key, now: now) { item in item.elementBytes }
        guard held.addingClamped(request.bytes) <= limit.multipliedClamped(by: factor) else {
            throw .tooLarge(limit: .maxItemBytes, value: UInt64(limit.multipliedClamped(by: factor)))
        }
    }

    func write(_ reply: CollectionReply, _ lane: ServiceLane) {
        let response = command.cost(of: reply)
        let charge = BillingPolicy.collection(
            keyBytes: keyBytes, requestElementChunks: request.chunks, responseElementChunks: response.chunks,
            answeredChunks: response.answeredChunks)
        row.recordCollection(
            charge, bytesIn: keyBytes + request.bytes, bytesOut: response.bytes, elementsIn: request.elements,
            elementsOut: response.elements, isHit: command.isHit(reply))
        guard charge.operations > admitted || response.bytes > 0 else { return }
        cache.shared.admission.settle(
            extraOperations: charge.operations - admitted, bytesOut: UInt64(response.bytes),
            nowNanoseconds: lane.nowNanoseconds)
    }
}

extension Door {
    /// The parameter in which a caller asks for a TTL.
    var ttlField: String {
        switch self {
        case .grpc, .grpcWeb: "ttl_milliseconds"
        case .rest, .webSocket, .resp, .webhook: "ttl_seconds"
        }
    }
}

extension CollectionCommand {
    /// Whether it may put a list or a sorted set somewhere.
    fileprivate var maySatisfyWaiters: Bool {
        switch self {
        case .listPush, .sortedSetPut, .sortedSetIncrement, .sortedSetUnionStore, .leaderboard(.upsert): true
        default: false
        }
    }

    /// Of a command that may make its collection larger, how many times an item's size it may have; nil for the others.
    fileprivate var growthFactor: Int? {
        switch self {
        case .dictionarySet, .dictionaryIncrement, .setUnion, .listPush, .sortedSetPut, .sortedSetIncrement: 1
        case .leaderboard(.upsert): 10
        default: nil
        }
    }
}

extension Int {
    fileprivate func addingClamped(_ other: Int) -> Int {
        let (sum, isOver) = addingReportingOverflow(other)
        return isOver ? .max : sum
    }

    fileprivate func multipliedClamped(by other: Int) -> Int {
        let (product, isOver) = multipliedReportingOverflow(by: other)
        return isOver ? .max : product
    }
}
