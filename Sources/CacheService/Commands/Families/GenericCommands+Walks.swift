import Engine
import Tenancy

/// KEYS and SCAN.
extension GenericCommands {
    static let walks: [CommandSpec] = [
        .items(
            "keys", arity: 2, [.readonly], keys: .everyItem(.read), group: .generic,
            summary: "All keys that match a pattern.", keys),
        .items(
            "scan", arity: -2, [.readonly], keys: .everyItem(.read), group: .generic,
            summary: "Some keys at a time, from a cursor on.", scan),
    ]

    static func keys(_ call: CommandCall) throws(MartletError) {
        let filter = KeyFilter(pattern: Glob.isEverything(call.arguments[1]) ? nil : 1)
        let work = KeyWalk(filter: filter) { (call, found, _) in
            call.reply.array(found.count)
            call.reply.append(found.bytes)
        }
        try call.goOn(with: work)
    }

    static func scan(_ call: CommandCall) throws(MartletError) {
        guard let cursor = cursor(call.arguments[1]) else { throw .command("ERR invalid cursor") }
        var filter = KeyFilter()
        var limit = 10
        var index = 2
        while index < call.count {
            guard index + 1 < call.count else { throw .syntax }
            if call.arguments.isWord(index, "COUNT") {
                let number = try call.integer(index + 1)
                guard number >= 1 else { throw .syntax }
                limit = Int(clamping: number)
            } else if call.arguments.isWord(index, "MATCH") {
                filter.pattern = Glob.isEverything(call.arguments[index + 1]) ? nil : index + 1
            } else if call.arguments.isWord(index, "TYPE") {
                filter.kind = .only(ItemKind(commandName: call.arguments[index + 1]))
            } else {
                throw .syntax
            }
            index += 2
        }
        let work = KeyWalk(from: cursor, limit: limit, filter: filter) { (call, found, cursor) in
            call.reply.array(2)
            call.reply.bulk(String(cursor))
            call.reply.array(found.count)
            call.reply.append(found.bytes)
        }
        try call.goOn(with: work)
    }

    /// A cursor as Redis takes it, with `strtoul`: a sign may come first, and no text at all is 0.
    static func cursor(_ text: UnsafeRawBufferPointer) -> UInt64? {
        let sign = text.first.flatMap { $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "+") ? $0 : nil }
        guard sign == nil || text.count > 1 else { return nil }
        var cursor: UInt64 = 0
        for byte in text.dropFirst(sign == nil ? 0 : 1) {
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            let (product, isOver) = cursor.multipliedReportingOverflow(by: 10)
            let (sum, isOverToo) = product.addingReportingOverflow(UInt64(byte - 0x30))
            guard !isOver, !isOverToo else { return nil }
            cursor = sum
        }
        return sign == UInt8(ascii: "-") ? 0 &- cursor : cursor
    }
}

/// Which keys a walk answers.
struct KeyFilter {
    enum Kind: Equatable {
        case any
        /// Nil: of a kind that there is not, so none.
        case only(ItemKind?)
    }

    /// The argument that is the pattern.
    var pattern: Int?
    var kind = Kind.any

    func takes(_ kind: ItemKind) -> Bool {
        if case .only(let wanted) = self.kind { return wanted == kind }
        return true
    }
}

/// Goes over the keys of a cache, some in each turn.
private final class KeyWalk: CommandWork {
    /// Keys as they are answered.
    struct Found {
        fileprivate let writer: ReplyWriter
        let count: Int
        var bytes: UnsafeRawBufferPointer { writer.bytes }
    }

    private var cursor: UInt64
    /// About how many keys are looked at before it ends; nil: all.
    private var left: Int?
    private let filter: KeyFilter
    private let end: (CommandCall, Found, UInt64) -> Void
    private let found = ReplyWriter()
    private var count = 0

    init(
        from cursor: UInt64 = 0, limit: Int? = nil, filter: KeyFilter,
        end: @escaping (CommandCall, Found, UInt64) -> Void
    ) {
        self.cursor = cursor
        left = limit
        self.filter = filter
        self.end = end
    }

    /// Comparisons in a turn, of which looking at a key is worth some: about half a millisecond's work.
    private static let stepsAtOnce = 1 << 18
    private static let stepsOfKey = 128

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        let pattern = filter.pattern.map { call.arguments[$0] }
        // A batch is not cut short, so one of keys that are to be matched is small.
        let batch = pattern == nil ? 512 : 32
        var steps = 0
        while steps < Self.stepsAtOnce {
            let limit = min(left ?? .max, batch)
            steps += limit * Self.stepsOfKey
            let next = call.items.scan(from: cursor, limit: limit, now: call.now) { (key, kind, _) in
                guard filter.takes(kind) else { return }
                if let pattern, !Glob.matches(key, pattern, steps: &steps) { return }
                found.bulk(key)
                count += 1
                call.countElementOut(byteCount: key.count)
            }
            // All keys are wanted, once: a cache that was divided meanwhile is gone over from its beginning.
            if left == nil, cursor != 0, next != 0, next &>> 63 != cursor &>> 63 {
                found.clear()
                (count, cursor) = (0, 0)
                continue
            }
            cursor = next
            left = left.map { $0 - limit }
            if next == 0 || left == 0 {
                end(call, Found(writer: found, count: count), next)
                return true
            }
        }
        return false
    }
}
