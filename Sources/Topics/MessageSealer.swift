import Tenancy

/// Encrypts what a space retains, under a key that is not the space's own: that of its cache, which dies when the cache is
/// flushed or deleted. Any thread; called outside of all locks, once for each message that is retained and once for each
/// that a subscriber gets from there.
package protocol MessageSealer: Sendable {
    /// - Parameter context: authenticated with the message, and to be told again to open it.
    /// - Returns: nil when it cannot be sealed; then it is not retained.
    func seal(_ message: UnsafeRawBufferPointer, context: UnsafeRawBufferPointer) -> [UInt8]?

    /// - Returns: nil when the key is gone, or when this is not what was sealed in that context.
    func open(_ sealed: UnsafeRawBufferPointer, context: UnsafeRawBufferPointer) -> [UInt8]?
}

// The name of its topic is the context of a message: what was retained of one opens for no other.
extension MessageSealer {
    func seal(_ message: UnsafeRawBufferPointer, of name: TopicName) -> [UInt8]? {
        var text = name.text
        return text.withUTF8 { seal(message, context: UnsafeRawBufferPointer($0)) }
    }

    func open(_ sealed: UnsafeRawBufferPointer, of name: TopicName) -> [UInt8]? {
        var text = name.text
        return text.withUTF8 { open(sealed, context: UnsafeRawBufferPointer($0)) }
    }
}
