import Tenancy

/// What the embedded engine is built with.
package struct EngineConfiguration: Sendable {
    /// The ceiling of what all caches together may be charged.
    package let memoryBytes: Int
    /// Secret of the hash that places keys. Fresh at every start: nothing that it places outlives the process.
    package let indexKey: SipHashKey
    /// Secret of the value hash. The same at every start of one installation, because callers keep the hashes.
    package let valueHashKey: SipHashKey
    /// Whether values are held encrypted.
    package let seals: Bool

    package init(memoryBytes: Int, indexKey: SipHashKey, valueHashKey: SipHashKey, seals: Bool = false) {
        self.memoryBytes = max(0, memoryBytes)
        self.indexKey = indexKey
        self.valueHashKey = valueHashKey
        self.seals = seals
    }
}

/// What one cache may hold, or the caches of one group together. A limit that is lowered below what is there stops growth
/// at once, and ``EmbeddedEngine/tick(now:)`` brings the cache or the group down to it.
package struct EngineCacheLimits: Sendable, Equatable {
    /// Ceiling of the bytes charged to the cache: items with their overhead, index, fixed cost. Nil: no ceiling.
    package var maxBytes: Int?
    /// While the cache is charged no more than this, it loses nothing to the pressure of other caches; while a group is,
    /// none of its caches loses anything to those outside of it.
    package var reservedBytes: Int
    /// Ceiling of the number of items. Nil: no ceiling.
    package var maxItems: Int?

    package init(maxBytes: Int? = nil, reservedBytes: Int = 0, maxItems: Int? = nil) {
        self.maxBytes = maxBytes
        self.reservedBytes = reservedBytes
        self.maxItems = maxItems
    }

    /// A reservation in bounds that sums of many cannot leave: 256 TiB.
    static func reservation(_ byteCount: Int) -> Int { min(max(0, byteCount), 1 << 48) }
}

/// What an item's value is.
package enum ItemKind: UInt8, Sendable {
    case scalar
    case dictionary
    case set
    case list
    case sortedSet
}

/// What is known of a scalar item beside its bytes.
package struct ItemFacts: Equatable, Sendable {
    /// Length of the value.
    package let byteCount: Int
    package let valueHash: ValueHash
    /// The first millisecond at which the item is no longer served. Nil: never.
    package let expiresAt: Timestamp?
    /// The form in which a read handed the value out: as it is, or as one zstd frame.
    package let storedEncoding: StoredEncoding
    /// How many bytes were handed out.
    package let handedOutByteCount: Int

    package init(
        byteCount: Int, valueHash: ValueHash, expiresAt: Timestamp?, storedEncoding: StoredEncoding = .identity,
        handedOutByteCount: Int? = nil
    ) {
        self.byteCount = byteCount
        self.valueHash = valueHash
        self.expiresAt = expiresAt
        self.storedEncoding = storedEncoding
        self.handedOutByteCount = handedOutByteCount ?? byteCount
    }
}

/// What a reader takes beside the plain value.
package enum AcceptedEncoding: Sendable {
    case identity
    /// One zstd frame, where the value is stored as one.
    case zstd
}

/// How a change of an item's time depends on the one it has. No expiry counts as the latest of all.
package enum ExpiryRule: Sendable {
    case always
    case onlyIfLater
    case onlyIfEarlier
    case onlyIfNone
    case onlyIfSome
}

/// What a change of an item's time did.
package enum ExpiryOutcome: Equatable, Sendable {
    case absent
    case kept
    case changed
}

/// How a write to a collection treats its time: a new one gets `expiresAt`, an existing one only if `refresh`.
package struct CollectionExpiry: Equatable, Sendable {
    package var expiresAt: Timestamp?
    package var refresh: Bool

    package init(expiresAt: Timestamp?, refresh: Bool) {
        self.expiresAt = expiresAt
        self.refresh = refresh
    }
}

/// What must hold of the stored item for a write to take place. Decided and acted on in one step: no other write comes
/// between.
package enum SetCondition: Equatable, Sendable {
    case always
    case ifAbsent
    case ifPresent
    /// Present, and its value's hash is one of these.
    case ifHashIn([ValueHash])
    /// Absent, or present with a value whose hash is none of these.
    case ifHashNotIn([ValueHash])
    /// Present, and its value's hash is none of these.
    case ifPresentAndHashNotIn([ValueHash])
    /// Absent, or present with a value whose hash is one of these.
    case ifAbsentOrHashIn([ValueHash])
}

/// What a conditional delete did.
package enum DeleteOutcome: Equatable, Sendable {
    case absent
    /// The item exists, its hash is not among those asked for, and it stays.
    case kept
    case removed
}

/// The figures of one cache.
package struct EngineCacheStatistics: Equatable, Sendable {
    /// Items held, those among them that expired within the last moments and wait for the tick included.
    package let items: Int
    /// Everything that is charged to the cache, ``bytesBeingFreed`` and ``bytesAttached`` included.
    package let bytes: Int
    /// What a flush or a removed collection left behind and the tick has not freed yet. It counts against the process, not the cache's limit.
    package let bytesBeingFreed: Int
    /// What the cache holds outside the engine: its topics.
    package let bytesAttached: Int
    /// Items removed to make room, since the cache was opened.
    package let evictions: UInt64
    /// Items removed because their time was over, since the cache was opened.
    package let expirations: UInt64
    /// What compression did to the values written since the cache was opened.
    package let compression: CompressionStatistics
}

/// The figures of a group: the sums over its caches.
package struct EngineGroupStatistics: Equatable, Sendable {
    package let items: Int
    /// Everything that is charged to the caches, ``bytesBeingFreed`` included.
    package let bytes: Int
    /// What waits to be freed. It counts against the process, not the group's limit.
    package let bytesBeingFreed: Int

    /// What counts against the group's limit.
    package var liveBytes: Int { bytes - bytesBeingFreed }
}

/// The figures of the whole engine.
package struct EngineStatistics: Equatable, Sendable {
    /// Everything that all caches are charged.
    package let accountedBytes: Int
    /// Memory that the engine holds from the system for them.
    package let residentBytes: Int
    /// How late the latest of the expired items was freed, of those freed within the last seconds.
    package let expiryLagMilliseconds: Int64
    package let isSealing: Bool
}
