import Admission
import Engine
import Tenancy
import Topics

/// Keys that get another name, and the whole of a cache.
extension GenericCommands {
    static let whole: [CommandSpec] = [
        .items(
            "rename", arity: 3, [.write],
            keys: .ranges([
                (first: 1, last: 1, step: 1, access: .readWrite), (first: 2, last: 2, step: 1, access: .write),
            ]),
            group: .generic, summary: "Gives a key another name.", rename),
        .items(
            "renamenx", arity: 3, [.write, .fast], keys: .range(first: 1, last: 2, .readWrite), group: .generic,
            summary: "Gives a key another name, if that is free.", renameIfFree),
        .items(
            "copy", arity: -3, [.write, .denyOOM],
            keys: .ranges([
                (first: 1, last: 1, step: 1, access: .read), (first: 2, last: 2, step: 1, access: .readWrite),
            ]),
            group: .generic, summary: "Copies the value of a key to another.", copy),
        .items(
            "dbsize", arity: 1, [.readonly, .fast], keys: .everyItem(.read), group: .server,
            summary: "How many keys there are.", size),
        .items(
            "randomkey", arity: 1, [.readonly], keys: .everyItem(.read), group: .generic,
            summary: "A key chosen at random.", randomKey),
        .items(
            "flushdb", arity: -1, [.write], keys: .everyItem(.write), group: .server,
            summary: "Empties the cache: all of its keys, and what its topics retain.", flush),
        .items(
            "flushall", arity: -1, [.write], keys: .everyItem(.write), group: .server,
            summary: "Empties the cache, as FLUSHDB does, and no other.", flush),
    ]

    static func rename(_ call: CommandCall) throws(MartletError) {
        _ = try rename(call, overwrites: true)
        call.reply.ok()
    }

    static func renameIfFree(_ call: CommandCall) throws(MartletError) {
        call.reply.integer(try rename(call, overwrites: false))
    }

    private static func rename(_ call: CommandCall, overwrites: Bool) throws(MartletError) -> Bool {
        let (key, new) = (call.arguments[1], call.arguments[2])
        try call.sizes.checkKey(byteCount: new.count)
        guard let isRenamed = try call.items.rename(key, to: new, overwrites: overwrites, now: call.now) else {
            throw .noSuchKey
        }
        call.countNamed(key)
        return isRenamed
    }

    static func copy(_ call: CommandCall) throws(MartletError) {
        let (key, new) = (call.arguments[1], call.arguments[2])
        var overwrites = false
        var index = 3
        while index < call.count {
            if call.arguments.isWord(index, "REPLACE") {
                overwrites = true
            } else if call.arguments.isWord(index, "DB"), index + 1 < call.count {
                guard try call.integer(index + 1) == 0 else { throw .command("ERR DB index is out of range") }
                index += 1
            } else {
                throw .syntax
            }
            index += 1
        }
        guard !key.elementsEqual(new) else {
            throw .command("ERR source and destination objects are the same")
        }
        try call.sizes.checkKey(byteCount: new.count)
        let held = call.items.storedBytes(key, now: call.now)
        switch try call.items.beginCopy(key, to: new, overwrites: overwrites, now: call.now) {
        case .done(let isCopied):
            call.countFacts(key, found: isCopied != nil)
            if isCopied == true { call.countWrite(key: new, valueBytes: held ?? 0) }
            call.reply.integer(isCopied ?? false)
        case .large(let copy):
            call.countFacts(key, found: true)
            try call.goOn(with: LargeCopy(copy, overwrites: overwrites))
        }
    }

    private final class LargeCopy: CommandWork {
        /// About half a millisecond's work.
        private static let entriesAtOnce = 1000

        private let copy: CollectionCopy
        private let overwrites: Bool

        init(_ copy: CollectionCopy, overwrites: Bool) {
            self.copy = copy
            self.overwrites = overwrites
        }

        func step(_ call: CommandCall) throws(MartletError) -> Bool {
            guard copy.advance(entries: Self.entriesAtOnce) else { return false }
            let new = call.arguments[2]
            let isCopied = try copy.commit(to: new, in: call.items, overwrites: overwrites, now: call.now)
            call.countWrite(key: new, valueBytes: 0)
            call.reply.integer(isCopied)
            return true
        }
    }

    static func size(_ call: CommandCall) throws(MartletError) {
        call.reply.integer(call.items.itemCount)
    }

    static func randomKey(_ call: CommandCall) throws(MartletError) {
        let byteCount = call.items.withRandomKey(now: call.now, using: &call.dice) { key in
            call.reply.bulk(key)
            return key.count
        }
        guard let byteCount else { return call.reply.null() }
        call.countElementOut(byteCount: byteCount)
    }

    static func flush(_ call: CommandCall) throws(MartletError) {
        let arguments = call.arguments
        guard call.count == 1 || call.count == 2 && (arguments.isWord(1, "ASYNC") || arguments.isWord(1, "SYNC"))
        else { throw .syntax }
        // Either way nobody waits for the memory: it comes back in the background.
        call.items.flush()
        call.topics?.flush()
        call.hotKeys?.clear()
        call.reply.ok()
    }
}
