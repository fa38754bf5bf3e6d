/// Whole numbers as JSON may spell them: `60`, `60.0` and `6e1` are one number (RFC 8259 section 6), and a JSON Schema
/// `integer` is any of them. Nothing is rounded on the way.
enum WholeNumber {
    /// Exponents beyond this belong to no number that fits, except zero, which nobody needs to spell so.
    private static let largestExponent = 40

    /// - Parameter literal: A number by the grammar of JSON.
    /// - Returns: its value, or nil when it is not whole or does not fit.
    static func value(of literal: String) -> Int64? {
        if let number = Int64(literal) { return number }
        let sides = literal.split(maxSplits: 1, whereSeparator: { $0 == "e" || $0 == "E" })
        guard let mantissa = sides.first else { return nil }
        var exponent = 0
        if sides.count > 1 {
            guard let written = Int(sides[1]), abs(written) <= largestExponent else { return nil }
            exponent = written
        }
        let parts = mantissa.split(separator: ".", maxSplits: 1)
        guard let whole = parts.first else { return nil }
        let fraction = parts.count > 1 ? parts[1] : ""
        // The digits without the point, and how many of them lie behind it once the exponent has moved it.
        var digits = String(whole) + fraction
        let behind = fraction.count - exponent
        if behind > 0 {
            guard digits.suffix(behind).allSatisfy({ $0 == "0" }) else { return nil }
            digits.removeLast(min(behind, digits.count))
            if digits.isEmpty || digits == "-" { digits = "0" }
        } else {
            digits += String(repeating: "0", count: -behind)
        }
        return Int64(digits)
    }
}
