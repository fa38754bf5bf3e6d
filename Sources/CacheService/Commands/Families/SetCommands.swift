import Admission
import Engine
import Tenancy

/// Commands on sets.
enum SetCommands {
    static let all: [CommandSpec] = [
        .items(
            "sadd", arity: -3, [.write, .denyOOM, .fast], keys: .first(.readWrite), group: .set,
            summary: "Adds members to a set.", add),
        .items(
            "srem", arity: -3, [.write, .fast], keys: .first(.readWrite), group: .set,
            summary: "Removes members from a set.", remove),
        .items(
            "smembers", arity: 2, [.readonly], keys: .first(.read), group: .set,
            summary: "All members of a set.", members),
        .items(
            "sismember", arity: 3, [.readonly, .fast], keys: .first(.read), group: .set,
            summary: "Whether something is a member of a set.", contains),
        .items(
            "smismember", arity: -3, [.readonly, .fast], keys: .first(.read), group: .set,
            summary: "Which of several things are members of a set.", containsSeveral),
        .items(
            "scard", arity: 2, [.readonly, .fast], keys: .first(.read), group: .set,
            summary: "How many members a set has.", count),
        .items(
            "spop", arity: -2, [.write, .random, .fast], keys: .first(.readWrite), group: .set,
            summary: "Takes a random member out of a set, or several.", pop),
        .items(
            "srandmember", arity: -2, [.readonly, .random], keys: .first(.read), group: .set,
            summary: "A random member of a set, or several.", random),
        .items(
            "smove", arity: 4, [.write, .fast],
            keys: .ranges([
                (first: 1, last: 1, step: 1, access: .readWrite), (first: 2, last: 2, step: 1, access: .write),
            ]), group: .set, summary: "Moves a member from one set to another.", move),
        .items(
            "sinter", arity: -2, [.readonly], keys: .range(first: 1, last: -1, .read), group: .set,
            summary: "The members that several sets have in common."
        ) { (call) throws(MartletError) in try combine(call, .intersection) },
        .items(
            "sunion", arity: -2, [.readonly], keys: .range(first: 1, last: -1, .read), group: .set,
            summary: "The members of several sets."
        ) { (call) throws(MartletError) in try combine(call, .union) },
        .items(
            "sdiff", arity: -2, [.readonly], keys: .range(first: 1, last: -1, .read), group: .set,
            summary: "The members of a set that are in none of several others."
        ) { (call) throws(MartletError) in try combine(call, .difference) },
        .items(
            "sinterstore", arity: -3, [.write, .denyOOM], keys: storedKeys, group: .set,
            summary: "Stores the members that several sets have in common."
        ) { (call) throws(MartletError) in try store(call, .intersection) },
        .items(
            "sunionstore", arity: -3, [.write, .denyOOM], keys: storedKeys, group: .set,
            summary: "Stores the members of several sets."
        ) { (call) throws(MartletError) in try store(call, .union) },
        .items(
            "sdiffstore", arity: -3, [.write, .denyOOM], keys: storedKeys, group: .set,
            summary: "Stores the members of a set that are in none of several others."
        ) { (call) throws(MartletError) in try store(call, .difference) },
        .items(
            "sintercard", arity: -3, [.readonly, .movableKeys], keys: .counted(at: 1, .read), group: .set,
            summary: "How many members several sets have in common.", intersectionCount),
        .items(
            "sscan", arity: -3, [.readonly, .random], keys: .first(.read), group: .set,
            summary: "Some members of a set, and where to go on.", scan),
    ]

    /// The sources are read; of what stood where the result goes, nothing is told.
    private static let storedKeys = CommandKeys.ranges([
        (first: 1, last: 1, step: 1, access: .write), (first: 2, last: -1, step: 1, access: .read),
    ])

    // MARK: Members

    private static func add(_ call: CommandCall) throws(MartletError) {
        let key = call.arguments[1]
        let members = call.arguments.slices(from: 2)
        try call.sizes.checkKey(byteCount: key.count)
        var byteCount = 0
        for member in members {
            try call.sizes.checkElement(byteCount: member.count)
            call.countElementIn(byteCount: member.count)
            byteCount &+= member.count
        }
        let expiry = call.collectionExpiry
        let reserved = byteCount + members.count * ListCommands.elementOverhead + 64
        let added = try call.items.withItem(key, reserving: reserved, now: call.now) {
            (item) throws(MartletError) -> Int in
            try call.checkGrowth(of: item, adding: byteCount)
            guard members.count > 1 else { return try item.setAdd(members[0], expiry: expiry) ? 1 : 0 }
            return try item.setAdd(members.span, expiry: expiry)
        }
        call.reply.integer(added)
    }

    private static func remove(_ call: CommandCall) throws(MartletError) {
        let members = call.arguments.slices(from: 2)
        for member in members { call.countElementIn(byteCount: member.count) }
        let removed = try call.items.withItem(call.arguments[1], now: call.now) {
            (item) throws(MartletError) -> Int in
            guard members.count > 1 else { return try item.setRemove(members[0]) == true ? 1 : 0 }
            return try item.setRemove(members.span) ?? 0
        }
        call.reply.integer(removed)
    }

    private static func contains(_ call: CommandCall) throws(MartletError) {
        let member = call.arguments[2]
        call.countElementIn(byteCount: member.count)
        let isThere = try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
            try item.setContains(member)
        }
        call.countFound(isThere != nil)
        call.reply.integer(isThere ?? false)
    }

    private static func containsSeveral(_ call: CommandCall) throws(MartletError) {
        let members = call.arguments.slices(from: 2)
        for member in members { call.countElementIn(byteCount: member.count) }
        call.reply.array(members.count)
        let isFound = try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
            try item.setContains(members.span) { _, isThere in call.reply.integer(isThere) }
        }
        call.countFound(isFound)
        if !isFound { for _ in members { call.reply.integer(0) } }
    }

    private static func count(_ call: CommandCall) throws(MartletError) {
        let count = try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
            try item.setLength()
        }
        call.countFound(count != nil)
        call.reply.integer(count ?? 0)
    }

    private static func members(_ call: CommandCall) throws(MartletError) {
        let work = try call.items.withItem(call.arguments[1], now: call.now) {
            (item) throws(MartletError) -> SetReply? in
            let count = try item.setLength()
            call.countFound(count != nil)
            if SetReply.isLong(count ?? 0, of: count ?? 0, item), let snapshot = try item.setSnapshot() {
                return SetReply(snapshot)
            }
            call.reply.set(count ?? 0)
            try item.setForEach { answer($0, call) }
            return nil
        }
        if let work { try call.goOn(with: work) }
    }

    static func answer(_ member: UnsafeRawBufferPointer, _ call: CommandCall) {
        call.reply.bulk(member)
        call.countElementOut(byteCount: member.count)
    }

    private static func move(_ call: CommandCall) throws(MartletError) {
        let (destination, member) = (call.arguments[2], call.arguments[3])
        try call.sizes.checkKey(byteCount: destination.count)
        call.countElementIn(byteCount: member.count)
        let expiry = call.collectionExpiry
        let isSame = call.arguments[1].elementsEqual(destination)
        let isMoved = try call.items.transact(
            [call.arguments[1], destination], reserving: member.count + ListCommands.elementOverhead, now: call.now
        ) { (transaction) throws(MartletError) -> Bool in
            if !isSame { try call.checkGrowth(of: transaction[1], adding: member.count) }
            return try transaction.setMove(member, from: 0, to: 1, expiry: expiry)
        }
        call.reply.integer(isMoved)
    }
}
