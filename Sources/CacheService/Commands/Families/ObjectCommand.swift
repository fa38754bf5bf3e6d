import Engine
import Tenancy

/// `OBJECT`: how Redis would hold the value of a key.
///
/// Clients and people look at it to see whether a value is small or large; so it answers by Redis's default bounds, though
/// nothing here is held so.
enum ObjectCommand {
    static let spec = CommandSpec(
        "object", arity: -2, [], group: .generic, summary: "Tells about the value of a key.",
        subcommands: subcommands, action: .container)

    private static let subcommands: [CommandSpec] = [
        .items(
            "encoding", arity: 3, [.readonly], keys: .range(first: 2, last: 2, .read), group: .generic,
            summary: "The form in which Redis would hold the value.", encoding),
        .items(
            "freq", arity: 3, [.readonly], keys: .range(first: 2, last: 2, .read), group: .generic,
            summary: "Refused: how often a key is used is not told.", frequency),
        .items(
            "help", arity: 2, [.loading, .stale], keys: .none, group: .generic,
            summary: "What there is of this command.", help),
        .items(
            "idletime", arity: 3, [.readonly], keys: .range(first: 2, last: 2, .read), group: .generic,
            summary: "Always 0: when a key was used last is not kept.", idleTime),
        .items(
            "refcount", arity: 3, [.readonly], keys: .range(first: 2, last: 2, .read), group: .generic,
            summary: "How often Redis would share the value.", referenceCount),
    ]

    static func help(_ call: CommandCall) throws(MartletError) {
        call.reply.array(subcommands.count + 1)
        call.reply.simple("OBJECT <subcommand> [<key>]:")
        for subcommand in subcommands { call.reply.simple("\(subcommand.name.uppercased()): \(subcommand.summary)") }
    }

    /// Whether there is such a key; answers null where there is not.
    private static func isThere(_ call: CommandCall) -> Bool {
        let key = call.arguments[2]
        let isThere = call.items.describe(key, now: call.now) != nil
        call.countFacts(key, found: isThere)
        if !isThere { call.reply.null() }
        return isThere
    }

    static func frequency(_ call: CommandCall) throws(MartletError) {
        guard isThere(call) else { return }
        throw .command(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching "
                + "between policies at runtime LRU and LFU data will take some time to adjust.")
    }

    static func idleTime(_ call: CommandCall) throws(MartletError) {
        if isThere(call) { call.reply.integer(0) }
    }

    static func referenceCount(_ call: CommandCall) throws(MartletError) {
        guard isThere(call) else { return }
        let number = try call.items.withItem(call.arguments[2], now: call.now) { item throws(MartletError) -> Int64? in
            guard item.kind == .scalar else { return nil }
            return try item.withValue { value throws(MartletError) in DecimalText.integer(value) } ?? nil
        }
        // The small numbers, of which Redis keeps one of each for all keys.
        let isShared = number.map { (0..<10_000).contains($0) } ?? false
        call.reply.integer(isShared ? Int(Int32.max) : 1)
    }

    // MARK: Encoding

    /// The bounds of Redis's defaults.
    private enum Bound {
        static let embeddedBytes = 44
        static let entries = 128
        static let entryBytes = 64
        static let integers = 512
    }

    static func encoding(_ call: CommandCall) throws(MartletError) {
        guard isThere(call) else { return }
        let name = try call.items.withItem(call.arguments[2], now: call.now) { item throws(MartletError) -> String in
            switch item.kind {
            case .scalar: try encodingOfString(item)
            case .dictionary: try encodingOfDictionary(item)
            case .set: try encodingOfSet(item)
            case .sortedSet: try encodingOfSortedSet(item)
            case .list, nil: "quicklist"
            }
        }
        call.reply.bulk(name)
    }

    private static func encodingOfString(_ item: borrowing ItemAccess) throws(MartletError) -> String {
        try item.withValue { value throws(MartletError) in
            if DecimalText.integer(value) != nil { return "int" }
            return value.count <= Bound.embeddedBytes ? "embstr" : "raw"
        } ?? "raw"
    }

    private static func encodingOfDictionary(_ item: borrowing ItemAccess) throws(MartletError) -> String {
        guard try item.dictionaryLength() ?? 0 <= Bound.entries else { return "hashtable" }
        var isSmall = true
        let fetched = try item.dictionaryFetch { (field, value) in
            if field.count > Bound.entryBytes || value.count > Bound.entryBytes { isSmall = false }
        }
        if case .snapshot = fetched { return "hashtable" }
        return isSmall ? "listpack" : "hashtable"
    }

    private static func encodingOfSet(_ item: borrowing ItemAccess) throws(MartletError) -> String {
        guard try item.setLength() ?? 0 <= Bound.integers else { return "hashtable" }
        var areIntegers = true
        let fetched = try item.setFetch { member in
            if areIntegers, DecimalText.integer(member) == nil { areIntegers = false }
        }
        if case .snapshot = fetched { return "hashtable" }
        return areIntegers ? "intset" : "hashtable"
    }

    private static func encodingOfSortedSet(_ item: borrowing ItemAccess) throws(MartletError) -> String {
        guard let count = try item.sortedSetCount(), count <= Bound.entries else { return "skiplist" }
        var isSmall = true
        try item.visitSortedSet(0..<count) { (_, member) in
            isSmall = member.count <= Bound.entryBytes
            return isSmall
        }
        return isSmall ? "listpack" : "skiplist"
    }
}
