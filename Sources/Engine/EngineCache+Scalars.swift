import Synchronization
import Tenancy

/// Changes of a part of a scalar, in one step.
extension EngineCache {
    /// Adds to the integer that is stored as text under a key; an absent item counts from zero.
    ///
    /// - Parameters:
    ///   - amount: what is added; may be negative.
    ///   - expiresAt: for an item that is created. One that exists keeps its own.
    /// - Returns: the new number.
    /// - Throws: ``MartletError/notAnInteger`` when the value is not the text of a signed 64-bit integer,
    ///   ``MartletError/integerOverflow`` when the sum is not one, ``MartletError/wrongType`` for a collection, and as
    ///   ``set(_:value:compressed:expiresAt:condition:now:)``. The item is unchanged then.
    package func increment(
        _ key: UnsafeRawBufferPointer, by amount: Int64, expiresAt: Timestamp?, now: Timestamp
    ) throws(MartletError) -> Int64 {
        try withItem(key, reserving: Self.integerBytes, now: now) { item throws(MartletError) in
            try item.checkScalar()
            let before = try item.withValue { text throws(MartletError) in
                guard let number = IntegerText.parse(text) else { throw .notAnInteger }
                return number
            }
            let (sum, overflow) = (before ?? 0).addingReportingOverflow(amount)
            guard !overflow else { throw .integerOverflow }
            let time = before == nil ? expiresAt : item.expiresAt
            try IntegerText(sum).withBytes { (text) throws(MartletError) in
                try item.store(.scalar, text, expiresAt: time)
            }
            return sum
        }
    }

    private static let integerBytes = 20 + CacheSealer.overhead

    /// Appends to a scalar, or creates one.
    /// - Parameter expiresAt: for an item that is created. One that exists keeps its own.
    /// - Returns: the new length.
    /// - Throws: ``MartletError/wrongType`` for a collection; ``MartletError/tooLarge(limit:value:)`` when the value would
    ///   be longer than `limit`; and as ``set(_:value:compressed:expiresAt:condition:now:)``.
    package func append(
        _ key: UnsafeRawBufferPointer, _ bytes: UnsafeRawBufferPointer, limit: Int, expiresAt: Timestamp?,
        now: Timestamp
    ) throws(MartletError) -> Int {
        try change(key, bytes, at: nil, limit: limit, expiresAt: expiresAt, now: now)
    }

    /// Writes over a part of a scalar from an offset on; zeros fill what lies before, if it was shorter.
    /// Parameters, result and errors as ``append(_:_:limit:expiresAt:now:)``. Nothing written creates nothing.
    package func setRange(
        _ key: UnsafeRawBufferPointer, at offset: Int, _ bytes: UnsafeRawBufferPointer, limit: Int,
        expiresAt: Timestamp?, now: Timestamp
    ) throws(MartletError) -> Int {
        guard offset >= 0 else { throw .invalidArgument(field: "offset", reason: "must not be negative") }
        return try change(key, bytes, at: offset, limit: limit, expiresAt: expiresAt, now: now)
    }

    private func change(
        _ key: UnsafeRawBufferPointer, _ bytes: UnsafeRawBufferPointer, at offset: Int?, limit: Int,
        expiresAt: Timestamp?, now: Timestamp
    ) throws(MartletError) -> Int {
        let (sum, overflow) = (offset ?? 0).addingReportingOverflow(bytes.count)
        let limit = min(limit, Record.largestValue)
        guard !overflow, sum <= limit else { throw .tooLarge(limit: .maxItemBytes, value: UInt64(max(0, limit))) }
        let held = storedBytes(key, now: now) ?? 0
        return try withItem(key, reserving: held + sum + 64, now: now) { item throws(MartletError) in
            try item.checkScalar()
            var value = ScratchBytes(capacity: min(held + sum, limit))
            let isThere = try item.withValue { (plain) throws(MartletError) in value.append(plain) } != nil
            if offset != nil, bytes.isEmpty { return value.count }
            let start = offset ?? value.count
            let end = max(value.count, start + bytes.count)
            guard end <= limit else { throw .tooLarge(limit: .maxItemBytes, value: UInt64(max(0, limit))) }
            if end > value.count {
                let added = value.extend(by: end - value.count)
                added.initializeMemory(as: UInt8.self, repeating: 0)
            }
            UnsafeMutableRawBufferPointer(rebasing: value.mutableBytes[start..<start + bytes.count])
                .copyMemory(from: bytes)
            try item.store(.scalar, value.bytes, expiresAt: isThere ? item.expiresAt : expiresAt)
            return end
        }
    }

    /// Lends a part of a scalar, clamped to what there is.
    /// - Returns: nil when there is no item.
    /// - Throws: ``MartletError/wrongType`` for a collection.
    package func withRange<Result>(
        _ key: UnsafeRawBufferPointer, _ range: (Int) -> Range<Int>, now: Timestamp,
        _ body: (UnsafeRawBufferPointer) -> Result
    ) throws(MartletError) -> Result? {
        try withItem(key, now: now) { item throws(MartletError) in
            try item.checkScalar()
            return try item.withValue { plain throws(MartletError) in
                body(UnsafeRawBufferPointer(rebasing: plain[range(plain.count).clamped(to: 0..<plain.count)]))
            }
        }
    }

    /// Stores a scalar if a condition on its present value holds; both are decided and done in one step.
    /// - Parameter condition: gets the present value, nil where there is none.
    /// - Returns: whether it held.
    /// - Throws: ``MartletError/wrongType`` for a collection, and as ``set(_:value:compressed:expiresAt:condition:now:)``.
    package func set(
        _ key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, expiresAt: Timestamp?, now: Timestamp,
        if condition: (UnsafeRawBufferPointer?) -> Bool
    ) throws(MartletError) -> Bool {
        try withItem(key, reserving: value.count + CacheSealer.overhead, now: now) { item throws(MartletError) in
            try item.checkScalar()
            let holds = try item.withValue { plain throws(MartletError) in condition(plain) } ?? condition(nil)
            if holds { try item.store(.scalar, value, expiresAt: expiresAt) }
            return holds
        }
    }
}

extension ItemAccess {
    /// - Throws: ``MartletError/wrongType`` if there is a collection.
    func checkScalar() throws(MartletError) {
        guard kind == nil || kind == .scalar else { throw .wrongType }
    }
}
