import Admission
import Engine
import Tenancy

/// All members of a set on their way into a reply, copied from a snapshot in turns.
final class SetReply: CommandWork {
    private let snapshot: SetSnapshot
    private let isArray: Bool
    private var cursor: UInt64 = 0
    private var isBegun = false
    private var count = 0
    private var byteCount = 0

    /// Whether `count` of the `present` members are more than are to be handed out under their lock.
    static func isLong(_ count: Int, of present: Int, _ item: borrowing ItemAccess) -> Bool {
        ListReply.isLong(count, of: present, item)
    }

    init(_ snapshot: SetSnapshot, isArray: Bool = false) {
        self.snapshot = snapshot
        self.isArray = isArray
    }

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        if !isBegun {
            isBegun = true
            if isArray { call.reply.array(snapshot.count) } else { call.reply.set(snapshot.count) }
        }
        var budget = TurnBudget()
        repeat {
            let limit = budget.limit(after: count, byteCount: byteCount)
            cursor = try snapshot.visit(from: cursor, limit: limit) { member in
                SetCommands.answer(member, call)
                budget.spend(member.count)
                count += 1
                byteCount += member.count
            }
        } while cursor != 0 && budget.isLeft
        return cursor == 0
    }
}

/// Takes very many members out of a set, a piece under each lock: between two of them others see it partly done.
final class SetPopping: CommandWork {
    private let key: [UInt8]
    private var left: Int
    private var count = 0
    private let members: ReplyWriter

    init(_ count: Int, of key: [UInt8], _ call: CommandCall) {
        self.key = key
        left = count
        members = ReplyWriter()
    }

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        do throws(MartletError) {
            let key = key
            let isOver = try key.span.bytes.withUnsafeBytes { (key) throws(MartletError) in
                try call.items.withItem(key, now: call.now) { (item) throws(MartletError) -> Bool in
                    guard let present = try item.setLength() else { return true }
                    let piece = SlicedPop.piece(of: left, from: item, holding: present)
                    let taken = try item.setPop(piece, using: &call.dice) { member in
                        members.bulk(member)
                        call.countElementOut(byteCount: member.count)
                    }
                    count += taken ?? 0
                    left -= taken ?? piece
                    return left <= 0 || piece >= present
                }
            }
            guard isOver else { return false }
        } catch {
            // What was taken before is the caller's, whatever stands there now.
            guard count > 0 else { throw error }
        }
        call.reply.set(count)
        call.reply.append(members.bytes)
        return true
    }
}

/// Random members of a large set, each at most once.
final class SetSampling: CommandWork {
    private let sample: SlicedSample

    /// - Parameter count: Less than there are.
    init(_ snapshot: SetSnapshot, _ count: Int) {
        sample = SlicedSample(snapshot, count)
    }

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        guard case .elements(let members)? = try sample.step(now: call.now, dice: &call.dice) else { return false }
        call.reply.array(members.count)
        members.forEach { SetCommands.answer($0, call) }
        return true
    }
}

/// Very many random members of a set, which may repeat.
final class SetRepetition: CommandWork {
    private let snapshot: SetSnapshot
    private let count: Int
    private var left: Int

    init(_ snapshot: SetSnapshot, _ count: Int) {
        self.snapshot = snapshot
        self.count = count
        left = count
    }

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        if left == count { call.reply.array(count) }
        var budget = TurnBudget(elements: 500)
        while left > 0, budget.isLeft {
            let place = Int.random(in: 0..<max(1, snapshot.count), using: &call.dice)
            try snapshot.withMember(at: place) { member in
                SetCommands.answer(member, call)
                budget.spend(member.count)
            }
            left -= 1
        }
        return left == 0
    }
}

/// The members of a combination of sets, in turns.
final class SetCombining: CommandWork {
    private var combination: SetCombination
    private var count = 0
    private let members: ReplyWriter

    init(_ combination: SetCombination, _ reply: ReplyWriter) {
        self.combination = combination
        members = ReplyWriter()
        members.isVersion3 = reply.isVersion3
    }

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        let isDone = try combination.step(budget: 4000) { member in
            members.bulk(member)
            call.countElementOut(byteCount: member.count)
            count += 1
        }
        guard isDone else { return false }
        call.reply.set(count)
        call.reply.append(members.bytes)
        return true
    }
}

/// How many members a combination has, in turns.
final class SetCounting: CommandWork {
    private var combination: SetCombination
    private var count = 0

    init(_ combination: SetCombination) {
        self.combination = combination
    }

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        guard try combination.step(budget: 8000, { _ in count += 1 }) else { return false }
        call.reply.integer(count)
        return true
    }
}

/// A combination of sets that is stored, in turns.
final class SetStore: CommandWork {
    private var storing: SetStoring

    init(_ storing: consuming SetStoring) {
        self.storing = storing
    }

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        let stored = try storing.step(budget: 4000, now: call.now)
        guard storing.builtBytes <= call.sizes.itemBytes else {
            throw .tooLarge(limit: .maxItemBytes, value: UInt64(call.sizes.itemBytes))
        }
        guard let stored else { return false }
        call.reply.integer(stored)
        return true
    }
}
