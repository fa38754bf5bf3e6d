import Engine
import Tenancy

// What answers a whole hash, or much of it.

extension HashCommands {
    static func getAll(_ call: CommandCall) throws(MartletError) { try fetch(call, .pairs) }
    static func getFields(_ call: CommandCall) throws(MartletError) { try fetch(call, .fields) }
    static func getValues(_ call: CommandCall) throws(MartletError) { try fetch(call, .values) }

    private static func fetch(_ call: CommandCall, _ form: HashForm) throws(MartletError) {
        var large: DictionarySnapshot?
        let reply = call.reply
        try reply.deferred({ if large == nil { form.begin(reply, $0) } }) { () throws(MartletError) -> Int in
            let fetch = try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
                try item.dictionaryFetch(form.parts) { field, value in form.answer(call, field, value) }
            }
            switch fetch {
            case .missing: call.countFound(false)
            case .handedOut(let count):
                call.countFound(true)
                return count
            case .snapshot(let snapshot):
                call.countFound(true)
                large = snapshot
            }
            return 0
        }
        if let large { try call.goOn(with: HashFetch(large, form)) }
    }

    // MARK: HRANDFIELD

    static func randomFields(_ call: CommandCall) throws(MartletError) {
        guard call.count > 2 else { return try randomField(call) }
        let count = try call.integer(2)
        guard count >= -Int64.max else {
            throw .command("ERR value is out of range, value must between \(-Int64.max) and \(Int64.max)")
        }
        guard call.count == 3 || call.count == 4 && call.arguments.isWord(3, "WITHVALUES") else { throw .syntax }
        let form: HashForm = call.count == 4 ? .drawnPairs : .fields
        // Written out: `Int64.max / 2` to either side.
        guard call.count == 3 || abs(count) <= Int64.max / 2 else { throw .command("ERR value is out of range") }
        let isDistinct = count >= 0
        let number = Int(count.magnitude)
        var large: DictionarySnapshot?
        let reply = call.reply
        try reply.deferred({ if large == nil { form.begin(reply, $0) } }) { () throws(MartletError) -> Int in
            let key = call.arguments[1]
            return try call.items.withItem(key, now: call.now) { (item) throws(MartletError) -> Int in
                guard let length = try item.dictionaryLength() else {
                    call.countFound(false)
                    return 0
                }
                call.countFound(true)
                let drawn = isDistinct ? min(number, length) : number
                guard HashDraw.isSmall(drawn, of: length, item) else {
                    large = try item.dictionarySnapshot()
                    return 0
                }
                guard drawn > 0 else { return 0 }
                _ = try item.dictionaryRandom(drawn, isDistinct: isDistinct, form.parts, using: &call.dice) {
                    form.answer(call, $0, $1)
                }
                return drawn
            }
        }
        if let large { try call.goOn(with: HashDraw(large, form, count: number, isDistinct: isDistinct)) }
    }

    private static func randomField(_ call: CommandCall) throws(MartletError) {
        let reply = call.reply
        let isThere = try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
            try item.dictionaryRandom(1, isDistinct: true, .fields, using: &call.dice) { field, _ in
                reply.bulk(field)
                call.countElementOut(byteCount: field.count)
            }
        }
        if !isThere { reply.null() }
        call.countFound(isThere)
    }
}

/// What is answered of a field.
enum HashForm {
    case fields, values, pairs
    /// As pairs, but an array of pairs in version 3 of the protocol and no map.
    case drawnPairs

    var parts: DictionaryParts { self == .fields ? .fields : .pairs }

    func begin(_ reply: ReplyWriter, _ count: Int) {
        switch self {
        case .fields, .values: reply.array(count)
        case .pairs: reply.map(count)
        case .drawnPairs: reply.array(reply.isVersion3 ? count : count * 2)
        }
    }

    @inline(__always)
    func answer(_ call: CommandCall, _ field: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        switch self {
        case .fields:
            call.reply.bulk(field)
            call.countElementOut(byteCount: field.count)
        case .values:
            call.reply.bulk(value)
            call.countElementOut(byteCount: value.count)
        case .pairs, .drawnPairs:
            if self == .drawnPairs, call.reply.isVersion3 { call.reply.array(2) }
            call.reply.bulk(field)
            call.reply.bulk(value)
            call.countElementOut(byteCount: field.count + value.count)
        }
    }
}

/// A large hash on its way into a reply, from a snapshot and in turns.
final class HashFetch: CommandWork {
    private let snapshot: DictionarySnapshot
    private let form: HashForm
    private var cursor: UInt64 = 0
    private var isBegun = false

    init(_ snapshot: DictionarySnapshot, _ form: HashForm) {
        self.snapshot = snapshot
        self.form = form
    }

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        if !isBegun {
            form.begin(call.reply, snapshot.count)
            isBegun = true
        }
        var budget = TurnBudget()
        var (seen, bytes) = (0, 0)
        repeat {
            cursor = try snapshot.visit(
                from: cursor, limit: budget.limit(after: seen, byteCount: bytes), form.parts
            ) { field, value in
                form.answer(call, field, value)
                seen += 1
                bytes += field.count + value.count
                budget.spend(field.count + value.count)
            }
        } while cursor != 0 && budget.isLeft
        return cursor == 0
    }
}

/// Very many fields drawn by lot, from a snapshot and in turns.
final class HashDraw: CommandWork {
    /// As many are drawn at once, under one lock.
    private static let atOnce = 500
    /// The largest reply with repetitions, of which a caller may ask for any number.
    private static let mostBytes = 32 << 20

    private let snapshot: DictionarySnapshot
    private let form: HashForm
    private let isDistinct: Bool
    private var left: Int
    private var cursor: UInt64 = 0
    /// Distinct: how many are still to come by.
    private var unseen: Int
    private var byteCount = 0
    private var isBegun = false

    init(_ snapshot: DictionarySnapshot, _ form: HashForm, count: Int, isDistinct: Bool) {
        self.snapshot = snapshot
        self.form = form
        self.isDistinct = isDistinct
        left = isDistinct ? min(count, snapshot.count) : count
        unseen = snapshot.count
    }

    /// Whether so many are drawn at once: few, and where they must differ not by a walk over a large hash.
    static func isSmall(_ count: Int, of length: Int, _ item: borrowing ItemAccess) -> Bool {
        guard count <= atOnce else { return false }
        let isCheap = length <= 4 * atOnce || count < length / 3
        let bytes = item.elementBytes / max(1, length) * count
        return isCheap && bytes <= 256 << 10
    }

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        if !isBegun {
            form.begin(call.reply, left)
            isBegun = true
        }
        var budget = TurnBudget(elements: 1000)
        if isDistinct { return try walk(call, &budget) }
        while left > 0, budget.isLeft {
            let piece = min(left, 16)
            try snapshot.random(piece, form.parts, using: &call.dice) { field, value in
                form.answer(call, field, value)
                byteCount += field.count + value.count + 16
                budget.spend(field.count + value.count)
            }
            left -= piece
            guard byteCount <= Self.mostBytes else {
                throw .command("ERR value is out of range, the reply would be larger than \(Self.mostBytes) bytes")
            }
        }
        return left == 0
    }

    /// Selection sampling: each is taken with the chance that the rest needs it (Knuth, volume 2, 3.4.2, algorithm S).
    private func walk(_ call: CommandCall, _ budget: inout TurnBudget) throws(MartletError) -> Bool {
        var (seen, bytes) = (0, 0)
        repeat {
            cursor = try snapshot.visit(
                from: cursor, limit: budget.limit(after: seen, byteCount: bytes), form.parts
            ) { field, value in
                let isTaken = left > 0 && (unseen <= left || Int.random(in: 0..<unseen, using: &call.dice) < left)
                unseen -= 1
                seen += 1
                bytes += field.count + value.count
                budget.spend(field.count + value.count)
                guard isTaken else { return }
                left -= 1
                form.answer(call, field, value)
            }
        } while budget.isLeft && left > 0 && cursor != 0
        return left == 0
    }
}
