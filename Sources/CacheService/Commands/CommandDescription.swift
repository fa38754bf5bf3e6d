import Tenancy

/// What `COMMAND` says of a command, in the shapes of Redis 7.
extension CommandSpec {
    /// One element of `COMMAND INFO`.
    ///
    /// - Parameter container: The name of the command whose subcommand this is.
    package func describe(in container: String? = nil, _ reply: ReplyWriter) {
        reply.array(10)
        reply.bulk(fullName(in: container))
        reply.integer(arity)
        reply.set(flagNames.count)
        for flag in flagNames { reply.simple(flag) }
        let places = keyPlaces
        reply.integer(places.first)
        reply.integer(places.last)
        reply.integer(places.step)
        let categories = categories
        reply.set(categories.count)
        for category in categories { reply.simple("@" + category.rawValue) }
        reply.set(0)
        let ranges = keyRanges
        reply.set(ranges.count)
        for range in ranges { range.describe(reply) }
        reply.set(subcommands.count)
        for subcommand in subcommands { subcommand.describe(in: name, reply) }
    }

    /// One pair of `COMMAND DOCS`: the name, and what it does.
    package func document(in container: String? = nil, _ reply: ReplyWriter) {
        reply.bulk(fullName(in: container))
        reply.map(subcommands.isEmpty ? 3 : 4)
        reply.bulk("summary")
        reply.bulk(summary)
        reply.bulk("since")
        reply.bulk("0.1.0")
        reply.bulk("group")
        reply.bulk(group.rawValue)
        guard !subcommands.isEmpty else { return }
        reply.bulk("subcommands")
        reply.map(subcommands.count)
        for subcommand in subcommands { subcommand.document(in: name, reply) }
    }

    package func fullName(in container: String?) -> String { container.map { "\($0)|\(name)" } ?? name }

    /// Where the first and last key are and how far apart: all that older clients understand. Zeros where there are none, or
    /// where only the arguments tell.
    var keyPlaces: (first: Int, last: Int, step: Int) {
        let ranges = keyRanges
        guard let first = ranges.first, ranges.allSatisfy({ $0.counted == nil }) || first.counted == nil else {
            return (0, 0, 0)
        }
        let plain = ranges.filter { $0.counted == nil }
        let last =
            plain.contains { $0.last < 0 } ? (plain.map(\.last).filter { $0 < 0 }.max() ?? -1) : plain.map(\.last).max()
        return (plain.map(\.first).min() ?? first.first, last ?? first.last, plain.map(\.step).max() ?? 1)
    }

    /// The keys as `COMMAND INFO` has them.
    var keyRanges: [KeyRange] {
        switch keys {
        case .none, .everyItem: []
        case .range(let first, let last, let step, let access):
            [KeyRange(first: first, last: max(last, first), given: last, step: step, access: access)]
        case .ranges(let ranges):
            ranges.map { KeyRange(first: $0.first, last: $0.last, given: $0.last, step: $0.step, access: $0.access) }
        case .counted(let index, let access, let fixed):
            fixed.map { KeyRange(first: $0.index, last: $0.index, given: $0.index, step: 1, access: $0.access) }
                + [KeyRange(first: index, last: index, given: index, step: 1, access: access, counted: index)]
        case .found:
            flags.contains(.movableKeys) && !Self.startingWithKey.contains(name)
                ? [] : [KeyRange(first: 1, last: 1, given: 1, step: 1, access: .readWrite)]
        }
    }

    /// Commands whose keys have to be searched for, but whose first one is the first argument.
    private static let startingWithKey: Set<String> = ["georadius", "georadiusbymember", "sort", "sort_ro"]
}

/// Some keys of a command.
struct KeyRange {
    let first: Int
    /// Negative: counted from the end.
    let last: Int
    let step: Int
    let access: KeyAccess
    /// The argument that says how many there are.
    let counted: Int?

    init(first: Int, last: Int, given: Int, step: Int, access: KeyAccess, counted: Int? = nil) {
        self.first = first
        self.last = given < 0 ? given : last
        self.step = step
        self.access = access
        self.counted = counted
    }

    func describe(_ reply: ReplyWriter) {
        reply.map(3)
        reply.bulk("flags")
        let flags = access.flagNames
        reply.set(flags.count)
        for flag in flags { reply.simple(flag) }
        reply.bulk("begin_search")
        reply.map(2)
        reply.bulk("type")
        reply.bulk("index")
        reply.bulk("spec")
        reply.map(1)
        reply.bulk("index")
        reply.integer(counted ?? first)
        reply.bulk("find_keys")
        reply.map(2)
        reply.bulk("type")
        reply.bulk(counted == nil ? "range" : "keynum")
        reply.bulk("spec")
        reply.map(3)
        if counted == nil {
            number("lastkey", last < 0 ? last : last - first, reply)
            number("keystep", step, reply)
            number("limit", 0, reply)
        } else {
            number("keynumidx", 0, reply)
            number("firstkey", 1, reply)
            number("keystep", 1, reply)
        }
    }

    private func number(_ name: String, _ value: Int, _ reply: ReplyWriter) {
        reply.bulk(name)
        reply.integer(value)
    }
}

extension KeyAccess {
    /// As `COMMAND GETKEYSANDFLAGS` has them.
    package var flagNames: [String] {
        switch self {
        case .read: ["RO", "access"]
        case .write: ["OW", "update"]
        case .readWrite: ["RW", "access", "update"]
        }
    }
}

extension CommandTable {
    /// `COMMAND` and its subcommands.
    ///
    /// - Parameter arguments: The whole command, whose arity was checked.
    package func describe(_ arguments: Arguments, _ subcommand: String?, _ reply: ReplyWriter) throws(MartletError) {
        switch subcommand {
        case nil: describeAll(reply)
        case "info": arguments.count == 2 ? describeAll(reply) : describe(arguments, reply)
        case "count": reply.integer(commands.count)
        case "docs": document(arguments, reply)
        case "list": try list(arguments, reply)
        default: try keys(arguments, withFlags: subcommand == "getkeysandflags", reply)
        }
    }

    private func describeAll(_ reply: ReplyWriter) {
        reply.array(commands.count)
        for command in commands { command.describe(reply) }
    }

    private func describe(_ arguments: Arguments, _ reply: ReplyWriter) {
        reply.array(arguments.count - 2)
        for index in 2..<arguments.count {
            if let found = command(fullyNamed: arguments[index]) {
                found.command.describe(in: found.container, reply)
            } else {
                reply.null()
            }
        }
    }

    private func document(_ arguments: Arguments, _ reply: ReplyWriter) {
        guard arguments.count > 2 else {
            reply.map(commands.count)
            for command in commands { command.document(reply) }
            return
        }
        let found = (2..<arguments.count).compactMap { command(fullyNamed: arguments[$0]) }
        reply.map(found.count)
        for found in found { found.command.document(in: found.container, reply) }
    }

    /// A command, or with a `|` in the name a subcommand.
    private func command(fullyNamed name: UnsafeRawBufferPointer) -> (command: CommandSpec, container: String?)? {
        guard let bar = name.firstIndex(of: 0x7C) else { return command(named: name).map { ($0, nil) } }
        guard let container = command(named: UnsafeRawBufferPointer(rebasing: name[..<bar])) else { return nil }
        let rest = UnsafeRawBufferPointer(rebasing: name[(bar + 1)...])
        return container.subcommands.first { $0.isNamed(rest) }.map { ($0, container.name) }
    }

    private func list(_ arguments: Arguments, _ reply: ReplyWriter) throws(MartletError) {
        var isWanted: (String, CommandSpec) -> Bool = { _, _ in true }
        if arguments.count > 2 {
            guard arguments.count == 5, arguments.isWord(2, "FILTERBY") else { throw .syntax }
            let word = arguments.string(4)
            if arguments.isWord(3, "MODULE") {
                isWanted = { _, _ in false }
            } else if arguments.isWord(3, "ACLCAT") {
                let category = CommandCategory(rawValue: word.lowercased())
                isWanted = { _, command in category.map { command.categories.contains($0) } ?? false }
            } else if arguments.isWord(3, "PATTERN") {
                let pattern = Array(arguments[4])
                isWanted = { name, _ in Glob.matches(name, pattern) }
            } else {
                throw .syntax
            }
        }
        let names = commands.flatMap { command in
            ([(command.name, command)] + command.subcommands.map { ("\(command.name)|\($0.name)", $0) })
                .filter { isWanted($0.0, $0.1) }.map(\.0)
        }
        reply.array(names.count)
        for name in names { reply.bulk(name) }
    }

    private func keys(
        _ arguments: Arguments, withFlags: Bool, _ reply: ReplyWriter
    ) throws(MartletError) {
        guard var found = command(named: arguments[2]) else { throw .command("ERR Invalid command specified") }
        let inner = arguments.dropFirst(2)
        if case .container = found.action, let subcommand = found.subcommand(inner) { found = subcommand }
        guard found.accepts(argumentCount: inner.count) else {
            throw .command("ERR Invalid number of arguments specified for command")
        }
        guard let keys = found.foundKeys(inner) else { throw .command("ERR Invalid arguments specified for command") }
        guard !keys.isEmpty else { throw .command("ERR The command has no key arguments") }
        reply.array(keys.count)
        for key in keys {
            guard withFlags else {
                reply.bulk(inner[key.index])
                continue
            }
            reply.array(2)
            reply.bulk(inner[key.index])
            reply.set(key.access.flagNames.count)
            for flag in key.access.flagNames { reply.simple(flag) }
        }
    }

    /// `ACL CAT`.
    package func categories(_ arguments: Arguments, _ reply: ReplyWriter) throws(MartletError) {
        guard arguments.count <= 3 else {
            throw .command("ERR unknown subcommand or wrong number of arguments for 'CAT'. Try ACL HELP.")
        }
        guard arguments.count == 3 else {
            reply.array(CommandCategory.allCases.count)
            for category in CommandCategory.allCases { reply.bulk(category.rawValue) }
            return
        }
        guard let category = CommandCategory(rawValue: arguments.string(2).lowercased()) else {
            throw .command("ERR Unknown category '\(arguments.string(2))'")
        }
        let names = commands.flatMap { command in
            ([(command.name, command)] + command.subcommands.map { ("\(command.name)|\($0.name)", $0) })
                .filter { $0.1.categories.contains(category) }.map(\.0)
        }
        reply.array(names.count)
        for name in names { reply.bulk(name) }
    }
}

extension CommandSpec {
    /// `HELP` of a container.
    package func help(_ reply: ReplyWriter) {
        reply.array(1 + subcommands.count * 2)
        reply.simple("\(name.uppercased()) <subcommand> [<argument> ...]. What there is:")
        for subcommand in subcommands {
            reply.simple(subcommand.name.uppercased())
            reply.simple("    \(subcommand.summary)")
        }
    }
}

extension Arguments {
    /// The arguments behind some. There must be one.
    package func dropFirst(_ number: Int) -> Arguments {
        precondition(number < count, "a command without a name")
        return Arguments(UnsafeBufferPointer(start: base + number, count: count - number))
    }
}
