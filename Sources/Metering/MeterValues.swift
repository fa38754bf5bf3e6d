import Tenancy

/// A count for each meter, by its raw value. What has no meter yet is zero.
struct MeterValues: Equatable, Sendable {
    private var first = SIMD16<UInt64>()
    private var more = SIMD8<UInt64>()

    subscript(index: Int) -> UInt64 {
        get { index < 16 ? first[index] : more[index - 16] }
        set {
            if index < 16 { first[index] = newValue } else { more[index - 16] = newValue }
        }
    }

    static func &- (left: MeterValues, right: MeterValues) -> MeterValues {
        var difference = left
        difference.first &-= right.first
        difference.more &-= right.more
        return difference
    }

    static func &+= (left: inout MeterValues, right: MeterValues) {
        left.first &+= right.first
        left.more &+= right.more
    }
}
