import Engine
import Tenancy

/// Dictionaries.
extension CollectionTarget {
    func dictionaryGet(_ fields: Elements) throws(MartletError) -> CollectionReply {
        var values = Elements()
        var isPresent: [Bool] = []
        values.reserveCapacity(fields.count, byteCount: 0)
        isPresent.reserveCapacity(fields.count)
        let isThere = try fields.withPointers { (fields) throws(MartletError) in
            try withItem { (item) throws(MartletError) in
                try item.dictionaryGet(fields.span) { _, value in
                    values.append(value ?? UnsafeRawBufferPointer(start: nil, count: 0))
                    isPresent.append(value != nil)
                }
            }
        }
        return isThere ? .values(values, isPresent: isPresent) : .missing
    }

    func dictionaryFetch() throws(MartletError) -> CollectionOutcome {
        var fields = Elements()
        var values = Elements()
        let fetch = try withItem { (item) throws(MartletError) in
            try item.dictionaryFetch { field, value in
                fields.append(field)
                values.append(value)
            }
        }
        switch fetch {
        case .missing: return .reply(.missing)
        case .handedOut: return .reply(.pairs(fields: fields, values: values))
        case .snapshot(let snapshot): return .unfinished(SlicedFetch(snapshot))
        }
    }

    func dictionarySet(_ fields: Elements, _ values: Elements) throws(MartletError) -> CollectionReply {
        try fields.withPointers { (fields) throws(MartletError) in
            try values.withPointers { (values) throws(MartletError) in
                let pairs = zip(fields, values).map { DictionaryPair(field: $0, value: $1) }
                let byteCount = pairs.reduce(0) { $0 + $1.field.count + $1.value.count }
                try withItem(adding: byteCount, count: pairs.count) { (item) throws(MartletError) in
                    _ = try item.dictionarySet(pairs.span, expiry: expiry)
                }
            }
        }
        return .done
    }

    func dictionaryIncrement(_ field: [UInt8], _ amount: Int64) throws(MartletError) -> CollectionReply {
        let sum = try field.span.bytes.withUnsafeBytes { (field) throws(MartletError) in
            try withItem(adding: field.count + 20) { (item) throws(MartletError) in
                try item.dictionaryIncrement(field, by: amount, expiry: expiry)
            }
        }
        return .number(sum)
    }

    func dictionaryDelete(_ fields: Elements) throws(MartletError) -> CollectionReply {
        try fields.withPointers { (fields) throws(MartletError) in
            try withItem { (item) throws(MartletError) in _ = try item.dictionaryRemove(fields.span) }
        }
        return .done
    }

    func dictionaryDeleteAll() throws(MartletError) -> CollectionReply {
        try withItem { (item) throws(MartletError) in _ = try item.dictionaryRemoveAll() }
        return .done
    }

    func dictionaryLength() throws(MartletError) -> CollectionReply {
        let length = try withItem { (item) throws(MartletError) in try item.dictionaryLength() }
        return length.map { .length($0) } ?? .missing
    }
}
