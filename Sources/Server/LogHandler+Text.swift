import Tenancy

/// What makes a piece of text fit for a log: nothing secret, nothing that acts on a terminal, not too long.
enum LogText {
    /// The most that one message or one value takes of a line.
    static let maxValueBytes = 4096

    static let redaction = "[redacted]"

    /// RFC 3339 in UTC with milliseconds, in the proleptic Gregorian calendar.
    static func time(_ time: Timestamp) -> String {
        let (days, millisecondOfDay) = floored(time.milliseconds, by: 86_400_000)
        // Eras of 400 years, each of 146,097 days, with years that begin in March, so that the day that comes and goes is
        // the last (E. Reingold, N. Dershowitz, Calendrical Calculations).
        let (era, dayOfEra) = floored(days + 719_468, by: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0)
        let (secondOfDay, millisecond) = floored(millisecondOfDay, by: 1000)
        let date = "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))"
        let clock = [secondOfDay / 3600, secondOfDay / 60 % 60, secondOfDay % 60].map { padded($0, 2) }
        return "\(date)T\(clock.joined(separator: ":")).\(padded(millisecond, 3))Z"
    }

    /// Quotient and remainder with the quotient rounded down, so that times before 1970 count forward too.
    private static func floored(_ value: Int64, by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }

    private static func padded(_ number: Int64, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    // MARK: - Secrets

    /// Whether whatever stands under this key is kept out of the log: header fields that carry credentials, and the
    /// words for them.
    static func isSecret(_ key: String) -> Bool {
        secretKeys.contains(key.lowercased())
    }

    private static let secretKeys: Set<String> = [
        "authorization", "proxy-authorization", "cookie", "set-cookie", "token", "api_key", "api-key", "root_key",
        "root-key", "refresh_token", "secret", "password",
    ]

    /// The text with the value of every `token=` query parameter, and whatever follows `authorization:` in a line,
    /// replaced. A parameter's name is recognised in any case of letters and with any of them percent-encoded, as a
    /// server decodes it; names that end in `token` lose their value too. Cut to ``maxValueBytes`` first.
    ///
    /// This is the second line of defence. The first is that nobody hands a credential to a logger.
    static func redacted(_ text: String) -> String {
        let bytes = cut(Array(text.utf8))
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            if let end = match("token=", in: bytes, at: index) {
                result.append(contentsOf: bytes[index..<end])
                result.append(contentsOf: redaction.utf8)
                index = bytes[end...].firstIndex(where: endsParameter) ?? bytes.count
            } else if let end = match("authorization:", in: bytes, at: index)
                ?? match("authorization=", in: bytes, at: index)
            {
                result.append(contentsOf: bytes[index..<end])
                result.append(contentsOf: redaction.utf8)
                index = bytes[end...].firstIndex { $0 == 0x0A || $0 == 0x0D } ?? bytes.count
            } else {
                result.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static func endsParameter(_ byte: UInt8) -> Bool {
        switch byte {
        case 0...0x20, UInt8(ascii: "&"), UInt8(ascii: "#"), UInt8(ascii: "\""), UInt8(ascii: "'"): true
        default: false
        }
    }

    /// Where the word ends if it stands at the index, in any case and with letters percent-encoded; else nil.
    private static func match(_ word: StaticString, in bytes: [UInt8], at start: Int) -> Int? {
        var index = start
        return word.withUTF8Buffer { word -> Int? in
            for expected in word {
                guard index < bytes.count else { return nil }
                var byte = bytes[index]
                index += 1
                if byte == UInt8(ascii: "%"), index + 1 < bytes.count, let high = hexadecimal(bytes[index]),
                    let low = hexadecimal(bytes[index + 1])
                {
                    byte = high << 4 | low
                    index += 2
                }
                if (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) {
                    byte |= 0x20
                }
                guard byte == expected else { return nil }
            }
            return index
        }
    }

    private static func hexadecimal(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// At most ``maxValueBytes``, never ending within a character, and saying so where something is missing.
    private static func cut(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.count > maxValueBytes else { return bytes }
        var end = maxValueBytes
        // A byte 10xxxxxx goes on with the character before it (RFC 3629 section 3).
        while end > 0, bytes[end] & 0xC0 == 0x80 {
            end -= 1
        }
        return Array(bytes[..<end]) + Array("…".utf8)
    }

    // MARK: - Escapes

    /// One scalar as it may stand in a line of text: what would break the line, steer a terminal or change the
    /// direction of reading is written as its number.
    static func escaped(_ scalar: Unicode.Scalar) -> String {
        switch scalar {
        case "\n": return "\\n"
        case "\r": return "\\r"
        case "\t": return "\\t"
        default: break
        }
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned:
            return "\\u{\(String(scalar.value, radix: 16, uppercase: true))}"
        default:
            return String(scalar)
        }
    }

    static func escapedText(_ text: String) -> String {
        // Nearly every line is plain ASCII.
        if text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) { return text }
        return text.unicodeScalars.reduce(into: "") { $0 += escaped($1) }
    }

    /// The text as a JSON string (RFC 8259 section 7), with the characters that break lines or steer terminals escaped
    /// beyond what JSON asks for.
    static func jsonString(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default:
                switch scalar.properties.generalCategory {
                case .control, .format, .lineSeparator, .paragraphSeparator:
                    for unit in Character(scalar).utf16 {
                        let digits = String(unit, radix: 16)
                        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                    }
                default:
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result + "\""
    }
}
