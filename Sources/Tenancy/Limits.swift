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
    /// A tenant's share of a machine that is saturated, beyond what is reserved: twice the weight, twice the share.
    case weight = "weight"
    /// What may come at once after a rest; one second's worth where it is not set.
    case burstOperations = "burst_operations"
    case burstBytesIn = "burst_bytes_in"
    case burstBytesOut = "burst_bytes_out"

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
        case .weight: 19
        case .burstOperations: 20
        case .burstBytesIn: 21
        case .burstBytesOut: 22
        }
    }

    /// What the limit may be set to. Most may be zero, which refuses everything; a share of nothing, or a burst into
    /// which no call fits, would be a tenant that waits for ever.
    package var range: ClosedRange<UInt64> {
        switch self {
        case .weight: 1...10_000
        case .burstOperations, .burstBytesIn, .burstBytesOut: 1...Self.largestValue
        default: 0...Self.largestValue
        }
    }

    /// What is said to whoever sets it to something else.
    package var demand: String {
        "must be a whole number from \(range.lowerBound) to \(range.upperBound), or null"
    }

    /// The largest whole number that every JSON reader holds exactly (RFC 8259 section 6).
    package static let largestValue: UInt64 = 9_007_199_254_740_991

    /// Of a tenant that sets none.
    package static let defaultWeight: UInt64 = 100
}

/// The limits that are set on a tenant, a plan or a cache. One that is not set is not enforced, except the sizes, which
/// fall back to ``SizeDefaults``.
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

    /// These limits where they are set, and those of `plan` where they are not.
    package func over(_ plan: Limits) -> Limits {
        var limits = plan
        for (name, value) in set { limits[name] = value }
        return limits
    }

    /// Checks every limit that is set against its range.
    ///
    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` that names the first that is out of it, as
    ///   `limits.weight`.
    package func validate() throws(MartletError) {
        for (name, value) in set where !name.range.contains(value) {
            throw .invalidArgument(field: "limits.\(name.rawValue)", reason: name.demand)
        }
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
