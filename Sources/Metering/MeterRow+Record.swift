import Tenancy

// Whole calls, as the service writes them down before the reply leaves. Each function adds every counter that its kind
// of call touches, under the default policy. Cost: four to eight loads, adds and stores; no branch on the policy.
//
// Operations and chunks count a value as it is, however it travels; bytes count what travels. The two differ where a value
// is sent compressed.
extension MeterRow {
    /// A get: a hit with the size of its value, or a miss with nil.
    ///
    /// - Parameter sentBytes: The length of the form in which the value was sent; nil where it was sent as it is.
    @inlinable @inline(__always)
    package func recordRead(keyBytes: Int, valueBytes: Int?, sentBytes: Int? = nil) {
        record(
            BillingPolicy.read(keyBytes: keyBytes, valueBytes: valueBytes), bytesIn: keyBytes,
            bytesOut: sentBytes ?? valueBytes ?? 0)
        add(valueBytes == nil ? .misses : .hits, 1)
    }

    /// A question about an item that does not send its value: existence, TTL, type, HEAD.
    @inlinable @inline(__always)
    package func recordFacts(keyBytes: Int, found: Bool) {
        record(BillingPolicy.named(keyBytes: keyBytes), bytesIn: keyBytes, bytesOut: 0)
        add(found ? .hits : .misses, 1)
    }

    /// A set. One whose condition did not hold is recorded just so: it was asked, carried in and answered.
    ///
    /// - Parameter bodyBytes: The length of the form in which the value came; nil where it came as it is.
    @inlinable @inline(__always)
    package func recordWrite(keyBytes: Int, valueBytes: Int, bodyBytes: Int? = nil, isConditional: Bool = false) {
        let charge = BillingPolicy.write(keyBytes: keyBytes, valueBytes: valueBytes, isConditional: isConditional)
        record(charge, bytesIn: keyBytes &+ (bodyBytes ?? valueBytes), bytesOut: 0)
    }

    /// A delete, or another call that names a key and changes it without carrying a value: a new TTL.
    @inlinable @inline(__always)
    package func recordDelete(keyBytes: Int) {
        record(BillingPolicy.delete(keyBytes: keyBytes), bytesIn: keyBytes, bytesOut: 0)
    }

    /// An increment whose new number has `valueBytes` decimal digits and sign.
    @inlinable @inline(__always)
    package func recordIncrement(keyBytes: Int, valueBytes: Int) {
        let charge = BillingPolicy.increment(keyBytes: keyBytes, valueBytes: valueBytes)
        record(charge, bytesIn: keyBytes, bytesOut: valueBytes)
    }

    /// A call on a collection, or one that names several items.
    ///
    /// - Parameters:
    ///   - elementsIn: Elements in the request, or names of such.
    ///   - isHit: Whether a read found its collection; nil for a write.
    package func recordCollection(
        _ charge: Charge, bytesIn: Int, bytesOut: Int, elementsIn: Int, elementsOut: Int, isHit: Bool?
    ) {
        record(charge, bytesIn: bytesIn, bytesOut: bytesOut)
        if elementsIn > 0 { add(.elementsIn, UInt64(elementsIn)) }
        if elementsOut > 0 { add(.elementsOut, UInt64(elementsOut)) }
        if let isHit { add(isHit ? .hits : .misses, 1) }
    }

    /// A question whether items exist: each key counts as an element, and as a hit or a miss.
    package func recordExistence(_ charge: Charge, keys: Int, keyBytes: Int, found: Int) {
        record(charge, bytesIn: keyBytes, bytesOut: 0)
        add(.elementsIn, UInt64(keys))
        add(.hits, UInt64(found))
        add(.misses, UInt64(keys - found))
    }

    /// A call without key, value or element: ping, flush.
    @inlinable
    package func recordCall() {
        record(BillingPolicy.named(keyBytes: 0), bytesIn: 0, bytesOut: 0)
    }

    /// A call of any shape, with the payload bytes that went each way.
    @inlinable @inline(__always)
    package func record(_ charge: Charge, bytesIn: Int, bytesOut: Int) {
        add(.calls, 1)
        add(.operations, charge.operations)
        add(.bytesIn, UInt64(max(0, bytesIn)))
        add(.requestChunks, charge.requestChunks)
        // What most calls do not have is not worth a store.
        if bytesOut > 0 { add(.bytesOut, UInt64(bytesOut)) }
        if charge.responseChunks > 0 { add(.responseChunks, charge.responseChunks) }
        if charge.conditionalOperations > 0 { add(.conditionalOperations, charge.conditionalOperations) }
    }

    /// A call of an identified caller that was refused or failed. It counts an operation only where the caller is at
    /// fault: a limit's refusal and a failure of ours are never billed.
    package func recordRefusal(_ error: MartletError) {
        add(.calls, 1)
        switch error {
        case .tooLarge, .bodyTooLarge, .rateLimited, .countLimited, .throttled:
            add(.throttled, 1)
        case _ where error.row.httpStatus >= 500:
            add(.serverErrors, 1)
        default:
            add(.clientErrors, 1)
            add(.operations, 1)
        }
    }

    /// A message published to a topic of the cache.
    ///
    /// - Parameter bodyBytes: The length of the form in which it came; nil where it came as it is.
    package func recordPublish(messageBytes: Int, bodyBytes: Int? = nil) {
        let chunks = BillingPolicy.message(byteCount: messageBytes)
        record(
            Charge(operations: chunks, requestChunks: chunks, responseChunks: 0), bytesIn: bodyBytes ?? messageBytes,
            bytesOut: 0)
        add(.publishes, 1)
    }

    /// Messages delivered to one subscriber. They are no calls.
    ///
    /// - Parameters:
    ///   - chunks: The sum of ``BillingPolicy/message(byteCount:)`` over the messages.
    ///   - messageBytes: The sum of their sizes.
    package func recordDeliveries(messages: Int, chunks: UInt64, messageBytes: Int) {
        add(.deliveries, UInt64(max(0, messages)))
        add(.operations, chunks)
        add(.responseChunks, chunks)
        add(.bytesOut, UInt64(max(0, messageBytes)))
    }
}
