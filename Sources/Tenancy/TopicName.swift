#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The name of a topic, unique within its cache. Compared byte by byte, as ``CacheName`` is.
///
/// A topic is named by whoever publishes to it, not by who runs the service, so it may be anything that a person can
/// read: `/` and other punctuation, any script, up to a length that still bounds what a flood of names costs.
package struct TopicName: Hashable, Sendable, CustomStringConvertible {
    /// The longest name, in bytes of UTF-8.
    package static let mostBytes = 1024

    package let text: String

    /// Cost: one pass over the text.
    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` unless `text` is 1 to 1,024 bytes of UTF-8, without
    ///   control characters and not only white space.
    package init(_ text: String, field: String = "topic") throws(MartletError) {
        guard !text.isEmpty else {
            throw .invalidArgument(field: field, reason: "must not be empty")
        }
        guard text.utf8.count <= Self.mostBytes else {
            throw .invalidArgument(
                field: field, reason: "must be at most \(Self.mostBytes) bytes long, is \(text.utf8.count)")
        }
        var isBlank = true
        for scalar in text.unicodeScalars {
            guard !Self.isControl(scalar) else {
                throw .invalidArgument(field: field, reason: "must not contain control characters")
            }
            if isBlank, !scalar.properties.isWhitespace { isBlank = false }
        }
        guard !isBlank else {
            throw .invalidArgument(field: field, reason: "must not be blank")
        }
        // Comparing and hashing go over the bytes in one piece.
        var contiguous = text
        contiguous.makeContiguousUTF8()
        self.text = contiguous
    }

    /// The general category Cc, which is these two ranges for ever, without the look into a table.
    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
    }

    /// What the names begin with that only the server publishes to.
    package static let reservedPrefix = "__martlet:"

    /// Whether only the server publishes to it.
    package var isReserved: Bool {
        // One look at the first byte tells nearly all others.
        text.utf8.first == UInt8(ascii: "_") && text.utf8.starts(with: Self.reservedPrefix.utf8)
    }

    package var description: String { text }

    package static func == (left: TopicName, right: TopicName) -> Bool {
        let byteCount = left.text.utf8.count
        let isEqual: Bool?? = left.text.utf8.withContiguousStorageIfAvailable { left in
            right.text.utf8.withContiguousStorageIfAvailable { right in
                guard left.count == right.count, let left = left.baseAddress, let right = right.baseAddress else {
                    return false
                }
                return memcmp(left, right, byteCount) == 0
            }
        }
        return (isEqual ?? nil) ?? left.text.utf8.elementsEqual(right.text.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        let isHashed: Void? = text.utf8.withContiguousStorageIfAvailable {
            hasher.combine(bytes: UnsafeRawBufferPointer($0))
        }
        if isHashed == nil {
            for byte in text.utf8 { hasher.combine(byte) }
        }
    }
}
