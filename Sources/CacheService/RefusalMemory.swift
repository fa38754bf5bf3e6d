import Tenancy

/// What was made for the last refusals, by error: under load the same few come again, and are not rendered again.
///
/// Four places in each of sixteen sets; what a set has no place for takes that of its oldest. So callers who meet many
/// limits of many values cannot make it grow. Belongs to its event loop.
///
/// Cost: at most four comparisons of numbers for what is here. No allocation.
package struct RefusalMemory<Value> {
    private static var sets: Int { 16 }
    private static var places: Int { 4 }
    /// Apart from the values, so that a look at them copies nothing that is counted.
    private var keys: [RefusalKey]
    private var values: [Value?]
    private var oldest: [UInt8]

    package init() {
        keys = Array(repeating: RefusalKey(kind: 0, limit: 0, value: 0, delay: 0), count: Self.sets * Self.places)
        values = Array(repeating: nil, count: Self.sets * Self.places)
        oldest = Array(repeating: 0, count: Self.sets)
    }

    /// What was made for an error, or is made now.
    ///
    /// - Returns: nil for an error that is not one of load: others hold texts, and do not come in floods that are ours to
    ///   answer cheaply.
    @inline(__always)
    package mutating func value(for error: MartletError, _ make: (MartletError) -> Value) -> Value? {
        guard let key = RefusalKey(error) else { return nil }
        // The upper bits of a product depend on all bits of its factor.
        let set = Int(truncatingIfNeeded: (key.hash &* 0x9E37_79B9_7F4A_7C15) >> 60)
        let first = set * Self.places
        for place in first..<first + Self.places where keys[place] == key { return values[place] }
        return insert(error, key, set, make)
    }

    @inline(never)
    private mutating func insert(
        _ error: MartletError, _ key: RefusalKey, _ set: Int, _ make: (MartletError) -> Value
    ) -> Value {
        let value = make(error)
        let place = set * Self.places + Int(oldest[set])
        keys[place] = key
        values[place] = value
        oldest[set] = (oldest[set] + 1) % UInt8(Self.places)
        return value
    }
}

/// What tells refusals for load apart, in numbers.
private struct RefusalKey: Equatable {
    /// 0 is none.
    let kind: UInt8
    let limit: UInt8
    let value: UInt64
    let delay: UInt64

    init(kind: UInt8, limit: UInt8, value: UInt64, delay: UInt64) {
        self.kind = kind
        self.limit = limit
        self.value = value
        self.delay = delay
    }

    @inline(__always)
    init?(_ error: MartletError) {
        switch error {
        case .rateLimited(let limit, let value, let delay):
            self.init(kind: 1, limit: UInt8(truncatingIfNeeded: limit.index), value: value, delay: delay)
        case .countLimited(let limit, let value):
            self.init(kind: 2, limit: UInt8(truncatingIfNeeded: limit.index), value: value, delay: 0)
        case .throttled(let delay): self.init(kind: 3, limit: 0, value: 0, delay: delay)
        case .busy(let delay): self.init(kind: 4, limit: 0, value: 0, delay: delay)
        default: return nil
        }
    }

    @inline(__always)
    var hash: UInt64 { (value &* 31 &+ delay) &* 31 &+ UInt64(kind) << 8 &+ UInt64(limit) }
}
