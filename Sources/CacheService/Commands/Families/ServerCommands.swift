/// Commands about the server, as far as it is the caller's business: its own cache. The door carries them out.
enum ServerCommands {
    static let all: [CommandSpec] = [
        command(
            "time", arity: 1, [.loading, .stale, .fast], "The server's time: seconds since 1970, and microseconds."),
        command(
            "lastsave", arity: 1, [.loading, .stale, .fast], "When the server started: nothing is ever saved to a disk."
        ),
        command("lolwut", arity: -1, [.readonly, .fast], "A drawing, and the version."),
        command("role", arity: 1, [.noScript, .loading, .stale, .fast], "master, without replicas."),
        command(
            "wait", arity: 3, [.noScript], "0: there are no replicas. It does not wait for those that there are not."),
        command("waitaof", arity: 4, [.noScript], "Answers that there is no append-only file, and no replica."),
        command(
            "info", arity: -1, [.loading, .stale],
            "Figures of the server and the cache; the cache's only for those who may "
                + "read all of its items."),
        container(
            "command", arity: -1, "Describes the commands.",
            [
                command("count", arity: 2, Container.help, "How many commands there are."),
                command("docs", arity: -2, Container.help, "Describes commands in words."),
                command("getkeys", arity: -4, Container.help, "The keys that a command would use."),
                command(
                    "getkeysandflags", arity: -4, Container.help, "The keys that a command would use, and what for."),
                command("help", arity: 2, Container.help, Container.helpSummary),
                command("info", arity: -2, Container.help, "Describes commands for clients: arity, flags, keys."),
                command("list", arity: -2, Container.help, "The names of the commands."),
            ]),
        container(
            "config", arity: -2, "Shows what clients ask about the configuration.",
            [
                command(
                    "get", arity: -3, Container.admin, "Parameters by name or pattern, as far as clients ask for them."),
                command("help", arity: 2, Container.help, Container.helpSummary),
                command(
                    "rewrite", arity: 2, Container.admin, "Refused: the server has no configuration file of that kind."),
                command(
                    "set", arity: -4, Container.admin, keys: .everyItem(.readWrite),
                    "Sets notify-keyspace-events of the cache: events of expired keys, on or off. Refuses all else."),
            ]),
        container(
            "slowlog", arity: -2, "Commands on the cache that took 10 ms or longer.",
            [
                command(
                    "get", arity: -2, [.admin, .loading, .stale], keys: .everyItem(.read), "The latest slow commands."),
                command("help", arity: 2, Container.help, Container.helpSummary),
                command("len", arity: 2, [.admin, .loading, .stale], keys: .everyItem(.read), "How many are kept."),
                command("reset", arity: 2, [.admin, .loading, .stale], keys: .everyItem(.write), "Forgets them."),
            ]),
        container(
            "latency", arity: -2, "Answers as a server that does not monitor latency.",
            [
                command("doctor", arity: 2, Container.admin, "Says where to look instead."),
                command("graph", arity: 3, Container.admin, "Answers that there are no samples."),
                command("help", arity: 2, Container.help, Container.helpSummary),
                command("histogram", arity: -2, Container.admin, "Nothing: no distribution is kept."),
                command("history", arity: 3, Container.admin, "Nothing: no samples are kept."),
                command("latest", arity: 2, Container.admin, "Nothing: no samples are kept."),
                command("reset", arity: -2, Container.admin, "0: there is nothing to reset."),
            ]),
        container(
            "memory", arity: -2, "What the cache takes.",
            [
                command("doctor", arity: 2, [], "Whether the cache is near its limit."),
                command("help", arity: 2, Container.help, Container.helpSummary),
                command("stats", arity: 2, [], keys: .everyItem(.read), "Bytes and items of the cache."),
                command(
                    "usage", arity: -3, [.readonly], keys: .range(first: 2, last: 2, .read),
                    "How many bytes a key and its value take, about."),
            ]),
        container(
            "cluster", arity: -2, "Answers as a server that is in no cluster.",
            [
                command("countkeysinslot", arity: 3, [.stale], notCluster),
                command("help", arity: 2, Container.help, Container.helpSummary),
                command("getkeysinslot", arity: 4, [.stale], notCluster),
                command("info", arity: 2, [.stale], notCluster),
                command("keyslot", arity: 3, [.stale], notCluster), command("links", arity: 2, [.stale], notCluster),
                command("myid", arity: 2, [.stale], notCluster), command("myshardid", arity: 2, [.stale], notCluster),
                command("nodes", arity: 2, [.stale], notCluster), command("replicas", arity: 3, [.stale], notCluster),
                command("shards", arity: 2, [.stale], notCluster), command("slots", arity: 2, [.stale], notCluster),
            ]),
        container(
            "acl", arity: -2, "Who the caller is; permissions are given by API keys and tokens.",
            [
                command("cat", arity: -2, Container.usual, "The categories of commands, or the commands of one."),
                command("help", arity: 2, Container.help, Container.helpSummary),
                command(
                    "whoami", arity: 2, Container.usual,
                    "The cache's name, which stands for the user's. See MARTLET.WHOAMI."),
            ]),
    ]

    private static let notCluster = "Answers that this is no cluster, so that clients fall back."

    private static func command(
        _ name: String, arity: Int, _ flags: CommandFlags, keys: CommandKeys = .none, _ summary: String
    ) -> CommandSpec {
        CommandSpec(name, arity: arity, flags, keys: keys, group: .server, summary: summary, action: .connection)
    }

    private static func container(
        _ name: String, arity: Int, _ summary: String, _ subcommands: [CommandSpec]
    ) -> CommandSpec {
        CommandSpec(
            name, arity: arity, [], group: .server, summary: summary, subcommands: subcommands, action: .container)
    }
}
