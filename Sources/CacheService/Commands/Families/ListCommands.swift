import Admission
import Engine
import Tenancy

/// Commands on lists. Those that wait are in ``BlockingListCommands``.
enum ListCommands {
    static let all: [CommandSpec] = [
        .items(
            "lpush", arity: -3, [.write, .denyOOM, .fast], keys: .first(.readWrite), group: .list,
            summary: "Puts elements before a list's first, one after the other."
        ) { (call) throws(MartletError) in try push(call, .front) },
        .items(
            "rpush", arity: -3, [.write, .denyOOM, .fast], keys: .first(.readWrite), group: .list,
            summary: "Puts elements behind a list's last, one after the other."
        ) { (call) throws(MartletError) in try push(call, .back) },
        .items(
            "lpushx", arity: -3, [.write, .denyOOM, .fast], keys: .first(.readWrite), group: .list,
            summary: "Puts elements before a list's first, if there is a list."
        ) { (call) throws(MartletError) in try push(call, .front, onlyIfPresent: true) },
        .items(
            "rpushx", arity: -3, [.write, .denyOOM, .fast], keys: .first(.readWrite), group: .list,
            summary: "Puts elements behind a list's last, if there is a list."
        ) { (call) throws(MartletError) in try push(call, .back, onlyIfPresent: true) },
        .items(
            "lpop", arity: -2, [.write, .fast], keys: .first(.readWrite), group: .list,
            summary: "Takes the first element of a list, or the first few."
        ) { (call) throws(MartletError) in try pop(call, .front, "lpop") },
        .items(
            "rpop", arity: -2, [.write, .fast], keys: .first(.readWrite), group: .list,
            summary: "Takes the last element of a list, or the last few."
        ) { (call) throws(MartletError) in try pop(call, .back, "rpop") },
        .items(
            "llen", arity: 2, [.readonly, .fast], keys: .first(.read), group: .list,
            summary: "How many elements a list has.", length),
        .items(
            "lindex", arity: 3, [.readonly], keys: .first(.read), group: .list,
            summary: "The element at a place of a list.", element),
        .items(
            "lset", arity: 4, [.write, .denyOOM], keys: .first(.readWrite), group: .list,
            summary: "Replaces the element at a place of a list.", replace),
        .items(
            "lrange", arity: 4, [.readonly], keys: .first(.read), group: .list,
            summary: "The elements of a list from one place to another.", range),
        .items(
            "ltrim", arity: 4, [.write], keys: .first(.write), group: .list,
            summary: "Keeps of a list what stands from one place to another.", trim),
        .items(
            "lrem", arity: 4, [.write], keys: .first(.readWrite), group: .list,
            summary: "Removes elements that are equal to a value.", remove),
        .items(
            "linsert", arity: 5, [.write, .denyOOM], keys: .first(.readWrite), group: .list,
            summary: "Puts an element before or behind another.", insert),
        .items(
            "lpos", arity: -3, [.readonly], keys: .first(.read), group: .list,
            summary: "Where in a list elements are that are equal to a value.", positions),
        .items(
            "lmove", arity: 5, [.write, .denyOOM], keys: movedKeys, group: .list,
            summary: "Moves an element from an end of a list to an end of another."
        ) { (call) throws(MartletError) in
            let (from, to) = (try end(call, 3), try end(call, 4))
            if try !move(call, from, to) { call.reply.null() }
        },
        .items(
            "rpoplpush", arity: 3, [.write, .denyOOM], keys: movedKeys, group: .list,
            summary: "Moves the last element of a list before the first of another."
        ) { (call) throws(MartletError) in if try !move(call, .back, .front) { call.reply.null() } },
        .items(
            "lmpop", arity: -4, [.write, .movableKeys], keys: .counted(at: 1, .readWrite), group: .list,
            summary: "Takes elements from the first of several lists that has some."
        ) { (call) throws(MartletError) in
            let asked = try severalKeys(call, countAt: 1)
            if try !popFirst(call, asked.keys, asked.end, count: asked.count) { call.reply.nullArray() }
        },
    ]

    /// What is taken is told; where it goes, nothing is told of.
    static let movedKeys = CommandKeys.ranges([
        (first: 1, last: 1, step: 1, access: .readWrite), (first: 2, last: 2, step: 1, access: .write),
    ])

    /// `LEFT` or `RIGHT`.
    static func end(_ call: CommandCall, _ index: Int) throws(MartletError) -> ListEnd {
        if call.arguments.isWord(index, "LEFT") { return .front }
        if call.arguments.isWord(index, "RIGHT") { return .back }
        throw .syntax
    }

    /// What an element takes in memory beside its bytes, some too much rather than too little.
    static let elementOverhead = 48

    // MARK: Writing

    private static func push(
        _ call: CommandCall, _ end: ListEnd, onlyIfPresent: Bool = false
    ) throws(MartletError) {
        let key = call.arguments[1]
        let values = call.arguments.slices(from: 2)
        try call.sizes.checkKey(byteCount: key.count)
        var byteCount = 0
        for value in values {
            try call.sizes.checkElement(byteCount: value.count)
            call.countElementIn(byteCount: value.count)
            byteCount &+= value.count
        }
        let expiry = call.collectionExpiry
        let reserved = byteCount + values.count * elementOverhead + 64
        let length = try call.items.withItem(key, reserving: reserved, now: call.now) { (item) throws(MartletError) in
            try call.checkGrowth(of: item, adding: byteCount)
            guard values.count > 1 else {
                return try item.pushToList(
                    CollectionOfOne(values[0]), at: end, keepingOrder: false, onlyIfPresent: onlyIfPresent,
                    expiry: expiry)
            }
            return try item.pushToList(
                values, at: end, keepingOrder: false, onlyIfPresent: onlyIfPresent, expiry: expiry)
        }
        call.reply.integer(length)
    }

    private static func replace(_ call: CommandCall) throws(MartletError) {
        let (key, value) = (call.arguments[1], call.arguments[3])
        try call.sizes.checkElement(byteCount: value.count)
        let index = DecimalText.integer(call.arguments[2])
        let reserved = value.count + elementOverhead
        let outcome = try call.items.withItem(key, reserving: reserved, now: call.now) { (item) throws(MartletError) in
            guard try item.listCount() != nil else { return ListReplacement.missing }
            guard let index else { throw .notAnInteger }
            try call.checkGrowth(of: item, adding: value.count)
            return try item.replaceInList(at: Int(index), with: value)
        }
        switch outcome {
        case .missing: throw .noSuchKey
        case .outOfRange: throw .indexOutOfRange
        case .replaced:
            call.countElementIn(byteCount: value.count)
            call.reply.ok()
        }
    }

    private static func insert(_ call: CommandCall) throws(MartletError) {
        let arguments = call.arguments
        let isBefore = arguments.isWord(2, "BEFORE")
        guard isBefore || arguments.isWord(2, "AFTER") else { throw .syntax }
        let (key, pivot, value) = (arguments[1], arguments[3], arguments[4])
        try call.sizes.checkElement(byteCount: value.count)
        call.countElementIn(byteCount: pivot.count)
        call.countElementIn(byteCount: value.count)
        let reserved = value.count + elementOverhead
        let outcome = try call.items.withItem(key, reserving: reserved, now: call.now) { (item) throws(MartletError) in
            try call.checkGrowth(of: item, adding: value.count)
            return try item.insertIntoList(value, before: isBefore, pivot: pivot)
        }
        switch outcome {
        case .missing: call.reply.integer(0)
        case .pivotNotFound: call.reply.integer(-1)
        case .inserted(let count): call.reply.integer(count)
        }
    }

    private static func remove(_ call: CommandCall) throws(MartletError) {
        let limit = try call.integer(2)
        let value = call.arguments[3]
        call.countElementIn(byteCount: value.count)
        let outcome = try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
            try item.removeFromList(equalTo: value, limit: Int(limit))
        }
        call.reply.integer(outcome?.removed ?? 0)
    }

    private static func trim(_ call: CommandCall) throws(MartletError) {
        let bounds = SliceBounds.inclusive(start: Int(try call.integer(2)), stop: Int(try call.integer(3)))
        _ = try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
            try item.retainInList(bounds)
        }
        call.reply.ok()
    }
}
