import Tenancy

/// The largest sizes that a cache takes. Worked out when limits change, not per call.
///
/// A size is the smaller of what the cache and its tenant set; where neither sets one, the default.
package struct SizeLimits: Equatable, Sendable {
    /// Key and value together.
    package let itemBytes: Int
    package let elementBytes: Int
    package let messageBytes: Int
    package let keyBytes: Int

    package init(cache: Limits = Limits(), tenant: Limits = Limits(), defaults: SizeDefaults = SizeDefaults()) {
        func effective(_ name: LimitName, _ fallback: Int) -> Int {
            guard let limit = smaller(cache[name], tenant[name]) else { return max(0, fallback) }
            return Int(clamping: limit)
        }
        itemBytes = effective(.maxItemBytes, defaults.itemBytes)
        elementBytes = effective(.maxElementBytes, defaults.elementBytes)
        messageBytes = effective(.maxMessageBytes, defaults.messageBytes)
        keyBytes = effective(.maxKeyBytes, defaults.keyBytes)
    }

    /// The largest value that fits beside a key of that size: the bound on a body before it is read.
    package func valueBytes(besideKeyOf keyBytes: Int) -> Int {
        max(0, itemBytes - min(max(0, keyBytes), itemBytes))
    }

    /// - Throws: ``MartletError/tooLarge(limit:value:)``, as do the others.
    @inlinable
    package func checkKey(byteCount: Int) throws(MartletError) {
        guard byteCount <= keyBytes else { throw .tooLarge(limit: .maxKeyBytes, value: UInt64(keyBytes)) }
    }

    /// Checks the key, and key and value together.
    @inlinable
    package func checkItem(keyBytes: Int, valueBytes: Int) throws(MartletError) {
        try checkKey(byteCount: keyBytes)
        guard keyBytes <= itemBytes, valueBytes <= itemBytes - keyBytes else {
            throw .tooLarge(limit: .maxItemBytes, value: UInt64(itemBytes))
        }
    }

    @inlinable
    package func checkElement(byteCount: Int) throws(MartletError) {
        guard byteCount <= elementBytes else { throw .tooLarge(limit: .maxElementBytes, value: UInt64(elementBytes)) }
    }

    @inlinable
    package func checkMessage(byteCount: Int) throws(MartletError) {
        guard byteCount <= messageBytes else { throw .tooLarge(limit: .maxMessageBytes, value: UInt64(messageBytes)) }
    }
}

/// The smaller of two limits, where one that is not set is no limit.
func smaller(_ left: UInt64?, _ right: UInt64?) -> UInt64? {
    guard let left else { return right }
    guard let right else { return left }
    return min(left, right)
}
