import Admission
import Engine
import Tenancy

/// Sets made of sets.
extension SetCommands {
    /// So many members are looked at at once.
    private static let smallCount = 1024

    static func combine(_ call: CommandCall, _ operation: SetOperation) throws(MartletError) {
        var combination = try combination(call, operation, 1..<call.count)
        guard combination.inputCount <= smallCount else {
            return try call.goOn(with: SetCombining(combination, call.reply))
        }
        let reply = call.reply
        try reply.deferred({ reply.set($0) }) { () throws(MartletError) -> Int in
            var count = 0
            var isDone = false
            while !isDone {
                isDone = try combination.step(budget: .max) { member in
                    answer(member, call)
                    count += 1
                }
            }
            return count
        }
    }

    /// `numkeys key … [LIMIT limit]`.
    static func intersectionCount(_ call: CommandCall) throws(MartletError) {
        let failure = MartletError.command("ERR numkeys should be greater than 0")
        let number = try call.integer(1, or: failure)
        guard number > 0 else { throw failure }
        guard number <= call.count - 2 else {
            throw .command("ERR Number of keys can't be greater than number of args")
        }
        let keys = 2..<2 + Int(number)
        var limit: Int64 = 0
        var option = keys.upperBound
        while option < call.count {
            guard call.arguments.isWord(option, "LIMIT"), option + 1 < call.count else { throw .syntax }
            let wrong = MartletError.command("ERR LIMIT can't be negative")
            limit = try call.integer(option + 1, or: wrong)
            guard limit >= 0 else { throw wrong }
            option += 2
        }
        let combination = try combination(call, .intersection, keys, limit: limit == 0 ? .max : Int(limit))
        let counting = SetCounting(combination)
        guard combination.inputCount > smallCount else {
            while try !counting.step(call) {}
            return
        }
        try call.goOn(with: counting)
    }

    /// - Parameter keys: The places of the arguments.
    private static func combination(
        _ call: CommandCall, _ operation: SetOperation, _ keys: Range<Int>, limit: Int = .max
    ) throws(MartletError) -> SetCombination {
        try call.checkSources(keys.count)
        let slices = call.arguments.slices(from: keys.lowerBound).prefix(keys.count).map { $0 }
        let sets = try call.items.transact(slices, now: call.now) { (transaction) throws(MartletError) in
            try transaction.setSnapshots(slices.indices)
        }
        for set in sets { call.countFound(set != nil) }
        return try SetCombination(operation, of: sets, limit: limit)
    }

    static func store(_ call: CommandCall, _ operation: SetOperation) throws(MartletError) {
        let destination = call.arguments[1]
        try call.sizes.checkKey(byteCount: destination.count)
        try call.checkSources(call.count - 2)
        let sources = call.arguments.slices(from: 2).map { $0 }
        let work = SetStore(
            SetStoring(operation, of: sources, into: destination, expiresAt: call.defaultExpiry, cache: call.items))
        guard try !work.step(call) else { return }
        try call.goOn(with: work)
    }
}
