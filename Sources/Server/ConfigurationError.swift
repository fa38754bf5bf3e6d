/// Why a configuration cannot be used: one sentence that names the flag, the environment variable or the file entry at
/// fault and says what it must be.
package struct ConfigurationError: Error, Equatable, CustomStringConvertible {
    package let description: String

    init(_ description: String) {
        self.description = description
    }
}
