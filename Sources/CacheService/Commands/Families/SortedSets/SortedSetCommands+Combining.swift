import Admission
import Engine
import Tenancy

/// ZUNION and its relatives.
extension SortedSetCommands {
    static func union(_ call: CommandCall) throws(MartletError) {
        try combine(call, .union, name: "zunion")
    }

    static func intersection(_ call: CommandCall) throws(MartletError) {
        try combine(call, .intersection, name: "zinter")
    }

    static func difference(_ call: CommandCall) throws(MartletError) {
        try combine(call, .difference, name: "zdiff")
    }

    static func intersectionCount(_ call: CommandCall) throws(MartletError) {
        try combine(call, .intersection, name: "zintercard", countsOnly: true)
    }

    static func storeUnion(_ call: CommandCall) throws(MartletError) {
        try combine(call, .union, name: "zunionstore", isStored: true)
    }

    static func storeIntersection(_ call: CommandCall) throws(MartletError) {
        try combine(call, .intersection, name: "zinterstore", isStored: true)
    }

    static func storeDifference(_ call: CommandCall) throws(MartletError) {
        try combine(call, .difference, name: "zdiffstore", isStored: true)
    }

    private static func combine(
        _ call: CommandCall, _ operation: SortedSetOperation, name: String, isStored: Bool = false,
        countsOnly: Bool = false
    ) throws(MartletError) {
        let keys = try sources(call, at: isStored ? 2 : 1, name: name)
        let kinds = keys.map { call.items.describe(call.arguments[$0], now: call.now)?.kind }
        guard kinds.allSatisfy({ $0 == nil || $0 == .sortedSet || $0 == .set }) else { throw .wrongType }
        for kind in kinds { call.countFound(kind != nil) }
        var request = try CombinationRequest(
            call, operation, keys: keys, isStored: isStored, countsOnly: countsOnly)
        try request.orderSources(call)
        let destination = isStored ? call.arguments[1] : nil
        if let destination { try call.sizes.checkKey(byteCount: destination.count) }
        let combination = try SortedSetCombination(
            cache: call.items, operation, of: request.sources, weights: request.weights,
            aggregate: request.aggregate, countLimit: request.countLimit, to: destination.map { Array($0) },
            expiresAt: call.defaultExpiry, largestBytes: call.sizes.itemBytes)
        let answer: CombinationWork.Answer =
            isStored || countsOnly ? .count : .elements(withScores: request.withScores)
        try CombinationWork(combination, answer).run(call)
    }

    /// The indexes of the keys behind the argument that says how many there are.
    private static func sources(_ call: CommandCall, at index: Int, name: String) throws(MartletError) -> Range<Int> {
        let number = try call.integer(index)
        guard number > 0 else { throw .command("ERR at least 1 input key is needed for '\(name)' command") }
        guard number <= Int64(call.count - index - 1) else { throw .syntax }
        try call.checkSources(Int(number))
        return index + 1..<index + 1 + Int(number)
    }
}

/// What is to be combined, and how.
private struct CombinationRequest {
    private(set) var sources: [[UInt8]]
    private(set) var weights: [Double]?
    private(set) var aggregate = SortedSetAggregate.sum
    private(set) var withScores = false
    /// Nil where the elements are wanted.
    private(set) var countLimit: Int?

    private let operation: SortedSetOperation

    init(
        _ call: CommandCall, _ operation: SortedSetOperation, keys: Range<Int>, isStored: Bool, countsOnly: Bool
    ) throws(MartletError) {
        self.operation = operation
        sources = keys.map { Array(call.arguments[$0]) }
        countLimit = countsOnly ? 0 : nil
        let isWeighted = !countsOnly && operation != .difference
        let arguments = call.arguments
        var index = keys.upperBound
        while index < call.count {
            let left = call.count - index
            if isWeighted, left > keys.count, arguments.isWord(index, "WEIGHTS") {
                var given: [Double] = []
                for place in 1...keys.count {
                    given.append(
                        try call.score(index + place, or: .command("ERR weight value is not a float")))
                }
                weights = given
                index += 1 + keys.count
            } else if isWeighted, left >= 2, arguments.isWord(index, "AGGREGATE") {
                if arguments.isWord(index + 1, "SUM") {
                    aggregate = .sum
                } else if arguments.isWord(index + 1, "MIN") {
                    aggregate = .minimum
                } else if arguments.isWord(index + 1, "MAX") {
                    aggregate = .maximum
                } else {
                    throw .syntax
                }
                index += 2
            } else if !isStored, !countsOnly, arguments.isWord(index, "WITHSCORES") {
                withScores = true
                index += 1
            } else if countsOnly, left >= 2, arguments.isWord(index, "LIMIT") {
                let unusable = MartletError.command("ERR LIMIT can't be negative")
                let limit = try call.integer(index + 1, or: unusable)
                guard limit >= 0 else { throw unusable }
                countLimit = Int(limit)
                index += 2
            } else {
                throw .syntax
            }
        }
    }

    /// Puts the smallest first where sums of more than two are rounded otherwise in another order: the servers that
    /// clients know add from the smallest to the largest.
    mutating func orderSources(_ call: CommandCall) throws(MartletError) {
        guard operation != .difference, aggregate == .sum, countLimit == nil, sources.count > 2 else { return }
        var counts: [Int] = []
        for source in sources {
            let count = try source.span.bytes.withUnsafeBytes { (key) throws(MartletError) in
                try call.items.withItem(key, now: call.now) { (item) throws(MartletError) -> Int? in
                    item.kind == .set ? try item.setLength() : try item.sortedSetCount()
                }
            }
            counts.append(count ?? 0)
        }
        let order = sources.indices.sorted { (counts[$0], $0) < (counts[$1], $1) }
        sources = order.map { sources[$0] }
        if let given = weights { weights = order.map { given[$0] } }
    }
}

/// A combination of sorted sets, or a range of one that is stored, in turns.
final class CombinationWork: CommandWork {
    enum Answer {
        case count
        case elements(withScores: Bool)
    }

    /// Combined in one turn.
    private static let elementsOfTurn = 500

    private let combination: SortedSetCombination
    private let answer: Answer
    private var isCombined = false
    private var written: Int?

    init(_ combination: SortedSetCombination, _ answer: Answer) {
        self.combination = combination
        self.answer = answer
    }

    /// Answers at once if it is little.
    func run(_ call: CommandCall) throws(MartletError) {
        // The first piece only looks at the sources.
        _ = try combination.step(budget: 1, now: call.now)
        isCombined = try combination.step(budget: Self.elementsOfTurn, now: call.now)
        guard isCombined, combination.count <= Self.elementsOfTurn, try step(call) else {
            return try call.goOn(with: self)
        }
    }

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        if !isCombined {
            isCombined = try combination.step(budget: Self.elementsOfTurn, now: call.now)
            return false
        }
        guard case .elements(let withScores) = answer else {
            call.reply.integer(combination.count)
            return true
        }
        let reply = ScoredReply(writer: call.reply, withScores: withScores)
        if written == nil { reply.begin(combination.count) }
        let first = written ?? 0
        var budget = TurnBudget()
        var answered = AnsweredElements()
        combination.visit(first..<combination.count) { score, member in
            reply.element(score, member)
            answered.add(member.count + (withScores ? AnsweredElements.scoreBytes : 0))
            budget.spend(member.count)
            return budget.isLeft
        }
        call.countElementsOut(answered)
        written = first + answered.count
        return first + answered.count == combination.count
    }
}
