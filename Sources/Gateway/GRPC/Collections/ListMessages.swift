import CacheService
import Engine
import NIOCore
import Tenancy
import Wire

// MARK: Pushing

extension Scs_ListPushFrontRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("list_name", listName) { () throws(MartletError) in
            let ttl = try ttl(ttlMilliseconds, refreshes: refreshTtl)
            return .listPush(.front, Elements(copying: [value]), limit: Int(clamping: truncateBackToSize), ttl)
        }
    }
}

extension Scs_ListPushBackRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("list_name", listName) { () throws(MartletError) in
            let ttl = try ttl(ttlMilliseconds, refreshes: refreshTtl)
            return .listPush(.back, Elements(copying: [value]), limit: Int(clamping: truncateFrontToSize), ttl)
        }
    }
}

extension Scs_ListConcatenateFrontRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("list_name", listName) { () throws(MartletError) in
            let ttl = try ttl(ttlMilliseconds, refreshes: refreshTtl)
            return .listPush(.front, Elements(copying: values), limit: Int(clamping: truncateBackToSize), ttl)
        }
    }
}

extension Scs_ListConcatenateBackRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("list_name", listName) { () throws(MartletError) in
            let ttl = try ttl(ttlMilliseconds, refreshes: refreshTtl)
            return .listPush(.back, Elements(copying: values), limit: Int(clamping: truncateFrontToSize), ttl)
        }
    }
}

// MARK: Taking away

extension Scs_ListPopFrontRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("list_name", listName) { .listPop(.front) }
    }
}

extension Scs_ListPopBackRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("list_name", listName) { .listPop(.back) }
    }
}

extension Scs_ListEraseRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("list_name", listName) { () throws(MartletError) in
            guard let erase else { throw .missing(field: "erase") }
            return switch erase {
            case .some(let some):
                // Two numbers of 32 bits: the sum fits.
                .listErase(some.ranges.map { Int($0.beginIndex)..<Int($0.beginIndex) + Int($0.count) })
            case .all: .listEraseAll
            }
        }
    }
}

extension Scs_ListRemoveRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("list_name", listName) { () throws(MartletError) in
            switch remove {
            case .allElementsWithValue(let value): .listRemove(value: Array(value))
            case nil: throw .missing(field: "remove")
            }
        }
    }
}

extension Scs_ListRetainRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("list_name", listName) { () throws(MartletError) in
            let start: Int32? = if case .inclusiveStart(let start) = startIndex { start } else { nil }
            let end: Int32? = if case .exclusiveEnd(let end) = endIndex { end } else { nil }
            let ttl = try ttl(ttlMilliseconds, refreshes: refreshTtl)
            return .listRetain(slice(start: start, end: end), ttl)
        }
    }
}

// MARK: Reading

extension Scs_ListFetchRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("list_name", listName) {
            let start: Int32? = if case .inclusiveStart(let start) = startIndex { start } else { nil }
            let end: Int32? = if case .exclusiveEnd(let end) = endIndex { end } else { nil }
            return .listFetch(slice(start: start, end: end))
        }
    }
}

extension Scs_ListLengthRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("list_name", listName) { .listLength }
    }
}

// MARK: Responses

extension ByteBuffer {
    /// `found = 1 {bytes front or back = 1, uint32 list_length = 2}`.
    mutating func writePoppedElement(_ element: [UInt8], length: Int) {
        let length = UInt64(UInt32(clamping: length))
        let count =
            ProtobufWriter.size(field: 1, singularLength: element.count)
            + ProtobufWriter.size(field: 2, number: length)
        element.withUnsafeBytes { bytes in
            writeProtobuf(at: [1], count: count) { writer in
                writer.writeSingularBytes(field: 1, bytes)
                writer.writeNumber(field: 2, length)
            }
        }
    }
}
