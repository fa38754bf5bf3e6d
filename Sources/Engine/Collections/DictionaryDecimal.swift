/// Numbers with a fraction as a field holds them: decimal text without an exponent, at most 17 digits behind the point,
/// no trailing zeros, as Valkey's HINCRBYFLOAT writes them.
///
/// Valkey sums in `long double`, so that 0.1 + 0.2 is 0.3. Where Swift has the 80-bit type so do we; elsewhere a sum
/// can differ from Valkey's in the sixteenth digit.
enum DictionaryDecimal {
    #if arch(x86_64) || arch(i386)
    private typealias Wide = Float80
    #else
    private typealias Wide = Double
    #endif

    /// Longer text is no number.
    private static let maximumBytes = 512

    /// nil if the text is no number; what there is not counts as 0. The sum may be infinite or not a number.
    static func sum(of text: UnsafeRawBufferPointer?, and amount: Double) -> Double? {
        var number: Wide = 0
        if let text {
            guard let parsed = parse(text) else { return nil }
            number = parsed
        }
        // Through its text: the amount is meant as the decimal that was written, not as the nearest binary fraction.
        let wide = amount.isFinite ? Wide("\(amount)") ?? Wide(amount) : Wide(amount)
        return Double(number + wide)
    }

    private static func parse(_ text: UnsafeRawBufferPointer) -> Wide? {
        guard text.count <= maximumBytes else { return nil }
        // Signs, digits, a point, an exponent; not the words and hexadecimal forms that the initialiser takes too.
        let isPlain = text.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x2b, 0x2d, 0x2e, 0x65, 0x45: true
            default: false
            }
        }
        guard isPlain, !text.isEmpty else { return nil }
        return Wide(String(decoding: text, as: UTF8.self))
    }

    static func append(_ number: Double, to out: inout ScratchBytes) {
        // The shortest digits that say the number, and where their point is.
        var digits: [UInt8] = []
        var point = 0
        var exponent = 0
        var hasPoint = false
        var text = number.magnitude.description.utf8[...]
        if let mark = text.firstIndex(of: UInt8(ascii: "e")) {
            exponent = Int(String(decoding: text[text.index(after: mark)...], as: UTF8.self)) ?? 0
            text = text[..<mark]
        }
        for byte in text {
            if byte == UInt8(ascii: ".") {
                hasPoint = true
            } else {
                digits.append(byte)
                if !hasPoint { point += 1 }
            }
        }
        point += exponent
        let start = out.count
        if number < 0 { out.append(UInt8(ascii: "-")) }
        if point <= 0 { out.append(UInt8(ascii: "0")) }
        for place in 0..<max(point, 0) { out.append(place < digits.count ? digits[place] : UInt8(ascii: "0")) }
        var fraction: [UInt8] = []
        for place in point..<max(point + 17, point) {
            fraction.append(place >= 0 && place < digits.count ? digits[place] : UInt8(ascii: "0"))
        }
        while fraction.last == UInt8(ascii: "0") { fraction.removeLast() }
        if !fraction.isEmpty {
            out.append(UInt8(ascii: "."))
            for digit in fraction { out.append(digit) }
        }
        // What is too small for seventeen digits is zero, which has no sign.
        if number < 0, out.bytes[start...].allSatisfy({ $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "0") }) {
            out.truncate(to: start)
            out.append(UInt8(ascii: "0"))
        }
    }
}
