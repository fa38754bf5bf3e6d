import Access
import Tenancy

/// What a command is, in one place: dispatch, permission, `COMMAND` and the compatibility page read it from here.
package final class CommandSpec: Sendable {
    /// In lower case; a subcommand's is its own, without the container's.
    package let name: String
    /// How many arguments there are, the name included: exactly so many, or at least `-arity` where it is negative.
    package let arity: Int
    package let flags: CommandFlags
    /// Whether it costs little more to answer it than to refuse it.
    var isQuickRead: Bool { flags.isSuperset(of: [.readonly, .fast]) }
    package let keys: CommandKeys
    /// Whether arguments make it one that reads keys which it does not name, so that its caller must be allowed to read
    /// all items.
    package let readsEveryItem: (@Sendable (Arguments) -> Bool)?
    package let group: CommandGroup
    /// One line for `COMMAND DOCS` and the compatibility page.
    package let summary: String
    package let action: CommandAction
    package let subcommands: [CommandSpec]
    /// Whether the time that it takes is looked at: reading the clock costs as much as a part of the fastest ones.
    package let isLogged: Bool

    package init(
        _ name: String, arity: Int, _ flags: CommandFlags, keys: CommandKeys = .none, group: CommandGroup,
        summary: String, readsEveryItem: (@Sendable (Arguments) -> Bool)? = nil, subcommands: [CommandSpec] = [],
        action: CommandAction
    ) {
        self.readsEveryItem = readsEveryItem
        self.name = name
        self.arity = arity
        self.flags = flags
        self.keys = keys
        self.group = group
        self.summary = summary
        self.subcommands = subcommands
        self.action = action
        isLogged = !flags.contains(.fast) && name != "set" && name != "mget"
    }

    /// As the initialiser, for a command that is executed on the items of the connection's cache.
    package static func items(
        _ name: String, arity: Int, _ flags: CommandFlags, keys: CommandKeys, group: CommandGroup, summary: String,
        _ execute: @escaping @Sendable (CommandCall) throws(MartletError) -> Void
    ) -> CommandSpec {
        CommandSpec(name, arity: arity, flags, keys: keys, group: group, summary: summary, action: .items(execute))
    }

    package func accepts(argumentCount: Int) -> Bool {
        arity >= 0 ? argumentCount == arity : argumentCount >= -arity
    }
}

/// Who carries a command out.
package enum CommandAction: Sendable {
    /// The service, on the items of the connection's cache.
    case items(@Sendable (CommandCall) throws(MartletError) -> Void)
    /// The door: it is about the connection, and asks nothing of items. The door finds out by the name.
    case connection
    /// A container, whose subcommands do it.
    case container
}

/// What `COMMAND INFO` calls flags, as far as they mean something here.
package struct CommandFlags: OptionSet, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    package static let readonly = CommandFlags(rawValue: 1 << 0)
    package static let write = CommandFlags(rawValue: 1 << 1)
    /// Refused where there is no memory for what it stores.
    package static let denyOOM = CommandFlags(rawValue: 1 << 2)
    package static let fast = CommandFlags(rawValue: 1 << 3)
    package static let blocking = CommandFlags(rawValue: 1 << 4)
    package static let pubsub = CommandFlags(rawValue: 1 << 5)
    package static let admin = CommandFlags(rawValue: 1 << 6)
    /// Needs no credential.
    package static let noAuth = CommandFlags(rawValue: 1 << 7)
    /// Is executed within MULTI, and not queued.
    package static let notQueued = CommandFlags(rawValue: 1 << 8)
    /// Refused within MULTI.
    package static let noMulti = CommandFlags(rawValue: 1 << 9)
    package static let loading = CommandFlags(rawValue: 1 << 10)
    package static let stale = CommandFlags(rawValue: 1 << 11)
    package static let noScript = CommandFlags(rawValue: 1 << 12)
    /// Where its keys are can only be found by reading its arguments.
    package static let movableKeys = CommandFlags(rawValue: 1 << 13)
    /// What it answers is not the same each time.
    package static let random = CommandFlags(rawValue: 1 << 14)
}

package enum CommandGroup: String, Sendable, CaseIterable {
    case string, generic, hash, list, set
    case sortedSet = "sorted-set"
    case bitmap, hyperloglog, geo, pubsub, transactions, connection, server, martlet
}

/// Where the keys of a command are, and what its caller must be allowed on each.
package enum CommandKeys: Sendable {
    /// It asks nothing of items.
    case none
    /// It names no key: its caller must be allowed that on all items.
    case everyItem(KeyAccess)
    /// From `first` to `last` (negative: counted from the end) in steps.
    case range(first: Int, last: Int = 1, step: Int = 1, KeyAccess)
    /// The key at index 1.
    static func first(_ access: KeyAccess) -> CommandKeys { .range(first: 1, access) }
    /// Several ranges, each with what is to be allowed.
    case ranges([(first: Int, last: Int, step: Int, access: KeyAccess)])
    /// As many as the argument at an index says, behind it; with keys at fixed indexes before it.
    case counted(at: Int, KeyAccess, fixed: [(index: Int, access: KeyAccess)] = [])
    /// Found by reading the arguments; nil where they cannot be read, and the command then refuses them itself.
    case found(@Sendable (Arguments) -> [FoundKey]?)
}

package struct FoundKey: Sendable {
    package let index: Int
    package let access: KeyAccess

    package init(_ index: Int, _ access: KeyAccess) {
        self.index = index
        self.access = access
    }
}

/// What is done with a key, in the authorization contract's strict reading: a write whose reply or effect reveals what is
/// stored is both.
package enum KeyAccess: Sendable {
    case read, write, readWrite

    /// An operation on one item that asks the same of a permission.
    var operation: CacheOperation {
        switch self {
        case .read: .get
        case .write: .set
        case .readWrite: .setIf
        }
    }

    /// The same for a command that names no key.
    var everyItem: CacheOperation {
        switch self {
        case .read: .scan
        case .write, .readWrite: .flush
        }
    }
}

/// The arguments of one command, its name first. Lent for the call.
package struct Arguments {
    let base: UnsafePointer<UnsafeRawBufferPointer>
    package let count: Int

    package init(_ arguments: UnsafeBufferPointer<UnsafeRawBufferPointer>) {
        // Every command has a name, so there is memory.
        base = arguments.baseAddress.unsafelyUnwrapped
        count = arguments.count
    }

    @inline(__always)
    package subscript(index: Int) -> UnsafeRawBufferPointer {
        precondition(index >= 0 && index < count, "an argument beyond the last")
        return base[index]
    }

    /// Those from an index on, as they lie. Lent for the call.
    @inline(__always)
    package func slices(from first: Int) -> UnsafeBufferPointer<UnsafeRawBufferPointer> {
        let first = min(max(0, first), count)
        return UnsafeBufferPointer(start: base + first, count: count - first)
    }

    /// Some of them, one behind the other.
    package func slice(_ indexes: Range<Int>) -> UnsafeBufferPointer<UnsafeRawBufferPointer> {
        precondition(indexes.lowerBound >= 0 && indexes.upperBound <= count, "an argument beyond the last")
        return UnsafeBufferPointer(start: base + indexes.lowerBound, count: indexes.count)
    }

    /// Copies that outlive the call.
    package var copies: [[UInt8]] { (0..<count).map { Array(self[$0]) } }

    package func string(_ index: Int) -> String { String(decoding: self[index], as: UTF8.self) }

    /// Whether an argument is that word, in any case.
    ///
    /// - Parameter word: In upper case.
    package func isWord(_ index: Int, _ word: StaticString) -> Bool {
        let bytes = self[index]
        guard bytes.count == word.utf8CodeUnitCount else { return false }
        for place in 0..<bytes.count {
            let byte = bytes[place]
            let upper = byte >= 0x61 && byte <= 0x7A ? byte & 0xDF : byte
            guard upper == word.utf8Start[place] else { return false }
        }
        return true
    }
}
