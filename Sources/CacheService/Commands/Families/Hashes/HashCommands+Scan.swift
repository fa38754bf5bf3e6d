import Engine
import Tenancy

extension HashCommands {
    /// Of a large hash so many fields are answered at most, however many are asked for: they are copied under its lock.
    private static let mostScanned = 1000
    private static let mostScannedBytes = 256 << 10

    static func scan(_ call: CommandCall) throws(MartletError) {
        guard let cursor = MemberScan.cursor(call.arguments[2]) else { throw .command("ERR invalid cursor") }
        let kind = try call.items.withItem(call.arguments[1], now: call.now) { item in item.kind }
        guard let kind else {
            call.countFound(false)
            return answer(call, 0) { 0 }
        }
        guard kind == .dictionary else { throw .wrongType }
        call.countFound(true)
        var count = 10
        var pattern: UnsafeRawBufferPointer?
        var form = HashForm.pairs
        var place = 3
        while place < call.count {
            let hasNext = place + 1 < call.count
            if hasNext, call.arguments.isWord(place, "COUNT") {
                let asked = try call.integer(place + 1)
                guard asked >= 1 else { throw .syntax }
                count = Int(clamping: asked)
                place += 2
            } else if hasNext, call.arguments.isWord(place, "MATCH") {
                let asked = call.arguments[place + 1]
                pattern = Glob.isEverything(asked) ? nil : asked
                place += 2
            } else if call.arguments.isWord(place, "NOVALUES") {
                form = .fields
                place += 1
            } else {
                throw .syntax
            }
        }
        try scan(call, from: cursor, count, pattern, form)
    }

    private static func scan(
        _ call: CommandCall, from cursor: UInt64, _ count: Int, _ pattern: UnsafeRawBufferPointer?, _ form: HashForm
    ) throws(MartletError) {
        var next: UInt64 = 0
        var comparisons = 0
        let reply = call.reply
        try reply.deferred({ elements in
            reply.array(2)
            reply.bulk(String(next))
            reply.array(elements)
        }) { () throws(MartletError) -> Int in
            try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) -> Int in
                var elements = 0
                let fieldBytes = item.elementBytes / max(1, try item.dictionaryLength() ?? 0)
                let limit = max(1, min(count, mostScanned, mostScannedBytes / max(1, fieldBytes)))
                next =
                    try item.dictionaryScan(from: cursor, limit: limit, form.parts) { field, value in
                        if let pattern {
                            guard comparisons < MemberScan.mostComparisons,
                                Glob.matches(field, pattern, steps: &comparisons)
                            else { return }
                        }
                        reply.bulk(field)
                        elements += 1
                        guard form == .pairs else { return call.countElementOut(byteCount: field.count) }
                        reply.bulk(value)
                        elements += 1
                        call.countElementOut(byteCount: field.count + value.count)
                    } ?? 0
                guard comparisons < MemberScan.mostComparisons else { throw MemberScan.tooLong }
                return elements
            }
        }
    }

    private static func answer(_ call: CommandCall, _ next: UInt64, _ elements: () -> Int) {
        call.reply.array(2)
        call.reply.bulk(String(next))
        call.reply.array(elements())
    }
}
