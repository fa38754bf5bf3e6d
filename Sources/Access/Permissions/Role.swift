/// What a permission lets its holder do with the items or topics that it selects.
package enum Role: CaseIterable, Hashable, Sendable {
    case readOnly
    case writeOnly
    case readWrite

    /// The role's name in JSON.
    package var text: String {
        switch self {
        case .readOnly: "readonly"
        case .writeOnly: "writeonly"
        case .readWrite: "readwrite"
        }
    }

    /// The role of that name, or nil.
    package init?(text: String) {
        guard let role = Role.allCases.first(where: { $0.text.utf8.elementsEqual(text.utf8) }) else { return nil }
        self = role
    }
}

/// A set of roles: either those that allow an operation, or those that a caller holds on something.
///
/// The roles do not add up: a caller with read-only by one permission and write-only by another holds both and still
/// not read-write, because what needs read-write (a conditional write, say) tells by its effect what it read.
package struct RoleSet: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// The set of one role.
    package init(_ role: Role) {
        switch role {
        case .readOnly: self = .readOnly
        case .writeOnly: self = .writeOnly
        case .readWrite: self = .readWrite
        }
    }

    package static let readOnly = RoleSet(rawValue: 1)
    package static let writeOnly = RoleSet(rawValue: 2)
    package static let readWrite = RoleSet(rawValue: 4)

    /// The operation reads.
    static let readers: RoleSet = [.readOnly, .readWrite]
    /// The operation writes, and neither its reply nor its effect says what was stored.
    static let writers: RoleSet = [.writeOnly, .readWrite]
    /// The operation writes, and its reply or its effect reveals stored state.
    static let both: RoleSet = [.readWrite]
}
