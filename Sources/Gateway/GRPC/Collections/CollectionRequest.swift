import CacheService
import Engine
import Foundation
import SwiftProtobuf
import Tenancy

/// The request of a ``CollectionRPC``.
protocol CollectionRequest: Message {
    /// What it asks for.
    func call() throws(MartletError) -> CollectionCall
}

extension CollectionRequest {
    static func call(from message: UnsafeRawBufferPointer) throws(MartletError) -> CollectionCall {
        var options = BinaryDecodingOptions()
        // Else they would be kept, and copied for it.
        options.discardUnknownFields = true
        let request: Self
        do {
            request = try Self(serializedBytes: RawSpan(_unsafeBytes: message), options: options)
        } catch {
            throw .malformed("the request is not a valid message")
        }
        return try request.call()
    }

    /// A call on the collection of this name, which stands in `field`.
    ///
    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` for no name.
    func call(
        _ field: String, _ name: Data, _ command: () throws(MartletError) -> CollectionCommand
    ) throws(MartletError) -> CollectionCall {
        guard !name.isEmpty else { throw .invalidArgument(field: field, reason: "must not be empty") }
        return CollectionCall(key: name, command: try command())
    }

    /// None, which is 0 on the wire, is the cache's default.
    func ttl(_ milliseconds: UInt64) throws(MartletError) -> TTL? {
        milliseconds == 0 ? nil : try TTL(milliseconds: milliseconds, field: "ttl_milliseconds")
    }

    func ttl(_ milliseconds: UInt64, refreshes: Bool) throws(MartletError) -> CollectionTTL {
        CollectionTTL(try ttl(milliseconds), refreshes: refreshes)
    }

    /// The value of an order: all of them have the same two members.
    func isDescending(_ order: some SwiftProtobuf.Enum) throws(MartletError) -> Bool {
        switch order.rawValue {
        case 0: false
        case 1: true
        default: throw .invalidArgument(field: "order", reason: "must be ASCENDING or DESCENDING")
        }
    }

    /// The slice that two oneofs name; nil is unbounded.
    func slice(start: Int32?, end: Int32?) -> SliceBounds {
        start == nil && end == nil ? .all : .halfOpen(start: start.map { Int($0) }, end: end.map { Int($0) })
    }
}

extension MartletError {
    /// A oneof, or a message, without which nothing can be done.
    static func missing(field: String) -> MartletError {
        .invalidArgument(field: field, reason: "must be set")
    }
}

extension Elements {
    init(copying parts: [Data]) {
        self.init(copying: parts) { $0 }
    }

    /// The bytes that `bytes` finds in each part, copied once.
    init<Part>(copying parts: [Part], _ bytes: (Part) -> Data) {
        self.init()
        reserveCapacity(parts.count, byteCount: parts.reduce(0) { $0 + bytes($1).count })
        for part in parts {
            bytes(part).withUnsafeBytes { append($0) }
        }
    }
}
