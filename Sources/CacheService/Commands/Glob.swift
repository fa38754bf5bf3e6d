/// Patterns as KEYS, SCAN, PSUBSCRIBE and CONFIG GET take them, over bytes.
///
///     *        any bytes, or none           [ab]  [a-z]     one of these
///     ?        one byte                     [^ab]           one that is none of these
///     \x       x itself, in brackets too
///
/// Redis leaves some things odd, and clients know them so: a bracket that is never closed ends with the pattern, a range
/// compares signed bytes, and nothing but the empty pattern matches the empty text.
///
/// How: what follows a `*` is tried at each place of the text, and when a later `*` is reached, the earlier one is settled
/// for ever: whatever it took, the later one can take the rest. So the cost is at most text x pattern, never exponential;
/// and as both come from callers, it is cut off at ``mostSteps``.
package enum Glob {
    /// Comparisons in one match, about half a millisecond: a text that is still not matched then counts as not matching.
    /// Only a long pattern with stars and a long text that is full of near misses come there.
    static let mostSteps = 1 << 18
    /// As long as a key may be. A longer pattern matches nothing.
    static let longestPattern = 65_536

    /// Whether a pattern matches the whole of a text.
    ///
    /// - Parameter ignoringCase: Of ASCII letters.
    package static func matches(
        _ text: UnsafeRawBufferPointer, _ pattern: UnsafeRawBufferPointer, ignoringCase: Bool = false
    ) -> Bool {
        var steps = 0
        return matches(text, pattern, ignoringCase: ignoringCase, steps: &steps)
    }

    /// The same for names that the server itself has given.
    package static func matches(_ name: String, _ pattern: [UInt8]) -> Bool {
        var name = name
        return name.withUTF8 { name in
            pattern.withUnsafeBytes { matches(UnsafeRawBufferPointer(name), $0, ignoringCase: true) }
        }
    }

    /// The same for whoever takes turns.
    ///
    /// - Parameter steps: Grows by the comparisons that were made, of about two nanoseconds each.
    static func matches(
        _ text: UnsafeRawBufferPointer, _ pattern: UnsafeRawBufferPointer, ignoringCase: Bool = false,
        steps: inout Int
    ) -> Bool {
        guard !text.isEmpty else { return pattern.isEmpty }
        guard pattern.count <= longestPattern else { return false }
        var matcher = Matcher(pattern: pattern, ignoresCase: ignoringCase)
        defer { steps += matcher.steps }
        return matcher.matches(text)
    }

    /// Whether a pattern is `*`, which callers answer without a look at the text, so that it matches the empty one too.
    package static func isEverything(_ pattern: UnsafeRawBufferPointer) -> Bool {
        pattern.count == 1 && pattern[0] == star
    }

    fileprivate static let star = UInt8(ascii: "*")
}

private struct Matcher {
    let pattern: UnsafeRawBufferPointer
    let ignoresCase: Bool
    private(set) var steps = 0

    init(pattern: UnsafeRawBufferPointer, ignoresCase: Bool) {
        self.pattern = pattern
        self.ignoresCase = ignoresCase
    }

    mutating func matches(_ text: UnsafeRawBufferPointer) -> Bool {
        var place = 0
        var position = 0
        // Behind the last star, and the place where what follows it is tried.
        var retry: (position: Int, place: Int)?
        while place < text.count {
            if position < pattern.count, pattern[position] == Glob.star {
                position = behindStars(position)
                if position == pattern.count { return true }
                retry = (position, place)
                continue
            }
            steps += 1
            if position < pattern.count, let next = advance(position, over: text[place]) {
                position = next
                place += 1
                continue
            }
            guard let last = retry, steps < Glob.mostSteps else { return false }
            retry = (last.position, last.place + 1)
            position = last.position
            place = last.place + 1
        }
        return behindStars(position) == pattern.count
    }

    private func behindStars(_ position: Int) -> Int {
        var position = position
        while position < pattern.count, pattern[position] == Glob.star { position += 1 }
        return position
    }

    /// Behind the part of the pattern that stands for one byte, if it stands for this one.
    @inline(__always)
    private mutating func advance(_ position: Int, over byte: UInt8) -> Int? {
        switch pattern[position] {
        case UInt8(ascii: "?"): return position + 1
        case UInt8(ascii: "["): return advanceBrackets(position + 1, over: byte)
        case UInt8(ascii: "\\") where position + 1 < pattern.count:
            return areEqual(pattern[position + 1], byte) ? position + 2 : nil
        default: return areEqual(pattern[position], byte) ? position + 1 : nil
        }
    }

    private mutating func advanceBrackets(_ start: Int, over byte: UInt8) -> Int? {
        var position = start
        let isNegated = position < pattern.count && pattern[position] == UInt8(ascii: "^")
        if isNegated { position += 1 }
        var isAmong = false
        while position < pattern.count {
            let left = pattern.count - position
            if left >= 2, pattern[position] == UInt8(ascii: "\\") {
                position += 1
                if pattern[position] == byte { isAmong = true }
            } else if pattern[position] == UInt8(ascii: "]") {
                position += 1
                steps += position - start
                return isAmong != isNegated ? position : nil
            } else if left >= 3, pattern[position + 1] == UInt8(ascii: "-") {
                if isWithin(pattern[position], pattern[position + 2], byte) { isAmong = true }
                position += 2
            } else if areEqual(pattern[position], byte) {
                isAmong = true
            }
            position += 1
        }
        steps += position - start
        return isAmong != isNegated ? pattern.count : nil
    }

    private func isWithin(_ first: UInt8, _ last: UInt8, _ byte: UInt8) -> Bool {
        let (one, other, value) = (signed(first), signed(last), signed(byte))
        return value >= min(one, other) && value <= max(one, other)
    }

    private func signed(_ byte: UInt8) -> Int8 { Int8(bitPattern: ignoresCase ? Self.lower(byte) : byte) }

    @inline(__always)
    private func areEqual(_ one: UInt8, _ other: UInt8) -> Bool {
        one == other || ignoresCase && Self.lower(one) == Self.lower(other)
    }

    private static func lower(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte }
}
