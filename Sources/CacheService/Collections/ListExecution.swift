import Engine
import Tenancy

/// Lists.
extension CollectionTarget {
    func listPush(_ end: ListEnd, _ values: Elements, _ limit: Int) throws(MartletError) -> CollectionReply {
        let length = try values.withPointers { (pointers) throws(MartletError) in
            try withItem(adding: values.byteCount, count: values.count) { (item) throws(MartletError) in
                try item.pushToList(pointers, at: end, limit: limit, expiry: expiry)
            }
        }
        return .length(length)
    }

    func listPop(_ end: ListEnd) throws(MartletError) -> CollectionReply {
        var element: [UInt8] = []
        let left = try withItem { (item) throws(MartletError) in
            try item.popFromList(end) { element.append(contentsOf: $0) }
        }
        return left.map { .element(element, length: $0) } ?? .missing
    }

    func listErase(_ ranges: [Range<Int>]) throws(MartletError) -> CollectionReply {
        length(try withItem { (item) throws(MartletError) in try item.eraseFromList(ranges) })
    }

    func listEraseAll() throws(MartletError) -> CollectionReply {
        try withItem { (item) throws(MartletError) -> CollectionReply in
            guard try item.listCount() != nil else { return .missing }
            item.remove()
            return .length(0)
        }
    }

    func listRemove(_ value: [UInt8]) throws(MartletError) -> CollectionReply {
        let left = try value.span.bytes.withUnsafeBytes { (value) throws(MartletError) in
            try withItem { (item) throws(MartletError) in try item.removeFromList(equalTo: value)?.remaining }
        }
        return length(left)
    }

    func listRetain(_ bounds: SliceBounds) throws(MartletError) -> CollectionReply {
        length(try withItem { (item) throws(MartletError) in try item.retainInList(bounds, expiry: expiry) })
    }

    func listFetch(_ bounds: SliceBounds) throws(MartletError) -> CollectionOutcome {
        try withItem { (item) throws(MartletError) -> CollectionOutcome in
            guard let range = try item.listRange(bounds), !range.isEmpty else { return .reply(.missing) }
            return try SlicedFetch.list(range, of: item)
        }
    }

    func listLength() throws(MartletError) -> CollectionReply {
        length(try withItem { (item) throws(MartletError) in try item.listCount() })
    }

    private func length(_ count: Int?) -> CollectionReply {
        count.map { .length($0) } ?? .missing
    }
}
