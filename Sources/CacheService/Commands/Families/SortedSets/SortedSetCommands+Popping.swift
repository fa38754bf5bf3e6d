import Engine
import Tenancy

/// ZPOPMIN and its relatives, those that wait among them.
extension SortedSetCommands {
    static func popLowest(_ call: CommandCall) throws(MartletError) {
        try pop(call, highest: false)
    }

    static func popHighest(_ call: CommandCall) throws(MartletError) {
        try pop(call, highest: true)
    }

    private static func pop(_ call: CommandCall, highest: Bool) throws(MartletError) {
        guard call.count <= 3 else { throw .syntax }
        var count = 1
        if call.count == 3 {
            count = Int(try call.integer(2, or: .notPositive))
            guard count >= 0 else { throw .notPositive }
        }
        // With a count version 3 has pairs, without one a flat array.
        let shape: PopReply.Shape = call.count == 3 ? .list : .flat
        let key = call.arguments[1]
        if try !pop(call, from: key, highest: highest, count: count, PopReply(shape: shape, key: key)) {
            call.reply.array(0)
        }
    }

    static func popFromFirst(_ call: CommandCall) throws(MartletError) {
        let request = try MultiplePop(call, at: 1)
        if try !popFromFirst(call, request) { call.reply.nullArray() }
    }

    static func waitForFirst(_ call: CommandCall) throws(MartletError) {
        let request = try MultiplePop(call, at: 2)
        let timeout = try call.timeoutMilliseconds(1)
        if try popFromFirst(call, request) { return }
        call.wait(for: request.keys.map { Array(call.arguments[$0]) }, milliseconds: timeout) { $0.nullArray() }
    }

    static func waitForLowest(_ call: CommandCall) throws(MartletError) {
        try wait(call, highest: false)
    }

    static func waitForHighest(_ call: CommandCall) throws(MartletError) {
        try wait(call, highest: true)
    }

    private static func wait(_ call: CommandCall, highest: Bool) throws(MartletError) {
        let timeout = try call.timeoutMilliseconds(call.count - 1)
        let keys = 1..<call.count - 1
        for index in keys {
            let key = call.arguments[index]
            if try pop(call, from: key, highest: highest, count: 1, PopReply(shape: .keyed, key: key)) { return }
        }
        call.wait(for: keys.map { Array(call.arguments[$0]) }, milliseconds: timeout) { $0.nullArray() }
    }

    private static func popFromFirst(_ call: CommandCall, _ request: MultiplePop) throws(MartletError) -> Bool {
        for index in request.keys {
            let key = call.arguments[index]
            let reply = PopReply(shape: .nested, key: key)
            if try pop(call, from: key, highest: request.highest, count: request.count, reply) { return true }
        }
        return false
    }

    /// Pops up to `count` elements of the sorted set under a key.
    ///
    /// - Returns: False, and nothing written, where there is none.
    private static func pop(
        _ call: CommandCall, from key: UnsafeRawBufferPointer, highest: Bool, count: Int, _ reply: PopReply
    ) throws(MartletError) -> Bool {
        let popped = try call.items.withItem(key, now: call.now) { (item) throws(MartletError) -> Int? in
            guard let present = try item.sortedSetCount() else { return nil }
            let number = min(count, present)
            guard number > 0 else {
                call.reply.array(0)
                return 0
            }
            guard number <= PopWork.piece else { return number }
            reply.begin(call.reply, number)
            var answered = AnsweredElements()
            _ = try item.popFromSortedSet(highest: highest, count: number) { score, member in
                reply.element(call.reply, score, member)
                answered.add(member.count + AnsweredElements.scoreBytes)
            }
            call.countElementsOut(answered)
            return number
        }
        call.countFound(popped != nil)
        guard let popped else { return false }
        if popped > PopWork.piece { try call.goOn(with: PopWork(key, highest: highest, count: popped, reply)) }
        return true
    }
}

/// What ZMPOP and BZMPOP ask for.
private struct MultiplePop {
    /// Indexes of arguments.
    let keys: Range<Int>
    let highest: Bool
    private(set) var count = 1

    /// - Parameter numberIndex: Where the number of keys stands.
    init(_ call: CommandCall, at numberIndex: Int) throws(MartletError) {
        let unusable = MartletError.command("ERR numkeys should be greater than 0")
        let number = try call.integer(numberIndex, or: unusable)
        guard number > 0 else { throw unusable }
        guard number < Int64(call.count - numberIndex - 1) else { throw .syntax }
        keys = numberIndex + 1..<numberIndex + 1 + Int(number)
        if call.arguments.isWord(keys.upperBound, "MIN") {
            highest = false
        } else if call.arguments.isWord(keys.upperBound, "MAX") {
            highest = true
        } else {
            throw .syntax
        }
        let option = keys.upperBound + 1
        guard option < call.count else { return }
        guard option + 1 < call.count, call.arguments.isWord(option, "COUNT") else { throw .syntax }
        let unusableCount = MartletError.command("ERR count should be greater than 0")
        count = Int(try call.integer(option + 1, or: unusableCount))
        guard count > 0 else { throw unusableCount }
        guard option + 2 == call.count else { throw .syntax }
    }
}

/// How popped elements are told.
struct PopReply {
    enum Shape {
        /// Member and score.
        case flat
        /// The same behind the key.
        case keyed
        /// Members and scores; in version 3 pairs.
        case list
        /// The key, and a list of pairs.
        case nested
    }

    let shape: Shape
    /// Lent.
    let key: UnsafeRawBufferPointer

    func begin(_ writer: ReplyWriter, _ count: Int) {
        switch shape {
        case .flat: writer.array(2)
        case .keyed:
            writer.array(3)
            writer.bulk(key)
        case .list: writer.array(writer.isVersion3 ? count : 2 * count)
        case .nested:
            writer.array(2)
            writer.bulk(key)
            writer.array(count)
        }
    }

    func element(_ writer: ReplyWriter, _ score: Double, _ member: UnsafeRawBufferPointer) {
        switch shape {
        case .flat, .keyed: break
        case .list: if writer.isVersion3 { writer.array(2) }
        case .nested: writer.array(2)
        }
        writer.bulk(member)
        writer.double(score)
    }
}

/// Pops very many elements, a piece under each lock: between two of them others see it partly done.
final class PopWork: CommandWork {
    /// As many are popped at once.
    static let piece = 400

    private let key: [UInt8]
    private let highest: Bool
    private var left: Int
    private let shape: PopReply.Shape
    private let elements = ReplyWriter()
    private var popped = 0

    init(_ key: UnsafeRawBufferPointer, highest: Bool, count: Int, _ reply: PopReply) {
        self.key = Array(key)
        self.highest = highest
        shape = reply.shape
        left = count
    }

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        elements.isVersion3 = call.reply.isVersion3
        let key = key
        return try key.span.bytes.withUnsafeBytes { (key) throws(MartletError) in
            let reply = PopReply(shape: shape, key: key)
            let isOver = try step(call, reply)
            guard isOver else { return false }
            reply.begin(call.reply, popped)
            call.reply.append(elements.bytes)
            return true
        }
    }

    private func step(_ call: CommandCall, _ reply: PopReply) throws(MartletError) -> Bool {
        var answered = AnsweredElements()
        do throws(MartletError) {
            let remaining = try call.items.withItem(reply.key, now: call.now) { (item) throws(MartletError) in
                try item.popFromSortedSet(highest: highest, count: min(left, Self.piece)) { score, member in
                    reply.element(elements, score, member)
                    answered.add(member.count + AnsweredElements.scoreBytes)
                }
            }
            call.countElementsOut(answered)
            popped += answered.count
            left -= answered.count
            return left <= 0 || (remaining ?? 0) == 0
        } catch {
            // What was taken before is the caller's, whatever stands there now.
            guard popped > 0 else { throw error }
            return true
        }
    }
}
