import Engine
import Tenancy

/// What executing a command gives.
package enum CollectionOutcome {
    case reply(CollectionReply)
    /// There is so much to be done that it is done in turns.
    case unfinished(any SlicedWork)
}

/// A command on its way, of which each turn does a bounded piece: about half a millisecond's work. Used by one thread at a
/// time; dropping it ends it.
package protocol SlicedWork: AnyObject {
    /// - Returns: The reply; nil if another turn is needed.
    /// - Throws: What ends it.
    func step(now: Timestamp, dice: inout Dice) throws(MartletError) -> CollectionReply?
}

/// How much one turn does.
struct TurnBudget {
    private(set) var elements: Int
    private(set) var bytes: Int

    init(elements: Int = 2000, bytes: Int = 256 << 10) {
        self.elements = elements
        self.bytes = bytes
    }

    /// Of what is handed out while a stripe is locked.
    static var underLock: TurnBudget { TurnBudget(bytes: 64 << 10) }

    var isLeft: Bool { elements > 0 && bytes > 0 }

    mutating func spend(_ byteCount: Int) {
        elements -= 1
        bytes -= byteCount
    }

    /// How many elements to ask for where one cannot stop between them.
    ///
    /// - Parameters:
    ///   - count: Elements seen so far.
    ///   - byteCount: Their bytes together.
    func limit(after count: Int, byteCount: Int) -> Int {
        guard count > 0 else { return 16 }
        return max(1, min(256, elements, bytes / max(1, byteCount / count)))
    }
}

extension CollectionCommand {
    /// Does it on the items of a cache. The command was checked (``check(_:)``).
    ///
    /// - Parameters:
    ///   - expiry: What ``expiry(_:now:field:)`` resolved.
    ///   - dice: Chooses members.
    /// - Throws: ``MartletError/wrongType`` where the key holds something else, and what the engine throws. Nothing is
    ///   changed then.
    package func execute(
        on cache: EngineCache, key: UnsafeRawBufferPointer, expiry: CollectionExpiry, now: Timestamp,
        dice: inout Dice
    ) throws(MartletError) -> CollectionOutcome {
        let target = CollectionTarget(cache: cache, key: key, expiry: expiry, now: now)
        switch self {
        case .dictionaryGet(let fields): return .reply(try target.dictionaryGet(fields))
        case .dictionaryFetch: return try target.dictionaryFetch()
        case .dictionarySet(let fields, let values, _): return .reply(try target.dictionarySet(fields, values))
        case .dictionaryIncrement(let field, let amount, _):
            return .reply(try target.dictionaryIncrement(field, amount))
        case .dictionaryDelete(let fields): return .reply(try target.dictionaryDelete(fields))
        case .dictionaryDeleteAll: return .reply(try target.dictionaryDeleteAll())
        case .dictionaryLength: return .reply(try target.dictionaryLength())
        case .setFetch: return try target.setFetch()
        case .setSample(let limit): return try target.setSample(limit, &dice)
        case .setUnion(let members, _): return .reply(try target.setUnion(members))
        case .setBecomeDifference(let members): return .reply(try target.setBecomeDifference(members))
        case .setSubtract(let members): return .reply(try target.setSubtract(members))
        case .setRemoveAll: return .reply(try target.setRemoveAll())
        case .setContains(let members): return .reply(try target.setContains(members))
        case .setLength: return .reply(try target.setLength())
        case .setPop(let count): return try target.setPop(count, &dice)
        case .listPush(let end, let values, let limit, _): return .reply(try target.listPush(end, values, limit))
        case .listPop(let end): return .reply(try target.listPop(end))
        case .listErase(let ranges): return .reply(try target.listErase(ranges))
        case .listEraseAll: return .reply(try target.listEraseAll())
        case .listRemove(let value): return .reply(try target.listRemove(value))
        case .listRetain(let bounds, _): return .reply(try target.listRetain(bounds))
        case .listFetch(let bounds): return try target.listFetch(bounds)
        case .listLength: return .reply(try target.listLength())
        case .sortedSetPut(let members, let scores, _): return .reply(try target.sortedSetPut(members, scores))
        case .sortedSetFetch(let selection, let withScores):
            return try target.sortedSetFetch(selection, withScores: withScores)
        case .sortedSetGetScore(let members): return .reply(try target.sortedSetGetScore(members))
        case .sortedSetRemove(let members): return .reply(try target.sortedSetRemove(members))
        case .sortedSetRemoveAll: return .reply(try target.sortedSetRemoveAll())
        case .sortedSetIncrement(let member, let amount, _):
            return .reply(try target.sortedSetIncrement(member, amount))
        case .sortedSetGetRank(let member, let isReversed):
            return .reply(try target.sortedSetGetRank(member, isReversed: isReversed))
        case .sortedSetLength: return .reply(try target.sortedSetLength())
        case .sortedSetLengthByScore(let range): return .reply(try target.sortedSetLength(range))
        case .sortedSetUnionStore(let sources, let weights, let aggregate, _):
            return try target.sortedSetUnionStore(sources, weights, aggregate)
        case .leaderboard(let command): return try command.execute(on: target)
        }
    }
}

/// Where a command is executed.
struct CollectionTarget {
    let cache: EngineCache
    let key: UnsafeRawBufferPointer
    let expiry: CollectionExpiry
    let now: Timestamp

    /// Runs `body` under the lock of the item.
    ///
    /// - Parameter adding: Elements that it adds, for which room is made; nil where it adds none.
    func withItem<Result>(
        adding byteCount: Int? = nil, count: Int = 1,
        _ body: (inout ItemAccess) throws(MartletError) -> Result
    ) throws(MartletError) -> Result {
        // What an element takes beside its bytes, sealed: some too much rather than too little.
        let reserved = byteCount.map { $0 + count * 48 + 64 } ?? 0
        return try cache.withItem(key, reserving: reserved, now: now, body)
    }
}
