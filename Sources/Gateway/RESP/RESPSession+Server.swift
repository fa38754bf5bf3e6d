import CacheService
import Engine
import Tenancy

/// Commands about the server, as far as it is the caller's business.
extension RESPSession {
    /// Commands without subcommands.
    func performServer(
        _ name: String, _ arguments: Arguments, _ identity: CommandIdentity, _ writer: ReplyWriter
    ) throws(MartletError) {
        switch name {
        case "time": writeTime(writer)
        case "lastsave": writer.integer(Int(registry.startedAt.seconds))
        case "lolwut": writer.verbatim(Self.drawing)
        case "role":
            writer.array(3)
            writer.bulk("master")
            writer.integer(0)
            writer.array(0)
        case "wait": try wait(arguments, writer)
        case "waitaof": try waitForFile(arguments, writer)
        case "command": try CommandTable.shared.describe(arguments, nil, writer)
        case "info": try info(arguments, identity, writer)
        case "martlet.limits": try writeLimits(identity, writer)
        case "martlet.usage": try writeUsage(identity, writer)
        case "martlet.whoami": try writeCaller(identity, writer)
        default: throw .unsupported(name)
        }
    }

    func performServer(
        _ container: String, _ name: String, _ arguments: Arguments, _ identity: CommandIdentity, _ writer: ReplyWriter
    ) throws(MartletError) {
        switch container {
        case "command": try CommandTable.shared.describe(arguments, name == "command" ? nil : name, writer)
        case "config": try config(name, arguments, identity, writer)
        case "slowlog": try slowLog(name, arguments, identity, writer)
        case "latency": try latency(name, arguments, writer)
        case "memory": try memory(name, arguments, identity, writer)
        case "acl":
            guard name == "cat" else { return writer.bulk(identity.cacheName) }
            try CommandTable.shared.categories(arguments, writer)
        default: throw .unsupported("\(container)|\(name)")
        }
    }

    private func writeTime(_ writer: ReplyWriter) {
        let milliseconds = lane.now.milliseconds
        writer.array(2)
        writer.bulk(Int(milliseconds / 1000))
        writer.bulk(Int(milliseconds % 1000 * 1000))
    }

    // MARK: Replicas and files that there are not

    private func wait(_ arguments: Arguments, _ writer: ReplyWriter) throws(MartletError) {
        guard DecimalText.integer(arguments[1]) != nil else { throw .notAnInteger }
        try checkTimeout(arguments, 2)
        writer.integer(0)
    }

    private func waitForFile(_ arguments: Arguments, _ writer: ReplyWriter) throws(MartletError) {
        guard let local = DecimalText.integer(arguments[1]), local == 0 || local == 1,
            let replicas = DecimalText.integer(arguments[2]), replicas >= 0
        else { throw .command("ERR value is out of range, must be between 0 and 1") }
        try checkTimeout(arguments, 3)
        guard local == 0 else {
            throw .command("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.")
        }
        writer.array(2)
        writer.integer(0)
        writer.integer(0)
    }

    private func checkTimeout(_ arguments: Arguments, _ index: Int) throws(MartletError) {
        guard let timeout = DecimalText.integer(arguments[index]) else {
            throw .command("ERR timeout is not an integer or out of range")
        }
        guard timeout >= 0 else { throw .command("ERR timeout is negative") }
    }

    // MARK: Slow commands

    private func slowLog(
        _ name: String, _ arguments: Arguments, _ identity: CommandIdentity, _ writer: ReplyWriter
    ) throws(MartletError) {
        let log = try lane.service.commandLog(for: identity)
        switch name {
        case "len": writer.integer(log.count)
        case "reset":
            log.reset()
            writer.ok()
        default:
            guard arguments.count <= 3 else { throw .wrongNumberOfArguments("slowlog|get") }
            var most: Int64 = 10
            if arguments.count == 3 {
                guard let asked = DecimalText.integer(arguments[2]), asked >= -1 else {
                    throw .command("ERR count should be greater than or equal to -1")
                }
                most = asked == -1 ? .max : asked
            }
            let entries = log.entries.prefix(Int(clamping: most))
            writer.array(entries.count)
            for entry in entries {
                // Who it was is not kept: that may have been another than who asks.
                writer.array(6)
                writer.integer(entry.id)
                writer.integer(Int(entry.at.seconds))
                writer.integer(Int(clamping: entry.milliseconds.multipliedReportingOverflow(by: 1000).partialValue))
                writer.array(entry.arguments.count)
                for argument in entry.arguments { writer.bulk(argument) }
                writer.bulk("")
                writer.bulk("")
            }
        }
    }

    private func latency(_ name: String, _ arguments: Arguments, _ writer: ReplyWriter) throws(MartletError) {
        switch name {
        case "latest", "history": writer.array(0)
        case "histogram": writer.map(0)
        case "reset": writer.integer(0)
        case "graph": throw .command("ERR No samples available for event '\(arguments.string(2))'")
        default:
            writer.verbatim(
                "Latency is not monitored here. SLOWLOG GET shows the commands on this cache that took 10 ms or longer, and"
                    + " MARTLET.LIMITS how near the cache is to its limits.\n")
        }
    }

    // MARK: Memory

    private func memory(
        _ name: String, _ arguments: Arguments, _ identity: CommandIdentity, _ writer: ReplyWriter
    ) throws(MartletError) {
        switch name {
        case "usage":
            if arguments.count > 3 {
                guard arguments.count == 5, arguments.isWord(3, "SAMPLES") else { throw .syntax }
                guard let samples = DecimalText.integer(arguments[4]) else { throw .notAnInteger }
                guard samples >= 0 else { throw .syntax }
            }
            if let bytes = try lane.service.memoryUsage(of: arguments[2], for: identity) {
                writer.integer(bytes)
            } else {
                writer.null()
            }
        case "stats": try writeMemory(identity, writer)
        default: try diagnoseMemory(identity, writer)
        }
    }

    private func writeMemory(_ identity: CommandIdentity, _ writer: ReplyWriter) throws(MartletError) {
        let report = try lane.service.report(for: identity)
        guard let items = report.figures?.statistics.items else { throw .cacheNotFound }
        let fields: [(String, Int)] = [
            ("total.allocated", items.bytes), ("maxmemory", Int(clamping: report.maxBytes ?? 0)),
            ("keys.count", items.items), ("keys.bytes-per-key", items.items > 0 ? items.bytes / items.items : 0),
            ("dataset.bytes", items.bytes - items.bytesAttached - items.bytesBeingFreed),
            ("topics.bytes", items.bytesAttached), ("being.freed.bytes", items.bytesBeingFreed),
        ]
        writer.map(fields.count)
        for (name, value) in fields {
            writer.bulk(name)
            writer.integer(value)
        }
    }

    private func diagnoseMemory(_ identity: CommandIdentity, _ writer: ReplyWriter) throws(MartletError) {
        let report = try lane.service.report(for: identity)
        guard let items = report.figures?.statistics.items, let most = report.maxBytes, most > 0 else {
            return writer.verbatim(
                "The cache has no limit of its own, or this credential may not read all of its items. What lies"
                    + " longest unused gives way when memory is short.\n")
        }
        let share = Int(
            clamping: UInt64(clamping: items.bytes).multipliedReportingOverflow(by: 100).partialValue / most)
        writer.verbatim(
            "The cache takes \(items.bytes) of \(most) bytes, \(share) %, for \(items.items) items. Since it was opened"
                + " \(items.evictions) items have given way to others.\n")
    }

    /// A house martin's cousin that never lands.
    private static let drawing = """
                        .
             ___      .'|
        ____/   \\___.'  |
        `-.._        _.-'
             `\\   .-'
               \\ /
                V    Martlet, compatible with Redis ver. \(compatibleVersion)

        """
}
