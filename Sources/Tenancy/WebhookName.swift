/// The name of a webhook, unique within its cache. Compared byte by byte, as ``CacheName`` is.
package struct WebhookName: Hashable, Sendable, CustomStringConvertible {
    /// The longest name, in Unicode scalars.
    package static let mostCharacters = 128

    package let text: String

    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` unless `text` is 1 to 128 characters, without control
    ///   characters and not only white space.
    package init(_ text: String, field: String = "webhook_name") throws(MartletError) {
        guard !text.isEmpty else { throw .invalidArgument(field: field, reason: "must not be empty") }
        let count = text.unicodeScalars.count
        guard count <= Self.mostCharacters else {
            throw .invalidArgument(
                field: field, reason: "must be at most \(Self.mostCharacters) characters long, is \(count)")
        }
        guard !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
            throw .invalidArgument(field: field, reason: "must not contain control characters")
        }
        guard text.unicodeScalars.contains(where: { !$0.properties.isWhitespace }) else {
            throw .invalidArgument(field: field, reason: "must not be blank")
        }
        self.text = text
    }

    package var description: String { text }

    package static func == (left: WebhookName, right: WebhookName) -> Bool {
        left.text.utf8.elementsEqual(right.text.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        for byte in text.utf8 { hasher.combine(byte) }
    }
}

/// What bounds webhooks. Nobody configures these.
package enum WebhookLimits {
    package static let perCache = 5
    /// Deliveries of one webhook a second; what is over it is not sent.
    package static let deliveriesPerSecond = 5
}
