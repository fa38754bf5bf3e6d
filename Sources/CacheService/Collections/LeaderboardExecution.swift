import Engine
import Tenancy

extension LeaderboardCommand {
    /// So many ids are looked up under the lock.
    private static let idsUnderLock = 64

    func execute(on target: CollectionTarget) throws(MartletError) -> CollectionOutcome {
        switch self {
        case .upsert(let ids, let scores, _):
            return .reply(try target.sortedSetPut(Self.members(ids), scores))
        case .remove(let ids):
            try Self.remove(ids, from: target)
            return .reply(.done)
        case .delete:
            return .reply(try target.sortedSetRemoveAll())
        case .length:
            let count = try target.withItem { (item) throws(MartletError) in try item.sortedSetCount() }
            return .reply(.length(count ?? 0))
        case .byRank(let range, let isReversed):
            return try Self.fetch(
                SortedSetSelection(
                    .ranks(.halfOpen(start: range.lowerBound, end: range.upperBound)), isReversed: isReversed),
                from: target)
        case .byScore(let range, let isReversed, let offset, let limit):
            return try Self.fetch(
                SortedSetSelection(
                    .scores(range), isReversed: isReversed, offset: offset,
                    limit: limit == 0 ? Self.mostElements : limit),
                from: target)
        case .rank(let ids, let isReversed):
            return try Self.rank(ids, isReversed: isReversed, sharesRanks: false, in: target)
        case .competitionRank(let ids, let isReversed):
            return try Self.rank(ids, isReversed: isReversed, sharesRanks: true, in: target)
        }
    }

    private static func members(_ ids: [UInt32]) -> Elements {
        var members = Elements()
        members.reserveCapacity(ids.count, byteCount: ids.count * 10)
        // Text as short as this takes no memory of its own.
        for id in ids { members.append(String(id).utf8) }
        return members
    }

    /// The id that a member is; nil for a member that some other command has put there.
    static func id(_ member: UnsafeRawBufferPointer) -> UInt32? {
        guard let first = member.first, member.count <= 10, first != UInt8(ascii: "0") || member.count == 1 else {
            return nil
        }
        var id: UInt64 = 0
        for digit in member {
            guard digit >= 0x30, digit <= 0x39 else { return nil }
            id = id * 10 + UInt64(digit - 0x30)
        }
        return UInt32(exactly: id)
    }

    private static func remove(_ ids: [UInt32], from target: CollectionTarget) throws(MartletError) {
        let expiresAt = target.expiry.expiresAt
        try members(ids).withPointers { (members) throws(MartletError) in
            try target.withItem { (item) throws(MartletError) in
                _ = try item.removeFromSortedSet(members)
                item.setExpiry(expiresAt)
            }
        }
    }

    private static func fetch(
        _ selection: SortedSetSelection, from target: CollectionTarget
    ) throws(MartletError) -> CollectionOutcome {
        try target.withItem { (item) throws(MartletError) -> CollectionOutcome in
            guard let ranks = try item.sortedSetRanks(selection), let count = try item.sortedSetCount() else {
                return .reply(.ranked([]))
            }
            let first = selection.isReversed ? count - ranks.upperBound : ranks.lowerBound
            return try SlicedFetch.sortedSet(
                ranks, isReversed: selection.isReversed, as: .ranked(first: first), of: item)
        }
    }

    private static func rank(
        _ ids: [UInt32], isReversed: Bool, sharesRanks: Bool, in target: CollectionTarget
    ) throws(MartletError) -> CollectionOutcome {
        let members = members(ids)
        var ranked: [RankedElement] = []
        return try target.withItem { (item) throws(MartletError) -> CollectionOutcome in
            guard let count = try item.sortedSetCount() else { return .reply(.ranked([])) }
            if ids.count > idsUnderLock, let snapshot = try item.sortedSetSnapshot() {
                return .unfinished(
                    SlicedRanks(snapshot, ids, members, isReversed: isReversed, sharesRanks: sharesRanks))
            }
            var index = 0
            try members.forEach { (member) throws(MartletError) in
                defer { index += 1 }
                guard let found = try item.sortedSetRank(of: member) else { return }
                var place = found.rank..<found.rank + 1
                if sharesRanks {
                    let bound = ScoreRange.Bound(found.score)
                    place = try item.sortedSetRanks(of: ScoreRange(minimum: bound, maximum: bound)) ?? place
                }
                ranked.append(RankedElement(id: ids[index], place, of: count, isReversed: isReversed, found.score))
            }
            return .reply(.ranked(ranked))
        }
    }
}

extension RankedElement {
    /// - Parameter place: The ascending ranks of those that share a rank with it, itself among them.
    fileprivate init(id: UInt32, _ place: Range<Int>, of count: Int, isReversed: Bool, _ score: Double) {
        self.init(id: id, rank: isReversed ? count - place.upperBound : place.lowerBound, score: score)
    }
}

/// The ranks of many ids, from a snapshot.
private final class SlicedRanks: SlicedWork {
    private static let idsOfTurn = 500

    private let snapshot: SortedSetSnapshot
    private let ids: [UInt32]
    private let members: Elements
    private let isReversed: Bool
    private let sharesRanks: Bool
    private var next = 0
    private var ranked: [RankedElement] = []

    init(_ snapshot: SortedSetSnapshot, _ ids: [UInt32], _ members: Elements, isReversed: Bool, sharesRanks: Bool) {
        self.snapshot = snapshot
        self.ids = ids
        self.members = members
        self.isReversed = isReversed
        self.sharesRanks = sharesRanks
        ranked.reserveCapacity(ids.count)
    }

    func step(now: Timestamp, dice: inout Dice) throws(MartletError) -> CollectionReply? {
        let end = min(ids.count, next + Self.idsOfTurn)
        let bytes = members.bytes
        try bytes.span.bytes.withUnsafeBytes { (bytes) throws(MartletError) in
            for index in next..<end {
                let member = UnsafeRawBufferPointer(rebasing: bytes[members.range(index)])
                guard let found = try snapshot.rank(of: member) else { continue }
                let place = sharesRanks ? try snapshot.ranks(scored: found.score) : found.rank..<found.rank + 1
                ranked.append(
                    RankedElement(id: ids[index], place, of: snapshot.count, isReversed: isReversed, found.score))
            }
        }
        next = end
        return next == ids.count ? .ranked(ranked) : nil
    }
}
