import Admission
import Engine
import Tenancy

/// Strings that are numbers.
extension StringCommands {
    static let numbers: [CommandSpec] = [
        .items(
            "incr", arity: 2, [.write, .denyOOM, .fast], keys: .first(.readWrite), group: .string,
            summary: "Adds one to the number under a key.", increment),
        .items(
            "decr", arity: 2, [.write, .denyOOM, .fast], keys: .first(.readWrite), group: .string,
            summary: "Takes one from the number under a key.", decrement),
        .items(
            "incrby", arity: 3, [.write, .denyOOM, .fast], keys: .first(.readWrite), group: .string,
            summary: "Adds to the number under a key.", incrementBy),
        .items(
            "decrby", arity: 3, [.write, .denyOOM, .fast], keys: .first(.readWrite), group: .string,
            summary: "Takes from the number under a key.", decrementBy),
        .items(
            "incrbyfloat", arity: 3, [.write, .denyOOM, .fast], keys: .first(.readWrite), group: .string,
            summary: "Adds to the number under a key, which may have a fraction.", incrementByFraction),
    ]

    static func increment(_ call: CommandCall) throws(MartletError) { try add(1, call) }

    static func decrement(_ call: CommandCall) throws(MartletError) { try add(-1, call) }

    static func incrementBy(_ call: CommandCall) throws(MartletError) { try add(try call.integer(2), call) }

    static func decrementBy(_ call: CommandCall) throws(MartletError) {
        let amount = try call.integer(2)
        guard amount != .min else { throw .command("ERR decrement would overflow") }
        try add(-amount, call)
    }

    private static func add(_ amount: Int64, _ call: CommandCall) throws(MartletError) {
        let key = call.arguments[1]
        try call.sizes.checkKey(byteCount: key.count)
        let sum = try call.items.increment(key, by: amount, expiresAt: call.defaultExpiry, now: call.now)
        call.countNumber(key, byteCount: digits(of: sum))
        call.reply.integer(sum)
    }

    private static func digits(of number: Int64) -> Int {
        var (rest, count) = (number.magnitude / 10, number < 0 ? 2 : 1)
        while rest > 0 {
            rest /= 10
            count += 1
        }
        return count
    }

    static func incrementByFraction(_ call: CommandCall) throws(MartletError) {
        let (key, text) = (call.arguments[1], call.arguments[2])
        try call.sizes.checkKey(byteCount: key.count)
        var answer: [UInt8] = []
        try call.changeString(key, growth: 32) { (bytes, isThere) throws(MartletError) in
            let held = isThere ? bytes.withUnsafeBytes { LongDecimal.parse($0) } : 0
            guard let held, let amount = LongDecimal.parse(text) else { throw .notAFloat }
            let sum = held + amount
            guard sum.isFinite else { throw .command("ERR increment would produce NaN or Infinity") }
            bytes = LongDecimal.text(of: sum)
            answer = bytes
            return true
        }
        call.countNumber(key, byteCount: answer.count)
        call.reply.bulk(answer)
    }
}
