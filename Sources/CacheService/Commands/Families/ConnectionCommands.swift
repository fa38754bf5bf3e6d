/// Commands about the connection. The door carries them out.
enum ConnectionCommands {
    private static let always: CommandFlags = [.fast, .loading, .stale, .noScript]

    static let all: [CommandSpec] = [
        connection("ping", arity: -1, [.fast], "Answers PONG, or what it was given."),
        connection("echo", arity: 2, [.fast, .loading, .stale], "Answers what it was given."),
        connection("auth", arity: -2, always.union([.noAuth, .noMulti]), "Names the cache and shows a credential."),
        connection(
            "hello", arity: -1, always.union([.noAuth, .noMulti]),
            "Chooses the protocol's version, and may show a credential."),
        connection("quit", arity: -1, always.union([.noAuth, .notQueued]), "Ends the connection."),
        connection("reset", arity: 1, always.union([.noAuth, .notQueued]), "Makes the connection as it was at first."),
        connection("select", arity: 2, [.fast, .loading, .stale], "Chooses database 0, the only one."),
        connection("readonly", arity: 1, [.fast, .loading, .stale], "Is for clusters; answers that this is none."),
        connection("readwrite", arity: 1, [.fast, .loading, .stale], "Is for clusters; answers that this is none."),
        connection("asking", arity: 1, [.fast], "Is for clusters; answers that this is none."),
        CommandSpec(
            "client", arity: -2, [], group: .connection,
            summary: "Asks about connections, and sets how this one behaves.", subcommands: client, action: .container),
    ]

    private static let client: [CommandSpec] = [
        connection(
            "caching", arity: 3, Container.usual,
            "Says whether the keys of the next command are tracked, by OPTIN or OPTOUT."),
        connection("getname", arity: 2, Container.usual, "What the connection calls itself."),
        connection("getredir", arity: 2, Container.usual, "The connection that invalidations are sent to."),
        connection("help", arity: 2, Container.help, Container.helpSummary),
        connection(
            "id", arity: 2, Container.usual, "The connection's number, given to no other while the server runs."),
        connection("info", arity: 2, Container.usual, "This connection's line of CLIENT LIST."),
        connection(
            "kill", arity: -3, Container.admin.union([.noMulti]),
            "Ends connections of the own tenant: a super-user's only, but anybody may end its own."),
        connection(
            "list", arity: -2, Container.admin.union([.noMulti]),
            "This connection; for a super-user all connections of its tenant."),
        connection("no-evict", arity: 3, Container.admin, "Accepted: connections are not evicted."),
        connection("no-touch", arity: 3, Container.usual, "Accepted: what is read counts as used all the same."),
        connection(
            "reply", arity: 3, Container.usual.union([.noMulti]), "Switches replies on or off, or skips the next."),
        connection("setinfo", arity: 4, Container.usual, "Names the client library and its version."),
        connection("setname", arity: 3, Container.usual, "Names the connection."),
        connection(
            "tracking", arity: -3, Container.usual,
            "Sends invalidations of what the client has read, or of all keys with some prefixes."),
        connection("trackinginfo", arity: 2, Container.usual, "How invalidations are sent."),
        connection(
            "unblock", arity: -3, Container.admin.union([.noMulti]),
            "Ends the waiting of another connection of the own tenant: a super-user's only."),
    ]

    static func connection(
        _ name: String, arity: Int, _ flags: CommandFlags, _ summary: String
    ) -> CommandSpec {
        CommandSpec(name, arity: arity, flags, group: .connection, summary: summary, action: .connection)
    }
}

/// What subcommands have in common.
enum Container {
    static let usual: CommandFlags = [.noScript, .loading, .stale]
    static let admin: CommandFlags = [.admin, .noScript, .loading, .stale]
    static let help: CommandFlags = [.loading, .stale]
    static let helpSummary = "Lists the subcommands."
}
