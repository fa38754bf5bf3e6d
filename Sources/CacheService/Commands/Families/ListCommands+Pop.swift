import Admission
import Engine
import Tenancy

/// Taking elements out of lists, and moving them.
extension ListCommands {
    static func pop(_ call: CommandCall, _ end: ListEnd, _ name: String) throws(MartletError) {
        guard call.count <= 3 else { throw .wrongNumberOfArguments(name) }
        let key = call.arguments[1]
        guard call.count == 3 else {
            let left = try call.items.withItem(key, now: call.now) { (item) throws(MartletError) in
                try item.popFromList(end) { element in
                    call.reply.bulk(element)
                    call.countElementOut(byteCount: element.count)
                }
            }
            if left == nil { call.reply.null() }
            return
        }
        let count = try call.integer(2, or: .notPositive)
        guard count >= 0 else { throw .notPositive }
        let work = try call.items.withItem(key, now: call.now) { (item) throws(MartletError) -> ListReply? in
            guard let length = try item.listCount() else {
                call.reply.nullArray()
                return nil
            }
            return try pop(&item, end, min(Int(count), length), of: length, call, key: nil)
        }
        if let work { try call.goOn(with: work) }
    }

    /// Takes `count` elements of a list that has `length`, and answers with them; behind its key where that is given. What
    /// is too much to be answered at once is taken all the same, and is for the caller to go on with.
    private static func pop(
        _ item: inout ItemAccess, _ end: ListEnd, _ count: Int, of length: Int, _ call: CommandCall,
        key: UnsafeRawBufferPointer?
    ) throws(MartletError) -> ListReply? {
        if ListReply.isLong(count, of: length, item), let snapshot = try item.listSnapshot() {
            if count == length {
                item.remove()
            } else {
                let bounds = SliceBounds.inclusive(
                    start: end == .front ? count : 0, stop: end == .front ? -1 : length - count - 1)
                _ = try item.retainInList(bounds)
            }
            let range = end == .front ? 0..<count : length - count..<length
            return ListReply(snapshot, range, isReversed: end == .back, key: key.map { Array($0) })
        }
        if let key {
            call.reply.array(2)
            call.reply.bulk(key)
        }
        call.reply.array(count)
        guard count > 0 else { return nil }
        _ = try item.popFromList(end, count: count) { element in
            call.reply.bulk(element)
            call.countElementOut(byteCount: element.count)
        }
        return nil
    }

    // MARK: The first of several lists

    /// `numkeys key … LEFT|RIGHT [COUNT count]`.
    static func severalKeys(
        _ call: CommandCall, countAt index: Int
    ) throws(MartletError) -> (keys: Range<Int>, end: ListEnd, count: Int) {
        let failure = MartletError.command("ERR numkeys should be greater than 0")
        let number = try call.integer(index, or: failure)
        guard number > 0 else { throw failure }
        guard number < call.count - index - 1 else { throw .syntax }
        let keys = index + 1..<index + 1 + Int(number)
        let end = try end(call, keys.upperBound)
        var count: Int64?
        var option = keys.upperBound + 1
        while option < call.count {
            guard count == nil, call.arguments.isWord(option, "COUNT"), option + 1 < call.count else { throw .syntax }
            let wrong = MartletError.command("ERR count should be greater than 0")
            let asked = try call.integer(option + 1, or: wrong)
            guard asked > 0 else { throw wrong }
            count = asked
            option += 2
        }
        return (keys, end, Int(count ?? 1))
    }

    /// Takes elements from the first of the lists under some keys, and answers with its key and them. False, and nothing
    /// answered: there is none.
    ///
    /// - Parameter keys: The places of the arguments.
    static func popFirst(
        _ call: CommandCall, _ keys: Range<Int>, _ end: ListEnd, count: Int
    ) throws(MartletError) -> Bool {
        let found = try withFirstList(call, keys) { (item, key, length) throws(MartletError) in
            FirstList(rest: try pop(&item, end, min(count, length), of: length, call, key: key))
        }
        guard let found else { return false }
        if let rest = found.rest { try call.goOn(with: rest) }
        return true
    }

    private struct FirstList {
        let rest: ListReply?
    }

    /// Takes one element from the first of the lists under some keys, and answers with its key and it, as `BLPOP` does.
    static func popOne(_ call: CommandCall, _ keys: Range<Int>, _ end: ListEnd) throws(MartletError) -> Bool {
        let isFound = try withFirstList(call, keys) { (item, key, _) throws(MartletError) in
            call.reply.array(2)
            call.reply.bulk(key)
            _ = try item.popFromList(end) { element in
                call.reply.bulk(element)
                call.countElementOut(byteCount: element.count)
            }
            return true
        }
        return isFound ?? false
    }

    private static func withFirstList<Result>(
        _ call: CommandCall, _ keys: Range<Int>,
        _ body: (inout ItemAccess, UnsafeRawBufferPointer, Int) throws(MartletError) -> Result
    ) throws(MartletError) -> Result? {
        if keys.count == 1 {
            let key = call.arguments[keys.lowerBound]
            return try call.items.withItem(key, now: call.now) { (item) throws(MartletError) -> Result? in
                guard let length = try item.listCount() else { return nil }
                return try body(&item, key, length)
            }
        }
        let slices = call.arguments.slices(from: keys.lowerBound).prefix(keys.count).map { $0 }
        return try call.items.transact(slices, now: call.now) { (transaction) throws(MartletError) -> Result? in
            for index in slices.indices {
                guard let length = try transaction[index].listCount() else { continue }
                return try body(&transaction[index], slices[index], length)
            }
            return nil
        }
    }

    // MARK: Moving

    /// Moves an element from the list at index 1 to that at index 2, and answers with it. False, and nothing answered:
    /// there is none.
    static func move(_ call: CommandCall, _ from: ListEnd, _ to: ListEnd) throws(MartletError) -> Bool {
        let (source, destination) = (call.arguments[1], call.arguments[2])
        try call.sizes.checkKey(byteCount: destination.count)
        let expiry = call.collectionExpiry
        let isSame = source.elementsEqual(destination)
        return try call.items.transact([source, destination], reserving: 512, now: call.now) {
            (transaction) throws(MartletError) -> Bool in
            guard try transaction[0].listCount() != nil else { return false }
            if !isSame { try call.checkGrowth(of: transaction[1], adding: 0) }
            return try transaction.moveListElement(from: 0, from, to: 1, to, expiry: expiry) { element in
                call.reply.bulk(element)
                call.countElementOut(byteCount: element.count)
            }
        }
    }
}
