import Engine
import Tenancy

/// Sorted sets.
extension CollectionTarget {
    func sortedSetPut(_ members: Elements, _ scores: [Double]) throws(MartletError) -> CollectionReply {
        try members.withPointers { (pointers) throws(MartletError) in
            let elements = zip(scores, pointers).map { SortedSetElement(score: $0, member: $1) }
            // A member lies in both halves of a large sorted set.
            try withItem(adding: 2 * members.byteCount, count: members.count) { (item) throws(MartletError) in
                _ = try item.addToSortedSet(elements, expiry: expiry)
            }
        }
        return .done
    }

    func sortedSetFetch(
        _ selection: SortedSetSelection, withScores: Bool
    ) throws(MartletError) -> CollectionOutcome {
        try withItem { (item) throws(MartletError) -> CollectionOutcome in
            guard let ranks = try item.sortedSetRanks(selection) else { return .reply(.missing) }
            return try SlicedFetch.sortedSet(
                ranks, isReversed: selection.isReversed, as: withScores ? .scored : .members, of: item)
        }
    }

    func sortedSetGetScore(_ members: Elements) throws(MartletError) -> CollectionReply {
        var scores: [Double?] = []
        scores.reserveCapacity(members.count)
        let isThere = try members.withPointers { (pointers) throws(MartletError) in
            try withItem { (item) throws(MartletError) in
                try item.sortedSetScores(of: pointers) { scores.append($0) }
            }
        }
        return isThere ? .scores(scores) : .missing
    }

    func sortedSetRemove(_ members: Elements) throws(MartletError) -> CollectionReply {
        try members.withPointers { (pointers) throws(MartletError) in
            try withItem { (item) throws(MartletError) in _ = try item.removeFromSortedSet(pointers) }
        }
        return .done
    }

    func sortedSetRemoveAll() throws(MartletError) -> CollectionReply {
        try withItem { (item) throws(MartletError) in
            if try item.sortedSetCount() != nil { item.remove() }
        }
        return .done
    }

    func sortedSetIncrement(_ member: [UInt8], _ amount: Double) throws(MartletError) -> CollectionReply {
        let score = try member.span.bytes.withUnsafeBytes { (member) throws(MartletError) in
            try withItem(adding: 2 * member.count) { (item) throws(MartletError) in
                try item.incrementInSortedSet(member, by: amount, expiry: expiry)
            }
        }
        guard let score else { throw .internalFailure("an increment without a condition was not made") }
        return .score(score)
    }

    func sortedSetGetRank(_ member: [UInt8], isReversed: Bool) throws(MartletError) -> CollectionReply {
        try member.span.bytes.withUnsafeBytes { (member) throws(MartletError) in
            try withItem { (item) throws(MartletError) -> CollectionReply in
                guard try item.sortedSetCount() != nil else { return .missing }
                return .rank(try item.sortedSetRank(of: member, reversed: isReversed)?.rank)
            }
        }
    }

    func sortedSetLength() throws(MartletError) -> CollectionReply {
        let count = try withItem { (item) throws(MartletError) in try item.sortedSetCount() }
        return count.map { .length($0) } ?? .missing
    }

    func sortedSetLength(_ range: ScoreRange) throws(MartletError) -> CollectionReply {
        let ranks = try withItem { (item) throws(MartletError) in try item.sortedSetRanks(of: range) }
        return ranks.map { .length($0.count) } ?? .missing
    }

    func sortedSetUnionStore(
        _ sources: Elements, _ weights: [Double], _ aggregate: SortedSetAggregate
    ) throws(MartletError) -> CollectionOutcome {
        .unfinished(
            SlicedUnion(
                try SortedSetCombination(
                    cache: cache, .union, of: (0..<sources.count).map { sources[$0] }, weights: weights,
                    aggregate: aggregate, to: Array(key), expiresAt: expiry.expiresAt)))
    }
}

/// A union that is stored.
final class SlicedUnion: SlicedWork {
    private static let elementsOfTurn = 500

    private let combination: SortedSetCombination
    private var hasBegun = false

    init(_ combination: SortedSetCombination) {
        self.combination = combination
    }

    func step(now: Timestamp, dice: inout Dice) throws(MartletError) -> CollectionReply? {
        if !hasBegun {
            // Only looks at the sources: small ones are to be done in the first turn.
            _ = try combination.step(budget: 1, now: now)
            hasBegun = true
        }
        let isDone = try combination.step(budget: Self.elementsOfTurn, now: now)
        return isDone ? .length(combination.count) : nil
    }
}
