import Tenancy

/// What is made of several sets.
package enum SetOperation: Sendable {
    case union
    case intersection
    /// The first without all others.
    case difference
}

/// Union, intersection or difference of snapshots, handed out in slices without any lock.
///
/// Nothing is built. An intersection goes over the smallest set and asks the others, a difference over the first; a
/// union goes over each and asks those that it went over before. So the cost is at most the sum of all members times
/// the number of sets, each question O(log n) for a tree. A packed set that is asked has a filter before it, which
/// answers most questions about what is not there at once.
package struct SetCombination: Sendable {
    private struct Operand {
        var set: SetSnapshot
        var filter: PackedFilter?

        func contains(_ member: UnsafeRawBufferPointer) throws(MartletError) -> Bool {
            if let filter, !filter.mayContain(member) { return false }
            return try set.contains(member)
        }
    }

    private let operation: SetOperation
    private var operands: [Operand]
    private let asksEarlier: Bool
    private var place = 0
    private var cursor: UInt64 = 0
    /// How many more members may be handed out.
    private var wanted: Int
    private var isDone: Bool

    /// - Parameters:
    ///   - sets: nil for one that is missing, which counts as empty.
    ///   - limit: hand out no more than so many members (SINTERCARD's LIMIT).
    package init(_ operation: SetOperation, of sets: [SetSnapshot?], limit: Int = .max) throws(MartletError) {
        try self.init(operation, of: sets, limit: limit, repeats: false)
    }

    /// `repeats`: a union may hand a member out once for each set that has it, for whoever sorts that out himself.
    init(
        _ operation: SetOperation, of sets: [SetSnapshot?], limit: Int, repeats: Bool
    ) throws(MartletError) {
        self.operation = operation
        wanted = limit
        var chosen = sets.compactMap { $0 }
        switch operation {
        case .union: isDone = chosen.isEmpty
        case .intersection:
            isDone = sets.isEmpty || chosen.count < sets.count
            chosen.sort { $0.count < $1.count }
        case .difference: isDone = (sets.first ?? nil) == nil
        }
        if limit <= 0 { isDone = true }
        asksEarlier = operation == .union && !repeats
        operands = []
        guard !isDone else { return }
        operands.reserveCapacity(chosen.count)
        for (index, set) in chosen.enumerated() {
            // Nobody asks the one that is gone over, and whoever repeats asks nobody.
            let isAsked = asksEarlier ? index < chosen.count - 1 : operation != .union && index > 0
            operands.append(Operand(set: set, filter: isAsked ? try Self.filter(of: set) : nil))
        }
    }

    private static func filter(of set: SetSnapshot) throws(MartletError) -> PackedFilter? {
        guard !set.entries.isTree, set.count > 8 else { return nil }
        var filter = PackedFilter()
        _ = try set.visit(from: 0, limit: .max) { filter.insert($0) }
        return filter
    }

    /// How many members were to be looked at when this began: what a caller decides by whether to slice.
    package var inputCount: Int { operands.reduce(0) { $0 + $1.set.count } }

    /// Goes on for about `budget` looks at a set, handing out what belongs to the result, each member once. True: that
    /// was all.
    package mutating func step(
        budget: Int, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> Bool {
        try advance(budget: budget) { (member) throws(MartletError) in body(member) }
    }

    mutating func advance(
        budget: Int, _ body: (UnsafeRawBufferPointer) throws(MartletError) -> Void
    ) throws(MartletError) -> Bool {
        var budget = max(budget, 1)
        while !isDone, budget > 0 {
            let asked = askedRange
            let slice = max(1, min(budget / (asked.count + 1), 1024))
            var seen = 0
            var wanted = wanted
            let next = try operands[place].set.entries.withView { (view) throws(MartletError) in
                try view.visit(from: cursor, limit: slice) { (member, _) throws(MartletError) in
                    seen += 1
                    guard wanted > 0, try belongs(member, asking: asked) else { return }
                    wanted -= 1
                    try body(member)
                }
            }
            self.wanted = wanted
            budget -= max(1, seen * (asked.count + 1))
            cursor = next
            if next == 0 { place += 1 }
            isDone = wanted == 0 || next == 0 && (operation != .union || place == operands.count)
        }
        return isDone
    }

    private var askedRange: Range<Int> {
        switch operation {
        case .union: asksEarlier ? 0..<place : 0..<0
        case .intersection, .difference: 1..<operands.count
        }
    }

    private func belongs(_ member: UnsafeRawBufferPointer, asking asked: Range<Int>) throws(MartletError) -> Bool {
        let wants = operation == .intersection
        for index in asked where try operands[index].contains(member) != wants { return false }
        return true
    }
}

extension EngineCache {
    /// Begins to combine sets, as they are together at one moment. The only lock is taken in here.
    package func setCombination(
        _ operation: SetOperation, of keys: [UnsafeRawBufferPointer], limit: Int = .max, now: Timestamp
    ) throws(MartletError) -> SetCombination {
        let sets = try transact(keys, reserving: 0, now: now) { (transaction) throws(MartletError) in
            try transaction.setSnapshots(keys.indices)
        }
        return try SetCombination(operation, of: sets, limit: limit)
    }
}

extension Transaction {
    /// Snapshots of several keys, nil for what is missing.
    package func setSnapshots(_ indices: Range<Int>) throws(MartletError) -> [SetSnapshot?] {
        var sets: [SetSnapshot?] = []
        sets.reserveCapacity(indices.count)
        for index in indices { sets.append(try self[index].setSnapshot()) }
        return sets
    }
}
