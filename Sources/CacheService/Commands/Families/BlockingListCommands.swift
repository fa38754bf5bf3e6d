import Engine
import Tenancy

/// Commands on lists that wait where there is nothing to take.
enum BlockingListCommands {
    static let all: [CommandSpec] = [
        .items(
            "blpop", arity: -3, [.write, .noScript, .blocking], keys: .range(first: 1, last: -2, .readWrite),
            group: .list, summary: "Takes the first element of the first list that has one, or waits for it."
        ) { (call) throws(MartletError) in try pop(call, .front) },
        .items(
            "brpop", arity: -3, [.write, .noScript, .blocking], keys: .range(first: 1, last: -2, .readWrite),
            group: .list, summary: "Takes the last element of the first list that has one, or waits for it."
        ) { (call) throws(MartletError) in try pop(call, .back) },
        .items(
            "blmpop", arity: -5, [.write, .blocking, .movableKeys], keys: .counted(at: 2, .readWrite), group: .list,
            summary: "Takes elements from the first of several lists that has some, or waits for them.", popSeveral),
        .items(
            "blmove", arity: 6, [.write, .denyOOM, .noScript, .blocking], keys: ListCommands.movedKeys, group: .list,
            summary: "Moves an element from an end of a list to an end of another, or waits for it."
        ) { (call) throws(MartletError) in
            let from = try ListCommands.end(call, 3)
            try move(call, from, try ListCommands.end(call, 4), timeoutAt: 5)
        },
        .items(
            "brpoplpush", arity: 4, [.write, .denyOOM, .noScript, .blocking], keys: ListCommands.movedKeys,
            group: .list, summary: "Moves the last element of a list before the first of another, or waits for it."
        ) { (call) throws(MartletError) in try move(call, .back, .front, timeoutAt: 3) },
    ]

    private static func pop(_ call: CommandCall, _ end: ListEnd) throws(MartletError) {
        let milliseconds = try call.timeoutMilliseconds(call.count - 1)
        let keys = 1..<call.count - 1
        guard try !ListCommands.popOne(call, keys, end) else { return }
        call.wait(forKeysAt: keys, milliseconds: milliseconds) { $0.nullArray() }
    }

    private static func popSeveral(_ call: CommandCall) throws(MartletError) {
        let asked = try ListCommands.severalKeys(call, countAt: 2)
        let milliseconds = try call.timeoutMilliseconds(1)
        guard try !ListCommands.popFirst(call, asked.keys, asked.end, count: asked.count) else { return }
        call.wait(forKeysAt: asked.keys, milliseconds: milliseconds) { $0.nullArray() }
    }

    /// Time that is over is answered with an array that is none, and within a transaction with an element that is none.
    private static func move(
        _ call: CommandCall, _ from: ListEnd, _ to: ListEnd, timeoutAt index: Int
    ) throws(MartletError) {
        let milliseconds = try call.timeoutMilliseconds(index)
        guard try !ListCommands.move(call, from, to) else { return }
        if call.isInTransaction { return call.reply.null() }
        call.wait(forKeysAt: 1..<2, milliseconds: milliseconds) { $0.nullArray() }
    }
}
