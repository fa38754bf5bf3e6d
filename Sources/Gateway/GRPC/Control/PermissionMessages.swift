import Access
import Tenancy
import Wire

/// What the messages of the package `permission_messages` mean. Their duplicates, their number and the lengths of their
/// selectors are judged where every door's are: in ``PermissionSet``.
extension Grant {
    /// - Parameter message: Nil when the request has none.
    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` with the path of what is missing, unknown or not
    ///   valid.
    init(_ message: PermissionPermissions?, field: String = "permissions") throws(MartletError) {
        switch message?.kind {
        case nil:
            throw .invalidArgument(field: field, reason: "is required: super_user or explicit")
        case .superUser(.superUser):
            self = .superUser
        case .superUser:
            throw .invalidArgument(field: "\(field).super_user", reason: "is not a known value")
        case .explicit(let explicit):
            self = .permissions(try PermissionSet(explicit.permissions, field: field))
        }
    }
}

extension PermissionSet {
    fileprivate init(_ messages: [PermissionPermissionsType], field: String) throws(MartletError) {
        guard messages.count <= Self.statementCeiling else {
            throw .invalidArgument(
                field: field, reason: "must hold at most \(Self.statementCeiling) statements, holds \(messages.count)")
        }
        var permissions: [Permission] = []
        for (index, message) in messages.enumerated() {
            permissions.append(try Permission(message, field: "\(field)[\(index)]"))
        }
        try self.init(validating: permissions, field: field)
    }
}

extension Permission {
    fileprivate init(_ message: PermissionPermissionsType, field: String) throws(MartletError) {
        switch message.kind {
        case .cachePermissions(let permission):
            try self.init(permission, field: "\(field).cache_permissions")
        case .topicPermissions(let permission):
            try self.init(permission, field: "\(field).topic_permissions")
        case .functionPermissions:
            throw .invalidArgument(
                field: "\(field).function_permissions", reason: "cannot be given: there are no functions")
        case nil:
            throw .invalidArgument(field: field, reason: "must hold cache_permissions or topic_permissions")
        }
    }

    private init(_ message: PermissionPermissionsType.CachePermissions, field: String) throws(MartletError) {
        let role = try Self.role(message.role, field: field)
        let cache: CacheSelector
        switch message.cache {
        case .allCaches: cache = .all
        case .cacheSelector(let selector): cache = try CacheSelector(selector, field: field)
        case nil: throw Self.missingCache(field)
        }
        let items: ItemSelector
        switch message.cacheItem {
        case .allItems, nil: items = .all
        case .itemSelector(let selector):
            switch selector.kind {
            case .key(let key): items = .key(Array(key))
            case .keyPrefix(let prefix): items = .keyPrefix(Array(prefix))
            case nil: throw .invalidArgument(field: "\(field).item_selector", reason: "must hold key or key_prefix")
            }
        }
        self.init(role, cache: cache, .items(items))
    }

    private init(_ message: PermissionPermissionsType.TopicPermissions, field: String) throws(MartletError) {
        let role = try Self.role(message.role, field: field)
        let cache: CacheSelector
        switch message.cache {
        case .allCaches: cache = .all
        case .cacheSelector(let selector): cache = try CacheSelector(selector, field: field)
        case nil: throw Self.missingCache(field)
        }
        let topics: TopicSelector
        switch message.topic {
        case .allTopics: topics = .all
        case .topicSelector(let selector):
            switch selector.kind {
            case .topicName(let name): topics = .named(name)
            case .topicNamePrefix(let prefix): topics = .prefix(prefix)
            case nil:
                throw .invalidArgument(
                    field: "\(field).topic_selector", reason: "must hold topic_name or topic_name_prefix")
            }
        case nil:
            throw .invalidArgument(field: "\(field).topic", reason: "is required: all_topics or topic_selector")
        }
        self.init(role, cache: cache, .topics(topics))
    }

    private static func role(_ role: PermissionCacheRole, field: String) throws(MartletError) -> Role {
        switch role {
        case .cacheReadWrite: .readWrite
        case .cacheReadOnly: .readOnly
        case .cacheWriteOnly: .writeOnly
        case .cachePermitNone: throw permitsNothing(field)
        case .UNRECOGNIZED: throw unknownRole(field)
        }
    }

    private static func role(_ role: PermissionTopicRole, field: String) throws(MartletError) -> Role {
        switch role {
        case .topicReadWrite: .readWrite
        case .topicReadOnly: .readOnly
        case .topicWriteOnly: .writeOnly
        case .topicPermitNone: throw permitsNothing(field)
        case .UNRECOGNIZED: throw unknownRole(field)
        }
    }

    private static func permitsNothing(_ field: String) -> MartletError {
        .invalidArgument(field: "\(field).role", reason: "is required: it permits nothing")
    }

    private static func unknownRole(_ field: String) -> MartletError {
        .invalidArgument(field: "\(field).role", reason: "is not a known role")
    }

    private static func missingCache(_ field: String) -> MartletError {
        .invalidArgument(field: "\(field).cache", reason: "is required: all_caches or cache_selector")
    }
}

extension CacheSelector {
    fileprivate init(_ message: PermissionPermissionsType.CacheSelector, field: String) throws(MartletError) {
        guard case .cacheName(let name)? = message.kind else {
            throw .invalidArgument(field: "\(field).cache_selector", reason: "must hold cache_name")
        }
        self = .named(try CacheName(name, field: "\(field).cache_selector.cache_name"))
    }
}
