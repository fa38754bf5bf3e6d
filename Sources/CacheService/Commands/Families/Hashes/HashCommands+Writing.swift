import Admission
import Engine
import Tenancy

extension HashCommands {
    static func set(_ call: CommandCall) throws(MartletError) {
        guard call.count % 2 == 0 else { throw .wrongNumberOfArguments("hset") }
        try store(call) { call, added in call.reply.integer(added) }
    }

    static func setAll(_ call: CommandCall) throws(MartletError) {
        guard call.count % 2 == 0 else { throw .wrongNumberOfArguments("hmset") }
        try store(call) { call, _ in call.reply.ok() }
    }

    private static func store(
        _ call: CommandCall, _ answer: @escaping (CommandCall, _ added: Int) -> Void
    ) throws(MartletError) {
        guard call.count > HashPieces.atOnce * 2 + 2 else { return answer(call, try store(call, 2..<call.count)) }
        // Nothing of it is stored if something of it is too large.
        for place in 2..<call.count { try call.sizes.checkElement(byteCount: call.arguments[place].count) }
        var added = 0
        let work = HashPieces(from: 2, step: 2) { (call, places) throws(MartletError) in
            added += try store(call, places)
        } end: { call in
            answer(call, added)
        }
        try call.goOn(with: work)
    }

    private static func store(_ call: CommandCall, _ places: Range<Int>) throws(MartletError) -> Int {
        let key = call.arguments[1]
        let byteCount = try call.checkPairs(places)
        let expiry = call.collectionExpiry
        guard places.count > 2 else {
            let (field, value) = (call.arguments[places.lowerBound], call.arguments[places.lowerBound + 1])
            return try call.items.withItem(
                key, reserving: CommandCall.room(for: byteCount, fields: 1), now: call.now
            ) { (item) throws(MartletError) in
                try call.checkGrowth(of: item, adding: byteCount)
                return try item.dictionarySet(field, value, expiry: expiry) ? 1 : 0
            }
        }
        return try call.withPairs(places) { (pairs) throws(MartletError) in
            try call.items.withItem(
                key, reserving: CommandCall.room(for: byteCount, fields: pairs.count), now: call.now
            ) { (item) throws(MartletError) in
                try call.checkGrowth(of: item, adding: byteCount)
                return try item.dictionarySet(pairs, expiry: expiry)
            }
        }
    }

    static func setIfAbsent(_ call: CommandCall) throws(MartletError) {
        let (field, value) = (call.arguments[2], call.arguments[3])
        let byteCount = try call.checkPairs(2..<4)
        let expiry = call.collectionExpiry
        let isSet = try call.items.withItem(
            call.arguments[1], reserving: CommandCall.room(for: byteCount, fields: 1), now: call.now
        ) { (item) throws(MartletError) in
            try call.checkGrowth(of: item, adding: byteCount)
            return try item.dictionarySetIfAbsent(field, value, expiry: expiry)
        }
        call.reply.integer(isSet)
    }

    // MARK: Numbers

    static func increment(_ call: CommandCall) throws(MartletError) {
        let field = call.arguments[2]
        let amount = try call.integer(3)
        let byteCount = field.count + 20
        try call.checkField(field)
        let expiry = call.collectionExpiry
        do throws(MartletError) {
            let sum = try call.items.withItem(
                call.arguments[1], reserving: CommandCall.room(for: byteCount, fields: 1), now: call.now
            ) { (item) throws(MartletError) in
                try call.checkGrowth(of: item, adding: byteCount)
                return try item.dictionaryIncrement(field, by: amount, expiry: expiry)
            }
            call.reply.integer(sum)
            call.countElementIn(byteCount: byteCount)
        } catch {
            throw error == .notAnInteger ? .command("ERR hash value is not an integer") : error
        }
    }

    static func incrementByFraction(_ call: CommandCall) throws(MartletError) {
        let field = call.arguments[2]
        guard let amount = LongDecimal.parse(call.arguments[3]) else { throw .notAFloat }
        guard amount.isFinite else { throw .command("ERR value is NaN or Infinity") }
        try call.checkField(field)
        let expiry = call.collectionExpiry
        var text: [UInt8] = []
        // What is written must outlive the closure that makes it.
        let written = UnsafeMutableRawBufferPointer.allocate(byteCount: 5 << 10, alignment: 1)
        defer { written.deallocate() }
        _ = try call.items.withItem(
            call.arguments[1], reserving: CommandCall.room(for: field.count + 64, fields: 1), now: call.now
        ) { (item) throws(MartletError) in
            try call.checkGrowth(of: item, adding: field.count + 64)
            return try item.dictionaryUpdate(field, expiry: expiry) { (value) throws(MartletError) in
                var sum = amount
                if let value {
                    guard let number = LongDecimal.parse(value) else { throw .command("ERR hash value is not a float") }
                    sum += number
                }
                guard sum.isFinite else { throw .command("ERR increment would produce NaN or Infinity") }
                text = LongDecimal.text(of: sum)
                written.copyBytes(from: text)
                return UnsafeRawBufferPointer(rebasing: written[0..<text.count])
            }
        }
        call.reply.bulk(text)
        call.countElementIn(byteCount: field.count + text.count)
        call.usage.bytesOut += text.count
    }
}

extension CommandCall {
    /// Checks the key, and fields and values at some places, and counts them.
    ///
    /// - Returns: Their bytes.
    func checkPairs(_ places: Range<Int>) throws(MartletError) -> Int {
        try sizes.checkKey(byteCount: arguments[1].count)
        var total = 0
        var place = places.lowerBound
        while place < places.upperBound {
            let (field, value) = (arguments[place].count, arguments[place + 1].count)
            try sizes.checkElement(byteCount: field)
            try sizes.checkElement(byteCount: value)
            countElementIn(byteCount: field + value)
            total += field + value
            place += 2
        }
        return total
    }

    func checkField(_ field: UnsafeRawBufferPointer) throws(MartletError) {
        try sizes.checkKey(byteCount: arguments[1].count)
        try sizes.checkElement(byteCount: field.count)
    }

    /// What fields take beside their bytes, sealed: some too much rather than too little.
    static func room(for byteCount: Int, fields: Int) -> Int { byteCount + fields * 48 + 64 }

    /// Lends fields and values at some places.
    func withPairs<Result>(
        _ places: Range<Int>, _ body: (Span<DictionaryPair>) throws(MartletError) -> Result
    ) throws(MartletError) -> Result {
        var outcome: Swift.Result<Result, MartletError>?
        withUnsafeTemporaryAllocation(of: DictionaryPair.self, capacity: places.count / 2) { pairs in
            for index in 0..<pairs.count {
                let place = places.lowerBound + index * 2
                pairs.initializeElement(
                    at: index, to: DictionaryPair(field: arguments[place], value: arguments[place + 1]))
            }
            do throws(MartletError) {
                outcome = .success(try body(UnsafeBufferPointer(pairs).span))
            } catch {
                outcome = .failure(error)
            }
        }
        guard let outcome else { throw .internalFailure("an operation on fields did not run") }
        return try outcome.get()
    }
}
