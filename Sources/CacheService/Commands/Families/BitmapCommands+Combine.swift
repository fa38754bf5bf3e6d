import Admission
import Engine
import Tenancy

/// BITOP.
extension BitmapCommands {
    /// What several strings are combined to. A shorter one counts as followed by zeros.
    private struct Combination {
        enum Operation { case and, or, xor, not }

        let operation: Operation
        private(set) var bytes: [UInt8]?

        init(_ operation: Operation) {
            self.operation = operation
        }

        mutating func add(_ source: UnsafeRawBufferPointer?) {
            let source = source ?? UnsafeRawBufferPointer(start: nil, count: 0)
            guard var bytes else {
                self.bytes = operation == .not ? source.map { ~$0 } : Array(source)
                return
            }
            self.bytes = nil
            bytes.extend(to: source.count)
            bytes.withUnsafeMutableBytes { combine($0, source) }
            self.bytes = bytes
        }

        private func combine(_ target: UnsafeMutableRawBufferPointer, _ source: UnsafeRawBufferPointer) {
            var place = 0
            while place + 8 <= source.count {
                let word = source.loadUnaligned(fromByteOffset: place, as: UInt64.self)
                let old = target.loadUnaligned(fromByteOffset: place, as: UInt64.self)
                target.storeBytes(of: combine(old, word), toByteOffset: place, as: UInt64.self)
                place += 8
            }
            while place < target.count {
                target[place] = combine(target[place], place < source.count ? source[place] : 0)
                place += 1
            }
        }

        @inline(__always)
        private func combine<Word: FixedWidthInteger>(_ old: Word, _ new: Word) -> Word {
            switch operation {
            case .and: old & new
            case .or, .not: old | new
            case .xor: old ^ new
            }
        }
    }

    /// Up to so many bytes and keys are combined in one step.
    private static let bytesAtOnce = 1 << 20
    private static let keysAtOnce = 64

    private static func operation(_ arguments: Arguments) throws(MartletError) -> Combination.Operation {
        if arguments.isWord(1, "AND") { return .and }
        if arguments.isWord(1, "OR") { return .or }
        if arguments.isWord(1, "XOR") { return .xor }
        guard arguments.isWord(1, "NOT") else { throw .syntax }
        guard arguments.count == 4 else {
            throw .command("ERR BITOP NOT must be called with a single source key.")
        }
        return .not
    }

    static func combine(_ call: CommandCall) throws(MartletError) {
        let operation = try operation(call.arguments)
        try call.sizes.checkKey(byteCount: call.arguments[2].count)
        var byteCount = 0
        var longest = 0
        for index in 3..<call.count where byteCount <= bytesAtOnce && call.count - 3 <= keysAtOnce {
            let held = call.items.storedBytes(call.arguments[index], now: call.now) ?? 0
            longest = max(longest, held)
            byteCount += held
        }
        guard call.count - 3 <= keysAtOnce, byteCount <= bytesAtOnce else {
            return try call.goOn(with: CombinationWork(Combination(operation)))
        }
        let keys = (2..<call.count).map { call.arguments[$0] }
        var combination = Combination(operation)
        // What is compressed may be longer than it is stored: the rest of the room is made afterwards.
        let count = try call.items.transact(keys, reserving: longest + 64, now: call.now) {
            items throws(MartletError) in
            for place in 1..<items.count where items[place].kind != nil && items[place].kind != .scalar {
                throw .wrongType
            }
            for place in 1..<items.count {
                let isThere: Void? = try items[place].withValue { value throws(MartletError) in
                    call.countRead(key: keys[place], valueBytes: value.count)
                    combination.add(value)
                }
                guard isThere == nil else { continue }
                call.countRead(key: keys[place], valueBytes: nil)
                combination.add(nil)
            }
            var target = items[0]
            return try store(combination.bytes ?? [], call, &target)
        }
        answer(count, call)
    }

    /// Stores the result, or removes what is there for an empty one; returns its length.
    private static func store(
        _ bytes: [UInt8], _ call: CommandCall, _ target: inout ItemAccess
    ) throws(MartletError) -> Int {
        guard !bytes.isEmpty else {
            target.remove()
            return 0
        }
        try call.sizes.checkItem(keyBytes: target.key.count, valueBytes: bytes.count)
        let expiresAt = call.defaultExpiry
        try bytes.span.bytes.withUnsafeBytes { (bytes) throws(MartletError) in
            try target.store(.scalar, bytes, expiresAt: expiresAt)
        }
        return bytes.count
    }

    private static func answer(_ count: Int, _ call: CommandCall) {
        // What is read leaves as one length.
        call.usage.bytesOut = 0
        call.countWrite(key: call.arguments[2], valueBytes: count)
        call.reply.integer(count)
    }

    /// Combines much: each string as it is when its turn comes.
    private final class CombinationWork: CommandWork {
        private var combination: Combination
        private var next = 3

        init(_ combination: Combination) {
            self.combination = combination
        }

        func step(_ call: CommandCall) throws(MartletError) -> Bool {
            var (bytes, keys) = (0, 0)
            while next < call.count, bytes < bytesAtOnce, keys < keysAtOnce {
                let key = call.arguments[next]
                try call.withString(key) { value in
                    combination.add(value)
                    call.countRead(key: key, valueBytes: value?.count)
                    bytes += max(value?.count ?? 0, combination.bytes?.count ?? 0)
                }
                next += 1
                keys += 1
            }
            guard next == call.count else { return false }
            let result = combination.bytes ?? []
            let count = try call.items.withItem(call.arguments[2], reserving: result.count + 64, now: call.now) {
                item throws(MartletError) in try store(result, call, &item)
            }
            answer(count, call)
            return true
        }
    }
}
