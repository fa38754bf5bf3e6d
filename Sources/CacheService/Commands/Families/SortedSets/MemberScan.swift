import Tenancy

/// What ZSCAN asks for behind its cursor.
struct MemberScan {
    /// About how many elements are visited.
    private(set) var limit = 10
    /// Lent; nil: all members match.
    private var pattern: UnsafeRawBufferPointer?

    /// As many are visited under a lock, whatever is asked.
    private static let largestLimit = 1000

    init(_ call: CommandCall, from first: Int) throws(MartletError) {
        var index = first
        while index < call.count {
            guard index + 1 < call.count else { throw .syntax }
            if call.arguments.isWord(index, "COUNT") {
                let count = try call.integer(index + 1)
                guard count > 0 else { throw .syntax }
                limit = Int(min(count, Int64(Self.largestLimit)))
            } else if call.arguments.isWord(index, "MATCH") {
                let given = call.arguments[index + 1]
                pattern = Glob.isEverything(given) ? nil : given
            } else {
                throw .syntax
            }
            index += 2
        }
    }

    /// Comparisons of members with a pattern in one call, some two milliseconds: only long patterns come there.
    static let mostComparisons = 1 << 20
    static let tooLong = MartletError.command("ERR the pattern takes too long to compare")
    private var comparisons = 0

    /// Whether ``mostComparisons`` were not enough.
    var isExhausted: Bool { comparisons >= Self.mostComparisons }

    mutating func matches(_ member: UnsafeRawBufferPointer) -> Bool {
        guard let pattern else { return true }
        return !isExhausted && Glob.matches(member, pattern, steps: &comparisons)
    }

    /// A cursor as it is written: an unsigned number, with or without a sign.
    static func cursor(_ text: UnsafeRawBufferPointer) -> UInt64? {
        var rest = text[...]
        let isNegative = rest.first == 0x2D
        if isNegative || rest.first == 0x2B { rest = rest.dropFirst() }
        guard !rest.isEmpty || text.isEmpty else { return nil }
        var value: UInt64 = 0
        for byte in rest {
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            let (product, isOver) = value.multipliedReportingOverflow(by: 10)
            let (sum, isOverToo) = product.addingReportingOverflow(UInt64(byte - 0x30))
            guard !isOver, !isOverToo else { return nil }
            value = sum
        }
        return isNegative ? 0 &- value : value
    }
}
