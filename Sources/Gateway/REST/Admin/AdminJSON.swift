import Access
import CacheService
import Engine
import Catalog
import Metering
import Tenancy
import Topics

/// What the control plane answers, as JSON. Times are whole epoch seconds, or null for never and not yet.
extension JSONValue {
    init(_ text: String?) {
        self = text.map { .string($0) } ?? .null
    }

    init(_ number: UInt64) {
        self = .number(String(number))
    }

    init(_ time: Timestamp?) {
        self = time.map { .integer($0.seconds) } ?? .null
    }

    init(_ limits: Limits) {
        self = .object(limits.set.map { JSONValue.Member($0.name.rawValue, JSONValue($0.value)) })
    }

    /// An object by the names of the limits.
    init(_ use: [LimitUse]) {
        self = .object(
            use.map { use in
                JSONValue.Member(
                    use.name.rawValue,
                    .members(["limit": use.limit.map { JSONValue($0) } ?? .null, "used": JSONValue(use.used)]))
            })
    }

    init(labels: [String: String]) {
        self = .object(
            labels.sorted { $0.key < $1.key }.map { JSONValue.Member($0.key, .string($0.value)) })
    }
}

extension TenantReport {
    var members: [JSONValue.Member] {
        [
            .init("name", .string(record.name.text)), .init("limits", JSONValue(record.limits)),
            .init("plan", JSONValue(record.plan)), .init("plan_limits", record.planLimits.map(JSONValue.init) ?? .null),
            .init("limits_in_force", JSONValue(record.limitsInForce)), .init("use", JSONValue(use)),
            .init("labels", JSONValue(labels: record.labels)), .init("created_at", JSONValue(record.createdAt)),
        ]
    }
}

extension PlanReport {
    var json: JSONValue {
        .members([
            "name": .string(record.name.text),
            "limits": JSONValue(record.limits),
            "tenants": .number(String(tenants)),
            "created_at": JSONValue(record.createdAt),
        ])
    }
}

extension CacheReport {
    var json: JSONValue {
        let compressed = statistics?.items.compression
        return .members([
            "name": .string(record.name.text),
            "tenant": .string(tenant.text),
            "limits": JSONValue(record.limits),
            "use": JSONValue(use),
            "labels": JSONValue(labels: record.labels),
            "compression": .string(record.compression.rawValue),
            "owner": .string(record.owner),
            "created_at": JSONValue(record.createdAt),
            "items": .number(String(statistics?.items.items ?? 0)),
            "bytes": .number(String(statistics?.items.bytes ?? 0)),
            "bytes_being_freed": .number(String(statistics?.items.bytesBeingFreed ?? 0)),
            "evictions": .number(String(statistics?.items.evictions ?? 0)),
            "expirations": .number(String(statistics?.items.expirations ?? 0)),
            "compressed_plain_bytes": .number(String(compressed?.plainBytes ?? 0)),
            "compressed_stored_bytes": .number(String(compressed?.storedBytes ?? 0)),
            "compression_ratio": compressed?.ratio ?? .null,
            "dictionary_version": .number(String(compressed?.dictionaryVersion ?? 0)),
            "dictionary_bytes": .number(String(compressed?.dictionaryBytes ?? 0)),
            "dictionary_trainings": .number(String(compressed?.trainings ?? 0)),
            "topics": .number(String(statistics?.topics.topics ?? 0)),
            "topic_bytes": .number(String(statistics?.topics.bytes ?? 0)),
            "topic_evictions": .number(String(statistics?.topics.evictions ?? 0)),
            "retained_messages": .number(String(statistics?.topics.messages ?? 0)),
            "subscriptions": .number(String(statistics?.topics.subscriptions ?? 0)),
            "unsupported_commands": .object(
                (statistics?.unsupportedCommands ?? [:]).sorted { $0.key < $1.key }
                    .map { JSONValue.Member($0.key, JSONValue($0.value)) }),
        ])
    }
}

extension CompressionStatistics {
    /// How many times smaller what was compressed has become, to two decimals; nil where nothing was.
    fileprivate var ratio: JSONValue? {
        guard storedBytes > 0 else { return nil }
        let hundredths = Int((Double(plainBytes) / Double(storedBytes) * 100).rounded())
        let decimals = String(hundredths % 100)
        return .number("\(hundredths / 100)." + (decimals.count == 1 ? "0" : "") + decimals)
    }
}

extension KeyReport {
    var json: JSONValue {
        .members([
            "id": .string(record.id),
            "format": .string(record.format.rawValue),
            "permissions": grant?.json ?? .null,
            "token_id": JSONValue(record.tokenID),
            "description": JSONValue(record.description),
            "created_at": JSONValue(record.createdAt),
            "expires_at": JSONValue(record.expiresAt),
        ])
    }
}

extension SigningKeyRecord {
    /// The public side of it alone.
    var json: JSONValue {
        .members([
            "kid": .string(kid),
            "algorithm": .string("ES256"),
            "created_at": JSONValue(createdAt),
            "retired_at": JSONValue(retiredAt),
        ])
    }
}

extension UsageReport.Row {
    var json: JSONValue {
        let meters = Meter.allCases.map { JSONValue.Member($0.name, JSONValue(usage[$0])) }
        return .object(
            [
                .init("tenant", .string(tenant)), .init("cache", .string(cache)),
                .init("door", .string(usage.door.name)), .init("start", JSONValue(usage.start)),
            ] + meters)
    }
}

extension AuditReport.Row {
    /// The most bytes of a stored detail: a change of everything that a body can hold.
    private static let detailByteCeiling = 8 << 20

    var json: JSONValue {
        let detail = try? JSONParser.parse(Array(event.detail.utf8), ceiling: Self.detailByteCeiling)
        return .members([
            "sequence": .integer(event.sequence),
            "at": JSONValue(event.at),
            "actor": .string(event.actor),
            "tenant": JSONValue(tenant),
            "action": .string(event.action),
            "subject": .string(event.subject),
            "detail": detail ?? .object([]),
        ])
    }
}

extension LatencyReport {
    var json: JSONValue {
        .members([
            "tenant": .string(tenant.text),
            "count": JSONValue(count),
            "p50_us": microseconds(perMille: 500).map { JSONValue($0) } ?? .null,
            "p99_us": microseconds(perMille: 990).map { JSONValue($0) } ?? .null,
            "p999_us": microseconds(perMille: 999).map { JSONValue($0) } ?? .null,
            "buckets": .array(
                buckets.map { bucket in
                    .members([
                        "le_us": bucket.microseconds.map { JSONValue($0) } ?? .null, "count": JSONValue(bucket.count),
                    ])
                }),
        ])
    }
}
