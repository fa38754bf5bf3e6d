import Engine
import Tenancy

/// The elements of a collection on their way into a reply.
///
/// Of an ordered collection the first of them are copied under its lock: in most cases all. What is more is copied from a
/// snapshot, without a lock, in turns. A dictionary or set is copied whole either way, under its lock or from a snapshot.
final class SlicedFetch: SlicedWork {
    /// What is told of the elements of a sorted set.
    enum Form {
        case members
        case scored
        /// Those of a leaderboard, from a rank on.
        case ranked(first: Int)
    }

    private enum Source {
        case dictionary(DictionarySnapshot)
        case set(SetSnapshot)
        case list(ListSnapshot?)
        case sortedSet(SortedSetSnapshot?, isReversed: Bool, Form)
    }

    private var source: Source
    /// Where to go on in a dictionary or set.
    private var cursor: UInt64 = 0
    /// What is still to be copied of a list or sorted set.
    private var left = 0..<0
    private let count: Int
    private var isRoomReserved = false

    private var elements = Elements()
    private var values = Elements()
    private var scores: [Double] = []
    private var ranked: [RankedElement] = []
    private var hasForeignMember = false

    init(_ snapshot: DictionarySnapshot) {
        source = .dictionary(snapshot)
        count = snapshot.count
    }

    init(_ snapshot: SetSnapshot) {
        source = .set(snapshot)
        count = snapshot.count
    }

    private init(_ source: Source, _ range: Range<Int>) {
        self.source = source
        left = range
        count = range.count
    }

    // MARK: Under the lock

    /// - Parameter range: Within the list.
    static func list(_ range: Range<Int>, of item: borrowing ItemAccess) throws(MartletError) -> CollectionOutcome {
        let fetch = SlicedFetch(.list(nil), range)
        var budget = TurnBudget.underLock
        try item.visitList(range) { fetch.take($0, &budget) }
        guard !fetch.left.isEmpty else { return .reply(try fetch.reply()) }
        fetch.source = .list(try item.listSnapshot())
        return .unfinished(fetch)
    }

    /// - Parameter ranks: Ascending ones that exist.
    static func sortedSet(
        _ ranks: Range<Int>, isReversed: Bool, as form: Form, of item: borrowing ItemAccess
    ) throws(MartletError) -> CollectionOutcome {
        let fetch = SlicedFetch(.sortedSet(nil, isReversed: isReversed, form), ranks)
        var budget = TurnBudget.underLock
        try item.visitSortedSet(ranks, reversed: isReversed) {
            fetch.take($0, $1, isReversed: isReversed, form, &budget)
        }
        guard !fetch.left.isEmpty else { return .reply(try fetch.reply()) }
        fetch.source = .sortedSet(try item.sortedSetSnapshot(), isReversed: isReversed, form)
        return .unfinished(fetch)
    }

    // MARK: In turns

    func step(now: Timestamp, dice: inout Dice) throws(MartletError) -> CollectionReply? {
        var budget = TurnBudget()
        switch source {
        case .dictionary(let snapshot):
            repeat {
                cursor = try snapshot.visit(from: cursor, limit: limit(budget)) { field, value in
                    elements.append(field)
                    values.append(value)
                    budget.spend(field.count + value.count)
                }
            } while cursor != 0 && budget.isLeft
        case .set(let snapshot):
            repeat {
                cursor = try snapshot.visit(from: cursor, limit: limit(budget)) { member in
                    elements.append(member)
                    budget.spend(member.count)
                }
            } while cursor != 0 && budget.isLeft
        case .list(let snapshot):
            guard let snapshot else { throw Self.lost }
            try snapshot.visit(left) { take($0, &budget) }
        case .sortedSet(let snapshot, let isReversed, let form):
            guard let snapshot else { throw Self.lost }
            try snapshot.visit(left, reversed: isReversed) { take($0, $1, isReversed: isReversed, form, &budget) }
        }
        guard cursor == 0, left.isEmpty else {
            reserveRoom()
            return nil
        }
        return try reply()
    }

    private static let lost = MartletError.internalFailure("a fetch goes on without a snapshot")

    private func limit(_ budget: TurnBudget) -> Int {
        budget.limit(after: elements.count, byteCount: elements.byteCount + values.byteCount)
    }

    /// For all that is to come, by the size of what came in the first turn: an array that grows by and by would be copied
    /// in the turn in which it grows.
    private func reserveRoom() {
        guard !isRoomReserved, elements.count > 0 else { return }
        isRoomReserved = true
        let (scale, seen) = (count + count / 8, elements.count)
        elements.reserveCapacity(count, byteCount: (elements.byteCount / seen + 1) * scale)
        if !values.isEmpty { values.reserveCapacity(count, byteCount: (values.byteCount / seen + 1) * scale) }
        if !scores.isEmpty { scores.reserveCapacity(count) }
    }

    private func take(_ element: UnsafeRawBufferPointer, _ budget: inout TurnBudget) -> Bool {
        elements.append(element)
        budget.spend(element.count)
        left = left.dropFirst()
        return budget.isLeft
    }

    private func take(
        _ score: Double, _ member: UnsafeRawBufferPointer, isReversed: Bool, _ form: Form, _ budget: inout TurnBudget
    ) -> Bool {
        switch form {
        case .members:
            elements.append(member)
        case .scored:
            elements.append(member)
            scores.append(score)
        case .ranked(let first):
            if let id = LeaderboardCommand.id(member) {
                ranked.append(RankedElement(id: id, rank: first + ranked.count, score: score))
            } else {
                hasForeignMember = true
            }
        }
        budget.spend(member.count)
        left = isReversed ? left.dropLast() : left.dropFirst()
        return budget.isLeft
    }

    private func reply() throws(MartletError) -> CollectionReply {
        switch source {
        case .dictionary: return .pairs(fields: elements, values: values)
        case .set, .list, .sortedSet(_, _, .members): return .elements(elements)
        case .sortedSet(_, _, .scored): return .scored(members: elements, scores: scores)
        case .sortedSet(_, _, .ranked):
            // A sorted set, but not of ids: no leaderboard.
            guard !hasForeignMember else { throw .wrongType }
            return .ranked(ranked)
        }
    }
}
