import Engine
import Tenancy

/// LCS.
extension StringCommands {
    /// The bytes of a table of four-byte cells that Redis refuses to make.
    private static let mostTableBytes = 512 << 20

    private struct SubsequenceOptions {
        var asIndexes = false
        var onlyLength = false
        var withLengths = false
        var leastLength = 0

        init(_ call: CommandCall) throws(MartletError) {
            var index = 3
            while index < call.count {
                if call.arguments.isWord(index, "IDX") {
                    asIndexes = true
                } else if call.arguments.isWord(index, "LEN") {
                    onlyLength = true
                } else if call.arguments.isWord(index, "WITHMATCHLEN") {
                    withLengths = true
                } else if call.arguments.isWord(index, "MINMATCHLEN"), index + 1 < call.count {
                    leastLength = Int(max(0, try call.integer(index + 1)))
                    index += 1
                } else {
                    throw .syntax
                }
                index += 1
            }
            guard !asIndexes || !onlyLength else {
                throw .command("ERR If you want both the length and indexes, please just use IDX.")
            }
        }
    }

    static func longestCommonSubsequence(_ call: CommandCall) throws(MartletError) {
        let keys = [call.arguments[1], call.arguments[2]]
        let values = try call.items.transact(keys, now: call.now) { items throws(MartletError) -> [[UInt8]?] in
            for place in 0..<2 where items[place].kind != nil && items[place].kind != .scalar {
                throw .command("ERR The specified keys must contain string values")
            }
            return [
                try items[0].withValue { value throws(MartletError) in Array(value) },
                try items[1].withValue { value throws(MartletError) in Array(value) },
            ]
        }
        let options = try SubsequenceOptions(call)
        for (place, key) in keys.enumerated() { call.countRead(key: key, valueBytes: values[place]?.count) }
        let (a, b) = (values[0] ?? [], values[1] ?? [])
        let (cells, isOver) = (a.count + 1).multipliedReportingOverflow(by: b.count + 1)
        guard !isOver, cells <= mostTableBytes / 4 else {
            throw .command("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
        }
        let work = SubsequenceWork(SubsequenceSearch(a, b, onlyLength: options.onlyLength), options)
        try call.goOn(with: work)
    }

    private final class SubsequenceWork: CommandWork {
        /// About half a millisecond's work.
        private static let cellsAtOnce = 300_000

        private var search: SubsequenceSearch
        private let options: SubsequenceOptions

        init(_ search: SubsequenceSearch, _ options: SubsequenceOptions) {
            self.search = search
            self.options = options
        }

        func step(_ call: CommandCall) throws(MartletError) -> Bool {
            guard search.advance(cells: Self.cellsAtOnce) else { return false }
            if options.onlyLength {
                call.reply.integer(search.length)
            } else if options.asIndexes {
                answerMatches(call.reply)
            } else {
                call.reply.bulk(search.bytes)
            }
            return true
        }

        private func answerMatches(_ reply: ReplyWriter) {
            reply.map(2)
            reply.bulk("matches")
            let matches = search.matches.filter { $0.a.count >= options.leastLength }
            reply.array(matches.count)
            for match in matches {
                reply.array(options.withLengths ? 3 : 2)
                for range in [match.a, match.b] {
                    reply.array(2)
                    reply.integer(range.lowerBound)
                    reply.integer(range.upperBound)
                }
                if options.withLengths { reply.integer(match.a.count) }
            }
            reply.bulk("len")
            reply.integer(search.length)
        }
    }
}
