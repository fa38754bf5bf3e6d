import Engine
import Tenancy

// Times of single fields, as Valkey 9 has them.

extension HashCommands {
    static func expireSeconds(_ call: CommandCall) throws(MartletError) {
        try expire(call, "hexpire", .seconds, isAbsolute: false)
    }
    static func expireMilliseconds(_ call: CommandCall) throws(MartletError) {
        try expire(call, "hpexpire", .milliseconds, isAbsolute: false)
    }
    static func expireAtSeconds(_ call: CommandCall) throws(MartletError) {
        try expire(call, "hexpireat", .seconds, isAbsolute: true)
    }
    static func expireAtMilliseconds(_ call: CommandCall) throws(MartletError) {
        try expire(call, "hpexpireat", .milliseconds, isAbsolute: true)
    }

    /// `key time [NX | XX | GT | LT] FIELDS count field ...`: for each field -2 if it is not there, 0 if the condition does
    /// not hold, 2 if the time has passed and it was deleted, else 1.
    private static func expire(
        _ call: CommandCall, _ command: String, _ unit: CommandCall.TimeUnit, isAbsolute: Bool
    ) throws(MartletError) {
        let word = try fieldsWord(call, from: 3)
        let rule = try FieldRule(call, 3..<word)
        let fields = try countedFields(call, behind: word)
        let time = try fieldExpiry(call, 2, unit, isAbsolute: isAbsolute, command: command)
        try forPieces(call, fields) { (call, places) throws(MartletError) in
            try expire(call, places, time, rule, kept: 0)
        }
    }

    static func persist(_ call: CommandCall) throws(MartletError) {
        let fields = try countedFields(call, behind: try fieldsWord(call, at: 2))
        try forPieces(call, fields) { (call, places) throws(MartletError) in
            try expire(call, places, nil, FieldRule(.onlyIfSome), kept: -1)
        }
    }

    /// - Parameter kept: What answers a field for which the rule does not hold.
    private static func expire(
        _ call: CommandCall, _ places: Range<Int>, _ time: Timestamp?, _ rule: FieldRule, kept: Int
    ) throws(MartletError) {
        let key = call.arguments[1]
        let reply = call.reply
        for place in places { call.countElementIn(byteCount: call.arguments[place].count) }
        // A small hash that gets its first time is written anew as a large one.
        let room = time == nil ? 0 : CommandCall.room(for: 16 << 10, fields: places.count)
        let isThere = try call.withFields(places) { (fields) throws(MartletError) in
            try call.items.withItem(key, reserving: room, now: call.now) { (item) throws(MartletError) in
                try rule.set(time, of: fields, in: &item) { outcome in
                    switch outcome {
                    case .missing: reply.integer(-2)
                    case .kept: reply.integer(kept)
                    case .changed: reply.integer(1)
                    case .removed: reply.integer(2)
                    }
                }
            }
        }
        if !isThere { for _ in places { reply.integer(-2) } }
    }

    // MARK: Asking

    static func secondsLeft(_ call: CommandCall) throws(MartletError) {
        try answerTimes(call) { ($0.milliseconds - $1.milliseconds + 500) / 1000 }
    }
    static func millisecondsLeft(_ call: CommandCall) throws(MartletError) {
        try answerTimes(call) { $0.milliseconds - $1.milliseconds }
    }
    static func expirySeconds(_ call: CommandCall) throws(MartletError) {
        try answerTimes(call) { time, _ in (time.milliseconds + 500) / 1000 }
    }
    static func expiryMilliseconds(_ call: CommandCall) throws(MartletError) {
        try answerTimes(call) { time, _ in time.milliseconds }
    }

    /// `key FIELDS count field ...`: for each field -2 if it is not there, -1 if it has no time, else what `tell` makes of
    /// its time and the present one.
    private static func answerTimes(
        _ call: CommandCall, _ tell: @escaping (Timestamp, Timestamp) -> Int64
    ) throws(MartletError) {
        let fields = try countedFields(call, behind: try fieldsWord(call, at: 2), or: .syntax)
        try forPieces(call, fields) { (call, places) throws(MartletError) in
            let (reply, now) = (call.reply, call.now)
            for place in places { call.countElementIn(byteCount: call.arguments[place].count) }
            let isThere = try call.withFields(places) { (fields) throws(MartletError) in
                try call.items.withItem(call.arguments[1], now: now) { (item) throws(MartletError) in
                    try item.dictionaryExpiry(fields) { _, expiry in
                        switch expiry {
                        case .missing: reply.integer(-2)
                        case .never: reply.integer(-1)
                        case .at(let time): reply.integer(max(0, tell(time, now)))
                        }
                    }
                }
            }
            if !isThere { for _ in places { reply.integer(-2) } }
            if places.lowerBound == fields.lowerBound { call.countFound(isThere) }
        }
    }

    // MARK: Arguments

    /// Where `FIELDS` stands behind options; behind all where it does not stand.
    static func fieldsWord(_ call: CommandCall, from first: Int) throws(MartletError) -> Int {
        for place in first..<max(first, call.count - 1) where call.arguments.isWord(place, "FIELDS") { return place }
        throw notMatching
    }

    private static func fieldsWord(_ call: CommandCall, at place: Int) throws(MartletError) -> Int {
        guard call.arguments.isWord(place, "FIELDS") else {
            throw .command("ERR Mandatory argument FIELDS is missing or not at the right position")
        }
        return place
    }

    /// The places of the fields behind `FIELDS` and their number, which must be right.
    ///
    /// - Parameter each: 2 for fields with values.
    static func countedFields(
        _ call: CommandCall, behind word: Int, each: Int = 1, or failure: MartletError = notMatching
    ) throws(MartletError) -> Range<Int> {
        let count = try call.integer(word + 1)
        let first = word + 2
        let there = call.count - first
        guard count > 0, there % each == 0, count == Int64(there / each) else { throw failure }
        return first..<call.count
    }

    private static let notMatching = MartletError.command(
        "ERR numfields should be greater than 0 and match the provided number of fields")

    /// The time that an argument says, which must not be negative.
    static func fieldExpiry(
        _ call: CommandCall, _ place: Int, _ unit: CommandCall.TimeUnit, isAbsolute: Bool, command: String
    ) throws(MartletError) -> Timestamp {
        let amount = try call.integer(place)
        guard amount >= 0 else { throw .command("ERR invalid expire time in '\(command)' command") }
        return try call.expiry(amount, unit, isAbsolute: isAbsolute, command: command)
    }

    /// Answers an array with one element for each field, very many of them in turns.
    private static func forPieces(
        _ call: CommandCall, _ fields: Range<Int>, _ body: @escaping HashPieces.Step
    ) throws(MartletError) {
        let step: HashPieces.Step = { (call, places) throws(MartletError) in
            if places.lowerBound == fields.lowerBound { call.reply.array(fields.count) }
            try body(call, places)
        }
        guard fields.count > HashPieces.atOnce else { return try step(call, fields) }
        try call.goOn(with: HashPieces(from: fields.lowerBound, step: 1, step) { _ in })
    }
}

/// The condition under which a field gets a time.
struct FieldRule {
    private var rule: ExpiryRule
    /// `XX` beside `LT`: a field without a time is left as it is, too.
    private var needsTime = false

    init(_ rule: ExpiryRule) {
        self.rule = rule
    }

    /// The options of HEXPIRE at some places.
    init(_ call: CommandCall, _ places: Range<Int>) throws(MartletError) {
        var (ifNone, ifSome, ifLater, ifEarlier) = (false, false, false, false)
        for place in places {
            switch true {
            case call.arguments.isWord(place, "NX"): ifNone = true
            case call.arguments.isWord(place, "XX"): ifSome = true
            case call.arguments.isWord(place, "GT"): ifLater = true
            case call.arguments.isWord(place, "LT"): ifEarlier = true
            default: throw .command("ERR Unsupported option \(call.arguments.string(place))")
            }
        }
        guard !ifNone || !ifSome && !ifLater && !ifEarlier else {
            throw .command("ERR NX and XX, GT or LT options at the same time are not compatible")
        }
        guard !ifLater || !ifEarlier else {
            throw .command("ERR GT and LT options at the same time are not compatible")
        }
        rule =
            ifNone ? .onlyIfNone : ifLater ? .onlyIfLater : ifEarlier ? .onlyIfEarlier : ifSome ? .onlyIfSome : .always
        needsTime = ifSome && ifEarlier
    }

    /// Gives fields a time where the rule holds; `answer` gets what became of each. False, and nothing is called: no
    /// hash.
    func set(
        _ time: Timestamp?, of fields: Span<UnsafeRawBufferPointer>, in item: inout ItemAccess,
        _ answer: (FieldExpiryOutcome) -> Void
    ) throws(MartletError) -> Bool {
        guard needsTime else {
            return try item.dictionarySetExpiry(fields, time, rule: rule) { _, outcome in answer(outcome) }
        }
        guard try item.dictionaryLength() != nil else { return false }
        for index in fields.indices {
            let field = fields.extracting(index..<index + 1)
            var expiry = FieldExpiry.missing
            _ = try item.dictionaryExpiry(field) { expiry = $1 }
            if expiry == .never {
                answer(.kept)
            } else if try !item.dictionarySetExpiry(field, time, rule: rule, { answer($1) }) {
                answer(.missing)
            }
        }
        return true
    }
}
