import Metering

/// The elements that go one way in a call on a collection, as they are counted: a field and its value are one element, and
/// so are a member and its score, which has eight bytes.
struct CollectionCost: Equatable {
    static let scoreBytes = 8
    /// An id and a score of a leaderboard. That the member is stored as text is nobody's affair.
    static let idBytes = 4

    /// Σ ceil(size / 1024) over the elements.
    private(set) var chunks: UInt64 = 0
    /// Those of the elements, and what travels beside them.
    var bytes = 0
    private(set) var elements = 0
    /// In a reply: chunks of the request that merely name elements which the reply carries.
    private(set) var answeredChunks: UInt64 = 0

    mutating func add(element byteCount: Int) {
        chunks += BillingPolicy.itemChunks(byteCount: byteCount)
        bytes += byteCount
        elements += 1
    }

    mutating func add(_ added: Elements, beside extra: Int = 0) {
        bytes += added.byteCount + added.count * extra
        elements += added.count
        // Where all of them together take one chunk, each does.
        if added.byteCount + extra <= BillingPolicy.chunkBytes {
            chunks += UInt64(added.count)
        } else {
            added.forEach { chunks += BillingPolicy.itemChunks(byteCount: $0.count + extra) }
        }
    }

    mutating func add(pairs fields: Elements, _ values: Elements) {
        bytes += fields.byteCount + values.byteCount
        elements += fields.count
        if fields.byteCount + values.byteCount <= BillingPolicy.chunkBytes {
            chunks += UInt64(fields.count)
        } else {
            for index in 0..<min(fields.count, values.count) {
                chunks += BillingPolicy.itemChunks(byteCount: fields.range(index).count + values.range(index).count)
            }
        }
    }

    mutating func add(small count: Int, of byteCount: Int) {
        chunks += UInt64(count)
        bytes += count * byteCount
        elements += count
    }

    /// An element that the request named and of which a part is sent.
    mutating func add(answered nameBytes: Int, element byteCount: Int, sent: Int) {
        answeredChunks += BillingPolicy.itemChunks(byteCount: nameBytes)
        chunks += BillingPolicy.itemChunks(byteCount: byteCount)
        bytes += sent
        elements += 1
    }
}

extension CollectionCommand {
    /// What is known of the cost before anything is done.
    var cost: CollectionCost {
        var cost = CollectionCost()
        switch self {
        case .dictionaryGet(let elements), .dictionaryDelete(let elements), .setUnion(let elements, _),
            .setBecomeDifference(let elements), .setSubtract(let elements), .setContains(let elements),
            .listPush(_, let elements, _, _), .sortedSetGetScore(let elements), .sortedSetRemove(let elements):
            cost.add(elements)
        case .dictionarySet(let fields, let values, _):
            cost.add(pairs: fields, values)
        case .dictionaryIncrement(let element, _, _), .listRemove(let element), .sortedSetGetRank(let element, _):
            cost.add(element: element.count)
        case .sortedSetPut(let members, _, _):
            cost.add(members, beside: CollectionCost.scoreBytes)
        case .sortedSetIncrement(let member, _, _):
            cost.add(element: member.count + CollectionCost.scoreBytes)
        case .sortedSetUnionStore(let sources, _, _, _):
            // Keys, not elements.
            cost.bytes += sources.byteCount
        case .leaderboard(.upsert(let ids, _, _)):
            cost.add(small: ids.count, of: CollectionCost.idBytes + CollectionCost.scoreBytes)
        case .leaderboard(.remove(let ids)), .leaderboard(.rank(let ids, _)),
            .leaderboard(.competitionRank(let ids, _)):
            cost.add(small: ids.count, of: CollectionCost.idBytes)
        case .dictionaryFetch, .dictionaryDeleteAll, .dictionaryLength, .setFetch, .setSample, .setRemoveAll,
            .setLength, .setPop, .listPop, .listErase, .listEraseAll, .listRetain, .listFetch, .listLength,
            .sortedSetFetch, .sortedSetRemoveAll, .sortedSetLength, .sortedSetLengthByScore, .leaderboard:
            break
        }
        return cost
    }

    /// What the reply adds to it.
    func cost(of reply: CollectionReply) -> CollectionCost {
        var cost = CollectionCost()
        switch reply {
        case .missing, .done, .length, .presence, .rank: break
        case .number(let number): cost.bytes = String(number).utf8.count
        case .score: cost.bytes = CollectionCost.scoreBytes
        case .element(let element, _): cost.add(element: element.count)
        case .elements(let elements): cost.add(elements)
        case .pairs(let fields, let values): cost.add(pairs: fields, values)
        case .scored(let members, _): cost.add(members, beside: CollectionCost.scoreBytes)
        case .values(let values, let isPresent):
            guard case .dictionaryGet(let fields) = self else { break }
            for index in 0..<min(fields.count, values.count) where isPresent[index] {
                let (name, value) = (fields.range(index).count, values.range(index).count)
                cost.add(answered: name, element: name + value, sent: value)
            }
        case .scores(let scores):
            guard case .sortedSetGetScore(let members) = self else { break }
            for index in 0..<min(members.count, scores.count) where scores[index] != nil {
                let name = members.range(index).count
                cost.add(
                    answered: name, element: name + CollectionCost.scoreBytes, sent: CollectionCost.scoreBytes)
            }
        case .ranked(let ranked):
            let byteCount = CollectionCost.idBytes + CollectionCost.scoreBytes
            switch self {
            case .leaderboard(.rank), .leaderboard(.competitionRank):
                for _ in ranked {
                    cost.add(answered: CollectionCost.idBytes, element: byteCount, sent: byteCount)
                }
            default: cost.add(small: ranked.count, of: byteCount)
            }
        }
        return cost
    }

    /// Whether a reply to a read says that the collection is there; nil for what is no read. A leaderboard does not say
    /// that it is missing: there nothing is a miss.
    func isHit(_ reply: CollectionReply) -> Bool? {
        switch self {
        case .dictionaryGet, .dictionaryFetch, .dictionaryLength, .setFetch, .setSample, .setContains, .setLength,
            .listFetch, .listLength, .sortedSetFetch, .sortedSetGetScore, .sortedSetGetRank, .sortedSetLength,
            .sortedSetLengthByScore, .leaderboard(.length), .leaderboard(.byRank), .leaderboard(.rank),
            .leaderboard(.byScore), .leaderboard(.competitionRank):
            switch reply {
            case .missing: return false
            case .length(0):
                if case .leaderboard = self { return false }
                return true
            case .ranked(let ranked): return !ranked.isEmpty
            default: return true
            }
        case .dictionarySet, .dictionaryIncrement, .dictionaryDelete, .dictionaryDeleteAll, .setUnion,
            .setBecomeDifference, .setSubtract, .setRemoveAll, .setPop, .listPush, .listPop, .listErase,
            .listEraseAll, .listRemove, .listRetain, .sortedSetPut, .sortedSetRemove, .sortedSetRemoveAll,
            .sortedSetIncrement, .sortedSetUnionStore, .leaderboard(.upsert), .leaderboard(.remove),
            .leaderboard(.delete):
            return nil
        }
    }
}
