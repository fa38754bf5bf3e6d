import Admission
import CacheService
import Catalog
import Engine
import Metering
import Tenancy
import Topics

/// The metrics of the process in Prometheus text form (exposition format 0.0.4). Per cache: what it holds now.
/// What callers did is in the usage call, which bills; metrics are for watching.
struct MetricsText {
    private var text = ""

    init(service: CacheService, handshakes: HandshakeCounters, isFolding: Bool) {
        let snapshot = service.catalog.snapshot
        let rows = service.meters.rowCounts
        gauge("martlet_build_info", "The version that runs.", [("version", Version.text)], 1)
        gauge("martlet_memory_limit_bytes", "The ceiling of all items.", [], service.engine.memoryBytes)
        engine(service)
        gauge("process_resident_memory_bytes", "Resident memory of the process.", [], Machine.residentBytes ?? 0)
        gauge("martlet_tenants", "Tenants in the catalog.", [], snapshot.tenantCount)
        gauge("martlet_caches", "Caches in the catalog.", [], snapshot.cacheCount)
        gauge("martlet_meter_rows_used", "Rows of the counter file in use.", [], rows.used)
        gauge("martlet_meter_rows_capacity", "Rows of the counter file.", [], rows.capacity)
        gauge("martlet_usage_folding", "1 while counters reach the ledger.", [], isFolding ? 1 : 0)
        connections(handshakes)
        webhooks(service, snapshot)
        loops(service)
        caches(service, snapshot)
        limits(service, snapshot)
    }

    var bytes: [UInt8] { Array(text.utf8) }

    private mutating func engine(_ service: CacheService) {
        let engine = service.engine.statistics
        gauge("martlet_memory_accounted_bytes", "What all caches are charged.", [], engine.accountedBytes)
        gauge(
            "martlet_engine_resident_bytes", "Resident memory of the engine's own pool.", [], engine.residentBytes)
        header(
            "martlet_expiry_lag_seconds", "gauge",
            "How long after its time the last item was freed, the worst of the last second.")
        sample("martlet_expiry_lag_seconds", [], Self.seconds(milliseconds: engine.expiryLagMilliseconds))
        gauge("martlet_is_sealing", "1 while values lie encrypted in memory.", [], engine.isSealing ? 1 : 0)
        let totals = service.compressionTotals
        counter(
            "martlet_compressed_plain_bytes_total", "Bytes of values that were compressed, before.", totals.plainBytes)
        counter(
            "martlet_compressed_stored_bytes_total", "Bytes of values that were compressed, after.", totals.storedBytes)
        counter("martlet_dictionary_trainings_total", "Dictionaries that were trained.", totals.trainings)
        gauge("martlet_dictionary_bytes", "What dictionaries take now.", [], totals.dictionaryBytes)
    }

    private mutating func connections(_ handshakes: HandshakeCounters) {
        gauge(
            "martlet_tls_handshakes_waiting", "TLS handshakes that wait for their turn.", [], handshakes.waiting)
        gauge(
            "martlet_tls_handshakes_underway", "TLS handshakes that have begun and are not over.", [],
            handshakes.underway)
        counter("martlet_tls_handshakes_total", "TLS handshakes that ended well.", handshakes.completed)
        counter(
            "martlet_tls_handshakes_dropped_total",
            "Connections dropped before their handshake was over, or before they sent anything.", handshakes.dropped)
    }

    private mutating func webhooks(_ service: CacheService, _ snapshot: CatalogSnapshot) {
        gauge("martlet_webhooks", "Webhooks in the catalog.", [], snapshot.webhooks.count)
        let name = "martlet_webhook_messages_total"
        header(name, "counter", "Messages for webhooks, by what became of them.")
        for fate in WebhookFate.allCases {
            sample(name, [("outcome", fate.rawValue)], String(service.webhookCounters[fate]))
        }
    }

    private mutating func loops(_ service: CacheService) {
        let loads = service.loads.all
        guard !loads.isEmpty else { return }
        header(
            "martlet_loop_delay_seconds", "gauge",
            "For how long an event loop does not look at its sockets, the least of the last tenth of a second.")
        for (index, load) in loads {
            sample(
                "martlet_loop_delay_seconds", [("loop", "\(index)")],
                String(Double(load.standingDelayNanoseconds) / 1e9))
        }
        header("martlet_overload_level", "gauge", "How many tenths of the tenants have their calls refused.")
        for (index, load) in loads { sample("martlet_overload_level", [("loop", "\(index)")], load.overloadLevel) }
    }

    private static func seconds(milliseconds: Int64) -> String {
        let milliseconds = max(0, milliseconds)
        let decimals = String(milliseconds % 1000)
        return "\(milliseconds / 1000)." + String(repeating: "0", count: 3 - decimals.count) + decimals
    }

    private mutating func caches(_ service: CacheService, _ snapshot: CatalogSnapshot) {
        var held: [(labels: [(String, String)], statistics: CacheStatistics)] = []
        for cache in snapshot.caches {
            guard let statistics = service.statistics(cache.id), let tenant = snapshot.tenant(cache.tenant) else {
                continue
            }
            held.append(([("tenant", tenant.name.text), ("cache", cache.name.text)], statistics))
        }
        let metrics: [(String, String, String, (CacheStatistics) -> Int)] = [
            ("martlet_cache_items", "gauge", "Items held.", { $0.items.items }),
            ("martlet_cache_bytes", "gauge", "Bytes charged.", { $0.items.bytes }),
            ("martlet_cache_evictions_total", "counter", "Items evicted.", { Int(clamping: $0.items.evictions) }),
            ("martlet_cache_expirations_total", "counter", "Items expired.", { Int(clamping: $0.items.expirations) }),
            ("martlet_cache_topics", "gauge", "Topics with subscribers or messages.", { $0.topics.topics }),
            ("martlet_cache_topic_bytes", "gauge", "Bytes charged for topics.", { $0.topics.bytes }),
            ("martlet_cache_subscriptions", "gauge", "Open subscriptions.", { $0.topics.subscriptions }),
        ]
        for (name, kind, help, value) in metrics where !held.isEmpty {
            header(name, kind, help)
            for (labels, statistics) in held { sample(name, labels, value(statistics)) }
        }
    }

    /// Of each limit that is set; of a tenant's own the cache is empty.
    private mutating func limits(_ service: CacheService, _ snapshot: CatalogSnapshot) {
        let events = "martlet_limit_events_total"
        header(events, "counter", "How often limits have reached a threshold, in per cent.")
        for threshold in LimitThreshold.allCases {
            sample(
                events, [("threshold", String(threshold.rawValue))], String(service.limitBook.crossings(threshold)))
        }
        let name = "martlet_limit_use_ratio"
        let lines = service.limitBook.uses.compactMap { use -> (labels: [(String, String)], value: String)? in
            guard let tenant = snapshot.tenant(use.tenant)?.name.text else { return nil }
            var cache = ""
            if let id = use.cache {
                guard let record = snapshot.cache(id) else { return nil }
                cache = record.name.text
            }
            let value = String((use.sample.ratio * 10_000).rounded() / 10_000)
            return ([("tenant", tenant), ("cache", cache), ("limit", use.sample.limit.rawValue)], value)
        }
        guard !lines.isEmpty else { return }
        header(name, "gauge", "How much of a limit is used, 1 for all of it.")
        for line in lines { sample(name, line.labels, line.value) }
    }

    private mutating func gauge(_ name: String, _ help: String, _ labels: [(String, String)], _ value: Int) {
        header(name, "gauge", help)
        sample(name, labels, value)
    }

    private mutating func counter(_ name: String, _ help: String, _ value: UInt64) {
        header(name, "counter", help)
        sample(name, [], String(value))
    }

    private mutating func header(_ name: String, _ kind: String, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n"
    }

    private mutating func sample(_ name: String, _ labels: [(String, String)], _ value: Int) {
        sample(name, labels, String(value))
    }

    private mutating func sample(_ name: String, _ labels: [(String, String)], _ value: String) {
        text += name
        if !labels.isEmpty {
            text += "{" + labels.map { "\($0.0)=\"\(Self.escaped($0.1))\"" }.joined(separator: ",") + "}"
        }
        text += " \(value)\n"
    }

    private static func escaped(_ value: String) -> String {
        var result = ""
        for character in value.unicodeScalars {
            switch character {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }
}
