import Engine
import Tenancy

/// What is known of an item of any kind.
package struct ItemDescription: Sendable, Equatable {
    package let kind: ItemKind
    /// The first millisecond at which the item is no longer served. Nil: never.
    package let expiresAt: Timestamp?

    package init(kind: ItemKind, expiresAt: Timestamp?) {
        self.kind = kind
        self.expiresAt = expiresAt
    }
}
