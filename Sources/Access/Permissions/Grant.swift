import Tenancy

/// What a credential entitles to.
package enum Grant: Hashable, Sendable {
    /// Everything within the tenant: its control plane and its data.
    case superUser
    case permissions(PermissionSet)

    /// Whether it is everything within the tenant.
    package var isSuperUser: Bool { self == .superUser }

    /// As ``PermissionSet/scope(for:)``.
    package func scope(for cache: CacheName) -> ItemScope {
        switch self {
        case .superUser: .unrestricted
        case .permissions(let set): set.scope(for: cache)
        }
    }

    /// As ``PermissionSet/allows(_:cache:key:)``.
    package func allows(_ operation: CacheOperation, cache: CacheName, key: UnsafeRawBufferPointer?) -> Bool {
        switch self {
        case .superUser: true
        case .permissions(let set): set.allows(operation, cache: cache, key: key)
        }
    }
}
