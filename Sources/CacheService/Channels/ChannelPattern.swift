import Tenancy

/// A pattern of channel names, as `PSUBSCRIBE` takes it.
///
/// Every message published in a cache is held against each of its different patterns, by whoever publishes it; so what
/// that may take is bounded. A pattern costs what is compared behind its first star: nothing, where that is its end.
final class ChannelPattern: Sendable {
    let bytes: [UInt8]
    /// What every name begins with that matches.
    let literalPrefix: [UInt8]
    /// Whether every name matches that begins so.
    private let isPrefix: Bool
    /// Whether there is but one name that matches: the prefix.
    let isLiteral: Bool
    /// Bytes behind the first star that may be compared at each place of a name.
    let effort: Int

    /// The longest pattern: longer than any topic's name it would match none.
    static let mostBytes = 1024
    /// Different patterns of one cache, over all its subscribers.
    static let mostInCache = 1024
    /// The effort of all of them: a millisecond or so for the longest of names.
    static let mostEffort = 1024

    init(_ bytes: [UInt8]) throws(MartletError) {
        guard bytes.count <= Self.mostBytes else {
            throw .invalidArgument(field: "pattern", reason: "must be at most \(Self.mostBytes) bytes long")
        }
        self.bytes = bytes
        var prefix: [UInt8] = []
        var place = 0
        scan: while place < bytes.count {
            switch bytes[place] {
            case 0x2A, 0x3F, 0x5B: break scan
            case 0x5C where place + 1 < bytes.count:
                prefix.append(bytes[place + 1])
                place += 2
            case let literal:
                prefix.append(literal)
                place += 1
            }
        }
        literalPrefix = prefix
        isLiteral = place == bytes.count
        let rest = bytes[place...].drop { $0 == 0x2A }
        isPrefix = rest.isEmpty && !isLiteral
        let behindStar = bytes[place...].drop { $0 != 0x2A }.drop { $0 == 0x2A }
        effort = behindStar.count
    }

    /// Cost: one comparison for nearly all names that do not match.
    func matches(_ name: UnsafeRawBufferPointer) -> Bool {
        guard
            literalPrefix.withUnsafeBytes({ prefix in
                prefix.count <= name.count && prefix.elementsEqual(name.prefix(prefix.count))
            })
        else { return false }
        if isPrefix { return name.count > 0 }
        if isLiteral { return name.count == literalPrefix.count }
        return bytes.withUnsafeBytes { Glob.matches(name, $0) }
    }

    /// Whether some name that begins so may match.
    func mayMatch(beginningWith start: [UInt8]) -> Bool {
        literalPrefix.starts(with: start) || start.starts(with: literalPrefix)
    }
}
