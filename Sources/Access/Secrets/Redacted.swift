/// A type that holds a secret: neither `print`, nor string interpolation of it or of something that contains it, nor
/// `dump`, nor a debugger's summary shows more than its name.
package protocol Redacted: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {}

extension Redacted {
    package var description: String { "\(Self.self)(redacted)" }

    package var debugDescription: String { description }

    /// No children: a mirror is how `dump` and the default description would reach the stored properties.
    package var customMirror: Mirror { Mirror(self, children: []) }
}
