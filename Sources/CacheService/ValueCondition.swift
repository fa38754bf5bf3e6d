import Engine
import Tenancy

/// What must hold of what a key holds for a write to take place. A collection is there, and equal to no value.
package enum ValueCondition: Sendable, Equatable {
    case present
    case absent
    case equal([UInt8])
    /// Absent too.
    case notEqual([UInt8])
    case presentAndNotEqual([UInt8])
    case absentOrEqual([UInt8])

    /// How many bytes it compares with.
    var byteCount: Int {
        switch self {
        case .present, .absent: 0
        case .equal(let value), .notEqual(let value), .presentAndNotEqual(let value), .absentOrEqual(let value):
            value.count
        }
    }

    fileprivate func holds(for item: borrowing ItemAccess) throws(MartletError) -> Bool {
        let isPresent = item.kind != nil
        switch self {
        case .present: return isPresent
        case .absent: return !isPresent
        case .equal(let value): return try Self.is(item, value)
        case .notEqual(let value): return try !Self.is(item, value)
        case .presentAndNotEqual(let value):
            let isEqual = try Self.is(item, value)
            return isPresent && !isEqual
        case .absentOrEqual(let value):
            let isEqual = try Self.is(item, value)
            return !isPresent || isEqual
        }
    }

    private static func `is`(_ item: borrowing ItemAccess, _ value: [UInt8]) throws(MartletError) -> Bool {
        guard item.kind == .scalar else { return false }
        return try item.withValue { (stored) throws(MartletError) in stored.elementsEqual(value) } ?? false
    }
}

extension EngineCache {
    /// Stores a scalar in the place of whatever is there, if the condition holds; both are decided and done in one step.
    ///
    /// - Returns: Whether it held.
    package func set(
        _ key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, expiresAt: Timestamp?,
        if condition: ValueCondition, now: Timestamp
    ) throws(MartletError) -> Bool {
        switch condition {
        case .present:
            return try set(key, value: value, expiresAt: expiresAt, condition: .ifPresent, now: now)
        case .absent:
            return try set(key, value: value, expiresAt: expiresAt, condition: .ifAbsent, now: now)
        case .equal, .notEqual, .presentAndNotEqual, .absentOrEqual:
            // What sealing adds is less than 64 bytes.
            return try withItem(key, reserving: value.count + 64, now: now) { (item) throws(MartletError) in
                guard try condition.holds(for: item) else { return false }
                try item.store(.scalar, value, expiresAt: expiresAt)
                return true
            }
        }
    }
}
