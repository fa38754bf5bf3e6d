import Admission
import Engine
import Tenancy

/// ZRANGE and its relatives.
extension SortedSetCommands {
    static func range(_ call: CommandCall) throws(MartletError) {
        // Without options it is asked for most often.
        if call.count == 4 {
            return try answer(call, SortedSetSelection(try call.rankRange(from: 2, to: 3)), withScores: false)
        }
        try answer(call, RangeRequest(call, from: 1))
    }

    static func reverseRange(_ call: CommandCall) throws(MartletError) {
        try answer(call, RangeRequest(call, from: 1, .ranks, isReversed: true))
    }

    static func rangeByScore(_ call: CommandCall) throws(MartletError) {
        try answer(call, RangeRequest(call, from: 1, .scores, isReversed: false))
    }

    static func reverseRangeByScore(_ call: CommandCall) throws(MartletError) {
        try answer(call, RangeRequest(call, from: 1, .scores, isReversed: true))
    }

    static func rangeByMember(_ call: CommandCall) throws(MartletError) {
        try answer(call, RangeRequest(call, from: 1, .members, isReversed: false))
    }

    static func reverseRangeByMember(_ call: CommandCall) throws(MartletError) {
        try answer(call, RangeRequest(call, from: 1, .members, isReversed: true))
    }

    static func storeRange(_ call: CommandCall) throws(MartletError) {
        let request = try RangeRequest(call, from: 2, isStored: true)
        let destination = call.arguments[1]
        try call.sizes.checkKey(byteCount: destination.count)
        let combination = try SortedSetCombination(
            cache: call.items, .range(request.selection), of: [Array(call.arguments[2])], to: Array(destination),
            expiresAt: call.defaultExpiry)
        try CombinationWork(combination, .count).run(call)
    }

    private static func answer(_ call: CommandCall, _ request: RangeRequest) throws(MartletError) {
        try answer(call, request.selection, withScores: request.withScores)
    }

    /// Answers a small range under the item's lock, a large one in turns from a snapshot.
    private static func answer(
        _ call: CommandCall, _ selection: SortedSetSelection, withScores: Bool
    ) throws(MartletError) {
        let work = try call.items.withItem(call.arguments[1], now: call.now) {
            (item) throws(MartletError) -> RangeWork? in
            guard let ranks = try item.sortedSetRanks(selection) else {
                call.countFound(false)
                call.reply.array(0)
                return nil
            }
            call.countFound(true)
            if try writeSmall(call, ranks, isReversed: selection.isReversed, withScores, of: item) { return nil }
            return try item.sortedSetSnapshot().map {
                RangeWork($0, ranks, isReversed: selection.isReversed, withScores: withScores)
            }
        }
        if let work { try call.goOn(with: work) }
    }

    /// Writes the elements of some ranks, unless they are too many to be copied under a lock.
    static func writeSmall(
        _ call: CommandCall, _ ranks: Range<Int>, isReversed: Bool, _ withScores: Bool, of item: borrowing ItemAccess
    ) throws(MartletError) -> Bool {
        let budget = TurnBudget.underLock
        guard ranks.count <= budget.elements else { return false }
        let reply = ScoredReply(writer: call.reply, withScores: withScores)
        let scoreBytes = withScores ? AnsweredElements.scoreBytes : 0
        let start = reply.writer.count
        var answered = AnsweredElements()
        reply.begin(ranks.count)
        try item.visitSortedSet(ranks, reversed: isReversed) { score, member in
            reply.element(score, member)
            answered.add(member.count &+ scoreBytes)
            return answered.byteCount < budget.bytes
        }
        guard answered.count == ranks.count else {
            reply.writer.truncate(to: start)
            return false
        }
        call.countElementsOut(answered)
        return true
    }
}

/// What a command of ZRANGE's family asks for.
struct RangeRequest {
    enum Order {
        case ranks, scores, members
    }

    let selection: SortedSetSelection
    let withScores: Bool

    /// - Parameters:
    ///   - source: Where the key stands; the range's ends and the options follow.
    ///   - order: Where the command's name says it; else an option may.
    ///   - isReversed: As `order`.
    init(
        _ call: CommandCall, from source: Int, _ order: Order? = nil, isReversed: Bool? = nil, isStored: Bool = false
    ) throws(MartletError) {
        var (chosenOrder, isChosenReversed, withScores) = (order, isReversed, false)
        var (offset, limit) = (0, -1)
        var index = source + 3
        while index < call.count {
            let arguments = call.arguments
            if !isStored, arguments.isWord(index, "WITHSCORES") {
                withScores = true
            } else if arguments.isWord(index, "LIMIT"), index + 2 < call.count {
                offset = Int(try call.integer(index + 1))
                limit = Int(try call.integer(index + 2))
                index += 2
            } else if isChosenReversed == nil,
                arguments.isWord(index, "REV")
            {
                isChosenReversed = true
            } else if chosenOrder == nil, arguments.isWord(index, "BYLEX") {
                chosenOrder = .members
            } else if chosenOrder == nil, arguments.isWord(index, "BYSCORE") {
                chosenOrder = .scores
            } else {
                throw .syntax
            }
            index += 1
        }
        let reversed = isChosenReversed ?? false
        let bounds: SortedSetSelection.Bounds
        let (first, second) = (source + 1, source + 2)
        switch chosenOrder ?? .ranks {
        case .ranks:
            guard limit == -1 else {
                throw .command(
                    "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
            }
            offset = 0
            bounds = try call.rankRange(from: first, to: second)
        case .scores:
            bounds = .scores(try call.scoreRange(from: reversed ? second : first, to: reversed ? first : second))
        case .members:
            guard !withScores else {
                throw .command("ERR syntax error, WITHSCORES not supported in combination with BYLEX")
            }
            bounds = try call.memberRange(from: reversed ? second : first, to: reversed ? first : second)
        }
        selection = SortedSetSelection(bounds, isReversed: reversed, offset: offset, limit: limit)
        self.withScores = withScores
    }
}

/// Many elements on their way into a reply, from a snapshot and in turns.
final class RangeWork: CommandWork {
    private let snapshot: SortedSetSnapshot
    private var left: Range<Int>
    private let isReversed: Bool
    private let withScores: Bool
    private var hasBegun = false

    /// - Parameter ranks: Ascending ones that exist.
    init(_ snapshot: SortedSetSnapshot, _ ranks: Range<Int>, isReversed: Bool, withScores: Bool) {
        self.snapshot = snapshot
        self.isReversed = isReversed
        self.withScores = withScores
        left = ranks
    }

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        let reply = ScoredReply(writer: call.reply, withScores: withScores)
        if !hasBegun { reply.begin(left.count) }
        hasBegun = true
        var budget = TurnBudget()
        var answered = AnsweredElements()
        let scoreBytes = withScores ? AnsweredElements.scoreBytes : 0
        try snapshot.visit(left, reversed: isReversed) { score, member in
            reply.element(score, member)
            answered.add(member.count &+ scoreBytes)
            budget.spend(member.count)
            return budget.isLeft
        }
        call.countElementsOut(answered)
        left = isReversed ? left.dropLast(answered.count) : left.dropFirst(answered.count)
        return left.isEmpty
    }
}
