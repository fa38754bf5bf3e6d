import Admission
import Engine
import Tenancy

/// Commands on keys of any type.
enum GenericCommands {
    static let all: [CommandSpec] = existence + times + whole + walks + [ObjectCommand.spec] + SortCommand.all

    private static let existence: [CommandSpec] = [
        .items(
            "del", arity: -2, [.write], keys: .range(first: 1, last: -1, .write), group: .generic,
            summary: "Deletes keys.", delete),
        .items(
            "unlink", arity: -2, [.write, .fast], keys: .range(first: 1, last: -1, .write), group: .generic,
            summary: "Deletes keys, as DEL does.", delete),
        .items(
            "exists", arity: -2, [.readonly, .fast], keys: .range(first: 1, last: -1, .read), group: .generic,
            summary: "How many of the keys there are.", exists),
        .items(
            "touch", arity: -2, [.readonly, .fast], keys: .range(first: 1, last: -1, .read), group: .generic,
            summary: "Counts as a use of keys, and answers how many of them there are.", touch),
        .items(
            "type", arity: 2, [.readonly, .fast], keys: .first(.read), group: .generic,
            summary: "What kind of value a key holds.", type),
    ]

    static func delete(_ call: CommandCall) throws(MartletError) {
        try call.countArguments { (call, key) in
            call.countNamed(key)
            return call.items.delete(key, now: call.now)
        }
    }

    static func exists(_ call: CommandCall) throws(MartletError) {
        try call.countArguments { (call, key) in
            let isThere = call.items.describe(key, now: call.now) != nil
            call.countFacts(key, found: isThere)
            return isThere
        }
    }

    static func touch(_ call: CommandCall) throws(MartletError) {
        try call.countArguments { (call, key) throws(MartletError) in
            call.countNamed(key)
            return try call.items.withItem(key, now: call.now) { item in
                item.markUsed()
                return item.kind != nil
            }
        }
    }

    static func type(_ call: CommandCall) throws(MartletError) {
        let key = call.arguments[1]
        let kind = call.items.describe(key, now: call.now)?.kind
        call.countFacts(key, found: kind != nil)
        call.reply.simple(kind?.commandName ?? "none")
    }
}

extension ItemKind {
    /// Its name in this protocol.
    var commandName: String {
        switch self {
        case .scalar: "string"
        case .dictionary: "hash"
        case .set: "set"
        case .list: "list"
        case .sortedSet: "zset"
        }
    }

    /// The kind of a name in any case, nil for a kind that there is not.
    init?(commandName name: UnsafeRawBufferPointer) {
        let kinds: [ItemKind] = [.scalar, .dictionary, .set, .list, .sortedSet]
        let text = String(decoding: name, as: UTF8.self).lowercased()
        guard let kind = kinds.first(where: { $0.commandName == text }) else { return nil }
        self = kind
    }
}
