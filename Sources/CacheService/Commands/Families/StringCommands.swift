import Admission
import Engine
import Tenancy

/// Commands on strings.
enum StringCommands {
    static let all: [CommandSpec] = whole + numbers + parts + several

    /// Those on one string as a whole.
    private static let whole: [CommandSpec] = [
        .items(
            "get", arity: 2, [.readonly, .fast], keys: .first(.read), group: .string,
            summary: "The value of a key.", get),
        .items(
            "set", arity: -3, [.write, .denyOOM], keys: .found(setKeys), group: .string,
            summary: "Sets a key to a value, whatever it held.", set),
        .items(
            "setnx", arity: 3, [.write, .denyOOM, .fast], keys: .first(.readWrite), group: .string,
            summary: "Sets a key that holds nothing.", setIfAbsent),
        .items(
            "setex", arity: 4, [.write, .denyOOM], keys: .first(.write), group: .string,
            summary: "Sets a key to a value for some seconds.", setForSeconds),
        .items(
            "psetex", arity: 4, [.write, .denyOOM], keys: .first(.write), group: .string,
            summary: "Sets a key to a value for some milliseconds.", setForMilliseconds),
        .items(
            "getset", arity: 3, [.write, .denyOOM, .fast], keys: .first(.readWrite), group: .string,
            summary: "Sets a key and answers the value that it had.", getAndSet),
        .items(
            "getdel", arity: 2, [.write, .fast], keys: .first(.readWrite), group: .string,
            summary: "Deletes a key and answers the value that it had.", getAndDelete),
        .items(
            "getex", arity: -2, [.write, .fast], keys: .first(.readWrite), group: .string,
            summary: "The value of a key, which gets another time to live.", getAndExpire),
        .items(
            "strlen", arity: 2, [.readonly, .fast], keys: .first(.read), group: .string,
            summary: "How many bytes the value of a key has.", length),
    ]

    static func get(_ call: CommandCall) throws(MartletError) {
        let key = call.arguments[1]
        let count = try call.items.read(key, now: call.now) { call.reply.reserveBulk($0) }
        if count == nil { call.reply.null() }
        call.countRead(key: key, valueBytes: count)
    }

    /// `SET key value` alone writes; a condition or `GET` reveals what is stored.
    private static func setKeys(_ arguments: Arguments) -> [FoundKey] {
        var access = KeyAccess.write
        for index in stride(from: 3, to: arguments.count, by: 1)
        where arguments.isWord(index, "NX") || arguments.isWord(index, "XX") || arguments.isWord(index, "GET") {
            access = .readWrite
        }
        return [FoundKey(1, access)]
    }

    static func set(_ call: CommandCall) throws(MartletError) {
        let arguments = call.arguments
        let (key, value) = (arguments[1], arguments[2])
        guard arguments.count > 3 else {
            try call.sizes.checkItem(keyBytes: key.count, valueBytes: value.count)
            _ = try call.items.set(
                key, value: value, expiresAt: call.defaultExpiry, condition: .always, now: call.now)
            call.countWrite(key: key, valueBytes: value.count)
            return call.reply.ok()
        }
        try setWithOptions(call, key, value)
    }

    private static func setWithOptions(
        _ call: CommandCall, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
    ) throws(MartletError) {
        let options = try SetOptions(call, from: 3, isSet: true)
        let expiresAt = try options.expiry(call, command: "set") ?? call.defaultExpiry
        try call.sizes.checkItem(keyBytes: key.count, valueBytes: value.count)
        let isConditional = options.condition != .always
        call.countWrite(key: key, valueBytes: value.count, isConditional: isConditional)
        if options.answersOld || options.keepsTime {
            return try exchange(call, key, value, options, expiresAt)
        }
        let isStored = try call.items.set(
            key, value: value, expiresAt: expiresAt, condition: options.condition, now: call.now)
        if isStored { call.reply.ok() } else { call.reply.null() }
    }

    /// Sets what depends on what is there, or answers it.
    private static func exchange(
        _ call: CommandCall, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ options: SetOptions,
        _ expiresAt: Timestamp?
    ) throws(MartletError) {
        var held: Int?
        let isStored = try call.items.withItem(key, reserving: value.count + 64, now: call.now) {
            item throws(MartletError) in
            let kind = item.kind
            if options.answersOld {
                guard kind == nil || kind == .scalar else { throw .wrongType }
                held = try item.withValue { old throws(MartletError) in
                    call.reply.bulk(old)
                    return old.count
                }
                if held == nil { call.reply.null() }
            }
            switch options.condition {
            case .ifAbsent where kind != nil: return false
            case .ifPresent where kind == nil: return false
            default: break
            }
            try item.store(
                .scalar, value, expiresAt: options.keepsTime && kind != nil ? item.expiresAt : expiresAt)
            return true
        }
        guard options.answersOld else { return isStored ? call.reply.ok() : call.reply.null() }
        call.countRead(key: key, valueBytes: held)
    }

    static func setIfAbsent(_ call: CommandCall) throws(MartletError) {
        let (key, value) = (call.arguments[1], call.arguments[2])
        try call.sizes.checkItem(keyBytes: key.count, valueBytes: value.count)
        let isStored = try call.items.set(
            key, value: value, expiresAt: call.defaultExpiry, condition: .ifAbsent, now: call.now)
        call.countWrite(key: key, valueBytes: value.count, isConditional: true)
        call.reply.integer(isStored)
    }

    static func setForSeconds(_ call: CommandCall) throws(MartletError) {
        try set(call, for: .seconds, command: "setex")
    }

    static func setForMilliseconds(_ call: CommandCall) throws(MartletError) {
        try set(call, for: .milliseconds, command: "psetex")
    }

    private static func set(
        _ call: CommandCall, for unit: CommandCall.TimeUnit, command: String
    ) throws(MartletError) {
        let (key, value) = (call.arguments[1], call.arguments[3])
        let expiresAt = try call.positiveExpiry(2, unit, isAbsolute: false, command: command)
        try call.sizes.checkItem(keyBytes: key.count, valueBytes: value.count)
        _ = try call.items.set(key, value: value, expiresAt: expiresAt, condition: .always, now: call.now)
        call.countWrite(key: key, valueBytes: value.count)
        call.reply.ok()
    }

    static func getAndSet(_ call: CommandCall) throws(MartletError) {
        let (key, value) = (call.arguments[1], call.arguments[2])
        try call.sizes.checkItem(keyBytes: key.count, valueBytes: value.count)
        call.countWrite(key: key, valueBytes: value.count)
        try exchange(call, key, value, SetOptions(answersOld: true), call.defaultExpiry)
    }

    static func getAndDelete(_ call: CommandCall) throws(MartletError) {
        let key = call.arguments[1]
        let held = try call.items.withItem(key, now: call.now) { item throws(MartletError) in
            let held = try answer(item, call)
            if held != nil { item.remove() }
            return held
        }
        call.countRead(key: key, valueBytes: held)
    }

    static func getAndExpire(_ call: CommandCall) throws(MartletError) {
        let key = call.arguments[1]
        let options = try SetOptions(call, from: 2, isSet: false)
        let held = try call.items.withItem(key, now: call.now) { item throws(MartletError) in
            guard let held = try answer(item, call) else { return Int?.none }
            if let expiresAt = try options.expiry(call, command: "getex") {
                item.setExpiry(expiresAt)
            } else if options.persists {
                item.setExpiry(call.latestExpiry)
            }
            return held
        }
        call.countRead(key: key, valueBytes: held)
    }

    /// Answers an item's string; nil, and null is answered, where there is none.
    private static func answer(_ item: borrowing ItemAccess, _ call: CommandCall) throws(MartletError) -> Int? {
        guard let kind = item.kind else {
            call.reply.null()
            return nil
        }
        guard kind == .scalar else { throw .wrongType }
        return try item.withValue { value throws(MartletError) in
            call.reply.bulk(value)
            return value.count
        }
    }

    static func length(_ call: CommandCall) throws(MartletError) {
        let key = call.arguments[1]
        let count = try call.withString(key) { $0?.count }
        call.countFacts(key, found: count != nil)
        call.reply.integer(count ?? 0)
    }
}
