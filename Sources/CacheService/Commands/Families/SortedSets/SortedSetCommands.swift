import Tenancy

/// Commands on sorted sets. What they do stands in the other files of this folder.
enum SortedSetCommands {
    static let all: [CommandSpec] = reading + ranging + changing + popping + combining

    private static let reading: [CommandSpec] = [
        read("zcard", arity: 2, "How many elements there are.", cardinality),
        read("zcount", arity: 4, "How many elements have a score in a range.", countByScore),
        read("zlexcount", arity: 4, "How many members lie between two.", countByMember),
        read("zscore", arity: 3, "The score of a member.", score),
        read("zmscore", arity: -3, "The scores of several members.", scores),
        read("zrank", arity: 3, "The place of a member, counted from the lowest score.", rank),
        read("zrevrank", arity: 3, "The place of a member, counted from the highest score.", reverseRank),
        .items(
            "zrandmember", arity: -2, [.readonly, .random], keys: .first(.read), group: .sortedSet,
            summary: "Members chosen at random.", randomMembers),
        .items(
            "zscan", arity: -3, [.readonly, .random], keys: .first(.read), group: .sortedSet,
            summary: "Goes over the elements, some at a time.", scan),
    ]

    private static let ranging: [CommandSpec] = [
        range("zrange", "The elements of a range of ranks, scores or members.", range),
        range("zrevrange", "The elements of a range of ranks, the highest score first.", reverseRange),
        range("zrangebyscore", "The elements with a score in a range.", rangeByScore),
        range("zrevrangebyscore", "The same, the highest score first.", reverseRangeByScore),
        range("zrangebylex", "The members between two, where all scores are equal.", rangeByMember),
        range("zrevrangebylex", "The same, the last member first.", reverseRangeByMember),
        .items(
            "zrangestore", arity: -5, [.write, .denyOOM],
            keys: .ranges([(1, 1, 1, .write), (2, 2, 1, .read)]), group: .sortedSet,
            summary: "Stores the elements of a range as another sorted set.", storeRange),
    ]

    private static let changing: [CommandSpec] = [
        change("zadd", arity: -4, [.denyOOM, .fast], "Adds members, or gives them other scores.", add),
        change("zincrby", arity: 4, [.denyOOM, .fast], "Adds to the score of a member.", increment),
        change("zrem", arity: -3, [.fast], "Removes members.", remove),
        change("zremrangebyrank", arity: 4, [], "Removes the elements of a range of ranks.", removeByRank),
        change("zremrangebyscore", arity: 4, [], "Removes the elements with a score in a range.", removeByScore),
        change("zremrangebylex", arity: 4, [], "Removes the members between two.", removeByMember),
    ]

    private static let popping: [CommandSpec] = [
        change("zpopmin", arity: -2, [.fast], "Removes and answers the elements of the lowest scores.", popLowest),
        change("zpopmax", arity: -2, [.fast], "Removes and answers the elements of the highest scores.", popHighest),
        .items(
            "zmpop", arity: -4, [.write, .movableKeys], keys: .counted(at: 1, .readWrite), group: .sortedSet,
            summary: "Pops from the first of several keys that holds a sorted set.", popFromFirst),
        .items(
            "bzpopmin", arity: -3, [.write, .noScript, .blocking, .fast],
            keys: .range(first: 1, last: -2, .readWrite), group: .sortedSet,
            summary: "Pops the element of the lowest score, or waits for one.", waitForLowest),
        .items(
            "bzpopmax", arity: -3, [.write, .noScript, .blocking, .fast],
            keys: .range(first: 1, last: -2, .readWrite), group: .sortedSet,
            summary: "Pops the element of the highest score, or waits for one.", waitForHighest),
        .items(
            "bzmpop", arity: -5, [.write, .blocking, .movableKeys], keys: .counted(at: 2, .readWrite),
            group: .sortedSet, summary: "Pops from the first of several keys, or waits for one.", waitForFirst),
    ]

    private static let combining: [CommandSpec] = [
        combination("zunion", "What is in any of some sorted sets.", union),
        combination("zinter", "What is in all of some sorted sets.", intersection),
        combination("zdiff", "What is in the first of some sorted sets only.", difference),
        combination("zintercard", "How many members are in all of some sorted sets.", intersectionCount),
        store("zunionstore", "Stores what is in any of some sorted sets.", storeUnion),
        store("zinterstore", "Stores what is in all of some sorted sets.", storeIntersection),
        store("zdiffstore", "Stores what is in the first of some sorted sets only.", storeDifference),
    ]

    private typealias Execution = @Sendable (CommandCall) throws(MartletError) -> Void

    private static func read(
        _ name: String, arity: Int, _ summary: String, _ execute: @escaping Execution
    ) -> CommandSpec {
        .items(
            name, arity: arity, [.readonly, .fast], keys: .first(.read), group: .sortedSet, summary: summary, execute)
    }

    private static func range(_ name: String, _ summary: String, _ execute: @escaping Execution) -> CommandSpec {
        .items(name, arity: -4, [.readonly], keys: .first(.read), group: .sortedSet, summary: summary, execute)
    }

    private static func change(
        _ name: String, arity: Int, _ flags: CommandFlags, _ summary: String, _ execute: @escaping Execution
    ) -> CommandSpec {
        .items(
            name, arity: arity, flags.union(.write), keys: .first(.readWrite), group: .sortedSet, summary: summary,
            execute)
    }

    private static func combination(
        _ name: String, _ summary: String, _ execute: @escaping Execution
    ) -> CommandSpec {
        .items(
            name, arity: -3, [.readonly, .movableKeys], keys: .counted(at: 1, .read), group: .sortedSet,
            summary: summary, execute)
    }

    private static func store(_ name: String, _ summary: String, _ execute: @escaping Execution) -> CommandSpec {
        .items(
            name, arity: -4, [.write, .denyOOM, .movableKeys],
            keys: .counted(at: 2, .read, fixed: [(1, .write)]), group: .sortedSet, summary: summary, execute)
    }
}
