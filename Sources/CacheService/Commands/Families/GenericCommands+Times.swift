import Admission
import Engine
import Tenancy

/// When keys expire.
extension GenericCommands {
    static let times: [CommandSpec] = [
        .items(
            "expire", arity: -3, [.write, .fast], keys: .found(expireKeys), group: .generic,
            summary: "Lets a key expire in some seconds.", expire),
        .items(
            "pexpire", arity: -3, [.write, .fast], keys: .found(expireKeys), group: .generic,
            summary: "Lets a key expire in some milliseconds.", expireMilliseconds),
        .items(
            "expireat", arity: -3, [.write, .fast], keys: .found(expireKeys), group: .generic,
            summary: "Lets a key expire at a second since 1970.", expireAt),
        .items(
            "pexpireat", arity: -3, [.write, .fast], keys: .found(expireKeys), group: .generic,
            summary: "Lets a key expire at a millisecond since 1970.", expireAtMillisecond),
        .items(
            "ttl", arity: 2, [.readonly, .fast], keys: .first(.read), group: .generic,
            summary: "In how many seconds a key expires.", secondsLeft),
        .items(
            "pttl", arity: 2, [.readonly, .fast], keys: .first(.read), group: .generic,
            summary: "In how many milliseconds a key expires.", millisecondsLeft),
        .items(
            "expiretime", arity: 2, [.readonly, .fast], keys: .first(.read), group: .generic,
            summary: "At which second since 1970 a key expires.", expirySecond),
        .items(
            "pexpiretime", arity: 2, [.readonly, .fast], keys: .first(.read), group: .generic,
            summary: "At which millisecond since 1970 a key expires.", expiryMillisecond),
        .items(
            "persist", arity: 2, [.write, .fast], keys: .first(.readWrite), group: .generic,
            summary: "Keeps a key from expiring.", persist),
    ]

    /// A condition reveals the time that is there.
    private static func expireKeys(_ arguments: Arguments) -> [FoundKey] {
        [FoundKey(1, arguments.count > 3 ? .readWrite : .write)]
    }

    static func expire(_ call: CommandCall) throws(MartletError) {
        try expire(call, .seconds, isAbsolute: false, "expire")
    }

    static func expireMilliseconds(_ call: CommandCall) throws(MartletError) {
        try expire(call, .milliseconds, isAbsolute: false, "pexpire")
    }

    static func expireAt(_ call: CommandCall) throws(MartletError) {
        try expire(call, .seconds, isAbsolute: true, "expireat")
    }

    static func expireAtMillisecond(_ call: CommandCall) throws(MartletError) {
        try expire(call, .milliseconds, isAbsolute: true, "pexpireat")
    }

    private static func expire(
        _ call: CommandCall, _ unit: CommandCall.TimeUnit, isAbsolute: Bool, _ command: String
    ) throws(MartletError) {
        let key = call.arguments[1]
        let rules = try ExpiryConditions(call.arguments, from: 3)
        let amount = try call.integer(2)
        let time = try call.expiry(amount, unit, isAbsolute: isAbsolute, command: command)
        let isChanged = try call.items.withItem(key, now: call.now) { item in
            guard item.kind != nil, rules.allow(from: item.expiresAt, to: time) else { return false }
            item.setExpiry(time)
            return true
        }
        call.countNamed(key)
        call.reply.integer(isChanged)
    }

    static func persist(_ call: CommandCall) throws(MartletError) {
        let key = call.arguments[1]
        // A cache with a maximum keeps nothing for ever.
        let latest = call.latestExpiry
        let isChanged = try call.items.withItem(key, now: call.now) { item in
            guard item.kind != nil, item.expiresAt != nil else { return false }
            item.setExpiry(latest)
            return true
        }
        call.countNamed(key)
        call.reply.integer(isChanged)
    }

    static func secondsLeft(_ call: CommandCall) throws(MartletError) {
        answerTime(call) { ($0.milliseconds - call.now.milliseconds + 500) / 1000 }
    }

    static func millisecondsLeft(_ call: CommandCall) throws(MartletError) {
        answerTime(call) { $0.milliseconds - call.now.milliseconds }
    }

    static func expirySecond(_ call: CommandCall) throws(MartletError) {
        answerTime(call) { ($0.milliseconds + 500) / 1000 }
    }

    static func expiryMillisecond(_ call: CommandCall) throws(MartletError) {
        answerTime(call) { $0.milliseconds }
    }

    /// Answers something about the time of a key: -2 where there is none, -1 where it never expires.
    private static func answerTime(_ call: CommandCall, _ number: (Timestamp) -> Int64) {
        let key = call.arguments[1]
        let description = call.items.describe(key, now: call.now)
        call.countFacts(key, found: description != nil)
        guard let description else { return call.reply.integer(-2) }
        call.reply.integer(description.expiresAt.map { number($0) } ?? -1)
    }
}

/// What must hold of the time that a key has for it to get another. One that never expires has the latest of all.
struct ExpiryConditions {
    private var ifNone = false
    private var ifSome = false
    private var ifLater = false
    private var ifEarlier = false

    init(_ arguments: Arguments, from first: Int) throws(MartletError) {
        for index in first..<max(first, arguments.count) {
            if arguments.isWord(index, "NX") {
                ifNone = true
            } else if arguments.isWord(index, "XX") {
                ifSome = true
            } else if arguments.isWord(index, "GT") {
                ifLater = true
            } else if arguments.isWord(index, "LT") {
                ifEarlier = true
            } else {
                throw .command("ERR Unsupported option \(arguments.string(index))")
            }
        }
        guard !ifNone || !(ifSome || ifLater || ifEarlier) else {
            throw .command("ERR NX and XX, GT or LT options at the same time are not compatible")
        }
        guard !ifLater || !ifEarlier else {
            throw .command("ERR GT and LT options at the same time are not compatible")
        }
    }

    func allow(from old: Timestamp?, to new: Timestamp) -> Bool {
        guard let old else { return !ifSome && !ifLater }
        return !ifNone && (!ifLater || new > old) && (!ifEarlier || new < old)
    }
}
