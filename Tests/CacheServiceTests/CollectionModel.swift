import Engine
import Tenancy

@testable import CacheService

/// Collections as plain Swift values, to hold the real ones against.
struct CollectionModel {
    enum Value: Equatable {
        case dictionary([String: String])
        case set(Set<String>)
        case list([String])
        case sortedSet([String: Double])

        var isEmpty: Bool {
            switch self {
            case .dictionary(let fields): fields.isEmpty
            case .set(let members): members.isEmpty
            case .list(let elements): elements.isEmpty
            case .sortedSet(let scores): scores.isEmpty
            }
        }
    }

    private struct Item {
        var value: Value
        var expiresAt: Timestamp
    }

    private var items: [String: Item] = [:]
    var now: Timestamp
    /// Of a write without a TTL.
    let defaultTTL: TTL

    init(now: Timestamp, defaultTTL: TTL) {
        self.now = now
        self.defaultTTL = defaultTTL
    }

    func expiresAt(_ key: String) -> Timestamp? { live(key)?.expiresAt }

    private func live(_ key: String) -> Item? { items[key].flatMap { $0.expiresAt > now ? $0 : nil } }

    private mutating func put(_ key: String, _ value: Value, _ ttl: CollectionTTL = .kept) {
        guard !value.isEmpty else {
            items[key] = nil
            return
        }
        let old = live(key)
        let end = now + (ttl.ttl ?? defaultTTL)
        items[key] = Item(value: value, expiresAt: ttl.refreshes ? end : old?.expiresAt ?? end)
    }

    // MARK: What there is under a key

    private func dictionary(_ key: String) throws -> [String: String]? {
        guard let item = live(key) else { return nil }
        guard case .dictionary(let fields) = item.value else { throw MartletError.wrongType }
        return fields
    }

    private func set(_ key: String) throws -> Set<String>? {
        guard let item = live(key) else { return nil }
        guard case .set(let members) = item.value else { throw MartletError.wrongType }
        return members
    }

    private func list(_ key: String) throws -> [String]? {
        guard let item = live(key) else { return nil }
        guard case .list(let elements) = item.value else { throw MartletError.wrongType }
        return elements
    }

    private func sortedSet(_ key: String) throws -> [String: Double]? {
        guard let item = live(key) else { return nil }
        guard case .sortedSet(let scores) = item.value else { throw MartletError.wrongType }
        return scores
    }

    private func ordered(_ scores: [String: Double]) -> [(String, Double)] {
        scores.sorted {
            $0.value != $1.value ? $0.value < $1.value : Array($0.key.utf8).lexicographicallyPrecedes($1.key.utf8)
        }
    }

    // MARK: Commands

    /// What the command does and answers. Replies without an order are sorted; what is random is nil.
    mutating func perform(_ key: String, _ command: CollectionCommand, popped: [String] = []) throws -> CollectionReply?
    {
        switch command {
        case .dictionaryGet(let fields):
            guard let found = try dictionary(key) else { return .missing }
            let values = fields.texts.map { found[$0] }
            return .values(Elements(texts: values.map { $0 ?? "" }), isPresent: values.map { $0 != nil })
        case .dictionaryFetch:
            guard let found = try dictionary(key) else { return .missing }
            let fields = found.keys.sorted()
            return .pairs(fields: Elements(texts: fields), values: Elements(texts: fields.map { found[$0] ?? "" }))
        case .dictionarySet(let fields, let values, let ttl):
            var found = try dictionary(key) ?? [:]
            for (field, value) in zip(fields.texts, values.texts) { found[field] = value }
            if fields.count > 0 { put(key, .dictionary(found), ttl) }
            return .done
        case .dictionaryIncrement(let field, let amount, let ttl):
            var found = try dictionary(key) ?? [:]
            let name = String(decoding: field, as: UTF8.self)
            guard let old = Int64(found[name] ?? "0") else { throw MartletError.notAnInteger }
            let (sum, overflow) = old.addingReportingOverflow(amount)
            guard !overflow else { throw MartletError.integerOverflow }
            found[name] = String(sum)
            put(key, .dictionary(found), ttl)
            return .number(sum)
        case .dictionaryDelete(let fields):
            guard var found = try dictionary(key) else { return .done }
            for field in fields.texts { found[field] = nil }
            put(key, .dictionary(found))
            return .done
        case .dictionaryDeleteAll:
            if try dictionary(key) != nil { items[key] = nil }
            return .done
        case .dictionaryLength:
            return try dictionary(key).map { .length($0.count) } ?? .missing
        case .setFetch:
            return try set(key).map { .elements(Elements(texts: $0.sorted())) } ?? .missing
        case .setSample:
            return try set(key) == nil ? .missing : nil
        case .setUnion(let members, let ttl):
            let found = try set(key) ?? []
            if members.count > 0 { put(key, .set(found.union(members.texts)), ttl) }
            return .done
        case .setBecomeDifference(let members):
            guard let found = try set(key) else { return .missing }
            put(key, .set(Set(members.texts).subtracting(found)))
            return .done
        case .setSubtract(let members):
            guard let found = try set(key) else { return .missing }
            put(key, .set(found.subtracting(members.texts)))
            return .done
        case .setRemoveAll:
            guard try set(key) != nil else { return .missing }
            items[key] = nil
            return .done
        case .setContains(let members):
            guard let found = try set(key) else { return .missing }
            return .presence(members.texts.map(found.contains))
        case .setLength:
            return try set(key).map { .length($0.count) } ?? .missing
        case .setPop:
            guard let found = try set(key) else { return .missing }
            put(key, .set(found.subtracting(popped)))
            return nil
        case .listPush(let end, let values, let limit, let ttl):
            let found = try list(key)
            guard found != nil || values.count > 0 else { return .length(0) }
            var all = end == .back ? (found ?? []) + values.texts : values.texts + (found ?? [])
            if limit > 0, all.count > limit { all = Array(end == .back ? all.suffix(limit) : all.prefix(limit)) }
            put(key, .list(all), ttl)
            return .length(all.count)
        case .listPop(let end):
            guard var found = try list(key) else { return .missing }
            let element = end == .front ? found.removeFirst() : found.removeLast()
            put(key, .list(found))
            return .element(Array(element.utf8), length: found.count)
        case .listErase(let ranges):
            guard let found = try list(key) else { return .missing }
            let left = found.enumerated().filter { place, _ in !ranges.contains { $0.contains(place) } }.map(\.element)
            put(key, .list(left))
            return .length(left.count)
        case .listEraseAll:
            guard try list(key) != nil else { return .missing }
            items[key] = nil
            return .length(0)
        case .listRemove(let value):
            guard let found = try list(key) else { return .missing }
            let left = found.filter { $0 != String(decoding: value, as: UTF8.self) }
            put(key, .list(left))
            return .length(left.count)
        case .listRetain(let bounds, let ttl):
            guard let found = try list(key) else { return .missing }
            let left = Array(found[Self.slice(bounds, found.count)])
            put(key, .list(left), ttl)
            return .length(left.count)
        case .listFetch(let bounds):
            guard let found = try list(key) else { return .missing }
            let slice = found[Self.slice(bounds, found.count)]
            return slice.isEmpty ? .missing : .elements(Elements(texts: Array(slice)))
        case .listLength:
            return try list(key).map { .length($0.count) } ?? .missing
        case .sortedSetPut, .sortedSetFetch, .sortedSetGetScore, .sortedSetRemove, .sortedSetRemoveAll,
            .sortedSetIncrement, .sortedSetGetRank, .sortedSetLength, .sortedSetLengthByScore, .sortedSetUnionStore:
            return try performSorted(key, command)
        case .leaderboard(let command):
            return try perform(key, command)
        }
    }

    private mutating func performSorted(_ key: String, _ command: CollectionCommand) throws -> CollectionReply {
        if case .sortedSetUnionStore(let sources, let weights, let aggregate, let ttl) = command {
            var union: [String: Double] = [:]
            for (source, weight) in zip(sources.texts, weights) {
                for (member, score) in try sortedSetOrSet(source) ?? [:] {
                    let weighted = score * weight + 0
                    union[member] = union[member].map { Self.combine($0, weighted, aggregate) } ?? weighted
                }
            }
            put(key, .sortedSet(union), CollectionTTL(ttl, refreshes: true))
            return .length(union.count)
        }
        let found = try sortedSet(key)
        var scores = found ?? [:]
        switch command {
        case .sortedSetPut(let members, let new, let ttl):
            for (member, score) in zip(members.texts, new) { scores[member] = score }
            put(key, .sortedSet(scores), ttl)
            return .done
        case .sortedSetIncrement(let member, let amount, let ttl):
            let sum = scores[String(decoding: member, as: UTF8.self), default: 0] + amount
            scores[String(decoding: member, as: UTF8.self)] = sum
            put(key, .sortedSet(scores), ttl)
            return .score(sum)
        case .sortedSetRemove(let members):
            for member in members.texts { scores[member] = nil }
            if found != nil { put(key, .sortedSet(scores)) }
            return .done
        case .sortedSetRemoveAll:
            if found != nil { items[key] = nil }
            return .done
        default: break
        }
        guard let found else { return .missing }
        switch command {
        case .sortedSetFetch(let selection, let withScores):
            let chosen = selected(selection, found)
            let members = Elements(texts: chosen.map(\.0))
            return withScores ? .scored(members: members, scores: chosen.map(\.1)) : .elements(members)
        case .sortedSetGetScore(let members):
            return .scores(members.texts.map { found[$0] })
        case .sortedSetGetRank(let member, let isReversed):
            let order = isReversed ? ordered(found).reversed() : ordered(found)
            return .rank(order.firstIndex { $0.0 == String(decoding: member, as: UTF8.self) })
        case .sortedSetLengthByScore(let range):
            return .length(found.values.count { Self.contains(range, $0) })
        default:
            return .length(found.count)
        }
    }

    private func sortedSetOrSet(_ key: String) throws -> [String: Double]? {
        if case .set(let members)? = live(key)?.value {
            return Dictionary(uniqueKeysWithValues: members.map { ($0, 1) })
        }
        return try sortedSet(key)
    }

    private func selected(_ selection: SortedSetSelection, _ found: [String: Double]) -> [(String, Double)] {
        var order = ordered(found)
        if selection.isReversed { order.reverse() }
        switch selection.bounds {
        case .ranks(let bounds): order = Array(order[Self.slice(bounds, order.count)])
        case .scores(let range): order = order.filter { Self.contains(range, $0.1) }
        case .members: break
        }
        guard selection.offset >= 0 else { return [] }
        order = Array(order.dropFirst(selection.offset))
        return selection.limit < 0 ? order : Array(order.prefix(selection.limit))
    }

    private mutating func perform(_ key: String, _ command: LeaderboardCommand) throws -> CollectionReply {
        let found = try sortedSet(key)
        var scores = found ?? [:]
        let week = CollectionTTL(try TTL(milliseconds: 604_800_000, field: "ttl"), refreshes: true)
        typealias Ranked = (member: String, rank: Int, score: Double)
        func ranked(_ isReversed: Bool) -> [Ranked] {
            let order = isReversed ? ordered(scores).reversed() : ordered(scores)
            return order.enumerated().map { ($1.0, $0, $1.1) }
        }
        func reply(_ elements: some Sequence<Ranked>) throws -> CollectionReply {
            .ranked(
                try elements.map {
                    // A member that is no id: no leaderboard.
                    guard let id = UInt32($0.member) else { throw MartletError.wrongType }
                    return RankedElement(id: id, rank: $0.rank, score: $0.score)
                })
        }
        switch command {
        case .upsert(let ids, let new, let ttl):
            for (id, score) in zip(ids, new) { scores[String(id)] = score }
            put(key, .sortedSet(scores), ttl.map { CollectionTTL($0, refreshes: true) } ?? week)
            return .done
        case .remove(let ids):
            for id in ids { scores[String(id)] = nil }
            if found != nil { put(key, .sortedSet(scores), week) }
            return .done
        case .delete:
            if found != nil { items[key] = nil }
            return .done
        case .length:
            return .length(scores.count)
        case .byRank(let range, let isReversed):
            return try reply(ranked(isReversed).filter { range.contains($0.rank) })
        case .byScore(let range, let isReversed, let offset, let limit):
            let chosen = ranked(isReversed).filter { Self.contains(range, $0.score) }.dropFirst(offset)
            return try reply(chosen.prefix(limit == 0 ? 8192 : limit))
        case .rank(let ids, let isReversed):
            let order = ranked(isReversed)
            return try reply(ids.compactMap { id in order.first { $0.member == String(id) } })
        case .competitionRank(let ids, let isReversed):
            let order = ranked(isReversed)
            return try reply(
                ids.compactMap { id in
                    order.first { $0.member == String(id) }.map { element in
                        (element.member, order.first { $0.score == element.score }?.rank ?? 0, element.score)
                    }
                })
        }
    }

    // MARK: Parts

    private static func slice(_ bounds: SliceBounds, _ count: Int) -> Range<Int> {
        guard case .halfOpen(let start, let end) = bounds else { return 0..<count }
        func place(_ index: Int) -> Int { max(0, min(count, index < 0 ? index + count : index)) }
        let (lower, upper) = (place(start ?? 0), place(end ?? count))
        return lower..<max(lower, upper)
    }

    private static func contains(_ range: ScoreRange, _ score: Double) -> Bool {
        let (minimum, maximum) = (range.minimum, range.maximum)
        return (minimum.isExclusive ? score > minimum.score : score >= minimum.score)
            && (maximum.isExclusive ? score < maximum.score : score <= maximum.score)
    }

    private static func combine(_ left: Double, _ right: Double, _ aggregate: SortedSetAggregate) -> Double {
        switch aggregate {
        case .sum: left + right
        case .minimum: min(left, right)
        case .maximum: max(left, right)
        }
    }
}
