import Access
import CacheService
import Engine
import Tenancy
import Topics

/// `INFO`: sections of lines, as clients and exporters read them, with the figures of the caller's cache.
extension RESPSession {
    func info(
        _ arguments: Arguments, _ identity: CommandIdentity, _ writer: ReplyWriter
    ) throws(MartletError) {
        let asked = Set((1..<arguments.count).map { arguments.string($0).lowercased() })
        let isAll = asked.isEmpty || !asked.isDisjoint(with: ["all", "default", "everything"])
        let report = try lane.service.report(for: identity)
        var text = ""
        for (name, lines) in sections(report, identity) where isAll || asked.contains(name.lowercased()) {
            if !text.isEmpty { text += "\r\n" }
            text += "# \(name)\r\n"
            for (name, value) in lines { text += "\(name):\(value)\r\n" }
        }
        writer.verbatim(text)
    }

    private func sections(
        _ report: CommandReport, _ identity: CommandIdentity
    ) -> [(String, [(String, String)])] {
        var sections = [
            ("Server", server), ("Clients", clients(identity)), ("Memory", memory(report)),
            ("Persistence", persistence),
            ("Stats", statistics(report)), ("Replication", replication), ("Cluster", [("cluster_enabled", "0")]),
            ("Martlet", [("tenant", report.tenant), ("cache", report.cache)] + unsupported(report)),
        ]
        if let figures = report.figures {
            let items = figures.statistics.items.items
            let line =
                "keys=\(items),expires=\(min(items, figures.volatileItems)),avg_ttl=\(figures.averageTTLMilliseconds)"
            sections.append(("Keyspace", items > 0 ? [("db0", line)] : []))
        }
        return sections
    }

    private var server: [(String, String)] {
        let uptime = max(0, lane.now.seconds - registry.startedAt.seconds)
        return [
            ("redis_version", Self.compatibleVersion), ("redis_mode", "standalone"), ("os", "Martlet"),
            ("arch_bits", "64"), ("multiplexing_api", "nio"), ("run_id", registry.runID),
            ("tcp_port", connection.addresses.local.split(separator: ":").last.map { String($0) } ?? "0"),
            ("server_time_usec", "\(lane.now.milliseconds * 1000)"), ("uptime_in_seconds", "\(uptime)"),
            ("uptime_in_days", "\(uptime / 86_400)"), ("hz", "10"), ("configured_hz", "10"), ("executable", "martlet"),
            ("config_file", ""), ("io_threads_active", "0"),
        ]
    }

    private func clients(_ identity: CommandIdentity) -> [(String, String)] {
        let count = registry.count(of: identity.caller.caller.tenant, cacheName: identity.cacheName)
        return [
            ("connected_clients", "\(count)"), ("cluster_connections", "0"), ("maxclients", "10000"),
            ("blocked_clients", "0"), ("tracking_clients", "0"), ("clients_in_timeout_table", "0"),
        ]
    }

    private func memory(_ report: CommandReport) -> [(String, String)] {
        let most = report.maxBytes ?? 0
        var lines: [(String, String)] = []
        if let items = report.figures?.statistics.items {
            let bytes = UInt64(clamping: items.bytes)
            lines = [
                ("used_memory", "\(bytes)"), ("used_memory_human", Self.human(bytes)), ("used_memory_rss", "\(bytes)"),
                ("used_memory_rss_human", Self.human(bytes)),
                ("used_memory_dataset", "\(max(0, items.bytes - items.bytesAttached - items.bytesBeingFreed))"),
            ]
        }
        return lines + [
            ("maxmemory", "\(most)"), ("maxmemory_human", Self.human(most)), ("maxmemory_policy", "allkeys-lru"),
            ("mem_fragmentation_ratio", "1.00"), ("mem_allocator", "martlet"),
        ]
    }

    private var persistence: [(String, String)] {
        [
            ("loading", "0"), ("async_loading", "0"), ("rdb_changes_since_last_save", "0"),
            ("rdb_bgsave_in_progress", "0"),
            ("rdb_last_save_time", "\(registry.startedAt.seconds)"), ("rdb_last_bgsave_status", "ok"),
            ("aof_enabled", "0"), ("aof_rewrite_in_progress", "0"), ("aof_last_bgrewrite_status", "ok"),
            ("aof_last_write_status", "ok"),
        ]
    }

    /// Counters since the cache was made, by all doors; evictions and expiries since it was opened.
    private func statistics(_ report: CommandReport) -> [(String, String)] {
        guard let figures = report.figures else { return [] }
        let items = figures.statistics.items
        return [
            ("total_commands_processed", "\(figures.total(.calls))"),
            ("total_net_input_bytes", "\(figures.total(.bytesIn))"),
            ("total_net_output_bytes", "\(figures.total(.bytesOut))"),
            ("rejected_connections", "0"), ("sync_full", "0"), ("sync_partial_ok", "0"), ("sync_partial_err", "0"),
            ("expired_keys", "\(items.expirations)"), ("evicted_keys", "\(items.evictions)"),
            ("keyspace_hits", "\(figures.total(.hits))"), ("keyspace_misses", "\(figures.total(.misses))"),
            ("pubsub_channels", "\(figures.statistics.topics.topics)"), ("pubsub_patterns", "0"),
            ("latest_fork_usec", "0"),
            (
                "total_error_replies",
                "\(figures.total(.clientErrors) &+ figures.total(.throttled) &+ figures.total(.serverErrors))"
            ),
        ]
    }

    private var replication: [(String, String)] {
        [
            ("role", "master"), ("connected_slaves", "0"), ("master_failover_state", "no-failover"),
            ("master_replid", registry.runID), ("master_repl_offset", "0"), ("repl_backlog_active", "0"),
        ]
    }

    private func unsupported(_ report: CommandReport) -> [(String, String)] {
        let counts = report.figures?.statistics.unsupportedCommands ?? [:]
        return [
            (
                "unsupported_commands",
                counts.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
            )
        ]
    }

    /// As Redis shortens sizes: `1.50M`.
    static func human(_ bytes: UInt64) -> String {
        var (value, unit) = (Double(bytes), 0)
        let units = ["B", "K", "M", "G", "T", "P", "E"]
        while value >= 1024, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        guard unit > 0 else { return "\(bytes)B" }
        let hundredths = Int((value * 100).rounded())
        let decimals = hundredths % 100
        return "\(hundredths / 100).\(decimals < 10 ? "0" : "")\(decimals)\(units[unit])"
    }
}
