import Tenancy

/// The text form of people: what the control plane takes and shows.
///
/// A statement is `{"role":"readonly"|"writeonly"|"readwrite","cache":NAME|"*"}` with nothing more (all items), or with
/// one of `key`, `key_prefix`, `key_base64`, `key_prefix_base64`, `topic` (`"*"` for all) and `topic_prefix`.
extension Permission {
    private static let selectorNames = [
        "key", "key_prefix", "key_base64", "key_prefix_base64", "topic", "topic_prefix",
    ]

    /// - Parameter field: the path of this statement in its message, as in `permissions[3]`.
    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` with the path of the field that is wrong, unknown or
    ///   missing.
    package init(json: JSONValue, field: String) throws(MartletError) {
        guard let members = json.object else {
            throw .invalidArgument(field: field, reason: "must be an object")
        }
        var selector: String?
        for member in members where member.name != "role" && member.name != "cache" {
            guard Self.selectorNames.contains(member.name) else {
                throw .invalidArgument(field: "\(field).\(quotable(member.name))", reason: "is not a known field")
            }
            if let earlier = selector {
                throw .invalidArgument(field: "\(field).\(member.name)", reason: "cannot stand beside \(earlier)")
            }
            selector = member.name
        }

        let roleText = try Self.text(json, "role", field)
        guard let role = Role(text: roleText) else {
            throw .invalidArgument(field: "\(field).role", reason: "must be readonly, writeonly or readwrite")
        }
        let cacheText = try Self.text(json, "cache", field)
        let cache: CacheSelector =
            cacheText == "*" ? .all : .named(try CacheName(cacheText, field: "\(field).cache"))
        let resource = try selector.map { name throws(MartletError) in try Self.resource(json, name, field) }
        self.init(role, cache: cache, resource ?? .items(.all))
        try validate(field: field)
    }

    private static func resource(_ json: JSONValue, _ name: String, _ field: String) throws(MartletError) -> Resource {
        let text = try text(json, name, field)
        return switch name {
        case "key": .items(.key(Array(text.utf8)))
        case "key_prefix": .items(.keyPrefix(Array(text.utf8)))
        case "key_base64": .items(.key(try bytes(text, "\(field).\(name)")))
        case "key_prefix_base64": .items(.keyPrefix(try bytes(text, "\(field).\(name)")))
        case "topic": .topics(text == "*" ? .all : .named(text))
        default: .topics(.prefix(text))
        }
    }

    private static func text(_ json: JSONValue, _ name: String, _ field: String) throws(MartletError) -> String {
        guard let value = json[name] else {
            throw .invalidArgument(field: "\(field).\(name)", reason: "is required")
        }
        guard let text = value.string else {
            throw .invalidArgument(field: "\(field).\(name)", reason: "must be a string")
        }
        return text
    }

    private static func bytes(_ text: String, _ field: String) throws(MartletError) -> [UInt8] {
        guard let bytes = Base64.decode(text.utf8, .either) else {
            throw .invalidArgument(field: field, reason: "must be base64")
        }
        return bytes
    }

    /// The statement as ``init(json:field:)`` reads it.
    package var json: JSONValue {
        let cacheText =
            switch cache {
            case .all: "*"
            case .named(let name): name.text
            }
        var members: [JSONValue.Member] = [
            .init("role", .string(role.text)), .init("cache", .string(cacheText)),
        ]
        switch resource {
        case .items(.all): break
        case .items(.key(let key)): members.append(Self.member("key", key))
        case .items(.keyPrefix(let prefix)): members.append(Self.member("key_prefix", prefix))
        case .topics(.all): members.append(.init("topic", .string("*")))
        case .topics(.named(let name)): members.append(.init("topic", .string(name)))
        case .topics(.prefix(let prefix)): members.append(.init("topic_prefix", .string(prefix)))
        }
        return .object(members)
    }

    private static func member(_ name: String, _ bytes: [UInt8]) -> JSONValue.Member {
        if let text = plainText(bytes) {
            JSONValue.Member(name, .string(text))
        } else {
            JSONValue.Member("\(name)_base64", .string(Base64.encode(bytes, .standard)))
        }
    }

    /// The bytes as text, where they are UTF-8 without control characters. A NUL above all must not stand in a claim as
    /// itself: the JSON reader of libjwt ends a string there.
    static func plainText(_ bytes: [UInt8]) -> String? {
        guard let text = String(validating: bytes, as: UTF8.self),
            !text.unicodeScalars.contains(where: { $0.value < 0x20 || (0x7F..<0xA0).contains($0.value) })
        else { return nil }
        return text
    }
}

extension PermissionSet {
    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` with the path of what is wrong.
    package init(json: JSONValue, field: String = "permissions") throws(MartletError) {
        guard let elements = json.array else {
            throw .invalidArgument(field: field, reason: "must be an array")
        }
        guard elements.count <= Self.statementCeiling else {
            throw .invalidArgument(
                field: field, reason: "must hold at most \(Self.statementCeiling) statements, holds \(elements.count)"
            )
        }
        var permissions: [Permission] = []
        for (index, element) in elements.enumerated() {
            permissions.append(try Permission(json: element, field: "\(field)[\(index)]"))
        }
        try self.init(validating: permissions, field: field)
    }

    /// The statements as ``init(json:field:)`` reads them.
    package var json: JSONValue {
        .array(permissions.map(\.json))
    }
}

extension Grant {
    /// `"super_user"` or an array of statements.
    ///
    /// - Throws: as ``PermissionSet/init(json:field:)``.
    package init(json: JSONValue, field: String = "permissions") throws(MartletError) {
        switch json {
        case .string("super_user"):
            self = .superUser
        case .array:
            self = .permissions(try PermissionSet(json: json, field: field))
        default:
            throw .invalidArgument(field: field, reason: "must be \"super_user\" or an array of permissions")
        }
    }

    /// The grant as ``init(json:field:)`` reads it.
    package var json: JSONValue {
        switch self {
        case .superUser: .string("super_user")
        case .permissions(let set): set.json
        }
    }
}

/// A name that a caller sent, fit to be quoted in an error: at most 64 scalars, and no control or format characters.
func quotable(_ name: String) -> String {
    var text = ""
    for scalar in name.unicodeScalars.prefix(64) {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .unassigned, .privateUse, .surrogate:
            text.unicodeScalars.append("?")
        default:
            text.unicodeScalars.append(scalar)
        }
    }
    return text
}
