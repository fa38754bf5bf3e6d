import Admission
import Engine
import Tenancy

/// ZADD and ZINCRBY.
extension SortedSetCommands {
    static func add(_ call: CommandCall) throws(MartletError) {
        try add(call, increments: false)
    }

    static func increment(_ call: CommandCall) throws(MartletError) {
        try add(call, increments: true)
    }

    private struct Options {
        var condition: SortedSetCondition = []
        var countsChanges = false
        var increments: Bool
        /// Where the first score stands.
        var first = 2

        init(_ call: CommandCall, increments: Bool) {
            self.increments = increments
            while first < call.count {
                let arguments = call.arguments
                // A score begins with no letter of these but that of `inf`.
                guard arguments[first].count >= 2, arguments[first][0] >= 0x41 else { return }
                if arguments.isWord(first, "NX") {
                    condition.insert(.onlyIfAbsent)
                } else if arguments.isWord(first, "XX") {
                    condition.insert(.onlyIfPresent)
                } else if arguments.isWord(first, "GT") {
                    condition.insert(.onlyIfGreater)
                } else if arguments.isWord(first, "LT") {
                    condition.insert(.onlyIfLess)
                } else if arguments.isWord(first, "CH") {
                    countsChanges = true
                } else if arguments.isWord(first, "INCR") {
                    self.increments = true
                } else {
                    return
                }
                first += 1
            }
        }

        func check(elementCount: Int) throws(MartletError) {
            if condition.isSuperset(of: [.onlyIfAbsent, .onlyIfPresent]) {
                throw .command("ERR XX and NX options at the same time are not compatible")
            }
            let comparisons = condition.intersection([.onlyIfGreater, .onlyIfLess])
            if comparisons == [.onlyIfGreater, .onlyIfLess] || (condition.contains(.onlyIfAbsent) && comparisons != [])
            {
                throw .command("ERR GT, LT, and/or NX options at the same time are not compatible")
            }
            if increments, elementCount > 1 {
                throw .command("ERR INCR option supports a single increment-element pair")
            }
        }
    }

    private static func add(_ call: CommandCall, increments: Bool) throws(MartletError) {
        let options = Options(call, increments: increments)
        let rest = call.count - options.first
        guard rest > 0, rest % 2 == 0 else { throw .syntax }
        try options.check(elementCount: rest / 2)
        if options.increments { return try increment(call, options) }
        if rest == 2 {
            let element = SortedSetElement(
                score: try call.score(options.first), member: call.arguments[options.first + 1])
            let addition = try change(call, byteCount: element.member.count, count: 1) { (item) throws(MartletError) in
                try item.addToSortedSet(element, condition: options.condition, expiry: call.collectionExpiry)
            }
            return call.reply.integer(options.countsChanges ? addition.added + addition.changed : addition.added)
        }
        let elements = UnsafeMutableBufferPointer<SortedSetElement>.allocate(capacity: rest / 2)
        defer { elements.deallocate() }
        var byteCount = 0
        for place in 0..<rest / 2 {
            let index = options.first + place * 2
            let element = SortedSetElement(score: try call.score(index), member: call.arguments[index + 1])
            elements.initializeElement(at: place, to: element)
            byteCount += element.member.count
        }
        let addition = try change(call, byteCount: byteCount, count: rest / 2) { (item) throws(MartletError) in
            try item.addToSortedSet(
                UnsafeBufferPointer(elements), condition: options.condition, expiry: call.collectionExpiry)
        }
        call.reply.integer(options.countsChanges ? addition.added + addition.changed : addition.added)
    }

    private static func increment(_ call: CommandCall, _ options: Options) throws(MartletError) {
        let amount = try call.score(options.first)
        let member = call.arguments[options.first + 1]
        let score: Double?
        do throws(MartletError) {
            score = try change(call, byteCount: member.count, count: 1) { (item) throws(MartletError) in
                // Nothing and minus zero are minus zero, which is answered and then stored as zero.
                let isNegativeZero = amount == 0 && amount.sign == .minus
                let isNew = isNegativeZero ? try item.sortedSetScore(of: member) == nil : false
                let score = try item.incrementInSortedSet(
                    member, by: amount, condition: options.condition, expiry: call.collectionExpiry)
                return isNew ? score.map { $0 == 0 ? -0.0 : $0 } : score
            }
        } catch {
            if case .invalidArgument = error { throw .command("ERR resulting score is not a number (NaN)") }
            throw error
        }
        guard let score else { return call.reply.null() }
        call.reply.double(score)
        call.usage.bytesOut += AnsweredElements.scoreBytes
    }

    /// Checks and counts elements that are the arguments from the first score on, and runs `body` under the item's lock.
    @inline(__always)
    private static func change<Result>(
        _ call: CommandCall, byteCount: Int, count: Int, _ body: (inout ItemAccess) throws(MartletError) -> Result
    ) throws(MartletError) -> Result {
        let key = call.arguments[1]
        try call.sizes.checkKey(byteCount: key.count)
        for place in 1...count {
            let member = call.arguments[call.count - 2 * (count - place) - 1]
            try call.sizes.checkElement(byteCount: member.count)
            call.countElementIn(byteCount: member.count + AnsweredElements.scoreBytes)
        }
        // A member lies in both halves of a large sorted set; the rest is what an element takes beside its bytes.
        let reserved = 2 * byteCount + 48 * count + 64
        return try call.items.withItem(key, reserving: reserved, now: call.now) { (item) throws(MartletError) in
            try call.checkGrowth(of: item, adding: byteCount)
            return try body(&item)
        }
    }
}
