import Engine
import Tenancy

/// Reading lists.
extension ListCommands {
    static func length(_ call: CommandCall) throws(MartletError) {
        let count = try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
            try item.listCount()
        }
        call.countFound(count != nil)
        call.reply.integer(count ?? 0)
    }

    static func element(_ call: CommandCall) throws(MartletError) {
        let index = DecimalText.integer(call.arguments[2])
        try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
            guard try item.listCount() != nil else {
                call.countFound(false)
                return call.reply.null()
            }
            guard let index else { throw .notAnInteger }
            call.countFound(true)
            let isThere = try item.withListElement(at: Int(index)) { element in
                call.reply.bulk(element)
                call.countElementOut(byteCount: element.count)
            }
            if !isThere { call.reply.null() }
        }
    }

    static func range(_ call: CommandCall) throws(MartletError) {
        let bounds = SliceBounds.inclusive(start: Int(try call.integer(2)), stop: Int(try call.integer(3)))
        let work = try call.items.withItem(call.arguments[1], now: call.now) {
            (item) throws(MartletError) -> ListReply? in
            guard let length = try item.listCount() else {
                call.countFound(false)
                call.reply.array(0)
                return nil
            }
            call.countFound(true)
            let range = bounds.resolved(count: length)
            if ListReply.isLong(range.count, of: length, item), let snapshot = try item.listSnapshot() {
                return ListReply(snapshot, range)
            }
            call.reply.array(range.count)
            try item.visitList(range) { element in
                call.reply.bulk(element)
                call.countElementOut(byteCount: element.count)
                return true
            }
            return nil
        }
        if let work { try call.goOn(with: work) }
    }

    // MARK: LPOS

    /// `LPOS key element [RANK rank] [COUNT count] [MAXLEN length]`.
    static func positions(_ call: CommandCall) throws(MartletError) {
        let search = try search(call)
        let value = call.arguments[2]
        call.countElementIn(byteCount: value.count)
        let work = try call.items.withItem(call.arguments[1], now: call.now) {
            (item) throws(MartletError) -> ListSearch? in
            guard let length = try item.listCount() else {
                call.countFound(false)
                search.answer([], call.reply)
                return nil
            }
            call.countFound(true)
            if ListReply.isLong(length, of: length, item), let snapshot = try item.listSnapshot() {
                return ListSearch(search, Array(value), in: snapshot)
            }
            var found: [Int] = []
            _ = try item.findInList(
                value, rank: search.rank, limit: search.limit, maximumLength: search.maximumLength
            ) { found.append($0) }
            search.answer(found, call.reply)
            return nil
        }
        if let work { try call.goOn(with: work) }
    }

    private static func search(_ call: CommandCall) throws(MartletError) -> ListSearch.Request {
        var request = ListSearch.Request()
        var index = 3
        while index < call.count {
            guard index + 1 < call.count else { throw .syntax }
            if call.arguments.isWord(index, "RANK") {
                let rank = try call.integer(index + 1)
                guard rank != 0 else {
                    throw .command(
                        "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... "
                            + "or use negative to start from the end of the list")
                }
                // Nothing has so many elements that the difference could be told.
                request.rank = max(Int(rank), -Int.max)
            } else if call.arguments.isWord(index, "COUNT") {
                request.limit = try natural(call, index + 1, "ERR COUNT can't be negative")
                request.isForMany = true
            } else if call.arguments.isWord(index, "MAXLEN") {
                request.maximumLength = try natural(call, index + 1, "ERR MAXLEN can't be negative")
            } else {
                throw .syntax
            }
            index += 2
        }
        return request
    }

    private static func natural(
        _ call: CommandCall, _ index: Int, _ text: String
    ) throws(MartletError) -> Int {
        let number = try call.integer(index, or: .command(text))
        guard number >= 0 else { throw .command(text) }
        return Int(number)
    }
}
