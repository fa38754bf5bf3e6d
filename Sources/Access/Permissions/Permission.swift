import Tenancy

/// Which caches of the tenant a permission is for.
package enum CacheSelector: Hashable, Sendable {
    case all
    case named(CacheName)

    /// Whether the selector covers the cache. Cost: a comparison of names, no allocation.
    package func covers(_ cache: CacheName) -> Bool {
        switch self {
        case .all: true
        case .named(let name): name == cache
        }
    }
}

/// Which items of a cache a permission is for. Keys are bytes.
package enum ItemSelector: Hashable, Sendable {
    case all
    case key([UInt8])
    case keyPrefix([UInt8])
}

/// Which topics of a cache a permission is for. Names are compared byte by byte: two spellings of one accented letter
/// are two topics.
package enum TopicSelector: Hashable, Sendable {
    case all
    case named(String)
    case prefix(String)

    package static func == (left: TopicSelector, right: TopicSelector) -> Bool {
        switch (left, right) {
        case (.all, .all): true
        case (.named(let left), .named(let right)): left.utf8.elementsEqual(right.utf8)
        case (.prefix(let left), .prefix(let right)): left.utf8.elementsEqual(right.utf8)
        default: false
        }
    }

    package func hash(into hasher: inout Hasher) {
        switch self {
        case .all: hasher.combine(0)
        case .named(let name): Self.combine(1, name, into: &hasher)
        case .prefix(let prefix): Self.combine(2, prefix, into: &hasher)
        }
    }

    private static func combine(_ kind: Int, _ text: String, into hasher: inout Hasher) {
        hasher.combine(kind)
        for byte in text.utf8 { hasher.combine(byte) }
    }
}

/// One statement of a key or a token: a role on some items, or on some topics, of some caches. There are only
/// statements that allow.
package struct Permission: Hashable, Sendable {
    /// Items or topics.
    package enum Resource: Hashable, Sendable {
        case items(ItemSelector)
        case topics(TopicSelector)
    }

    package let role: Role
    package let cache: CacheSelector
    package let resource: Resource

    package init(_ role: Role, cache: CacheSelector, _ resource: Resource) {
        self.role = role
        self.cache = cache
        self.resource = resource
    }

    /// The longest key, key prefix, topic name or topic prefix that a statement may hold.
    package static let selectorByteCeiling = 65_536

    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` with the field below `field` that is at fault: an
    ///   empty or over-long selector, or a single cache or topic called `*`, which every text form would read as all of
    /// them.
    func validate(field: String) throws(MartletError) {
        if case .named(let name) = cache, name.text.utf8.elementsEqual("*".utf8) {
            throw .invalidArgument(field: "\(field).cache", reason: "cannot select one cache named *")
        }
        switch resource {
        case .items(.all), .topics(.all):
            break
        case .items(.key(let key)):
            try Self.validate(length: key.count, field: "\(field).key")
        case .items(.keyPrefix(let prefix)):
            try Self.validate(length: prefix.count, field: "\(field).key_prefix")
        case .topics(.named(let name)):
            guard !name.utf8.elementsEqual("*".utf8) else {
                throw .invalidArgument(field: "\(field).topic", reason: "cannot select one topic named *")
            }
            try Self.validate(topic: name, field: "\(field).topic")
        case .topics(.prefix(let prefix)):
            try Self.validate(topic: prefix, field: "\(field).topic_prefix")
        }
    }

    private static func validate(topic: String, field: String) throws(MartletError) {
        try validate(length: topic.utf8.count, field: field)
        guard plainText(Array(topic.utf8)) != nil else {
            throw .invalidArgument(field: field, reason: "must not contain control characters")
        }
    }

    private static func validate(length: Int, field: String) throws(MartletError) {
        guard length > 0 else {
            throw .invalidArgument(field: field, reason: "must not be empty")
        }
        guard length <= selectorByteCeiling else {
            throw .invalidArgument(field: field, reason: "must be at most \(selectorByteCeiling) bytes long")
        }
    }
}
