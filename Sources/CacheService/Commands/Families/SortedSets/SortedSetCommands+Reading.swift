import Engine
import Tenancy

/// Looks at single elements, and numbers.
extension SortedSetCommands {
    static func cardinality(_ call: CommandCall) throws(MartletError) {
        try number(call) { (item) throws(MartletError) in try item.sortedSetCount() }
    }

    static func countByScore(_ call: CommandCall) throws(MartletError) {
        let range = try call.scoreRange(from: 2, to: 3)
        try number(call) { (item) throws(MartletError) in try item.sortedSetRanks(of: range)?.count }
    }

    static func countByMember(_ call: CommandCall) throws(MartletError) {
        let selection = SortedSetSelection(try call.memberRange(from: 2, to: 3))
        try number(call) { (item) throws(MartletError) in try item.sortedSetRanks(selection)?.count }
    }

    /// Answers a number of elements, 0 where there is no sorted set.
    private static func number(
        _ call: CommandCall, _ body: (inout ItemAccess) throws(MartletError) -> Int?
    ) throws(MartletError) {
        let number = try call.items.withItem(call.arguments[1], now: call.now, body)
        call.countFound(number != nil)
        call.reply.integer(number ?? 0)
    }

    static func score(_ call: CommandCall) throws(MartletError) {
        let member = call.arguments[2]
        let (isThere, score) = try call.items.withItem(call.arguments[1], now: call.now) {
            (item) throws(MartletError) in
            (item.kind != nil, try item.sortedSetScore(of: member))
        }
        call.countFound(isThere)
        answer(call, score, of: member)
    }

    static func scores(_ call: CommandCall) throws(MartletError) {
        let members = call.arguments.slices(from: 2)
        call.reply.array(members.count)
        let isThere = try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
            var place = 0
            return try item.sortedSetScores(of: members) { score in
                answer(call, score, of: members[place])
                place += 1
            }
        }
        if !isThere {
            for member in members { answer(call, nil, of: member) }
        }
        call.countFound(isThere)
    }

    private static func answer(_ call: CommandCall, _ score: Double?, of member: UnsafeRawBufferPointer) {
        guard let score else {
            call.countElementIn(byteCount: member.count)
            return call.reply.null()
        }
        call.countElementOut(byteCount: member.count + AnsweredElements.scoreBytes)
        call.reply.double(score)
    }

    static func rank(_ call: CommandCall) throws(MartletError) {
        try rank(call, isReversed: false)
    }

    static func reverseRank(_ call: CommandCall) throws(MartletError) {
        try rank(call, isReversed: true)
    }

    private static func rank(_ call: CommandCall, isReversed: Bool) throws(MartletError) {
        let member = call.arguments[2]
        let (isThere, place) = try call.items.withItem(call.arguments[1], now: call.now) {
            (item) throws(MartletError) in
            (item.kind != nil, try item.sortedSetRank(of: member, reversed: isReversed)?.rank)
        }
        call.countFound(isThere)
        call.countElementIn(byteCount: member.count)
        if let place { call.reply.integer(place) } else { call.reply.null() }
    }
}
