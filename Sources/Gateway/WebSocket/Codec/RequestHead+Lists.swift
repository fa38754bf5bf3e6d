import Tenancy

/// Fields that are not among ``RequestHead/Known``: they are looked for by name, in the rare requests that need them.
extension RequestHead {
    /// Calls `body` for each member of the comma-separated list (RFC 9110 section 5.6.1) that all fields of this name
    /// make together: where it lies in the arena, and its bytes. Empty members are passed over.
    ///
    /// Cost: one comparison a field, and one pass over those that match.
    func forEachMember(of name: StaticString, _ body: (Range<Int>, UnsafeRawBufferPointer) -> Void) {
        withArena { arena in
            for field in fields where arena.slice(field.name.range).matches(name) {
                var start = field.value.range.lowerBound
                while start <= field.value.range.upperBound {
                    var end = start
                    while end < field.value.range.upperBound, arena[end] != UInt8(ascii: ",") { end += 1 }
                    let member = arena.trimmed(start..<end)
                    if !member.isEmpty { body(member, arena.slice(member)) }
                    start = end + 1
                }
            }
        }
    }

    /// Whether that list names `member`, which is lower case, without regard to case.
    func lists(_ name: StaticString, _ member: StaticString) -> Bool {
        var isListed = false
        forEachMember(of: name) { _, bytes in
            if bytes.matchesIgnoringCase(member) { isListed = true }
        }
        return isListed
    }

    /// Where the value of the first field of this name lies.
    func range(_ name: StaticString) -> ByteRange? {
        withArena { arena in fields.first { arena.slice($0.name.range).matches(name) }?.value }
    }

    /// The value of the one field of this name, without the space around it; nil when there is none.
    ///
    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` when there are several.
    func single(_ name: StaticString) throws(MartletError) -> ByteRange? {
        var found: ByteRange?
        var count = 0
        withArena { arena in
            for field in fields where arena.slice(field.name.range).matches(name) {
                let value = arena.trimmed(field.value.range)
                found = ByteRange(value.lowerBound, value.upperBound)
                count += 1
            }
        }
        guard count <= 1 else { throw .invalidArgument(field: "\(name)", reason: "must not stand twice") }
        return found
    }
}

extension UnsafeRawBufferPointer {
    /// `range` without the spaces and tabs at its ends.
    fileprivate func trimmed(_ range: Range<Int>) -> Range<Int> {
        var lower = range.lowerBound
        var upper = range.upperBound
        while lower < upper, self[lower] == 0x20 || self[lower] == 0x09 { lower += 1 }
        while lower < upper, self[upper - 1] == 0x20 || self[upper - 1] == 0x09 { upper -= 1 }
        return lower..<upper
    }
}

extension UInt8 {
    /// Whether this may stand in a token (RFC 9110 section 5.6.2).
    var isTokenCharacter: Bool {
        switch self {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"),
            UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "^"), UInt8(ascii: "_"), UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
            true
        default: false
        }
    }
}
