/// Groups of commands as `ACL CAT` and `COMMAND INFO` name them. Permissions are not given by them: they are for clients and
/// people who know them.
package enum CommandCategory: String, CaseIterable, Sendable {
    case keyspace, read, write, set, sortedset, list, hash, string, bitmap, hyperloglog, geo, pubsub, admin, fast, slow
    case blocking, dangerous, connection, transaction
}

extension CommandSpec {
    package var categories: [CommandCategory] {
        var found: Set<CommandCategory> = [flags.contains(.fast) ? .fast : .slow]
        if let own = group.category { found.insert(own) }
        if flags.contains(.readonly) { found.insert(.read) }
        if flags.contains(.write) { found.insert(.write) }
        if flags.contains(.pubsub) { found.insert(.pubsub) }
        if flags.contains(.blocking) { found.insert(.blocking) }
        if flags.contains(.admin) { found.formUnion([.admin, .dangerous]) }
        if Self.dangerous.contains(name) { found.insert(.dangerous) }
        return CommandCategory.allCases.filter { found.contains($0) }
    }

    private static let dangerous: Set<String> = ["flushall", "flushdb", "info", "keys", "role", "sort", "sort_ro"]

    /// The flags by the names that clients know.
    package var flagNames: [String] { Self.flagNames.filter { flags.contains($0.flag) }.map(\.name) }

    private static let flagNames: [(flag: CommandFlags, name: String)] = [
        (.write, "write"), (.readonly, "readonly"), (.denyOOM, "denyoom"), (.admin, "admin"), (.pubsub, "pubsub"),
        (.noScript, "noscript"), (.blocking, "blocking"), (.loading, "loading"), (.stale, "stale"), (.fast, "fast"),
        (.noAuth, "no_auth"), (.noMulti, "no_multi"), (.movableKeys, "movablekeys"),
    ]
}

extension CommandGroup {
    var category: CommandCategory? {
        switch self {
        case .string: .string
        case .generic: .keyspace
        case .hash: .hash
        case .list: .list
        case .set: .set
        case .sortedSet: .sortedset
        case .bitmap: .bitmap
        case .hyperloglog: .hyperloglog
        case .geo: .geo
        case .pubsub: .pubsub
        case .transactions: .transaction
        case .connection: .connection
        case .server, .martlet: nil
        }
    }
}
