import Engine
import Tenancy

/// Commands on hashes, which are dictionaries everywhere else.
enum HashCommands {
    static let all: [CommandSpec] = [
        read("hget", 3, [.fast], "The value of a field.", get),
        read("hmget", -3, [.fast], "The values of fields.", getMany),
        read("hgetall", 2, [], "All fields with their values.", getAll),
        read("hkeys", 2, [], "All fields.", getFields),
        read("hvals", 2, [], "The values of all fields.", getValues),
        read("hlen", 2, [.fast], "How many fields there are.", length),
        read("hexists", 3, [.fast], "Whether a field is there.", exists),
        read("hstrlen", 3, [.fast], "How long the value of a field is.", valueLength),
        read("hrandfield", -2, [.random], "Fields drawn by lot.", randomFields),
        read("hscan", -3, [.random], "Some of the fields, and where to go on.", scan),
        write("hset", -4, [.denyOOM, .fast], "Sets fields, and tells how many are new.", set),
        .items(
            "hmset", arity: -4, [.write, .denyOOM, .fast], keys: .first(.write), group: .hash, summary: "Sets fields.",
            setAll),
        write("hsetnx", 4, [.denyOOM, .fast], "Sets a field that is not there.", setIfAbsent),
        write("hdel", -3, [.fast], "Deletes fields.", delete),
        write("hincrby", 4, [.denyOOM, .fast], "Adds to the whole number in a field.", increment),
        write("hincrbyfloat", 4, [.denyOOM, .fast], "Adds to the number in a field.", incrementByFraction),
        write("hexpire", -6, [.denyOOM, .fast], "Lets fields expire after some seconds.", expireSeconds),
        write("hpexpire", -6, [.denyOOM, .fast], "Lets fields expire after some milliseconds.", expireMilliseconds),
        write("hexpireat", -6, [.denyOOM, .fast], "Lets fields expire at a time in seconds.", expireAtSeconds),
        write(
            "hpexpireat", -6, [.denyOOM, .fast], "Lets fields expire at a time in milliseconds.", expireAtMilliseconds),
        write("hpersist", -5, [.fast], "Lets fields last.", persist),
        read("httl", -5, [.fast], "How many seconds fields have left.", secondsLeft),
        read("hpttl", -5, [.fast], "How many milliseconds fields have left.", millisecondsLeft),
        read("hexpiretime", -5, [.fast], "When fields expire, in seconds.", expirySeconds),
        read("hpexpiretime", -5, [.fast], "When fields expire, in milliseconds.", expiryMilliseconds),
        write("hgetex", -5, [.fast], "The values of fields, whose time it may change.", getAndExpire),
        write("hgetdel", -5, [.fast], "The values of fields, which it deletes.", getAndDelete),
        .items(
            "hsetex", arity: -6, [.write, .denyOOM, .fast], keys: .found(setAndExpireKeys), group: .hash,
            summary: "Sets fields together with their time.", setAndExpire),
    ]

    static func read(
        _ name: String, _ arity: Int, _ flags: CommandFlags, _ summary: String,
        _ execute: @escaping @Sendable (CommandCall) throws(MartletError) -> Void
    ) -> CommandSpec {
        .items(
            name, arity: arity, flags.union(.readonly), keys: .first(.read), group: .hash, summary: summary, execute)
    }

    /// A write whose reply tells of what was stored.
    static func write(
        _ name: String, _ arity: Int, _ flags: CommandFlags, _ summary: String,
        _ execute: @escaping @Sendable (CommandCall) throws(MartletError) -> Void
    ) -> CommandSpec {
        .items(
            name, arity: arity, flags.union(.write), keys: .first(.readWrite), group: .hash, summary: summary, execute)
    }

    // MARK: One field

    static func get(_ call: CommandCall) throws(MartletError) {
        let field = call.arguments[2]
        var byteCount: Int?
        let found = try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
            try item.dictionaryGet(field) { value in
                call.reply.bulk(value)
                byteCount = value.count
            }
        }
        if byteCount == nil { call.reply.null() }
        call.countField(field, valueBytes: byteCount)
        call.countFound(found != nil)
    }

    static func exists(_ call: CommandCall) throws(MartletError) {
        let field = call.arguments[2]
        let found = try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
            try item.dictionaryContains(field)
        }
        call.reply.integer(found == true)
        call.countElementIn(byteCount: field.count)
        call.countFound(found != nil)
    }

    static func valueLength(_ call: CommandCall) throws(MartletError) {
        let field = call.arguments[2]
        var length = 0
        let found = try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
            try item.dictionaryGet(field) { length = $0.count }
        }
        call.reply.integer(length)
        call.countElementIn(byteCount: field.count)
        call.countFound(found != nil)
    }

    static func length(_ call: CommandCall) throws(MartletError) {
        let length = try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
            try item.dictionaryLength()
        }
        call.reply.integer(length ?? 0)
        call.countFound(length != nil)
    }

    // MARK: Several fields

    static func getMany(_ call: CommandCall) throws(MartletError) {
        guard call.count > HashPieces.atOnce + 2 else { return try answerValues(call, 2..<call.count) }
        try call.goOn(with: HashPieces(from: 2, step: 1, answerValues) { _ in })
    }

    /// The values of the fields at some places, the first with what goes before all of them.
    private static func answerValues(_ call: CommandCall, _ places: Range<Int>) throws(MartletError) {
        let isFirst = places.lowerBound == 2
        if isFirst { call.reply.array(call.count - 2) }
        let isThere = try call.withFields(places) { (fields) throws(MartletError) in
            try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
                try item.dictionaryGet(fields) { index, value in
                    if let value { call.reply.bulk(value) } else { call.reply.null() }
                    call.countField(fields[index], valueBytes: value?.count)
                }
            }
        }
        if !isThere {
            for place in places {
                call.reply.null()
                call.countField(call.arguments[place], valueBytes: nil)
            }
        }
        if isFirst { call.countFound(isThere) }
    }

    static func delete(_ call: CommandCall) throws(MartletError) {
        guard call.count > HashPieces.atOnce + 2 else {
            return call.reply.integer(try remove(call, 2..<call.count))
        }
        var removed = 0
        let work = HashPieces(from: 2, step: 1) { (call, places) throws(MartletError) in
            removed += try remove(call, places)
        } end: { call in
            call.reply.integer(removed)
        }
        try call.goOn(with: work)
    }

    private static func remove(_ call: CommandCall, _ places: Range<Int>) throws(MartletError) -> Int {
        for place in places { call.countElementIn(byteCount: call.arguments[place].count) }
        return try call.withFields(places) { (fields) throws(MartletError) in
            try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
                try item.dictionaryRemove(fields) ?? 0
            }
        }
    }
}

/// What is done with each of very many fields, some at a time: others may see a part of it done.
final class HashPieces: CommandWork {
    /// As many as this are done at once, under one lock: a quarter of a millisecond's work or so.
    static let atOnce = 1024

    typealias Step = (CommandCall, Range<Int>) throws(MartletError) -> Void

    private var next: Int
    private let stride: Int
    private let body: Step
    private let end: (CommandCall) -> Void

    /// - Parameters:
    ///   - first: The argument that they begin with.
    ///   - stride: 2 for fields with values.
    init(from first: Int, step stride: Int, _ body: @escaping Step, end: @escaping (CommandCall) -> Void) {
        next = first
        self.stride = stride
        self.body = body
        self.end = end
    }

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        let last = min(call.count, next + Self.atOnce * stride)
        try body(call, next..<last)
        next = last
        guard next == call.count else { return false }
        end(call)
        return true
    }
}

extension CommandCall {
    /// Lends the arguments at some places to an operation on fields.
    func withFields<Result>(
        _ places: Range<Int>, _ body: (Span<UnsafeRawBufferPointer>) throws(MartletError) -> Result
    ) throws(MartletError) -> Result {
        var outcome: Swift.Result<Result, MartletError>?
        withUnsafeTemporaryAllocation(of: UnsafeRawBufferPointer.self, capacity: places.count) { slices in
            for (index, place) in places.enumerated() { slices.initializeElement(at: index, to: arguments[place]) }
            do throws(MartletError) {
                outcome = .success(try body(UnsafeBufferPointer(slices).span))
            } catch {
                outcome = .failure(error)
            }
        }
        guard let outcome else { throw .internalFailure("an operation on fields did not run") }
        return try outcome.get()
    }

    /// A field that was asked for: nil, it is not there.
    @inline(__always)
    func countField(_ field: UnsafeRawBufferPointer, valueBytes: Int?) {
        guard let valueBytes else { return countElementIn(byteCount: field.count) }
        countElementOut(byteCount: field.count + valueBytes)
        // The field's name is not sent back.
        usage.bytesOut -= field.count
    }
}
