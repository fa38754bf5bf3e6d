import Tenancy

/// Every command that is known, by its name. Made once.
package final class CommandTable: Sendable {
    package static let shared = CommandTable(
        [
            StringCommands.all,
            BitmapCommands.all,
            HyperLogLogCommands.all,
            GenericCommands.all,
            ConnectionCommands.all,
            TransactionCommands.all,
            ServerCommands.all,
            MartletCommands.all,
            SortedSetCommands.all,
            GeoCommands.all,
            PubSubCommands.all,
            ListCommands.all,
            BlockingListCommands.all,
            SetCommands.all,
            HashCommands.all,
        ].flatMap { $0 })

    /// In the order of the families.
    package let commands: [CommandSpec]
    private let slots: [Slot]
    private let mask: Int

    private struct Slot: Sendable {
        var hash: UInt64 = 0
        var command: CommandSpec?
    }

    init(_ commands: [CommandSpec]) {
        self.commands = commands
        var size = 64
        while size < commands.count * 4 { size *= 2 }
        mask = size - 1
        var slots = [Slot](repeating: Slot(), count: size)
        for command in commands {
            var name = command.name
            let hash = name.withUTF8 { Self.hash(UnsafeRawBufferPointer($0)) }
            var place = Int(truncatingIfNeeded: hash) & mask
            while slots[place].command != nil { place = (place + 1) & mask }
            slots[place] = Slot(hash: hash, command: command)
        }
        self.slots = slots
    }

    /// The command of a name in any case; nil for an unknown one. Cost: some nanoseconds.
    @inline(__always)
    package func command(named name: UnsafeRawBufferPointer) -> CommandSpec? {
        let hash = Self.hash(name)
        var place = Int(truncatingIfNeeded: hash) & mask
        while let command = slots[place].command {
            if slots[place].hash == hash, command.isNamed(name) { return command }
            place = (place + 1) & mask
        }
        return nil
    }

    /// A command's name, with its container's before it if it is a subcommand. Cost: a look at all containers.
    func fullName(of command: CommandSpec) -> String {
        let container = commands.first { $0.subcommands.contains { $0 === command } }
        return command.fullName(in: container?.name)
    }

    /// FNV-1a over the lower-case name: short names, none of an attacker's choosing is ever inserted.
    @inline(__always)
    private static func hash(_ name: UnsafeRawBufferPointer) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in name {
            hash = (hash ^ UInt64(byte | 0x20)) &* 0x100_0000_01B3
        }
        return hash ^ hash &>> 29
    }
}

extension CommandSpec {
    /// Whether a name, in any case, is this command's.
    func isNamed(_ presented: UnsafeRawBufferPointer) -> Bool {
        var name = name
        return name.withUTF8 { own in
            guard own.count == presented.count else { return false }
            for place in 0..<own.count {
                let byte = presented[place]
                let lower = byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte
                guard lower == own[place] else { return false }
            }
            return true
        }
    }

    /// The subcommand that the first argument behind the name names.
    package func subcommand(_ arguments: Arguments) -> CommandSpec? {
        guard arguments.count > 1 else { return nil }
        return subcommands.first { $0.isNamed(arguments[1]) }
    }
}
