import Tenancy

extension CommandCall {
    /// For how long a command that waits is to wait, in milliseconds, 0 for without end, from an argument in seconds.
    ///
    /// - Throws: `ERR timeout is not a float or out of range`, and `ERR timeout is negative`, which is also what Redis 7.0
    ///   says of more milliseconds than 64 bits hold.
    package func timeoutMilliseconds(_ index: Int) throws(MartletError) -> Int64 {
        guard let seconds = DecimalText.double(arguments[index], allowsOverflow: true) else {
            throw .command("ERR timeout is not a float or out of range")
        }
        let milliseconds = (seconds * 1000).rounded(.up)
        guard let exact = Int64(exactly: milliseconds), exact >= 0 else { throw .command("ERR timeout is negative") }
        return exact
    }

    /// Waits for some of the arguments as keys. See ``wait(for:milliseconds:onTimeout:)``.
    ///
    /// - Parameter places: Where the keys are.
    package func wait(
        forKeysAt places: Range<Int>, milliseconds: Int64, onTimeout: @escaping @Sendable (ReplyWriter) -> Void
    ) {
        if isInTransaction { return onTimeout(reply) }
        wait(for: places.map { Array(arguments[$0]) }, milliseconds: milliseconds, onTimeout: onTimeout)
    }
}
