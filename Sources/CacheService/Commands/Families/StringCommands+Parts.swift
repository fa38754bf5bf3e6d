import Admission
import Engine
import Tenancy

/// Parts of strings.
extension StringCommands {
    static let parts: [CommandSpec] = [
        .items(
            "append", arity: 3, [.write, .denyOOM, .fast], keys: .first(.readWrite), group: .string,
            summary: "Appends to the value of a key.", append),
        .items(
            "setrange", arity: 4, [.write, .denyOOM], keys: .first(.readWrite), group: .string,
            summary: "Writes over a part of the value of a key.", setRange),
        .items(
            "getrange", arity: 4, [.readonly], keys: .first(.read), group: .string,
            summary: "A part of the value of a key.", getRange),
        .items(
            "substr", arity: 4, [.readonly], keys: .first(.read), group: .string,
            summary: "A part of the value of a key, by the older name of GETRANGE.", getRange),
    ]

    static func append(_ call: CommandCall) throws(MartletError) {
        let (key, addition) = (call.arguments[1], call.arguments[2])
        try call.sizes.checkItem(keyBytes: key.count, valueBytes: addition.count)
        let count: Int
        do throws(MartletError) {
            count = try call.items.append(
                key, addition, limit: call.valueLimit(key), expiresAt: call.defaultExpiry, now: call.now)
        } catch .tooLarge {
            // The limit that was set is that of key and value together.
            throw .tooLarge(limit: .maxItemBytes, value: UInt64(call.sizes.itemBytes))
        }
        call.countWrite(key: key, valueBytes: addition.count)
        call.reply.integer(count)
    }

    static func setRange(_ call: CommandCall) throws(MartletError) {
        let (key, part) = (call.arguments[1], call.arguments[3])
        let offset = try call.integer(2)
        guard offset >= 0 else { throw .command("ERR offset is out of range") }
        // Nothing to write: only the length is answered, and nothing is too far.
        guard !part.isEmpty else { return try length(call) }
        try call.sizes.checkKey(byteCount: key.count)
        let limit = call.valueLimit(key)
        let (end, isOver) = offset.addingReportingOverflow(Int64(part.count))
        if isOver || end > limit {
            try call.withString(key) { _ in }
            // Beyond what Redis takes, in its words.
            guard !isOver, end <= BitmapCommands.mostBytes else {
                throw .command("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
            }
            throw .tooLarge(limit: .maxItemBytes, value: UInt64(call.sizes.itemBytes))
        }
        let count = try call.items.setRange(
            key, at: Int(offset), part, limit: limit, expiresAt: call.defaultExpiry, now: call.now)
        call.countWrite(key: key, valueBytes: part.count)
        call.reply.integer(count)
    }

    static func getRange(_ call: CommandCall) throws(MartletError) {
        let key = call.arguments[1]
        let (first, last) = (try call.integer(2), try call.integer(3))
        let part = try call.items.withRange(
            key, { Self.range(first, last, count: $0) }, now: call.now
        ) { part in
            call.reply.bulk(part)
            return part.count
        }
        if part == nil { call.reply.bulk(UnsafeRawBufferPointer(start: nil, count: 0)) }
        call.countRead(key: key, valueBytes: part)
    }

    /// The bytes between two positions, both of them included, negative ones counted from the end.
    static func range(_ first: Int64, _ last: Int64, count: Int) -> Range<Int> {
        if first < 0, last < 0, first > last { return 0..<0 }
        let count = Int64(count)
        let start = max(0, first < 0 ? count + first : first)
        let end = min(max(0, last < 0 ? count + last : last), count - 1)
        return start <= end ? Int(start)..<Int(end) + 1 : 0..<0
    }
}
