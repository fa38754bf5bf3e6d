import Engine
import Tenancy

/// Many elements of a list on their way into a reply, copied from a snapshot in turns.
final class ListReply: CommandWork {
    private let snapshot: ListSnapshot
    private let count: Int
    private var left: Range<Int>
    private let isReversed: Bool
    private let key: [UInt8]?
    private var isBegun = false

    /// What is copied under a lock at most.
    private static let (longCount, longBytes) = (1000, 64 << 10)

    /// Whether `count` of a list's `length` elements are more than are to be copied under its lock.
    static func isLong(_ count: Int, of length: Int, _ item: borrowing ItemAccess) -> Bool {
        guard item.elementBytes > 0 else { return false }
        return count > longCount || item.elementBytes / max(1, length) * count > longBytes
    }

    /// - Parameters:
    ///   - range: Within the snapshot.
    ///   - key: What stands before the elements in the reply.
    init(_ snapshot: ListSnapshot, _ range: Range<Int>, isReversed: Bool = false, key: [UInt8]? = nil) {
        self.snapshot = snapshot
        count = range.count
        left = range
        self.isReversed = isReversed
        self.key = key
    }

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        if !isBegun {
            isBegun = true
            if let key {
                call.reply.array(2)
                call.reply.bulk(key)
            }
            call.reply.array(count)
        }
        guard !left.isEmpty else { return true }
        var budget = TurnBudget()
        var taken = 0
        try snapshot.visit(left, reversed: isReversed) { element in
            call.reply.bulk(element)
            call.countElementOut(byteCount: element.count)
            budget.spend(element.count)
            taken += 1
            return budget.isLeft
        }
        guard taken > 0 else { throw .internalFailure("a list's snapshot has fewer elements than it said") }
        left = isReversed ? left.dropLast(taken) : left.dropFirst(taken)
        return left.isEmpty
    }
}

/// Looks through the snapshot of a long list for elements that are equal to a value, in turns.
final class ListSearch: CommandWork {
    /// What `LPOS` is asked for.
    struct Request {
        /// With which match to begin: 1 the first, -1 the last, and so on.
        var rank = 1
        /// How many matches; 0 for all.
        var limit = 1
        /// How many elements to compare; 0 for all.
        var maximumLength = 0
        /// Whether an array is answered.
        var isForMany = false

        func answer(_ positions: [Int], _ reply: ReplyWriter) {
            guard isForMany else {
                if let position = positions.first { reply.integer(position) } else { reply.null() }
                return
            }
            reply.array(positions.count)
            for position in positions { reply.integer(position) }
        }
    }

    private let request: Request
    private let value: [UInt8]
    private let snapshot: ListSnapshot
    private var left: Range<Int>
    private var toSkip: Int
    private var found: [Int] = []

    init(_ request: Request, _ value: [UInt8], in snapshot: ListSnapshot) {
        self.request = request
        self.value = value
        self.snapshot = snapshot
        let count = snapshot.count
        let compared = request.maximumLength == 0 ? count : min(count, request.maximumLength)
        left = request.rank > 0 ? 0..<compared : count - compared..<count
        toSkip = abs(request.rank) - 1
    }

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        let isReversed = request.rank < 0
        var budget = TurnBudget(elements: 10_000, bytes: 1 << 20)
        var isDone = false
        var seen = 0
        let value = value
        try value.span.bytes.withUnsafeBytes { (value) throws(MartletError) in
            try snapshot.visit(left, reversed: isReversed) { element in
                let position = isReversed ? left.upperBound - 1 - seen : left.lowerBound + seen
                seen += 1
                budget.spend(element.count)
                if equalBytes(element, value) {
                    if toSkip > 0 {
                        toSkip -= 1
                    } else {
                        found.append(position)
                        isDone = found.count == request.limit
                    }
                }
                return !isDone && budget.isLeft
            }
        }
        guard seen > 0 || left.isEmpty else {
            throw .internalFailure("a list's snapshot has fewer elements than it said")
        }
        left = isReversed ? left.dropLast(seen) : left.dropFirst(seen)
        guard isDone || left.isEmpty else { return false }
        request.answer(found, call.reply)
        return true
    }
}
