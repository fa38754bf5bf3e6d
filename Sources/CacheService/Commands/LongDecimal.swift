#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Numbers with a fraction as INCRBYFLOAT sums them: in C's `long double`, so that 0.1 and 0.2 are 0.3, written with at
/// most 17 digits behind the point and without an exponent.
///
/// Where Swift has no such type the sum is one of doubles, and can differ from Redis's in the sixteenth digit.
enum LongDecimal {
    #if (arch(x86_64) || arch(i386)) && !os(Windows)
    typealias Number = Float80
    private static let format = "%.17Lf"
    #else
    typealias Number = Double
    private static let format = "%.15f"
    #endif

    /// The longest text of a number, and of what is read as one.
    private static let mostBytes = 5 * 1024

    /// What `strtold` reads to the text's end; nil for blanks before it, `nan`, and what is beyond the type's range.
    static func parse(_ text: UnsafeRawBufferPointer) -> Number? {
        guard let first = text.first, text.count < mostBytes, first != 0x20, !(9...13).contains(first) else {
            return nil
        }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: text.count + 1) { copy in
            guard let start = copy.baseAddress else { return nil }
            for (place, byte) in text.enumerated() { copy[place] = CChar(bitPattern: byte) }
            copy[text.count] = 0
            var end: UnsafeMutablePointer<CChar>?
            errno = 0
            #if (arch(x86_64) || arch(i386)) && !os(Windows)
            let value = strtold(start, &end)
            #else
            let value = strtod(start, &end)
            #endif
            guard end == start + text.count, !value.isNaN else { return nil }
            if errno == ERANGE, value.isInfinite || value.isZero { return nil }
            return value
        }
    }

    /// The decimal text of a finite number: no zeros at its end, and no sign before a zero.
    static func text(of value: Number) -> [UInt8] {
        var text = [UInt8](unsafeUninitializedCapacity: mostBytes) { bytes, count in
            let written = bytes.withMemoryRebound(to: CChar.self) { text in
                withVaList([value]) { vsnprintf(text.baseAddress, text.count, format, $0) }
            }
            count = min(max(0, Int(written)), mostBytes - 1)
        }
        if text.contains(UInt8(ascii: ".")) {
            while text.last == UInt8(ascii: "0") { text.removeLast() }
            if text.last == UInt8(ascii: ".") { text.removeLast() }
        }
        return text == Array("-0".utf8) ? [UInt8(ascii: "0")] : text
    }
}
