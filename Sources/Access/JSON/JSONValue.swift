/// A JSON value (RFC 8259) as it was written: members in their order, numbers as their literals.
///
/// It exists beside Foundation's decoder for what a security boundary needs and that one does not give: a name that
/// occurs twice in an object is refused instead of one of the two winning, nesting and size are bounded, and a text is
/// compared byte by byte.
package enum JSONValue: Equatable, Sendable {
    case null
    case boolean(Bool)
    /// The literal, valid by the grammar. Read it through ``integer``, which does not round.
    case number(String)
    case string(String)
    case array([JSONValue])
    case object([Member])

    /// A name and its value.
    package struct Member: Equatable, Sendable {
        package let name: String
        package let value: JSONValue

        package init(_ name: String, _ value: JSONValue) {
            self.name = name
            self.value = value
        }
    }

    /// The members of an object whose names and values are given in pairs.
    package static func members(_ pairs: KeyValuePairs<String, JSONValue>) -> JSONValue {
        .object(pairs.map { Member($0.key, $0.value) })
    }

    /// A whole number.
    package static func integer(_ value: Int64) -> JSONValue {
        .number(String(value))
    }

    /// The value of an object's member, found by the bytes of its name; nil where there is none.
    package subscript(name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name.utf8.elementsEqual(name.utf8) }?.value
    }

    /// The text of a string; nil for every other kind of value.
    package var string: String? {
        guard case .string(let text) = self else { return nil }
        return text
    }

    /// The elements of an array; nil for every other kind of value.
    package var array: [JSONValue]? {
        guard case .array(let elements) = self else { return nil }
        return elements
    }

    /// The members of an object, in their order; nil for every other kind of value.
    package var object: [Member]? {
        guard case .object(let members) = self else { return nil }
        return members
    }

    /// The truth value; nil for every other kind of value.
    package var boolean: Bool? {
        guard case .boolean(let value) = self else { return nil }
        return value
    }

    /// The number, where it is written as a whole number without fraction or exponent and fits.
    package var integer: Int64? {
        guard case .number(let literal) = self else { return nil }
        return Int64(literal)
    }

    /// As ``integer``, for what is not negative.
    package var unsignedInteger: UInt64? {
        guard case .number(let literal) = self else { return nil }
        return UInt64(literal)
    }

    /// The compact text, in the order of the members.
    package func encoded() -> [UInt8] {
        var output: [UInt8] = []
        write(into: &output)
        return output
    }

    private func write(into output: inout [UInt8]) {
        switch self {
        case .null: output += "null".utf8
        case .boolean(let value): output += (value ? "true" : "false").utf8
        case .number(let literal): output += literal.utf8
        case .string(let text): Self.write(text, into: &output)
        case .array(let elements):
            output.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                element.write(into: &output)
            }
            output.append(UInt8(ascii: "]"))
        case .object(let members):
            output.append(UInt8(ascii: "{"))
            for (index, member) in members.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                Self.write(member.name, into: &output)
                output.append(UInt8(ascii: ":"))
                member.value.write(into: &output)
            }
            output.append(UInt8(ascii: "}"))
        }
    }

    private static func write(_ text: String, into output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                output.append(UInt8(ascii: "\\"))
                output.append(byte)
            case 0..<0x20, 0x7F:
                output += "\\u00".utf8
                output += SecureRandom.hexadecimal([byte]).utf8
            default:
                output.append(byte)
            }
        }
        output.append(UInt8(ascii: "\""))
    }
}
