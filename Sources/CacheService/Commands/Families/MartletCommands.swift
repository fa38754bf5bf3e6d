/// What Redis has no command for. They need no client's support: every client can send a command that it does not know.
enum MartletCommands {
    static let all: [CommandSpec] = [
        command(
            "martlet.limits",
            "The limits in force, the smaller of the cache's and its tenant's, each with what is used of it now."),
        command(
            "martlet.usage",
            "What the cache was used for since it was made, by door: the counters that are billed, up to this moment."),
        command("martlet.whoami", "Tenant, cache, credential and permissions of the connection."),
    ]

    private static func command(_ name: String, _ summary: String) -> CommandSpec {
        CommandSpec(name, arity: 1, [.readonly, .fast], group: .martlet, summary: summary, action: .connection)
    }
}
