import Tenancy

/// What one fold did.
package struct FoldReport: Equatable, Sendable {
    /// Rows of the counter file that had counted something since the last fold.
    package var changedRows = 0
    /// The start of the minute into which their counts went.
    package var window: Timestamp
    /// Counters that were not what they can be. Each is reported once, in the fold that found it; log it.
    package var damage: [DamagedCounter] = []
    /// Why the counter file could not be given room for more rows ahead of need, if it could not.
    package var growthFailure: MeterFileError?
}

/// A counter below the value that was already folded, or impossibly far above it. What it lost or gained is not known,
/// so nothing is billed for it; its counts from the value found on are.
package struct DamagedCounter: Equatable, Sendable, CustomStringConvertible {
    package let tenant: TenantID
    package let cache: CacheID
    package let door: Door
    package let meter: Meter
    package let folded: UInt64
    package let found: UInt64

    package var description: String {
        "the counter \(meter.name) of cache \(cache.rawValue) behind \(door.name) is damaged: it was \(folded), is \(found)"
    }
}

/// The instants of a fold between which the process may die: where the tests let it.
enum FoldStep: Int, CaseIterable, Sendable {
    case dated
    case counted
    case synced
    case usageWritten
    case foldedWritten
    case committed
    case freed
}
