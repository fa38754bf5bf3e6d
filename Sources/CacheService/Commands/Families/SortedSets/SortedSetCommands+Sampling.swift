import Admission
import Engine
import Tenancy

/// ZRANDMEMBER and ZSCAN.
extension SortedSetCommands {
    static func randomMembers(_ call: CommandCall) throws(MartletError) {
        let key = call.arguments[1]
        guard call.count > 2 else {
            let isThere = try call.items.withItem(key, now: call.now) { (item) throws(MartletError) in
                try item.sampleSortedSet(count: 1, using: &call.dice) { _, member in
                    call.reply.bulk(member)
                    call.countElementOut(byteCount: member.count)
                }
            }
            call.countFound(isThere)
            if !isThere { call.reply.null() }
            return
        }
        let count = try call.integer(2)
        guard count > .min else {
            throw .command("ERR value is out of range, value must between \(-Int64.max) and \(Int64.max)")
        }
        guard call.count == 3 || (call.count == 4 && call.arguments.isWord(3, "WITHSCORES")) else { throw .syntax }
        let withScores = call.count == 4
        if withScores, count.magnitude > UInt64(Int64.max / 2) { throw .command("ERR value is out of range") }

        let work = try call.items.withItem(key, now: call.now) { (item) throws(MartletError) -> (any CommandWork)? in
            guard let present = try item.sortedSetCount(), count != 0 else {
                call.countFound(item.kind != nil)
                call.reply.array(0)
                return nil
            }
            call.countFound(true)
            if count >= Int64(present) {
                if try writeSmall(call, 0..<present, isReversed: false, withScores, of: item) { return nil }
                return try item.sortedSetSnapshot().map {
                    RangeWork($0, 0..<present, isReversed: false, withScores: withScores)
                }
            }
            guard count.magnitude <= UInt64(SampleWork.drawnAtOnce) else {
                return try item.sortedSetSnapshot().map { SampleWork($0, Int(count), withScores: withScores) }
            }
            let reply = ScoredReply(writer: call.reply, withScores: withScores)
            var answered = AnsweredElements()
            reply.begin(Int(count.magnitude))
            _ = try item.sampleSortedSet(count: Int(count), using: &call.dice) { score, member in
                reply.element(score, member)
                answered.add(member.count + (withScores ? AnsweredElements.scoreBytes : 0))
            }
            call.countElementsOut(answered)
            return nil
        }
        if let work { try call.goOn(with: work) }
    }

    static func scan(_ call: CommandCall) throws(MartletError) {
        guard let cursor = MemberScan.cursor(call.arguments[2]) else { throw .command("ERR invalid cursor") }
        let isThere = try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
            guard try item.sortedSetCount() != nil else { return false }
            var scan = try MemberScan(call, from: 3)
            var next: UInt64 = 0
            var count = 0
            // The cursor stands before what is found on the way to it.
            try call.reply.deferred { number in
                call.reply.array(2)
                call.reply.bulk(String(next))
                call.reply.array(number)
            } _: { () throws(MartletError) in
                next = try item.scanSortedSet(from: cursor, limit: scan.limit) { score, member in
                    guard scan.matches(member) else { return }
                    count += 2
                    call.reply.bulk(member)
                    call.reply.bulk(DecimalText.text(of: score))
                    call.countElementOut(byteCount: member.count + AnsweredElements.scoreBytes)
                }
                guard !scan.isExhausted else { throw MemberScan.tooLong }
                return count
            }
            return true
        }
        call.countFound(isThere)
        guard !isThere else { return }
        call.reply.array(2)
        call.reply.bulk("0")
        call.reply.array(0)
    }
}

/// Many members chosen at random, from a snapshot and in turns.
final class SampleWork: CommandWork {
    /// As many are drawn under a lock.
    static let drawnAtOnce = 500

    private let snapshot: SortedSetSnapshot
    private let count: Int
    private let withScores: Bool
    private var hasBegun = false
    /// How many were drawn.
    private var drawn = 0
    /// Without repetition: the next rank to decide on.
    private var rank = 0
    private var answeredBytes = 0

    /// - Parameter count: Different ones, less than there are; negative: so many that may repeat.
    init(_ snapshot: SortedSetSnapshot, _ count: Int, withScores: Bool) {
        self.snapshot = snapshot
        self.count = count
        self.withScores = withScores
    }

    /// - Throws: A refusal where the reply becomes larger than an item may be: how often members repeat is up to the
    ///   caller.
    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        let reply = ScoredReply(writer: call.reply, withScores: withScores)
        let wanted = Int(clamping: count.magnitude)
        if !hasBegun { reply.begin(wanted) }
        hasBegun = true
        var answered = AnsweredElements()
        var looks = Self.drawnAtOnce
        while drawn < wanted, looks > 0, answered.byteCount < 256 << 10 {
            looks -= 1
            guard let chosen = choose(&call.dice) else { continue }
            drawn += 1
            try snapshot.visit(chosen..<chosen + 1) { score, member in
                reply.element(score, member)
                answered.add(member.count + (withScores ? AnsweredElements.scoreBytes : 0))
                return false
            }
        }
        call.countElementsOut(answered)
        answeredBytes += answered.byteCount
        if count < 0, answeredBytes > call.sizes.itemBytes {
            throw .tooLarge(limit: .maxItemBytes, value: UInt64(call.sizes.itemBytes))
        }
        return drawn == wanted
    }

    private func choose(_ dice: inout Dice) -> Int? {
        guard count > 0 else { return Int.random(in: 0..<snapshot.count, using: &dice) }
        // Knuth's algorithm S: each is taken with the chance that is left for it.
        let current = rank
        rank += 1
        return Int.random(in: 0..<snapshot.count - current, using: &dice) < count - drawn ? current : nil
    }
}
