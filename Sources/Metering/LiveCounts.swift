/// Counters that have limits a second.
package struct LiveCounts: Equatable, Sendable {
    package var operations: UInt64 = 0
    package var bytesIn: UInt64 = 0
    package var bytesOut: UInt64 = 0
    package var publishes: UInt64 = 0

    package init() {}

    /// What was added since `earlier`; nothing where a counter began anew.
    package func since(_ earlier: LiveCounts) -> LiveCounts {
        var added = LiveCounts()
        added.operations = operations - min(operations, earlier.operations)
        added.bytesIn = bytesIn - min(bytesIn, earlier.bytesIn)
        added.bytesOut = bytesOut - min(bytesOut, earlier.bytesOut)
        added.publishes = publishes - min(publishes, earlier.publishes)
        return added
    }

    package static func += (left: inout LiveCounts, right: LiveCounts) {
        left.operations &+= right.operations
        left.bytesIn &+= right.bytesIn
        left.bytesOut &+= right.bytesOut
        left.publishes &+= right.publishes
    }
}
