/// What one call adds to the counters: the billed operations, and the raw inputs from which another policy can bill the
/// same call again.
package struct Charge: Equatable, Sendable {
    /// Billed operations under the policy in force.
    package var operations: UInt64
    /// Σ ceil(size / 1024) over the items of the request, or over its other data where it carries no item.
    package var requestChunks: UInt64
    /// The same of the response.
    package var responseChunks: UInt64
    /// Operations, before any factor, of a call with a condition; else 0.
    package var conditionalOperations: UInt64

    @inlinable
    package init(
        operations: UInt64, requestChunks: UInt64, responseChunks: UInt64, conditionalOperations: UInt64 = 0
    ) {
        self.operations = operations
        self.requestChunks = requestChunks
        self.responseChunks = responseChunks
        self.conditionalOperations = conditionalOperations
    }
}

/// The default billing policy: item-only counting.
///
/// - Each item (key and value together) or element in the request and in the response counts one operation for each
///   1024 bytes begun. A key that merely names an item is not an item.
/// - A call with a condition on what is stored (set if absent, set if equal, ...) counts twice.
/// - Every call of an identified caller counts at least one operation: a miss, an empty result and a call that was
///   refused for what it asked too. What was refused by a limit, or failed for a reason of ours, counts none.
///
/// Source: the metering contract, section 2, in its item-only reading. All functions are pure and cost a few shifts.
package enum BillingPolicy {
    /// Bytes that one operation pays for.
    package static let chunkBytes = 1024

    /// Chunks of data that is not an item: none for no data. A negative size counts as none.
    @inlinable @inline(__always)
    package static func chunks(byteCount: Int) -> UInt64 {
        // Written without an addition that could overflow.
        UInt64(max(0, byteCount) / 1024) &+ (max(0, byteCount) % 1024 == 0 ? 0 : 1)
    }

    /// Chunks of an item or an element: at least one.
    @inlinable @inline(__always)
    package static func itemChunks(byteCount: Int) -> UInt64 {
        max(1, chunks(byteCount: byteCount))
    }

    /// A get. `valueBytes` is nil for a miss.
    @inlinable @inline(__always)
    package static func read(keyBytes: Int, valueBytes: Int?) -> Charge {
        guard let valueBytes else { return named(keyBytes: keyBytes) }
        let item = itemChunks(byteCount: keyBytes &+ valueBytes)
        return Charge(operations: item, requestChunks: chunks(byteCount: keyBytes), responseChunks: item)
    }

    /// A set. One with a condition counts the same whether the condition held or not.
    @inlinable @inline(__always)
    package static func write(keyBytes: Int, valueBytes: Int, isConditional: Bool = false) -> Charge {
        let item = itemChunks(byteCount: keyBytes &+ valueBytes)
        return Charge(
            operations: isConditional ? item &* 2 : item, requestChunks: item, responseChunks: 0,
            conditionalOperations: isConditional ? item : 0)
    }

    /// A delete, whether or not the item existed.
    @inlinable @inline(__always)
    package static func delete(keyBytes: Int) -> Charge {
        named(keyBytes: keyBytes)
    }

    /// An increment. `valueBytes` is the length of the number in decimal, as it is stored and sent back.
    @inlinable @inline(__always)
    package static func increment(keyBytes: Int, valueBytes: Int) -> Charge {
        let item = itemChunks(byteCount: keyBytes &+ valueBytes)
        return Charge(operations: item, requestChunks: item, responseChunks: chunks(byteCount: valueBytes))
    }

    /// A call that names a key and carries no item either way: existence, TTL, type, a changed TTL.
    @inlinable @inline(__always)
    package static func named(keyBytes: Int) -> Charge {
        Charge(operations: 1, requestChunks: chunks(byteCount: keyBytes), responseChunks: 0)
    }

    /// A call on a collection, from the sums of ``itemChunks(byteCount:)`` over the elements each way.
    ///
    /// - Parameter answeredChunks: Those of the request that merely name elements which the response carries: like a key
    ///   beside its value, a name does not count again. So a field that is read costs what a get does, and one that is not
    ///   there what a miss does.
    @inlinable
    package static func collection(
        keyBytes: Int, requestElementChunks: UInt64, responseElementChunks: UInt64, answeredChunks: UInt64 = 0
    ) -> Charge {
        Charge(
            operations: max(1, requestElementChunks &- answeredChunks &+ responseElementChunks),
            requestChunks: requestElementChunks > 0 ? requestElementChunks : chunks(byteCount: keyBytes),
            responseChunks: responseElementChunks)
    }

    /// A message published to a topic, or one delivered to one subscriber: each pays for itself.
    @inlinable
    package static func message(byteCount: Int) -> UInt64 {
        itemChunks(byteCount: byteCount)
    }
}
