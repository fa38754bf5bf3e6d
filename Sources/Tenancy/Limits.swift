/// A ceiling that an operator or a tenant may put on a tenant or on a cache. The raw value is its name on every wire.
package enum LimitName: String, CaseIterable, Sendable {
    case maxBytes = "max_bytes"
    case reservedBytes = "reserved_bytes"
    case maxItems = "max_items"
    case maxOperationsPerSecond = "max_operations_per_second"
    case reservedOperationsPerSecond = "reserved_operations_per_second"
    case maxBytesInPerSecond = "max_bytes_in_per_second"
    case maxBytesOutPerSecond = "max_bytes_out_per_second"
    case maxItemBytes = "max_item_bytes"
    case maxElementBytes = "max_element_bytes"
    case maxKeyBytes = "max_key_bytes"
    case maxTTLSeconds = "max_ttl"
    case defaultTTLSeconds = "default_ttl"
    case maxConnections = "max_connections"
    case maxSubscriptions = "max_subscriptions"
    case maxPublishPerSecond = "max_publish_per_second"
    case maxMessageBytes = "max_message_bytes"
    case maxCaches = "max_caches"
    case maxTokensPerSecond = "max_tokens_per_second"
    case maxTokenTTLSeconds = "max_token_ttl_seconds"

    package var index: Int {
        switch self {
        case .maxBytes: 0
        case .reservedBytes: 1
        case .maxItems: 2
        case .maxOperationsPerSecond: 3
        case .reservedOperationsPerSecond: 4
        case .maxBytesInPerSecond: 5
        case .maxBytesOutPerSecond: 6
        case .maxItemBytes: 7
        case .maxElementBytes: 8
        case .maxKeyBytes: 9
        case .maxTTLSeconds: 10
        case .defaultTTLSeconds: 11
        case .maxConnections: 12
        case .maxSubscriptions: 13
        case .maxPublishPerSecond: 14
        case .maxMessageBytes: 15
        case .maxCaches: 16
        case .maxTokensPerSecond: 17
        case .maxTokenTTLSeconds: 18
        }
    }
}

/// The limits that are set on a tenant or a cache. One that is not set is not enforced, except the sizes, which fall
/// back to ``SizeDefaults``.
package struct Limits: Equatable, Sendable {
    private var values: [UInt64?] = Array(repeating: nil, count: LimitName.allCases.count)

    package init() {}

    package subscript(name: LimitName) -> UInt64? {
        get { values[name.index] }
        set { values[name.index] = newValue }
    }

    /// The limits that are set, in the order of ``LimitName``.
    package var set: [(name: LimitName, value: UInt64)] {
        LimitName.allCases.compactMap { name in self[name].map { (name, $0) } }
    }
}

/// The sizes that hold where neither the cache nor its tenant sets its own.
package struct SizeDefaults: Sendable {
    /// Key and value together.
    package var itemBytes = 5_000_192
    package var elementBytes = 131_072
    package var messageBytes = 102_400
    package var keyBytes = 65_536

    package init() {}
}
