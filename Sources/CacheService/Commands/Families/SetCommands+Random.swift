import Engine
import Tenancy

/// Random members, and members by and by.
extension SetCommands {
    // MARK: SPOP

    static func pop(_ call: CommandCall) throws(MartletError) {
        guard call.count <= 3 else { throw .syntax }
        let key = call.arguments[1]
        guard call.count == 3 else {
            let taken = try call.items.withItem(key, now: call.now) { (item) throws(MartletError) in
                try item.setPop(1, using: &call.dice) { answer($0, call) }
            }
            if (taken ?? 0) == 0 { call.reply.null() }
            return
        }
        let asked = try call.integer(2, or: .notPositive)
        guard asked >= 0 else { throw .notPositive }
        let work = try call.items.withItem(key, now: call.now) { (item) throws(MartletError) -> (any CommandWork)? in
            guard let present = try item.setLength() else {
                call.reply.set(0)
                return nil
            }
            let count = min(Int(asked), present)
            if SetReply.isLong(count, of: present, item) {
                guard count == present, let snapshot = try item.setTake() else {
                    return SetPopping(count, of: Array(key), call)
                }
                return SetReply(snapshot)
            }
            call.reply.set(count)
            guard count > 0 else { return nil }
            _ = try item.setPop(count, using: &call.dice) { answer($0, call) }
            return nil
        }
        if let work { try call.goOn(with: work) }
    }

    // MARK: SRANDMEMBER

    /// What an answer may have in bytes that repeats members.
    private static let longestRepetition = 64 << 20

    static func random(_ call: CommandCall) throws(MartletError) {
        guard call.count <= 3 else { throw .syntax }
        guard call.count == 3 else {
            let isFound = try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
                try item.setRandom(1, isDistinct: true, using: &call.dice) { answer($0, call) }
            }
            call.countFound(isFound)
            if !isFound { call.reply.null() }
            return
        }
        let asked = try call.integer(2)
        guard asked != .min else {
            throw .command("ERR value is out of range, value must between \(-Int64.max) and \(Int64.max)")
        }
        let work = try call.items.withItem(call.arguments[1], now: call.now) {
            (item) throws(MartletError) -> (any CommandWork)? in
            guard let present = try item.setLength() else {
                call.countFound(false)
                call.reply.array(0)
                return nil
            }
            call.countFound(true)
            return try random(Int(asked), of: present, item, call)
        }
        if let work { try call.goOn(with: work) }
    }

    private static func random(
        _ asked: Int, of present: Int, _ item: borrowing ItemAccess, _ call: CommandCall
    ) throws(MartletError) -> (any CommandWork)? {
        let isDistinct = asked >= 0
        let count = isDistinct ? min(asked, present) : -asked
        if !isDistinct {
            let most = longestRepetition / (16 + item.elementBytes / present)
            guard count <= most else {
                throw .command("ERR value is out of range, value must between \(-most) and \(Int64.max)")
            }
        }
        // From a snapshot where it takes long, which of a small set it can only by repeating.
        if count > 1000 || SetReply.isLong(count, of: present, item), let snapshot = try item.setSnapshot() {
            if count == present, isDistinct { return SetReply(snapshot, isArray: true) }
            return isDistinct ? SetSampling(snapshot, count) : SetRepetition(snapshot, count)
        }
        call.reply.array(count)
        guard count > 0 else { return nil }
        if count == present, isDistinct {
            try item.setForEach { answer($0, call) }
        } else {
            _ = try item.setRandom(count, isDistinct: isDistinct, using: &call.dice) { answer($0, call) }
        }
        return nil
    }

    // MARK: SSCAN

    /// What one call looks at, however much is asked for.
    private static let mostScanned = 1000

    static func scan(_ call: CommandCall) throws(MartletError) {
        guard let cursor = cursor(call.arguments[2]) else { throw .command("ERR invalid cursor") }
        var next: UInt64 = 0
        let reply = call.reply
        try reply.deferred({ count in
            reply.array(2)
            reply.bulk(String(next))
            reply.array(count)
        }) { () throws(MartletError) -> Int in
            try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) -> Int in
                let present = try item.setLength()
                call.countFound(present != nil)
                guard let present else { return 0 }
                let options = try scanOptions(call)
                let memberBytes = item.elementBytes / max(1, present)
                let limit = max(1, min(options.count, mostScanned, (64 << 10) / max(1, memberBytes)))
                var found = 0
                var comparisons = 0
                next =
                    try item.setScan(from: cursor, limit: limit) { member in
                        if let pattern = options.pattern {
                            guard comparisons < MemberScan.mostComparisons,
                                Glob.matches(member, pattern, steps: &comparisons)
                            else { return }
                        }
                        answer(member, call)
                        found += 1
                    } ?? 0
                guard comparisons < MemberScan.mostComparisons else { throw MemberScan.tooLong }
                return found
            }
        }
    }

    private static func scanOptions(
        _ call: CommandCall
    ) throws(MartletError) -> (count: Int, pattern: UnsafeRawBufferPointer?) {
        var (count, pattern): (Int, UnsafeRawBufferPointer?) = (10, nil)
        var index = 3
        while index < call.count {
            guard index + 1 < call.count else { throw .syntax }
            if call.arguments.isWord(index, "COUNT") {
                let asked = try call.integer(index + 1)
                guard asked >= 1 else { throw .syntax }
                count = Int(asked)
            } else if call.arguments.isWord(index, "MATCH") {
                let asked = call.arguments[index + 1]
                pattern = Glob.isEverything(asked) ? nil : asked
            } else {
                throw .syntax
            }
            index += 2
        }
        return (count, pattern)
    }

    /// A number as `strtoul` reads it to its end: with a sign, and wrapped where that is a minus.
    private static func cursor(_ text: UnsafeRawBufferPointer) -> UInt64? {
        guard let first = text.first else { return 0 }
        let isNegative = first == 0x2D
        let digits = isNegative || first == 0x2B ? text.dropFirst() : text[...]
        guard !digits.isEmpty else { return nil }
        var value: UInt64 = 0
        for byte in digits {
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            let (product, isOver) = value.multipliedReportingOverflow(by: 10)
            let (sum, isOverToo) = product.addingReportingOverflow(UInt64(byte - 0x30))
            guard !isOver, !isOverToo else { return nil }
            value = sum
        }
        return isNegative ? 0 &- value : value
    }
}
