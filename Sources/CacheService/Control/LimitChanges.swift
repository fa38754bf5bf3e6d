import Tenancy

/// What a change does to a set of limits: a limit that is named gets the value, or is unset where that is nil; the others
/// stay as they are (RFC 7396, as it reads for one object).
package typealias LimitChanges = [LimitName: UInt64?]

/// The same for labels.
package typealias LabelChanges = [String: String?]

extension Limits {
    func applying(_ changes: LimitChanges) -> Limits {
        var limits = self
        for (name, value) in changes { limits[name] = value }
        return limits
    }
}

extension [String: String] {
    func applying(_ changes: LabelChanges) -> [String: String] {
        var labels = self
        for (name, value) in changes { labels[name] = value }
        return labels
    }
}

extension LimitName {
    /// Limits of what a tenant does as a whole; on a cache they would mean nothing.
    var isOfTenantsOnly: Bool {
        switch self {
        case .maxCaches, .maxTokensPerSecond, .maxTokenTTLSeconds, .weight: true
        default: false
        }
    }

    /// Limits that one call on a cache can meet, its own or its tenant's.
    var isCeilingOfCalls: Bool {
        switch self {
        case .maxOperationsPerSecond, .maxBytesInPerSecond, .maxBytesOutPerSecond, .maxTTLSeconds, .maxSubscriptions,
            .maxPublishPerSecond:
            true
        default: false
        }
    }

    /// What is reserved for one cache is taken from all others, so it is the operator's to give.
    var isReservation: Bool {
        switch self {
        case .reservedBytes, .reservedOperationsPerSecond: true
        default: false
        }
    }
}
