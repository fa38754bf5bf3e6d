import CacheService
import NIOCore
import Tenancy
import Wire

// MARK: Requests

extension Scs_DictionaryGetRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("dictionary_name", dictionaryName) { .dictionaryGet(fields: Elements(copying: fields)) }
    }
}

extension Scs_DictionaryFetchRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("dictionary_name", dictionaryName) { .dictionaryFetch }
    }
}

extension Scs_DictionarySetRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("dictionary_name", dictionaryName) { () throws(MartletError) in
            let ttl = try ttl(ttlMilliseconds, refreshes: refreshTtl)
            return .dictionarySet(
                fields: Elements(copying: items, \.field), values: Elements(copying: items, \.value), ttl)
        }
    }
}

extension Scs_DictionaryIncrementRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("dictionary_name", dictionaryName) { () throws(MartletError) in
            .dictionaryIncrement(
                field: Array(field), by: amount, try ttl(ttlMilliseconds, refreshes: refreshTtl))
        }
    }
}

extension Scs_DictionaryDeleteRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("dictionary_name", dictionaryName) { () throws(MartletError) in
            guard let delete else { throw .missing(field: "delete") }
            return switch delete {
            case .some(let some): .dictionaryDelete(fields: Elements(copying: some.fields))
            case .all: .dictionaryDeleteAll
            }
        }
    }
}

extension Scs_DictionaryLengthRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("dictionary_name", dictionaryName) { .dictionaryLength }
    }
}

// MARK: Responses

extension ByteBuffer {
    /// `found = 1 {repeated items = 1 {bytes field = 1, bytes value = 2}}`.
    mutating func writeDictionaryPairs(_ fields: Elements, _ values: Elements) {
        fields.bytes.withUnsafeBytes { fieldBytes in
            values.bytes.withUnsafeBytes { valueBytes in
                writeMessages(at: [1], 0..<fields.count) { index in
                    ProtobufWriter.size(field: 1, singularLength: fields.range(index).count)
                        + ProtobufWriter.size(field: 2, singularLength: values.range(index).count)
                } write: { index, writer in
                    writer.writeSingularBytes(field: 1, fieldBytes.slice(fields.range(index)))
                    writer.writeSingularBytes(field: 2, valueBytes.slice(values.range(index)))
                }
            }
        }
    }

    /// `found = 1 {repeated items = 1 {result = 1, bytes cache_body = 2}}`.
    mutating func writeDictionaryValues(_ values: Elements, _ isPresent: [Bool]) {
        values.bytes.withUnsafeBytes { bytes in
            writeMessages(at: [1], isPresent.indices) { index in
                isPresent[index]
                    ? ProtobufWriter.size(field: 1, number: ElementResult.hit)
                        + ProtobufWriter.size(field: 2, singularLength: values.range(index).count)
                    : ProtobufWriter.size(field: 1, number: ElementResult.miss)
            } write: { index, writer in
                writer.writeNumber(field: 1, isPresent[index] ? ElementResult.hit : ElementResult.miss)
                if isPresent[index] { writer.writeSingularBytes(field: 2, bytes.slice(values.range(index))) }
            }
        }
    }
}
