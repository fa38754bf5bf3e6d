import Tenancy

/// The permissions of a key or a token: 1 to 20 statements, each valid, no two for the same resource. Whatever any one
/// of them allows is allowed; nothing else is.
package struct PermissionSet: Hashable, Sendable {
    /// The statements, in the order in which they were given.
    package let permissions: [Permission]

    /// The most statements of a key or a token.
    package static let statementCeiling = 20

    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` whose field is `field` or lies below it: an empty
    ///   list, more than 20 statements, two for the same resource even with different roles (which of them was meant?),
    ///   or a statement that is not valid by itself.
    package init(validating permissions: [Permission], field: String = "permissions") throws(MartletError) {
        guard !permissions.isEmpty else {
            throw .invalidArgument(field: field, reason: "must not be empty")
        }
        guard permissions.count <= Self.statementCeiling else {
            throw .invalidArgument(
                field: field,
                reason: "must hold at most \(Self.statementCeiling) statements, holds \(permissions.count)"
            )
        }
        var places: [SelectedResource: Int] = [:]
        for (index, permission) in permissions.enumerated() {
            try permission.validate(field: "\(field)[\(index)]")
            let resource = SelectedResource(cache: permission.cache, resource: permission.resource)
            if let earlier = places.updateValue(index, forKey: resource) {
                throw .invalidArgument(
                    field: "\(field)[\(index)]", reason: "is for the same resource as \(field)[\(earlier)]"
                )
            }
        }
        self.permissions = permissions
    }

    private init(known permissions: [Permission]) {
        self.permissions = permissions
    }

    /// Read and write all items and all topics of all caches of the tenant.
    package static let allDataReadWrite = PermissionSet(known: [
        Permission(.readWrite, cache: .all, .items(.all)), Permission(.readWrite, cache: .all, .topics(.all)),
    ])

    /// Read and write all items and all topics of one cache.
    package static func readWrite(of cache: CacheName) -> PermissionSet {
        PermissionSet(known: [
            Permission(.readWrite, cache: .named(cache), .items(.all)),
            Permission(.readWrite, cache: .named(cache), .topics(.all)),
        ])
    }

    /// The cache that every statement names; nil where they name several, or all.
    package var onlyCache: CacheName? {
        var only: CacheName?
        for permission in permissions {
            guard case .named(let name) = permission.cache, only == nil || only == name else { return nil }
            only = name
        }
        return only
    }

    /// Whether any statement allows the operation.
    ///
    /// - Parameter key: the item's key, or the topic's name for ``CacheOperation/publish`` and
    ///   ``CacheOperation/subscribe``. Nil where the call names none; then only a statement on all items, or all
    ///   topics, allows it.
    ///
    /// Cost: a walk over the statements, no allocation. ``scope(for:)`` is faster for many calls on one cache.
    package func allows(_ operation: CacheOperation, cache: CacheName, key: UnsafeRawBufferPointer?) -> Bool {
        let rule = operation.rule
        if rule.target == .nothing { return true }
        return permissions.contains { permission in
            !rule.roles.isDisjoint(with: RoleSet(permission.role)) && permission.cache.covers(cache)
                && permission.resource.covers(rule.target, key)
        }
    }

    /// The statements that apply to one cache, ready for the data path. Cost: some small allocations; made once for a
    /// caller and a cache, then kept.
    package func scope(for cache: CacheName) -> ItemScope {
        ItemScope(permissions.filter { $0.cache.covers(cache) })
    }

    private struct SelectedResource: Hashable {
        let cache: CacheSelector
        let resource: Permission.Resource
    }
}

extension Permission.Resource {
    fileprivate func covers(_ target: OperationRule.Target, _ key: UnsafeRawBufferPointer?) -> Bool {
        switch (target, self) {
        case (.everyItem, .items(.all)), (.item, .items(.all)), (.topic, .topics(.all)):
            return true
        case (.item, .items(.key(let selected))):
            guard let key else { return false }
            return selected.withUnsafeBytes { $0.isEqual(to: key) }
        case (.item, .items(.keyPrefix(let prefix))):
            guard let key else { return false }
            return prefix.withUnsafeBytes { $0.isPrefix(of: key) }
        case (.topic, .topics(.named(let selected))):
            guard let key else { return false }
            return selected.utf8.elementsEqual(key)
        case (.topic, .topics(.prefix(let prefix))):
            guard let key else { return false }
            return key.starts(with: prefix.utf8)
        default:
            return false
        }
    }
}
