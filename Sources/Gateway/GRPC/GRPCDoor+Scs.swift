import Access
import CacheService
import Engine
import Foundation
import NIOCore
import SwiftProtobuf
import Tenancy
import Wire

/// Get and Set: the hot path. The others are in `GRPCDoor+Scalars.swift`.
extension GRPCDoor {
    func get(_ exchange: Exchange, _ message: UnsafeRawBufferPointer) throws(MartletError) {
        guard let key = GetMessage.key(of: message) else {
            let request = try exchange.message(Scs_GetRequest.self, message)
            try request.cacheKey.withBytes { key throws(MartletError) in try get(exchange, key: key) }
            return
        }
        try get(exchange, key: message.slice(key))
    }

    private func get(_ exchange: Exchange, key: UnsafeRawBufferPointer) throws(MartletError) {
        let grant = try permit(exchange, .get, key: key)
        let service = exchange.lane.service
        if exchange.transport.isCrowded, service.isLarger(grant, key: key, than: Self.smallBytes) {
            park(exchange)
            return
        }
        exchange.responseBody.clear()
        let reply = service.get(grant, exchange.grpc.door, key: key) { count in
            ScsResponse.reserveHit(count, in: &exchange.responseBody)
        } later: {
            late(exchange) { exchange, item in
                exchange.responseBody.clear()
                if let item {
                    ScsResponse.reserveHit(item.value.count, in: &exchange.responseBody).copyBytes(from: item.value)
                }
                Self.answer(exchange, isHit: item != nil)
            }
        }
        switch reply {
        case .here(let facts): Self.answer(exchange, isHit: facts != nil)
        case .refused(let error): exchange.respondGRPC(error: error)
        case .later: break
        }
    }

    /// What a connection whose reader is behind still gets at once.
    static let smallBytes = 16_384

    /// A value, where there is one, lies in the response body already.
    @inline(__always)
    private static func answer(_ exchange: Exchange, isHit: Bool) {
        if !isHit { exchange.responseBody.writeBytes(ScsResponse.miss) }
        exchange.respondGRPCMessage()
    }

    func set(_ exchange: Exchange, _ message: UnsafeRawBufferPointer) throws(MartletError) {
        guard let plain = SetMessage(message) else {
            let request = try exchange.message(Scs_SetRequest.self, message)
            try request.cacheKey.withBytes { key throws(MartletError) in
                try request.cacheBody.withBytes { value throws(MartletError) in
                    try set(exchange, key: key, value: value, ttl: request.ttlMilliseconds)
                }
            }
            return
        }
        try set(exchange, key: message.slice(plain.key), value: message.slice(plain.value), ttl: plain.ttlMilliseconds)
    }

    private func set(
        _ exchange: Exchange, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, ttl: UInt64
    ) throws(MartletError) {
        let grant = try permit(exchange, .set, key: key)
        let ttl = try Self.ttl(ttl, exchange)
        let reply = exchange.lane.service.set(
            grant, exchange.grpc.door, key: key, value: value, ttl: ttl, condition: .always
        ) {
            late(exchange) { exchange, _ in Self.answerStored(exchange) }
        }
        switch reply {
        case .here: Self.answerStored(exchange)
        case .refused(let error): exchange.respondGRPC(error: error)
        case .later: break
        }
    }

    private static func answerStored(_ exchange: Exchange) {
        exchange.responseBody.clear()
        exchange.responseBody.writeBytes(ScsResponse.stored)
        exchange.respondGRPCMessage()
    }

    /// The TTL of a write; none, which is 0 on the wire, is the cache's default.
    static func ttl(_ milliseconds: UInt64, _ exchange: Exchange) throws(MartletError) -> TTL? {
        guard milliseconds > 0 else { return nil }
        return try exchange.parameters { () throws(MartletError) in
            try TTL(milliseconds: milliseconds, field: "ttl_milliseconds")
        }
    }

    // MARK: What all calls on items share

    /// Permits the operation on a key of the cache that was resolved on the head.
    @inline(__always)
    func permit(
        _ exchange: Exchange, _ operation: CacheOperation, key: UnsafeRawBufferPointer
    ) throws(MartletError) -> CacheGrant {
        // Both were set on the head.
        guard let caller = exchange.rest.caller, let opened = exchange.rest.opened else { throw .missingCredential }
        let grant = try exchange.lane.service.permit(
            opened, caller, operation: operation, key: key, door: exchange.grpc.door)
        exchange.rest.opened = grant
        guard !key.isEmpty else { throw emptyKey(exchange) }
        return grant
    }

    func emptyKey(_ exchange: Exchange) -> MartletError {
        let error = MartletError.invalidArgument(field: "cache_key", reason: "must not be empty")
        return exchange.rest.opened.map { exchange.lane.service.refused($0, exchange.grpc.door, error) } ?? error
    }

    /// Carries a late answer to the exchange, if it still waits for one.
    func late<Value>(
        _ exchange: Exchange, _ answer: @escaping (Exchange, Value) -> Void
    ) -> LateHandler<Value> {
        let ticket = ExchangeTicket(exchange)
        endAtDeadline(exchange)
        return { result in
            guard let exchange = ticket.live else { return }
            switch result {
            case .success(let value): answer(exchange, value)
            case .failure(let error): exchange.respondGRPC(error: error)
            }
        }
    }

    /// Ends a call whose answer is not here at its deadline.
    func endAtDeadline(_ exchange: Exchange) {
        guard let deadline = exchange.grpc.deadline, exchange.grpc.deadlineTask == nil else { return }
        let ticket = ExchangeTicket(exchange)
        let lane = exchange.lane
        let delay = max(0, deadline - lane.uptimeMilliseconds)
        // Cancelled when the exchange is done with.
        exchange.grpc.deadlineTask = lane.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(delay)) {
            guard let exchange = ticket.live, !exchange.isResponded else { return }
            lane.beginTick()
            exchange.respondGRPC(error: .deadlineExceeded)
        }
    }

    /// Puts a call aside until the reader of its connection has made room.
    func park(_ exchange: Exchange) {
        endAtDeadline(exchange)
        exchange.transport.park(exchange)
    }
}

extension SwiftProtobuf.Message {
    /// Reads a message where it lies.
    ///
    /// - Throws: ``MartletError/malformed(_:)``.
    init(reading bytes: UnsafeRawBufferPointer) throws(MartletError) {
        do {
            guard let start = bytes.baseAddress else {
                self.init()
                return
            }
            // Decoding copies what it keeps.
            let data = Data(
                bytesNoCopy: UnsafeMutableRawPointer(mutating: start), count: bytes.count, deallocator: .none)
            var options = BinaryDecodingOptions()
            options.discardUnknownFields = true
            try self.init(serializedBytes: data, options: options)
        } catch {
            throw .malformed("the request is not a valid message")
        }
    }

    /// The message's bytes.
    ///
    /// - Throws: ``MartletError/internalFailure(_:)``, which no message of ours comes to.
    func written() throws(MartletError) -> [UInt8] {
        do {
            return try serializedBytes()
        } catch {
            throw .internalFailure("the answer cannot be written")
        }
    }
}

extension Data {
    /// As `withUnsafeBytes`, with errors of one type.
    func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let result: Swift.Result<Result, Failure> = withUnsafeBytes { bytes in
            do throws(Failure) {
                return .success(try body(bytes))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}
