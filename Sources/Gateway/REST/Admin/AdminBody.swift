import Access
import CacheService
import Tenancy

/// The JSON object in the body of a control-plane request. Every field that is not known is refused, and each refusal
/// names the field. An empty body is an empty object. A field that is null counts as absent.
struct AdminBody {
    private let members: [JSONValue.Member]

    /// The door keeps bodies shorter than this.
    private static let byteCeiling = 1 << 20

    /// - Parameters:
    ///   - fields: The names of the fields that are known.
    /// - Throws: ``MartletError/malformed(_:)`` for a body that is not JSON or no object,
    ///   ``MartletError/invalidArgument(field:reason:)`` for an unknown field.
    init(_ bytes: [UInt8], fields: [String]) throws(MartletError) {
        guard !bytes.isEmpty else {
            members = []
            return
        }
        guard let members = try JSONParser.parse(bytes, ceiling: Self.byteCeiling).object else {
            throw .malformed("the body must be a JSON object")
        }
        for member in members where !fields.contains(where: { $0.utf8.elementsEqual(member.name.utf8) }) {
            throw .invalidArgument(field: Self.quotable(member.name), reason: "is not a known field")
        }
        self.members = members
    }

    /// A name that a caller sent, short enough to be given back.
    private static func quotable(_ name: String) -> String {
        String(String.UnicodeScalarView(name.unicodeScalars.prefix(64)))
    }

    /// The value of a field; nil when it is absent or null.
    func value(_ name: String) -> JSONValue? {
        guard let value = stored(name), value != .null else { return nil }
        return value
    }

    private func stored(_ name: String) -> JSONValue? {
        members.first { $0.name == name }?.value
    }

    /// Whether the field is there and null.
    func isNull(_ name: String) -> Bool {
        stored(name) == .null
    }

    func required(_ name: String) throws(MartletError) -> JSONValue {
        guard let value = stored(name) else {
            throw .invalidArgument(field: name, reason: "is required")
        }
        return value
    }

    func text(_ name: String) throws(MartletError) -> String? {
        guard let value = value(name) else { return nil }
        guard let text = value.string else {
            throw .invalidArgument(field: name, reason: "must be a string")
        }
        return text
    }

    /// A whole number, which may be negative: what range it must be in is not for the form to say.
    func whole(_ name: String) throws(MartletError) -> Int64? {
        guard let value = value(name) else { return nil }
        return try Self.whole(value, name)
    }

    func requiredWhole(_ name: String) throws(MartletError) -> Int64 {
        try Self.whole(try required(name), name)
    }

    private static func whole(_ value: JSONValue, _ name: String) throws(MartletError) -> Int64 {
        guard case .number(let literal) = value, let number = WholeNumber.value(of: literal) else {
            throw .invalidArgument(field: name, reason: "must be a whole number")
        }
        return number
    }

    /// `limits`: an object from the names of limits to whole numbers, or null to unset one.
    func limits() throws(MartletError) -> LimitChanges {
        var changes: LimitChanges = [:]
        for member in try object("limits") {
            let field = "limits.\(Self.quotable(member.name))"
            guard let name = LimitName(rawValue: member.name) else {
                throw .invalidArgument(field: field, reason: "is not a known limit")
            }
            if member.value == .null {
                changes.updateValue(nil, forKey: name)
            } else if case .number(let literal) = member.value, let whole = WholeNumber.value(of: literal),
                let number = UInt64(exactly: whole), name.range.contains(number)
            {
                changes.updateValue(number, forKey: name)
            } else {
                throw .invalidArgument(field: field, reason: name.demand)
            }
        }
        return changes
    }

    /// `labels`: an object from names to texts, or null to remove one.
    func labels() throws(MartletError) -> LabelChanges {
        var changes: LabelChanges = [:]
        for member in try object("labels") {
            let known = changes.count
            if member.value == .null {
                changes.updateValue(nil, forKey: member.name)
            } else if let text = member.value.string {
                changes.updateValue(text, forKey: member.name)
            } else {
                throw .invalidArgument(
                    field: "labels.\(Self.quotable(member.name))", reason: "must be a string or null")
            }
            // Two spellings of one accented letter are one key to a dictionary: which of the values was meant?
            guard changes.count > known else {
                throw .invalidArgument(field: "labels.\(Self.quotable(member.name))", reason: "stands twice")
            }
        }
        return changes
    }

    private func object(_ name: String) throws(MartletError) -> [JSONValue.Member] {
        guard let value = stored(name) else { return [] }
        guard let members = value.object else {
            throw .invalidArgument(field: name, reason: "must be an object")
        }
        return members
    }
}
