/// A number of bytes as people write it: `536870912`, `512MiB`, `2GiB`. Units are powers of 1024, in any case of letters;
/// decimal units are not taken, because `MB` means both to too many.
enum ByteSize {
    private static let units: [(suffix: String, shift: Int)] = [("kib", 10), ("mib", 20), ("gib", 30), ("tib", 40)]

    static let expectation = "must be a number of bytes, or one with KiB, MiB, GiB or TiB behind it"

    /// Nil for anything that is not such a number or does not fit into an `Int`.
    static func parse(_ text: String) -> Int? {
        let lowercased = text.lowercased()
        var digits = lowercased[...]
        var shift = 0
        if let unit = units.first(where: { lowercased.hasSuffix($0.suffix) }) {
            digits = lowercased.dropLast(unit.suffix.count)
            shift = unit.shift
        }
        // `Int` itself would take a sign.
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let count = Int(digits) else {
            return nil
        }
        let (product, overflow) = count.multipliedReportingOverflow(by: 1 << shift)
        return overflow ? nil : product
    }
}
