#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Numbers as Redis reads and writes them.
package enum DecimalText {
    /// A score or another double in up to 17 digits: `3`, `3.1400000000000001`, `1e+21`, `inf`, `-inf`, `nan`.
    package static func text(of value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        if value == 0, value.sign == .minus { return "-0" }
        // Whole numbers that a double certainly holds exactly are written as such.
        if value == value.rounded(.towardZero), abs(value) < 4_503_599_627_370_496 { return String(Int64(value)) }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { text in
            guard let start = text.baseAddress else { return "" }
            // 17 digits always read back the same (IEEE 754).
            let count = withVaList([value]) { vsnprintf(start, 64, "%.17g", $0) }
            return String(decoding: UnsafeRawBufferPointer(start: start, count: Int(count)), as: UTF8.self)
        }
    }

    /// A whole number of 64 bits as Redis accepts it: no blanks, no plus sign, no leading zeros.
    package static func integer(_ text: UnsafeRawBufferPointer) -> Int64? {
        guard text.count > 0, text.count <= 20 else { return nil }
        var place = 0
        let isNegative = text[0] == 0x2D
        if isNegative { place = 1 }
        guard place < text.count else { return nil }
        if text[place] == 0x30 { return text.count == 1 ? 0 : nil }
        var magnitude: UInt64 = 0
        while place < text.count {
            let digit = text[place] &- 0x30
            guard digit <= 9 else { return nil }
            let (product, isOver) = magnitude.multipliedReportingOverflow(by: 10)
            let (sum, isOverToo) = product.addingReportingOverflow(UInt64(digit))
            guard !isOver, !isOverToo else { return nil }
            magnitude = sum
            place += 1
        }
        if isNegative {
            return magnitude <= UInt64(Int64.max) + 1 ? Int64(truncatingIfNeeded: 0 &- magnitude) : nil
        }
        return Int64(exactly: magnitude)
    }

    /// A double as Redis accepts it: what `strtod` reads to its end, without blanks before it, no `nan`, and nothing too
    /// large or too small for a double but infinity.
    ///
    /// - Parameter allowsOverflow: Takes what is too large for infinity.
    package static func double(_ text: UnsafeRawBufferPointer, allowsOverflow: Bool = false) -> Double? {
        guard text.count > 0, text.count < 256, text[0] > 0x20 else { return nil }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { copy in
            guard let start = copy.baseAddress else { return nil }
            for (place, byte) in text.enumerated() { copy[place] = CChar(bitPattern: byte) }
            copy[text.count] = 0
            var end: UnsafeMutablePointer<CChar>?
            errno = 0
            let value = strtod(start, &end)
            guard end == start + text.count, !value.isNaN else { return nil }
            guard errno != ERANGE || (value.isFinite && value != 0) || allowsOverflow && value != 0 else { return nil }
            return value
        }
    }
}
