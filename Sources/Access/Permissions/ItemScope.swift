#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// What one caller may do in one cache: the statements that apply to it, turned into what the data path asks.
///
/// A statement on all items or all topics becomes a bit in a set of roles, so that the common caller costs one `and`.
/// The others are at most 20 byte strings, compared in turn.
package struct ItemScope: Sendable {
    private struct Selector: Sendable {
        let isTopic: Bool
        let isPrefix: Bool
        let roles: RoleSet
        let bytes: [UInt8]
    }

    private let everyItem: RoleSet
    private let everyTopic: RoleSet
    private let selectors: [Selector]

    /// Everything, for a super-user.
    package static let unrestricted = ItemScope(PermissionSet.allDataReadWrite.permissions)

    init(_ permissions: [Permission]) {
        var everyItem: RoleSet = []
        var everyTopic: RoleSet = []
        var selectors: [Selector] = []
        for permission in permissions {
            let roles = RoleSet(permission.role)
            switch permission.resource {
            case .items(.all):
                everyItem.formUnion(roles)
            case .items(.key(let key)):
                selectors.append(Selector(isTopic: false, isPrefix: false, roles: roles, bytes: key))
            case .items(.keyPrefix(let prefix)):
                selectors.append(Selector(isTopic: false, isPrefix: true, roles: roles, bytes: prefix))
            case .topics(.all):
                everyTopic.formUnion(roles)
            case .topics(.named(let name)):
                selectors.append(Selector(isTopic: true, isPrefix: false, roles: roles, bytes: Array(name.utf8)))
            case .topics(.prefix(let prefix)):
                selectors.append(Selector(isTopic: true, isPrefix: true, roles: roles, bytes: Array(prefix.utf8)))
            }
        }
        self.everyItem = everyItem
        self.everyTopic = everyTopic
        self.selectors = selectors
    }

    /// Whether the operation is allowed. Called for every request; it must not allocate.
    ///
    /// - Parameter key: the item's key, or the topic's name for ``CacheOperation/publish`` and
    ///   ``CacheOperation/subscribe``. Nil where the call names none; then only a statement on all items, or all
    ///   topics, allows it.
    package func allows(_ operation: CacheOperation, key: UnsafeRawBufferPointer?) -> Bool {
        let rule = operation.rule
        switch rule.target {
        case .item:
            return !rule.roles.isDisjoint(with: everyItem) || isSelected(key, by: rule.roles, isTopic: false)
        case .everyItem:
            return !rule.roles.isDisjoint(with: everyItem)
        case .topic:
            return !rule.roles.isDisjoint(with: everyTopic) || isSelected(key, by: rule.roles, isTopic: true)
        case .nothing:
            return true
        }
    }

    /// Whether an operation on topics is allowed on every topic whose name begins with these bytes.
    package func allowsEveryTopic(_ operation: CacheOperation, beginningWith prefix: UnsafeRawBufferPointer) -> Bool {
        let rule = operation.rule
        guard rule.target == .topic else { return false }
        if !rule.roles.isDisjoint(with: everyTopic) { return true }
        return selectors.contains { selector in
            selector.isTopic && selector.isPrefix && !rule.roles.isDisjoint(with: selector.roles)
                && selector.bytes.withUnsafeBytes { $0.isPrefix(of: prefix) }
        }
    }

    /// Whether the operation is allowed on some key at least: for a call whose key could not be read, so that only
    /// those who may know of the cache are told what is wrong with the key.
    package func allowsSomewhere(_ operation: CacheOperation) -> Bool {
        let rule = operation.rule
        if allows(operation, key: nil) { return true }
        guard rule.target != .everyItem else { return false }
        return selectors.contains {
            $0.isTopic == (rule.target == .topic) && !rule.roles.isDisjoint(with: $0.roles)
        }
    }

    private func isSelected(_ key: UnsafeRawBufferPointer?, by roles: RoleSet, isTopic: Bool) -> Bool {
        guard let key else { return false }
        for index in selectors.indices
        where selectors[index].isTopic == isTopic && !roles.isDisjoint(with: selectors[index].roles) {
            let isPrefix = selectors[index].isPrefix
            let isCovered = selectors[index].bytes.withUnsafeBytes {
                isPrefix ? $0.isPrefix(of: key) : $0.isEqual(to: key)
            }
            if isCovered { return true }
        }
        return false
    }
}

extension UnsafeRawBufferPointer {
    /// Whether both hold the same bytes. Not for secrets: it stops at the first difference.
    func isEqual(to other: UnsafeRawBufferPointer) -> Bool {
        count == other.count && isPrefix(of: other)
    }

    /// Whether `other` begins with these bytes.
    func isPrefix(of other: UnsafeRawBufferPointer) -> Bool {
        guard count <= other.count else { return false }
        guard let base = baseAddress, let otherBase = other.baseAddress else { return isEmpty }
        return memcmp(base, otherBase, count) == 0
    }
}
