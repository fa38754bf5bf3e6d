/// The text form of a signed 64-bit integer, as a counter's value is stored: decimal, "-" for a negative, no other sign,
/// no leading zeros, no "-0". Whatever has another form is no integer, so that one number has one text and one hash.
struct IntegerText {
    /// Room for the longest: "-9223372036854775808".
    private var digits = InlineArray<20, UInt8>(repeating: 0)
    private var start = 20

    var count: Int { 20 - start }

    /// The text of a number.
    init(_ number: Int64) {
        var rest = number.magnitude
        repeat {
            start -= 1
            digits[start] = UInt8(truncatingIfNeeded: rest % 10) + 0x30
            rest /= 10
        } while rest > 0
        if number < 0 {
            start -= 1
            digits[start] = 0x2d
        }
    }

    /// Lends the text's bytes.
    func withBytes<Result, Failure>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try withUnsafeBytes(of: digits) { bytes throws(Failure) in
            try body(UnsafeRawBufferPointer(rebasing: bytes[start...]))
        }
    }

    /// The number that a text says, or nil if it is not in the one form or not in range.
    static func parse(_ text: UnsafeRawBufferPointer) -> Int64? {
        let isNegative = text.first == 0x2d
        let digits = UnsafeRawBufferPointer(rebasing: text[(isNegative ? 1 : 0)...])
        guard let first = digits.first, digits.count <= 19 else { return nil }
        // A leading zero is only the number zero itself, which has no sign.
        if first == 0x30, digits.count > 1 || isNegative { return nil }
        // Summed on the negative side, which reaches one further than the positive.
        var sum: Int64 = 0
        for digit in digits {
            guard digit >= 0x30, digit <= 0x39 else { return nil }
            let (product, overflow) = sum.multipliedReportingOverflow(by: 10)
            let (difference, overflow2) = product.subtractingReportingOverflow(Int64(digit - 0x30))
            guard !overflow, !overflow2 else { return nil }
            sum = difference
        }
        if isNegative { return sum }
        return sum == .min ? nil : -sum
    }
}
