/// Commands of publishing and subscribing. The door carries them out, because what they change is the connection: see
/// `ChannelBoard.swift`.
enum PubSubCommands {
    private static let flags: CommandFlags = [.pubsub, .loading, .stale]

    static let all: [CommandSpec] = [
        subscribing("subscribe", arity: -2, "Subscribes to channels, each of which is the topic of that name."),
        subscribing("unsubscribe", arity: -1, "Ends subscriptions to channels, or to all."),
        subscribing("psubscribe", arity: -2, "Subscribes to all channels whose names match patterns."),
        subscribing("punsubscribe", arity: -1, "Ends subscriptions to patterns, or to all."),
        subscribing("ssubscribe", arity: -2, "Subscribes to shard channels."),
        subscribing("sunsubscribe", arity: -1, "Ends subscriptions to shard channels, or to all."),
        command("publish", arity: 3, flags.union(.fast), "Publishes a message to a channel, which is a topic."),
        command("spublish", arity: 3, flags.union(.fast), "Publishes a message to a shard channel."),
        CommandSpec(
            "pubsub", arity: -2, [], group: .pubsub, summary: "Tells who is subscribed to what.",
            subcommands: [
                command("channels", arity: -2, flags, "Channels with subscribers, all or those that match."),
                command("numsub", arity: -2, flags, "How many are subscribed to channels."),
                command("numpat", arity: 2, flags, "How many different patterns have subscribers."),
                command("shardchannels", arity: -2, flags, "Shard channels with subscribers."),
                command("shardnumsub", arity: -2, flags, "How many are subscribed to shard channels."),
                command("help", arity: 2, [.loading, .stale], "Tells what there is to ask."),
            ], action: .container),
    ]

    private static func subscribing(_ name: String, arity: Int, _ summary: String) -> CommandSpec {
        command(name, arity: arity, flags.union(.noScript), summary)
    }

    private static func command(
        _ name: String, arity: Int, _ flags: CommandFlags, _ summary: String
    ) -> CommandSpec {
        CommandSpec(name, arity: arity, flags, group: .pubsub, summary: summary, action: .connection)
    }
}
