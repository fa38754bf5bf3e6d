@testable import CacheService

/// The page `docs/redis-compatibility.md`: made of the table of commands, the table of refused ones, and the list of
/// differences below.
enum CompatibilityPage {
    static var text: String {
        ([head, "## Commands that are answered\n"] + CommandGroup.allCases.map(section) + [refused, differences])
            .filter { !$0.isEmpty }.joined(separator: "\n")
    }

    private static let head = """
        # Compatibility with Redis and Valkey

        What a client of Redis or Valkey finds at the RESP door. This page is made from the server's own table of commands;
        `COMMAND` answers from the same one. It is not to be edited by hand:

        ```
        MARTLET_WRITE_DOCS=1 swift test --filter CompatibilityPageTests
        ```

        Commands, replies and errors are those of Redis 7.0, with what later versions added where it is listed here. Every
        command on items works on the one cache that the connection is for, and on nothing else.

        """

    private static func section(_ group: CommandGroup) -> String {
        let commands = CommandTable.shared.commands.filter { $0.group == group }.sorted { $0.name < $1.name }
        guard !commands.isEmpty else { return "" }
        var text = "### \(title(group))\n\n| command | what it does |\n|---|---|\n"
        for command in commands {
            text += row(command.name.uppercased(), command.summary)
            for subcommand in command.subcommands.sorted(by: { $0.name < $1.name }) where subcommand.name != "help" {
                text += row("\(command.name) \(subcommand.name)".uppercased(), subcommand.summary)
            }
        }
        return text
    }

    private static func row(_ name: String, _ text: String) -> String {
        "| `\(name)` | \(text.replacing("|", with: "\\|")) |\n"
    }

    private static func title(_ group: CommandGroup) -> String {
        switch group {
        case .string: "Strings"
        case .generic: "Keys of any type"
        case .hash: "Hashes"
        case .list: "Lists"
        case .set: "Sets"
        case .sortedSet: "Sorted sets"
        case .bitmap: "Bits"
        case .hyperloglog: "HyperLogLog"
        case .geo: "Geographic places"
        case .pubsub: "Publish and subscribe"
        case .transactions: "Transactions"
        case .connection: "The connection"
        case .server: "The server"
        case .martlet: "Beyond Redis"
        }
    }

    private static var refused: String {
        var text = """
            ## Commands that are refused

            The answer is `-ERR unsupported command 'NAME'`. How often each was asked for stands in the cache's statistics
            (`unsupported_commands` of `GET /v1/admin/caches/{cache}`) and in the section `Martlet` of `INFO`, so that a team
            that tries Martlet sees what it would miss.

            """
        let entries = RefusedCommands.all + RefusedCommands.subcommands
        for reason in RefusedCommands.Reason.allCases {
            let names = entries.filter { $0.reason == reason }.map {
                "`\($0.name.replacing("|", with: " ").uppercased())`"
            }
            guard !names.isEmpty else { continue }
            text += "\n**\(reason.rawValue)**\n\(names.joined(separator: ", "))\n"
        }
        return text
    }

    private static var differences: String {
        "## Differences\n\n" + list.map { "- **\($0.0)** \($0.1)\n" }.joined()
    }

    /// What a client might notice, by subject.
    private static let list: [(String, String)] = [
        (
            "AUTH and HELLO.",
            "The user is the name of the cache, the password a credential: an API key or a token. `AUTH credential` alone opens "
                + "the only cache that the credential is for, else `default`. A credential that expires or is revoked answers "
                + "`NOAUTH` from then on; a new `AUTH` renews it in place. Neither is allowed within `MULTI`, where Redis queues "
                + "them."
        ),
        (
            "Permissions.",
            "Each key of a command is checked, when it is sent and again when `EXEC` comes. Commands that name no key need "
                + "permission on all items; so do `SLOWLOG`, `CONFIG SET`, `MEMORY STATS`, `MARTLET.USAGE` and "
                + "`CLIENT TRACKING` with `BCAST`. In `INFO` a caller without it finds no figures of the cache. "
                + "`ACL` manages nothing."
        ),
        (
            "Limits.",
            "A limit of the cache or its tenant answers `THROTTLED` with the milliseconds after which to try again. A "
                + "transaction is admitted as a whole: `EXECABORT … THROTTLED …`, and nothing of it was executed."
        ),
        (
            "Eviction and times.",
            "A key without a time is kept until it has to make room, or for the cache's maximum TTL where it has one. Longer "
                + "times than that maximum are refused. `CONFIG GET maxmemory-policy` answers `allkeys-lru`, the nearest of "
                + "Redis's words."
        ),
        ("Databases.", "There is database 0. `SELECT` of another answers that its index is out of range."),
        (
            "Transactions.",
            "At most 131,072 commands and 64 MiB are queued; what is more dooms the transaction. At most 16,384 keys are "
                + "watched. `CLIENT LIST`, `CLIENT KILL`, `CLIENT UNBLOCK` and `CLIENT REPLY` are not allowed within `MULTI`. "
                + "A watched key counts as changed when another door changes it, and when it is evicted."
        ),
        (
            "What takes long.",
            "A command over many elements or large values is executed in turns, between which the event loop serves others: "
                + "`MGET`, `DEL`, `EXISTS`, `MSET` beyond 512 keys, `HSET` and the like beyond 1,024 fields, `ZREMRANGEBY*`, "
                + "`ZPOPMIN`, `ZPOPMAX` and `ZMPOP` of many, large `BITOP`: others may see such a command half done. A "
                + "combination takes at most 1,024 keys. A transaction may take half a second; what is left of it then is "
                + "answered with an error."
        ),
        (
            "Sizes.",
            "A command may have 65,536 arguments and 32 MiB, a reply 64 MiB; more is an error, and the connection goes on. A "
                + "client that does not read what it is answered is not served further, and is closed after half a minute, or "
                + "when the replies that wait on an event loop are too many. A pattern longer than 64 KiB matches nothing."
        ),
        (
            "Publish and subscribe.",
            "Channels are topics, so their names are text and not empty; `__key…` channels are for events, and for callers who "
                + "may read all items. `PUBLISH` answers how many clients of this protocol got the message; subscribers by "
                + "other doors get it too. A RESP3 client that publishes to itself gets the reply before the message. `AUTH` to "
                + "another cache is refused while something is subscribed to. When the credential or the cache goes, an error "
                + "line is sent and the connection closed."
        ),
        (
            "Blocking pops.",
            "First come, first served over all event loops; but a pop by a client of another event loop may come between a push "
                + "and the serving of who waits."
        ),
        (
            "Strings and keys.",
            "`SCAN` cursors are unsigned numbers of 64 bits. An item lives for at most 2^42 ms, 139 years. `OBJECT IDLETIME` is "
                + "always 0; `OBJECT ENCODING` and `REFCOUNT` go by the value. `MSETNX` takes 4,096 keys. `PFCOUNT` keeps no count "
                + "in the HyperLogLog, since it needs a permission to read only. `SORT` orders equal elements of `BY … ALPHA` in "
                + "its own way, and does not refuse numbers for what an earlier command has met, as Redis 7.0 does."
        ),
        (
            "Hashes.",
            "Times of fields answer as Valkey's. `HSCAN`, `SSCAN` and `ZSCAN` look at 1,000 elements at most in a call."
        ),
        (
            "Sorted sets and geo.",
            "A score of minus zero is stored as zero. Scores are written with up to 17 digits, as Redis 7.0 does. Towards the "
                + "poles `GEOSEARCH` looks at some cells more."
        ),
        (
            "Texts of errors.",
            "Bytes that an error quotes are shown as UTF-8 text in some of them, and whole where Redis stops at a NUL."
        ),
        (
            "CLIENT.",
            "`CLIENT LIST` shows the own connection; to a super-user all those of its tenant, which it may also `KILL` and "
                + "`UNBLOCK`. Whoever is none may kill its own. `user=` is the name of the cache. What is internal to Redis "
                + "(`qbuf`, `omem`, …) is 0. `CLIENT NO-EVICT` and `NO-TOUCH` are accepted and change nothing."
        ),
        (
            "CLIENT TRACKING.",
            "A connection tracks at most 65,536 keys of 4 MiB together: beyond that others are told as changed. Where more "
                + "than 1 MiB of invalidations wait for a client that does not read, it is told that all keys have changed. "
                + "At most 128 connections of a cache are in `BCAST` mode. `REDIRECT` names a connection of the same tenant and "
                + "cache. An expired key is told when its memory is freed, within a second or so. With `NOLOOP` a key that the "
                + "client changed itself stays tracked, where Redis forgets it."
        ),
        (
            "Keyspace events.",
            "`CONFIG SET notify-keyspace-events` takes `K`, `E` and `x`: events of expired keys alone (`A` is taken for `x`). "
                + "It holds for the cache, until the server ends. It is the only parameter that can be set."
        ),
        (
            "INFO.",
            "Figures are of the caller's cache: `used_memory` is what it is charged, counters run since it was made and count "
                + "all doors. `expires` and `avg_ttl` are estimated from some hundred items where there are more."
        ),
        (
            "SLOWLOG.",
            "Commands of the cache that took 10 ms or longer, at most 128, with times to about 4 ms. Who sent them is not shown. "
                + "`LATENCY` answers as a server that does not monitor."
        ),
        (
            "Replication and persistence.",
            "`WAIT` answers 0 at once, `ROLE` that it is a master without replicas, `LASTSAVE` when the server started."
        ),
        (
            "Cluster.",
            "`CLUSTER`, `READONLY`, `READWRITE` and `ASKING` answer as a Redis that is in no cluster, also to `CLUSTER INFO` "
                + "and the like, so that clients that can do without one do."
        ),
        (
            "COMMAND.",
            "Answers from this table: the order, the tips and some key specifications differ. `since` in `COMMAND DOCS` is the "
                + "version of Martlet."
        ),
    ]
}
