import Tenancy

/// The text form of machines: short enough for a claim, and what the catalog stores.
///
/// A statement is a JSON array `[role, cache]` or `[role, cache, kind]` or `[role, cache, kind, selector]`:
///
/// ```
/// ["rw","shop"]                 all items of one cache         role: r, w, rw
/// ["r","*"]                     all items of all caches
/// ["rw","shop","k","cart:1"]    one key                        kb: the same, as base64url
/// ["rw","shop","p","cart:"]     keys with a prefix             pb: the same, as base64url
/// ["w","shop","t"]              all topics
/// ["w","shop","t","orders"]     one topic
/// ["w","shop","tp","orders."]   topics with a prefix
/// ```
///
/// Decoding takes exactly what encoding gives, for what has another spelling was written by somebody else.
extension Permission {
    /// The statement as ``init(compact:)`` reads it.
    package var compact: JSONValue {
        let roleText =
            switch role {
            case .readOnly: "r"
            case .writeOnly: "w"
            case .readWrite: "rw"
            }
        let cacheText =
            switch cache {
            case .all: "*"
            case .named(let name): name.text
            }
        var parts = [roleText, cacheText]
        switch resource {
        case .items(.all): break
        case .items(.key(let key)): parts += Self.compact("k", key)
        case .items(.keyPrefix(let prefix)): parts += Self.compact("p", prefix)
        case .topics(.all): parts.append("t")
        case .topics(.named(let name)): parts += ["t", name]
        case .topics(.prefix(let prefix)): parts += ["tp", prefix]
        }
        return .array(parts.map { .string($0) })
    }

    private static func compact(_ kind: String, _ bytes: [UInt8]) -> [String] {
        if let text = plainText(bytes) { [kind, text] } else { [kind + "b", Base64.encode(bytes, .url)] }
    }

    /// Nil for everything but the compact form of a permission.
    package init?(compact: JSONValue) {
        guard let elements = compact.array, (2...4).contains(elements.count) else { return nil }
        var parts: [String] = []
        for element in elements {
            guard let text = element.string else { return nil }
            parts.append(text)
        }
        let role: Role
        switch parts[0] {
        case "r": role = .readOnly
        case "w": role = .writeOnly
        case "rw": role = .readWrite
        default: return nil
        }
        let cache: CacheSelector
        if parts[1] == "*" {
            cache = .all
        } else {
            guard let name = try? CacheName(parts[1]) else { return nil }
            cache = .named(name)
        }
        guard let resource = Self.resource(parts.dropFirst(2)) else { return nil }
        self.init(role, cache: cache, resource)
        // The only spelling: no base64 for what is plain text, no characters that merely compare as equal.
        guard self.compact.encoded() == compact.encoded() else { return nil }
    }

    private static func resource(_ parts: ArraySlice<String>) -> Resource? {
        guard let kind = parts.first else { return .items(.all) }
        guard let selector = parts.dropFirst().first else { return kind == "t" ? .topics(.all) : nil }
        switch kind {
        case "k": return .items(.key(Array(selector.utf8)))
        case "p": return .items(.keyPrefix(Array(selector.utf8)))
        case "kb": return Base64.decode(selector.utf8, .url).map { .items(.key($0)) }
        case "pb": return Base64.decode(selector.utf8, .url).map { .items(.keyPrefix($0)) }
        case "t": return .topics(.named(selector))
        case "tp": return .topics(.prefix(selector))
        default: return nil
        }
    }
}

extension PermissionSet {
    /// The statements as ``init(compact:)`` reads them.
    package var compact: JSONValue {
        .array(permissions.map(\.compact))
    }

    /// Nil for everything but the compact form of a valid set.
    package init?(compact: JSONValue) {
        guard let elements = compact.array, elements.count <= Self.statementCeiling else { return nil }
        var permissions: [Permission] = []
        for element in elements {
            guard let permission = Permission(compact: element) else { return nil }
            permissions.append(permission)
        }
        guard let set = try? PermissionSet(validating: permissions) else { return nil }
        self = set
    }
}

extension Grant {
    /// The most bytes that a stored grant may have: 20 statements with selectors of the longest kind, as base64.
    private static let storedByteCeiling = 4 << 20

    /// What the catalog stores: `"super_user"`, or an array of compact statements, as JSON text.
    package var stored: [UInt8] {
        switch self {
        case .superUser: JSONValue.string("super_user").encoded()
        case .permissions(let set): set.compact.encoded()
        }
    }

    /// Nil for everything but what ``stored`` gives.
    package init?(stored bytes: [UInt8]) {
        guard let value = try? JSONParser.parse(bytes, ceiling: Self.storedByteCeiling) else { return nil }
        if value == .string("super_user") {
            self = .superUser
        } else if let set = PermissionSet(compact: value) {
            self = .permissions(set)
        } else {
            return nil
        }
        guard stored == bytes else { return nil }
    }
}
