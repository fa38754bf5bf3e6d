import Admission
import Engine
import Metering
import Tenancy

/// Several strings at once.
extension StringCommands {
    static let several: [CommandSpec] = [
        .items(
            "mget", arity: -2, [.readonly, .fast], keys: .range(first: 1, last: -1, .read), group: .string,
            summary: "The values of several keys.", getSeveral),
        .items(
            "mset", arity: -3, [.write, .denyOOM], keys: .range(first: 1, last: -1, step: 2, .write), group: .string,
            summary: "Sets several keys.", setSeveral),
        .items(
            "msetnx", arity: -3, [.write, .denyOOM], keys: .range(first: 1, last: -1, step: 2, .readWrite),
            group: .string, summary: "Sets several keys if none of them holds anything.", setSeveralIfAbsent),
        .items(
            "lcs", arity: -3, [.readonly], keys: .range(first: 1, last: 2, .read), group: .string,
            summary: "What two strings have in common, in its order.", longestCommonSubsequence),
    ]

    // MARK: MGET

    /// So many values are answered at once, if they are not large.
    private static let readAtOnce = 512
    /// After so many bytes the rest waits for its turn.
    private static let bytesAtOnce = 1 << 20

    static func getSeveral(_ call: CommandCall) throws(MartletError) {
        try call.goOn(with: SeveralReads())
    }

    private final class SeveralReads: CommandWork {
        private var next = 1

        func step(_ call: CommandCall) throws(MartletError) -> Bool {
            if next == 1 { call.reply.array(call.count - 1) }
            next = try StringCommands.read(call, from: next, bytes: bytesAtOnce)
            return next >= call.count
        }
    }

    /// Answers some values, each batch of the engine's in one step; returns the index of the next.
    private static func read(_ call: CommandCall, from first: Int, bytes: Int) throws(MartletError) -> Int {
        let end = min(call.count, first + readAtOnce)
        let limit = call.reply.count + bytes
        var next = first
        while next < end, call.reply.count < limit, !call.reply.isOverfull {
            let batch = call.arguments.slice(next..<min(end, next + EngineCache.largestBatch))
            try call.items.getBatch(batch, skippingCollections: true, now: call.now) { (_, value, _) in
                if let value { call.reply.bulk(value) } else { call.reply.null() }
                call.countRead(key: call.arguments[next], valueBytes: value?.count)
                next += 1
            }
        }
        return next
    }

    // MARK: MSET

    /// Up to so many keys are set in one step; of more, so many at a time.
    private static let setAtOnce = 512
    /// As many as MSETNX takes: it sets all in one step or none.
    private static let mostTogether = 4096

    static func setSeveral(_ call: CommandCall) throws(MartletError) {
        try checkPairs(call, "mset")
        guard (call.count - 1) / 2 > setAtOnce else {
            _ = try set(call, 1..<call.count, ifAllAbsent: false)
            return call.reply.ok()
        }
        try call.goOn(with: SeveralWrites())
    }

    static func setSeveralIfAbsent(_ call: CommandCall) throws(MartletError) {
        try checkPairs(call, "msetnx")
        guard (call.count - 1) / 2 <= mostTogether else {
            throw .command("ERR too many keys to be set in one step: at most \(mostTogether)")
        }
        call.reply.integer(try set(call, 1..<call.count, ifAllAbsent: true))
    }

    private final class SeveralWrites: CommandWork {
        private var next = 1

        func step(_ call: CommandCall) throws(MartletError) -> Bool {
            let end = min(call.count, next + setAtOnce * 2)
            _ = try StringCommands.set(call, next..<end, ifAllAbsent: false)
            next = end
            guard next == call.count else { return false }
            call.reply.ok()
            return true
        }
    }

    private static func checkPairs(_ call: CommandCall, _ command: String) throws(MartletError) {
        guard call.count % 2 == 1 else { throw .wrongNumberOfArguments(command) }
        for index in stride(from: 1, to: call.count, by: 2) {
            try call.sizes.checkItem(
                keyBytes: call.arguments[index].count, valueBytes: call.arguments[index + 1].count)
        }
    }

    /// Sets the pairs of some arguments in one step.
    private static func set(
        _ call: CommandCall, _ indexes: Range<Int>, ifAllAbsent: Bool
    ) throws(MartletError) -> Bool {
        let arguments = call.arguments
        var keys: [UnsafeRawBufferPointer] = []
        keys.reserveCapacity(indexes.count / 2)
        var byteCount = 0
        for index in stride(from: indexes.lowerBound, to: indexes.upperBound, by: 2) {
            keys.append(arguments[index])
            byteCount += arguments[index].count + arguments[index + 1].count + 64
        }
        let expiresAt = call.defaultExpiry
        let areSet = try call.items.transact(keys, reserving: byteCount, now: call.now) {
            items throws(MartletError) in
            if ifAllAbsent {
                for place in 0..<items.count where items[place].kind != nil { return false }
            }
            for place in 0..<items.count {
                var item = items[place]
                try item.store(.scalar, arguments[indexes.lowerBound + place * 2 + 1], expiresAt: expiresAt)
            }
            return true
        }
        for index in stride(from: indexes.lowerBound, to: indexes.upperBound, by: 2) {
            call.countWrite(
                key: arguments[index], valueBytes: arguments[index + 1].count, isConditional: ifAllAbsent)
        }
        return areSet
    }
}
