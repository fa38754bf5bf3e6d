import CacheService
import NIOCore
import Tenancy
import Wire

// MARK: Requests

extension Scs_SetFetchRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("set_name", setName) { .setFetch }
    }
}

extension Scs_SetSampleRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("set_name", setName) { .setSample(limit: Int(clamping: limit)) }
    }
}

extension Scs_SetUnionRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("set_name", setName) { () throws(MartletError) in
            let ttl = try ttl(ttlMilliseconds, refreshes: refreshTtl)
            return .setUnion(Elements(copying: elements), ttl)
        }
    }
}

extension Scs_SetDifferenceRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("set_name", setName) { () throws(MartletError) in
            switch difference {
            case .minuend(let minuend): return .setBecomeDifference(of: Elements(copying: minuend.elements))
            case .subtrahend(let subtrahend):
                switch subtrahend.subtrahendSet {
                case .set(let set): return .setSubtract(Elements(copying: set.elements))
                case .identity: return .setRemoveAll
                case nil: throw .missing(field: "subtrahend_set")
                }
            case nil: throw .missing(field: "difference")
            }
        }
    }
}

extension Scs_SetContainsRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("set_name", setName) { .setContains(Elements(copying: elements)) }
    }
}

extension Scs_SetLengthRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("set_name", setName) { .setLength }
    }
}

extension Scs_SetPopRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("set_name", setName) { .setPop(count: Int(clamping: count)) }
    }
}

// MARK: Responses

extension ByteBuffer {
    /// `found = 1 {repeated bool contains = 1}`: a byte each, packed into one field.
    mutating func writeSetPresence(_ presence: [Bool]) {
        let count = ProtobufWriter.size(field: 1, singularLength: presence.count)
        writeProtobuf(at: [1], count: count) { writer in
            guard !presence.isEmpty else { return }
            writer.writeHead(field: 1, length: presence.count)
            for isPresent in presence { writer.writeVarint(isPresent ? 1 : 0) }
        }
    }
}
