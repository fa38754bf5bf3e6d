/// Several commands as one step. The door carries them out: it keeps what is queued.
enum TransactionCommands {
    private static let always: CommandFlags = [.noScript, .loading, .stale, .fast, .notQueued]

    static let all: [CommandSpec] = [
        command("multi", arity: 1, always, "Begins a transaction: the commands that follow are queued."),
        command(
            "exec", arity: 1, [.noScript, .loading, .stale, .notQueued],
            "Executes the queued commands, with no other client's command in between."),
        command("discard", arity: 1, always, "Drops the queued commands, and stops watching."),
        command(
            "watch", arity: -2, always, keys: .range(first: 1, last: -1, .read),
            "Lets the next EXEC do nothing if one of the keys has changed by then."),
        command("unwatch", arity: 1, [.noScript, .loading, .stale, .fast], "Stops watching all keys."),
    ]

    private static func command(
        _ name: String, arity: Int, _ flags: CommandFlags, keys: CommandKeys = .none, _ summary: String
    ) -> CommandSpec {
        CommandSpec(
            name, arity: arity, flags, keys: keys, group: .transactions, summary: summary, action: .connection)
    }
}
