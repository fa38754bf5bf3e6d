import Engine
import Tenancy

// Reading or writing fields and changing their time in one step. Each is one hold of the lock, however many fields it
// names: what it answers and what it does belong together.

extension HashCommands {
    /// `key [EX | PX | EXAT | PXAT time | PERSIST] FIELDS count field ...`.
    static func getAndExpire(_ call: CommandCall) throws(MartletError) {
        let word = try fieldsWord(call, from: 2)
        let options = try FieldOptions(call, 2..<word, [.persist])
        let fields = try countedFields(call, behind: word)
        // What the time is says nothing of a key of another kind.
        try checkKind(call)
        let change = try options.change(call, command: "hgetex")
        let room = options.setsTime ? CommandCall.room(for: 16 << 10, fields: fields.count) : 0
        var removes = false
        if case .set(let time) = change { removes = time <= call.now }
        try answerValues(call, fields, reserving: room, removes: removes) { (names, item) throws(MartletError) in
            switch change {
            case .leave: break
            case .clear: _ = try item.dictionarySetExpiry(names, nil, rule: .onlyIfSome) { _, _ in }
            case .set(let time): _ = try item.dictionarySetExpiry(names, time, rule: .always) { _, _ in }
            }
        }
    }

    /// `key FIELDS count field ...`.
    static func getAndDelete(_ call: CommandCall) throws(MartletError) {
        let fields = try countedFields(call, behind: try fieldsWord(call, from: 2))
        try answerValues(call, fields, reserving: 0, removes: true) { (names, item) throws(MartletError) in
            _ = try item.dictionaryRemove(names)
        }
    }

    /// Answers values, and then does something with the fields.
    ///
    /// - Parameter removes: Whether that removes them, so that one that is named again is not there any more.
    private static func answerValues(
        _ call: CommandCall, _ fields: Range<Int>, reserving room: Int, removes: Bool,
        _ change: (Span<UnsafeRawBufferPointer>, inout ItemAccess) throws(MartletError) -> Void
    ) throws(MartletError) {
        let reply = call.reply
        let isThere = try call.withFields(fields) { (names) throws(MartletError) in
            try call.items.withItem(call.arguments[1], reserving: room, now: call.now) {
                (item) throws(MartletError) -> Bool in
                reply.array(fields.count)
                var seen = removes && fields.count > 1 ? Set<[UInt8]>() : nil
                let isThere = try item.dictionaryGet(names) { index, value in
                    var value = value
                    if seen?.insert(Array(names[index])).inserted == false { value = nil }
                    if let value { reply.bulk(value) } else { reply.null() }
                    call.countField(names[index], valueBytes: value?.count)
                }
                if isThere { try change(names, &item) }
                return isThere
            }
        }
        if !isThere {
            for place in fields {
                reply.null()
                call.countField(call.arguments[place], valueBytes: nil)
            }
        }
        call.countFound(isThere)
    }

    private static func checkKind(_ call: CommandCall) throws(MartletError) {
        let kind = try call.items.withItem(call.arguments[1], now: call.now) { item in item.kind }
        guard kind == nil || kind == .dictionary else { throw .wrongType }
    }

    // MARK: HSETEX

    /// With a condition the answer tells of what is stored.
    static func setAndExpireKeys(_ arguments: Arguments) -> [FoundKey] {
        for place in 2..<max(2, arguments.count) {
            if arguments.isWord(place, "FIELDS") { break }
            for isCondition in [
                arguments.isWord(place, "NX"), arguments.isWord(place, "XX"), arguments.isWord(place, "FNX"),
                arguments.isWord(place, "FXX"),
            ] where isCondition { return [FoundKey(1, .readWrite)] }
        }
        return [FoundKey(1, .write)]
    }

    /// `key [NX | XX] [FNX | FXX] [EX | PX | EXAT | PXAT time | KEEPTTL] FIELDS count field value ...`: 1 if all of them
    /// were set, or deleted because the time has passed; 0 if a condition does not hold.
    static func setAndExpire(_ call: CommandCall) throws(MartletError) {
        let word = try fieldsWord(call, from: 2)
        let options = try FieldOptions(call, 2..<word, [.conditions])
        let places = try countedFields(call, behind: word, each: 2)
        try checkKind(call)
        let change = try options.change(call, command: "hsetex")
        let byteCount = try call.checkPairs(places)
        let (expiry, now) = (call.collectionExpiry, call.now)
        let isDone = try call.withPairs(places) { (pairs) throws(MartletError) in
            let names = UnsafeMutableBufferPointer<UnsafeRawBufferPointer>.allocate(capacity: pairs.count)
            defer { names.deallocate() }
            for index in pairs.indices { names.initializeElement(at: index, to: pairs[index].field) }
            let fields = UnsafeBufferPointer(names).span
            let room = CommandCall.room(for: byteCount + (16 << 10), fields: pairs.count)
            return try call.items.withItem(call.arguments[1], reserving: room, now: now) {
                (item) throws(MartletError) -> Bool in
                guard try options.hold(for: fields, in: item) else { return false }
                try call.checkGrowth(of: item, adding: byteCount)
                if case .set(let time) = change, time <= now {
                    _ = try item.dictionaryRemove(fields)
                    return true
                }
                _ = try item.dictionarySet(pairs, expiry: expiry, keepingFieldTimes: options.keepsTime)
                if case .set(let time) = change {
                    _ = try item.dictionarySetExpiry(fields, time, rule: .always) { _, _ in }
                }
                return true
            }
        }
        call.reply.integer(isDone)
    }
}

/// The options of HGETEX and HSETEX.
struct FieldOptions {
    struct Allowed: OptionSet {
        let rawValue: Int
        static let persist = Allowed(rawValue: 1)
        /// Those of HSETEX, KEEPTTL among them.
        static let conditions = Allowed(rawValue: 2)
    }

    enum Change {
        case leave, clear
        case set(Timestamp)
    }

    private enum Time {
        case given(place: Int, CommandCall.TimeUnit, isAbsolute: Bool)
        case persist, keep
    }

    private var time: Time?
    private var keyIsThere: Bool?
    private var fieldsAreThere: Bool?

    init(_ call: CommandCall, _ places: Range<Int>, _ allowed: Allowed) throws(MartletError) {
        var place = places.lowerBound
        while place < places.upperBound {
            var found: Time?
            switch true {
            case call.arguments.isWord(place, "EX"): found = .given(place: place + 1, .seconds, isAbsolute: false)
            case call.arguments.isWord(place, "PX"): found = .given(place: place + 1, .milliseconds, isAbsolute: false)
            case call.arguments.isWord(place, "EXAT"): found = .given(place: place + 1, .seconds, isAbsolute: true)
            case call.arguments.isWord(place, "PXAT"): found = .given(place: place + 1, .milliseconds, isAbsolute: true)
            case allowed.contains(.persist) && call.arguments.isWord(place, "PERSIST"): found = .persist
            case allowed.contains(.conditions) && call.arguments.isWord(place, "KEEPTTL"): found = .keep
            case allowed.contains(.conditions) && call.arguments.isWord(place, "NX"):
                try Self.demand(false, &keyIsThere)
            case allowed.contains(.conditions) && call.arguments.isWord(place, "XX"):
                try Self.demand(true, &keyIsThere)
            case allowed.contains(.conditions) && call.arguments.isWord(place, "FNX"):
                try Self.demand(false, &fieldsAreThere)
            case allowed.contains(.conditions) && call.arguments.isWord(place, "FXX"):
                try Self.demand(true, &fieldsAreThere)
            default: throw .syntax
            }
            if let found {
                guard time == nil else { throw .syntax }
                time = found
                if case .given(let amount, _, _) = found {
                    guard amount < places.upperBound else { throw .syntax }
                    place = amount
                }
            }
            place += 1
        }
    }

    private static func demand(_ isThere: Bool, _ condition: inout Bool?) throws(MartletError) {
        guard condition == nil || condition == isThere else { throw .syntax }
        condition = isThere
    }

    var setsTime: Bool {
        if case .given = time { true } else { false }
    }

    var keepsTime: Bool {
        if case .keep = time { true } else { false }
    }

    /// What the options ask for, the time's number read.
    func change(_ call: CommandCall, command: String) throws(MartletError) -> Change {
        switch time {
        case nil, .keep: return .leave
        case .persist: return .clear
        case .given(let place, let unit, let isAbsolute):
            return .set(
                try HashCommands.fieldExpiry(call, place, unit, isAbsolute: isAbsolute, command: command))
        }
    }

    /// Whether the conditions hold of what is stored.
    func hold(for fields: Span<UnsafeRawBufferPointer>, in item: borrowing ItemAccess) throws(MartletError) -> Bool {
        if let keyIsThere, keyIsThere != (item.kind != nil) { return false }
        guard let fieldsAreThere else { return true }
        for index in fields.indices {
            guard try (item.dictionaryContains(fields[index]) == true) == fieldsAreThere else { return false }
        }
        return true
    }
}
