/// What every name of the product obeys: 1 to 255 bytes of printable UTF-8 without `/`, and not only white space.
private func validateName(_ text: String, field: String) throws(MartletError) {
    guard !text.isEmpty else {
        throw .invalidArgument(field: field, reason: "must not be empty")
    }
    guard text.utf8.count <= 255 else {
        throw .invalidArgument(field: field, reason: "must be at most 255 bytes long, is \(text.utf8.count)")
    }
    var isBlank = true
    for scalar in text.unicodeScalars {
        guard scalar != "/" else {
            throw .invalidArgument(field: field, reason: "must not contain '/'")
        }
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator:
            throw .invalidArgument(field: field, reason: "must contain printable characters only")
        case .spaceSeparator:
            break
        default:
            isBlank = false
        }
    }
    guard !isBlank else {
        throw .invalidArgument(field: field, reason: "must not be blank")
    }
}

/// The name of a cache, unique within its tenant. Compared byte by byte: two spellings of one accented letter are two
/// names, as they are two keys.
package struct CacheName: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` unless `text` is 1 to 255 bytes of printable UTF-8
    ///   without `/` and not blank.
    package init(_ text: String, field: String = "cache") throws(MartletError) {
        try validateName(text, field: field)
        self.text = text
    }

    package var description: String { text }

    package static func == (left: CacheName, right: CacheName) -> Bool {
        left.text.utf8.elementsEqual(right.text.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        for byte in text.utf8 { hasher.combine(byte) }
    }
}

/// The name of a plan, unique within the installation. Compared byte by byte, as it is stored.
package struct PlanName: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` as for ``CacheName``.
    package init(_ text: String, field: String = "plan") throws(MartletError) {
        try validateName(text, field: field)
        self.text = text
    }

    package var description: String { text }

    package static func == (left: PlanName, right: PlanName) -> Bool {
        left.text.utf8.elementsEqual(right.text.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        for byte in text.utf8 { hasher.combine(byte) }
    }
}

/// The name of a tenant, unique within the installation.
package struct TenantName: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` as for ``CacheName``.
    package init(_ text: String, field: String = "tenant") throws(MartletError) {
        try validateName(text, field: field)
        self.text = text
    }

    package var description: String { text }

    package static func == (left: TenantName, right: TenantName) -> Bool {
        left.text.utf8.elementsEqual(right.text.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        for byte in text.utf8 { hasher.combine(byte) }
    }
}
