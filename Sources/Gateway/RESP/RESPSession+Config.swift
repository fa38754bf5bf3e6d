import CacheService
import Tenancy

/// `CONFIG`: what clients ask, answered for the caller's cache.
extension RESPSession {
    func config(
        _ name: String, _ arguments: Arguments, _ identity: CommandIdentity, _ writer: ReplyWriter
    ) throws(MartletError) {
        switch name {
        case "get": try getConfiguration(arguments, identity, writer)
        case "set": try setConfiguration(arguments, identity, writer)
        default: throw .command("ERR The server is running without a config file")
        }
    }

    private func getConfiguration(
        _ arguments: Arguments, _ identity: CommandIdentity, _ writer: ReplyWriter
    ) throws(MartletError) {
        let patterns = (2..<arguments.count).map { Array(arguments[$0]) }
        let parameters = try configuration(identity).filter { parameter in
            patterns.contains { Glob.matches(parameter.name, $0) }
        }
        writer.map(parameters.count)
        for (name, value) in parameters {
            writer.bulk(name)
            writer.bulk(value)
        }
    }

    private static func lower(_ byte: UInt8) -> UInt8 {
        byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte
    }

    /// What is as it is here, in the words of Redis.
    private func configuration(_ identity: CommandIdentity) throws(MartletError) -> [(name: String, value: String)] {
        let report = try lane.service.report(for: identity)
        let limits = try lane.service.limits(for: identity)
        let itemBytes = limits.first { $0.name == .maxItemBytes }?.limit ?? 0
        let connections = limits.first { $0.name == .maxConnections }?.limit
        return [
            ("appendfsync", "everysec"), ("appendonly", "no"), ("bind", "* -::*"),
            (
                "client-query-buffer-limit",
                "\(RESPDecoder.Limits().commandBytes)"
            ), ("cluster-enabled", "no"), ("databases", "1"),
            ("io-threads", "1"), ("latency-monitor-threshold", "0"), ("lfu-decay-time", "1"), ("lfu-log-factor", "10"),
            ("list-compress-depth", "0"), ("maxclients", "\(connections ?? 10_000)"),
            ("maxmemory", "\(report.maxBytes ?? 0)"), ("maxmemory-policy", "allkeys-lru"),
            ("maxmemory-samples", "5"), ("notify-keyspace-events", try lane.service.keyspaceEvents(for: identity).text),
            ("proto-max-bulk-len", "\(itemBytes)"), ("protected-mode", "no"), ("replica-read-only", "yes"),
            ("save", ""),
            ("slowlog-log-slower-than", "\(CommandLog.slowMilliseconds * 1000)"),
            ("slowlog-max-len", "\(CommandLog.mostEntries)"), ("tcp-keepalive", "300"), ("timeout", "0"),
            ("tracking-table-max-keys", "65536"),
        ]
    }

    private func setConfiguration(
        _ arguments: Arguments, _ identity: CommandIdentity, _ writer: ReplyWriter
    ) throws(MartletError) {
        guard arguments.count % 2 == 0 else { throw .wrongNumberOfArguments("config|set") }
        var rules: KeyspaceEventRules?
        let known = try configuration(identity)
        for index in stride(from: 2, to: arguments.count, by: 2) {
            let name = arguments.string(index).lowercased()
            guard name == "notify-keyspace-events" else {
                guard known.contains(where: { $0.name == name }) else {
                    throw .command(
                        "ERR Unknown option or number of arguments for CONFIG SET - '\(arguments.string(index))'")
                }
                throw .command(
                    "ERR CONFIG SET failed (possibly related to argument '\(name)') - can't set immutable config")
            }
            guard let asked = try KeyspaceEventRules(arguments.string(index + 1)) else {
                throw .command(
                    "ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event class "
                        + "character. Use 'KEx'.")
            }
            rules = asked
        }
        if let rules { try lane.service.setKeyspaceEvents(rules, for: identity) }
        writer.ok()
    }
}
