import Admission
import Engine
import Tenancy

/// Commands that count different elements without keeping them.
enum HyperLogLogCommands {
    static let all: [CommandSpec] = [
        .items(
            "pfadd", arity: -2, [.write, .denyOOM, .fast], keys: .first(.readWrite), group: .hyperloglog,
            summary: "Adds elements to a HyperLogLog.", add),
        .items(
            "pfcount", arity: -2, [.readonly], keys: .range(first: 1, last: -1, .read), group: .hyperloglog,
            summary: "About how many different elements HyperLogLogs have seen.", count),
        .items(
            "pfmerge", arity: -2, [.write, .denyOOM],
            keys: .ranges([
                (first: 1, last: 1, step: 1, access: .readWrite), (first: 2, last: -1, step: 1, access: .read),
            ]),
            group: .hyperloglog, summary: "Makes one HyperLogLog of several.", merge),
    ]

    /// What one may take more than before: the dense form.
    private static let growth = 12_400
    /// So many are taken in at once: each takes some microseconds.
    private static let keysAtOnce = 32

    static func add(_ call: CommandCall) throws(MartletError) {
        let key = call.arguments[1]
        try call.sizes.checkKey(byteCount: key.count)
        for index in 2..<max(2, call.count) {
            try call.sizes.checkElement(byteCount: call.arguments[index].count)
        }
        var isChanged = false
        guard call.count > 2 else { return try create(call) }
        try call.changeString(key, growth: growth) { (bytes, isThere) throws(MartletError) in
            var registers = HyperLogLog()
            if isThere {
                try bytes.span.bytes.withUnsafeBytes { (bytes) throws(MartletError) in try registers.merge(bytes) }
            }
            isChanged = !isThere
            for index in 2..<call.count where registers.add(call.arguments[index]) { isChanged = true }
            guard isChanged else { return false }
            bytes = registers.stored
            return true
        }
        for index in 2..<call.count { call.countElementIn(byteCount: call.arguments[index].count) }
        call.reply.integer(isChanged)
    }

    /// PFADD without an element: makes an empty one where there is none.
    private static func create(_ call: CommandCall) throws(MartletError) {
        let key = call.arguments[1]
        var isNew = false
        try call.changeString(key, growth: growth) { (bytes, isThere) throws(MartletError) in
            isNew = !isThere
            if isThere {
                try bytes.span.bytes.withUnsafeBytes { (bytes) throws(MartletError) in try HyperLogLog.check(bytes) }
            } else {
                bytes = HyperLogLog().stored
            }
            return isNew
        }
        call.countNamed(key)
        call.reply.integer(isNew)
    }

    static func count(_ call: CommandCall) throws(MartletError) {
        let work = Merging(from: 1) { (call, registers) in call.reply.integer(registers.estimate) }
        try call.goOn(with: work)
    }

    static func merge(_ call: CommandCall) throws(MartletError) {
        try call.sizes.checkKey(byteCount: call.arguments[1].count)
        let work = Merging(from: 1) { (call, registers) throws(MartletError) in
            let key = call.arguments[1]
            var registers = registers
            // What came to the target meanwhile is kept.
            try call.changeString(key, growth: growth) { (bytes, isThere) throws(MartletError) in
                if isThere {
                    try bytes.span.bytes.withUnsafeBytes { (bytes) throws(MartletError) in try registers.merge(bytes) }
                }
                bytes = registers.stored
                return true
            }
            call.countWrite(key: key, valueBytes: 0)
            call.reply.ok()
        }
        try call.goOn(with: work)
    }

    /// Takes in those of many keys, some in each turn.
    private final class Merging: CommandWork {
        private var registers = HyperLogLog()
        private var next: Int
        private let end: (CommandCall, HyperLogLog) throws(MartletError) -> Void

        init(from first: Int, end: @escaping (CommandCall, HyperLogLog) throws(MartletError) -> Void) {
            next = first
            self.end = end
        }

        func step(_ call: CommandCall) throws(MartletError) -> Bool {
            let last = min(call.count, next + keysAtOnce)
            while next < last {
                let key = call.arguments[next]
                try call.withString(key) { (value) throws(MartletError) in
                    if let value { try registers.merge(value) }
                    call.countFacts(key, found: value != nil)
                }
                next += 1
            }
            guard next == call.count else { return false }
            try end(call, registers)
            return true
        }
    }
}
