import Tenancy

/// What the texts that callers hang onto tenants, caches and keys must obey, so that no caller can make the catalog grow
/// without bound.
enum TextRules {
    static let maximumLabels = 64
    static let maximumLabelKeyBytes = 63
    static let maximumLabelValueBytes = 255
    static let maximumPlanBytes = 255
    static let maximumDescriptionBytes = 1024
    static let maximumURLBytes = 1024
    /// 64 characters of up to four bytes.
    static let maximumTokenIDBytes = 256

    static func validate(labels: [String: String]) throws(MartletError) {
        guard labels.count <= maximumLabels else {
            throw .invalidArgument(field: "labels", reason: "must be at most \(maximumLabels), are \(labels.count)")
        }
        for (key, value) in labels {
            guard !key.isEmpty else {
                throw .invalidArgument(field: "labels", reason: "must not have an empty key")
            }
            guard key.utf8.count <= maximumLabelKeyBytes else {
                throw .invalidArgument(
                    field: "labels", reason: "must have keys of at most \(maximumLabelKeyBytes) bytes")
            }
            guard value.utf8.count <= maximumLabelValueBytes else {
                throw .invalidArgument(
                    field: "labels", reason: "must have values of at most \(maximumLabelValueBytes) bytes")
            }
        }
    }

    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` for a text that is too long or holds a NUL, at which
    ///   SQLite's C interface would cut it.
    static func validate(_ text: String?, field: String, maximumBytes: Int) throws(MartletError) {
        guard let text else { return }
        guard text.utf8.count <= maximumBytes else {
            throw .invalidArgument(field: field, reason: "must be at most \(maximumBytes) bytes long")
        }
        guard text.isWhole else {
            throw .invalidArgument(field: field, reason: "must not contain a NUL character")
        }
    }
}

extension String {
    /// Whether the text reaches SQLite whole: a NUL ends it there, so that `"user\0x"` would stand for `"user"`.
    var isWhole: Bool { !utf8.contains(0) }
}
