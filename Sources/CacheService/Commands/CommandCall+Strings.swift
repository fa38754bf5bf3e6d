import Admission
import Engine
import Metering
import Tenancy

/// Strings as commands read and change them.
extension CommandCall {
    /// Lends the string under a key, nil where there is none. `body` runs under a lock and must not call the engine.
    ///
    /// - Throws: ``MartletError/wrongType`` for a collection, and what `body` throws.
    func withString<Result>(
        _ key: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer?) throws(MartletError) -> Result
    ) throws(MartletError) -> Result {
        try items.withItem(key, now: now) { item throws(MartletError) in
            guard let kind = item.kind else { return try body(nil) }
            guard kind == .scalar else { throw .wrongType }
            guard let result = try item.withValue({ (value) throws(MartletError) in try body(value) }) else {
                return try body(nil)
            }
            return result
        }
    }

    /// A string with bytes of its own; nil where there is none. Throws as ``withString(_:_:)``.
    func copyOfString(_ key: UnsafeRawBufferPointer) throws(MartletError) -> [UInt8]? {
        try withString(key) { value in value.map { Array($0) } }
    }

    /// Replaces the string under a key by what `change` makes of it, nothing of which others see before. One that is
    /// there keeps its time; a new one has the cache's default.
    ///
    /// - Parameters:
    ///   - growth: An upper guess of how many bytes longer it becomes.
    ///   - change: Gets the bytes, none where there is no item, and whether there is one; answers whether they are to be
    ///     stored.
    /// - Throws: ``MartletError/wrongType`` for a collection, and what `change` throws; nothing is changed then.
    func changeString(
        _ key: UnsafeRawBufferPointer, growth: Int,
        _ change: (_ bytes: inout [UInt8], _ isThere: Bool) throws(MartletError) -> Bool
    ) throws(MartletError) {
        let held = items.storedBytes(key, now: now) ?? 0
        let standard = defaultExpiry
        try items.withItem(key, reserving: held + growth + 64, now: now) { item throws(MartletError) in
            guard item.kind == nil || item.kind == .scalar else { throw .wrongType }
            var bytes: [UInt8] = []
            let value = try item.withValue { value throws(MartletError) in Array(value) }
            if let value { bytes = value }
            guard try change(&bytes, value != nil) else { return }
            let expiresAt = value == nil ? standard : item.expiresAt
            try bytes.span.bytes.withUnsafeBytes { (bytes) throws(MartletError) in
                try item.store(.scalar, bytes, expiresAt: expiresAt)
            }
        }
    }

    /// The longest string that the key may hold.
    func valueLimit(_ key: UnsafeRawBufferPointer) -> Int { sizes.valueBytes(besideKeyOf: key.count) }

    /// When a new string under an argument's time expires, which must lie after zero.
    ///
    /// - Throws: ``MartletError/notAnInteger``, and as ``expiry(_:_:isAbsolute:command:)``.
    func positiveExpiry(
        _ index: Int, _ unit: TimeUnit, isAbsolute: Bool, command: String
    ) throws(MartletError) -> Timestamp {
        let amount = try integer(index)
        guard amount > 0 else { throw .command("ERR invalid expire time in '\(command)' command") }
        return try expiry(amount, unit, isAbsolute: isAbsolute, command: command)
    }

    // MARK: What it costs

    /// An item that was named and carried nothing either way: its length, its time, its removal.
    @inline(__always)
    func countNamed(_ key: UnsafeRawBufferPointer) {
        usage.add(BillingPolicy.named(keyBytes: key.count))
    }

    /// The same of a read.
    @inline(__always)
    func countFacts(_ key: UnsafeRawBufferPointer, found: Bool) {
        usage.add(BillingPolicy.named(keyBytes: key.count))
        usage.found(found)
    }

    /// A number that was changed and is answered, in so many digits.
    @inline(__always)
    func countNumber(_ key: UnsafeRawBufferPointer, byteCount: Int) {
        usage.add(BillingPolicy.increment(keyBytes: key.count, valueBytes: byteCount))
        usage.bytesOut += byteCount
    }
}
