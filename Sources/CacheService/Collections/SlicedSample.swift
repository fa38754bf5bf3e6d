import Engine
import Tenancy

/// Random members of a large set, each at most once, from a snapshot.
final class SlicedSample: SlicedWork {
    private let snapshot: SetSnapshot
    private let limit: Int
    private var members = Elements()
    /// Few of many: the places that were drawn.
    private var drawn: Set<Int>
    /// Many: where the walk is, and how many members are still to come.
    private var cursor: UInt64 = 0
    private var unseen: Int

    /// - Parameter limit: Less than there are.
    init(_ snapshot: SetSnapshot, _ limit: Int) {
        self.snapshot = snapshot
        self.limit = limit
        unseen = snapshot.count
        drawn = limit < snapshot.count / 3 ? Set(minimumCapacity: limit) : []
        members.reserveCapacity(limit, byteCount: 0)
    }

    func step(now: Timestamp, dice: inout Dice) throws(MartletError) -> CollectionReply? {
        var budget = TurnBudget(elements: 1000)
        if limit < snapshot.count / 3 {
            try draw(&budget, &dice)
        } else {
            try walk(&budget, &dice)
        }
        return members.count == limit ? .elements(members) : nil
    }

    /// Floyd's sampling: no draw is in vain (Bentley and Floyd, "A sample of brilliance", 1987).
    private func draw(_ budget: inout TurnBudget, _ dice: inout Dice) throws(MartletError) {
        while members.count < limit, budget.isLeft {
            let top = snapshot.count - limit + members.count
            var place = Int.random(in: 0...top, using: &dice)
            if !drawn.insert(place).inserted {
                place = top
                drawn.insert(top)
            }
            let before = members.byteCount
            try snapshot.withMember(at: place) { members.append($0) }
            budget.spend(members.byteCount - before)
        }
    }

    /// Selection sampling: each is taken with the chance that the rest needs it (Knuth, volume 2, 3.4.2, algorithm S).
    private func walk(_ budget: inout TurnBudget, _ dice: inout Dice) throws(MartletError) {
        repeat {
            let slice = budget.limit(after: members.count, byteCount: members.byteCount)
            cursor = try snapshot.visit(from: cursor, limit: slice) { member in
                let needed = limit - members.count
                let isTaken = needed > 0 && (unseen <= needed || Int.random(in: 0..<unseen, using: &dice) < needed)
                unseen -= 1
                if isTaken { members.append(member) }
                budget.spend(isTaken ? member.count : 0)
            }
        } while budget.isLeft && members.count < limit && cursor != 0
    }
}
