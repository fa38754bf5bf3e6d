import Tenancy

/// Reads one JSON text (RFC 8259), strictly: valid UTF-8, no byte-order mark, no name twice in an object, no lone
/// surrogate, nothing after the value, and limits on size and nesting. Nothing that it is given makes it trap.
///
/// Cost: linear in the input. Not for the data path.
package struct JSONParser {
    /// What a body or a claim may nest: far more than any message of Martlet does, far less than a stack holds.
    package static let nestingCeiling = 16

    private let bytes: [UInt8]
    private var position = 0
    private var depth = 0

    /// - Parameter ceiling: the most bytes that are looked at.
    /// - Throws: ``MartletError/malformed(_:)``, which names the byte at fault and quotes nothing of the input.
    package static func parse(_ bytes: [UInt8], ceiling: Int) throws(MartletError) -> JSONValue {
        guard bytes.count <= ceiling else {
            throw .malformed("the JSON text is longer than \(ceiling) bytes")
        }
        var parser = JSONParser(bytes: bytes)
        parser.skipWhitespace()
        let value = try parser.value()
        parser.skipWhitespace()
        guard parser.position == bytes.count else {
            throw parser.failure("the end was expected")
        }
        return value
    }

    private init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    private func failure(_ reason: String) -> MartletError {
        .malformed("the JSON text is malformed at byte \(position): \(reason)")
    }

    private var next: UInt8? {
        position < bytes.count ? bytes[position] : nil
    }

    private mutating func skipWhitespace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
            position += 1
        }
    }

    /// Steps over `byte` if it is next.
    private mutating func take(_ byte: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: byte) else { return false }
        position += 1
        return true
    }

    private mutating func value() throws(MartletError) -> JSONValue {
        switch next {
        case UInt8(ascii: "{"): return try nested { parser throws(MartletError) in try parser.object() }
        case UInt8(ascii: "["): return try nested { parser throws(MartletError) in try parser.array() }
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "-"), (UInt8(ascii: "0")...UInt8(ascii: "9"))?: return .number(try number())
        case UInt8(ascii: "t"): return try literal("true", .boolean(true))
        case UInt8(ascii: "f"): return try literal("false", .boolean(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        default: throw failure("a value was expected")
        }
    }

    private mutating func nested(
        _ body: (inout JSONParser) throws(MartletError) -> JSONValue
    ) throws(MartletError) -> JSONValue {
        guard depth < Self.nestingCeiling else {
            throw failure("it nests deeper than \(Self.nestingCeiling)")
        }
        depth += 1
        position += 1
        skipWhitespace()
        let value = try body(&self)
        depth -= 1
        return value
    }

    private mutating func literal(_ word: String, _ value: JSONValue) throws(MartletError) -> JSONValue {
        guard bytes[position...].starts(with: word.utf8) else {
            throw failure("a value was expected")
        }
        position += word.utf8.count
        return value
    }

    private mutating func array() throws(MartletError) -> JSONValue {
        var elements: [JSONValue] = []
        if take("]") { return .array(elements) }
        while true {
            elements.append(try value())
            skipWhitespace()
            if take("]") { return .array(elements) }
            guard take(",") else { throw failure("',' or ']' was expected") }
            skipWhitespace()
        }
    }

    private mutating func object() throws(MartletError) -> JSONValue {
        var members: [JSONValue.Member] = []
        // By bytes: as strings, two spellings of one accented letter would count as one name.
        var names: Set<[UInt8]> = []
        if take("}") { return .object(members) }
        while true {
            guard next == UInt8(ascii: "\"") else { throw failure("a name was expected") }
            let name = try string()
            guard names.insert(Array(name.utf8)).inserted else {
                throw failure("a name occurs twice in one object")
            }
            skipWhitespace()
            guard take(":") else { throw failure("':' was expected") }
            skipWhitespace()
            members.append(JSONValue.Member(name, try value()))
            skipWhitespace()
            if take("}") { return .object(members) }
            guard take(",") else { throw failure("',' or '}' was expected") }
            skipWhitespace()
        }
    }

    /// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
    private mutating func number() throws(MartletError) -> String {
        let start = position
        _ = take("-")
        if !take("0") {
            guard skipDigits() else { throw failure("a digit was expected") }
        }
        if take(".") {
            guard skipDigits() else { throw failure("a digit was expected") }
        }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            guard skipDigits() else { throw failure("a digit was expected") }
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func skipDigits() -> Bool {
        let start = position
        while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
            position += 1
        }
        return position > start
    }

    private mutating func string() throws(MartletError) -> String {
        position += 1
        var text: [UInt8] = []
        while let byte = next {
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let valid = String(validating: text, as: UTF8.self) else {
                    throw failure("the string before it is not UTF-8")
                }
                return valid
            case UInt8(ascii: "\\"):
                try escape(into: &text)
            case 0..<0x20:
                throw failure("a control character must be escaped")
            default:
                text.append(byte)
            }
        }
        throw failure("the string has no end")
    }

    private mutating func escape(into text: inout [UInt8]) throws(MartletError) {
        guard let byte = next else { throw failure("the string has no end") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            text += String(Character(try escapedScalar())).utf8
        default: throw failure("the escape is not known")
        }
    }

    /// The scalar of `\uXXXX`, or of two of them that form a surrogate pair; the first `\u` is read already.
    private mutating func escapedScalar() throws(MartletError) -> Unicode.Scalar {
        let high = try hexadecimalUnit()
        if let scalar = Unicode.Scalar(high) { return scalar }
        guard (0xD800..<0xDC00).contains(high), take("\\"), take("u") else {
            throw failure("a surrogate stands alone")
        }
        let low = try hexadecimalUnit()
        guard (0xDC00..<0xE000).contains(low),
            let scalar = Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00))
        else {
            throw failure("a surrogate stands alone")
        }
        return scalar
    }

    private mutating func hexadecimalUnit() throws(MartletError) -> UInt32 {
        var unit: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw failure("four hexadecimal digits were expected")
            }
            unit = unit << 4 | UInt32(digit)
            position += 1
        }
        return unit
    }
}
