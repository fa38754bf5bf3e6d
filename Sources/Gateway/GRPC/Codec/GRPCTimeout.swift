/// The value of `grpc-timeout` (gRPC over HTTP/2, "Timeout"): at most eight digits and a unit.
enum GRPCTimeout {
    /// A year: whoever waits longer waits for ever, and no clock overflows.
    static let ceilingMilliseconds: Int64 = 366 * 24 * 3_600_000

    /// Milliseconds, rounded up so that no call is given less time than it asked for, and at most
    /// ``ceilingMilliseconds``; zero for a call that is too late already. Nil for anything else.
    static func milliseconds(_ value: UnsafeRawBufferPointer) -> Int64? {
        guard value.count >= 2, value.count <= 9, let number = value.slice(0..<value.count - 1).decimal else {
            return nil
        }
        let count = Int64(number)
        let milliseconds: Int64
        switch value[value.count - 1] {
        case UInt8(ascii: "H"): milliseconds = count * 3_600_000
        case UInt8(ascii: "M"): milliseconds = count * 60_000
        case UInt8(ascii: "S"): milliseconds = count * 1000
        case UInt8(ascii: "m"): milliseconds = count
        case UInt8(ascii: "u"): milliseconds = (count + 999) / 1000
        case UInt8(ascii: "n"): milliseconds = (count + 999_999) / 1_000_000
        default: return nil
        }
        return min(milliseconds, ceilingMilliseconds)
    }
}
