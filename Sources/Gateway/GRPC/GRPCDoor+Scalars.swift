import Access
import CacheService
import Engine
import Foundation
import NIOCore
import SwiftProtobuf
import Tenancy
import Wire

/// Calls on single items beside Get and Set, through the generated messages.
extension GRPCDoor {
    func answer(
        _ exchange: Exchange, _ rpc: ScalarRPC, _ message: UnsafeRawBufferPointer
    ) throws(MartletError) {
        switch rpc {
        case .getWithHash: try getWithHash(exchange, exchange.message(Scs_GetWithHashRequest.self, message))
        case .setIf: try setIf(exchange, exchange.message(Scs_SetIfRequest.self, message))
        case .setIfHash: try setIfHash(exchange, exchange.message(Scs_SetIfHashRequest.self, message))
        case .setIfNotExists: try setIfNotExists(exchange, exchange.message(Scs_SetIfNotExistsRequest.self, message))
        case .delete: try delete(exchange, exchange.message(Scs_DeleteRequest.self, message))
        case .keysExist: try keysExist(exchange, exchange.message(Scs_KeysExistRequest.self, message))
        case .increment: try increment(exchange, exchange.message(Scs_IncrementRequest.self, message))
        case .updateTTL: try updateTTL(exchange, exchange.message(Scs_UpdateTtlRequest.self, message))
        case .itemGetTTL: try itemGetTTL(exchange, exchange.message(Scs_ItemGetTtlRequest.self, message))
        case .itemGetType: try itemGetType(exchange, exchange.message(Scs_ItemGetTypeRequest.self, message))
        }
    }

    /// Answers what is here; what is on its way comes through the closure of ``late(_:_:)``.
    private func take<Value>(
        _ exchange: Exchange, _ reply: Reply<Value>, _ answer: (Exchange, Value) -> Void
    ) {
        switch reply {
        case .here(let value): answer(exchange, value)
        case .refused(let error): exchange.respondGRPC(error: error)
        case .later: break
        }
    }

    /// Permits a call on one key, performs it and answers it.
    private func perform<Value>(
        _ exchange: Exchange, _ operation: CacheOperation, key: Data,
        _ call: (ServiceLane, CacheGrant, UnsafeRawBufferPointer, () -> LateHandler<Value>) throws(MartletError) ->
            Reply<Value>,
        answer: @escaping (Exchange, Value) -> Void
    ) throws(MartletError) {
        try key.withBytes { key throws(MartletError) in
            let grant = try permit(exchange, operation, key: key)
            take(exchange, try call(exchange.lane.service, grant, key, { late(exchange, answer) }), answer)
        }
    }

    private static func respond(_ exchange: Exchange, _ message: some Message) {
        do throws(MartletError) {
            exchange.respondGRPC(message: try message.written())
        } catch {
            exchange.respondGRPC(error: error)
        }
    }

    // MARK: Reads

    private func getWithHash(_ exchange: Exchange, _ request: Scs_GetWithHashRequest) throws(MartletError) {
        try request.cacheKey.withBytes { key throws(MartletError) in
            let grant = try permit(exchange, .getWithHash, key: key)
            let service = exchange.lane.service
            if exchange.transport.isCrowded, service.isLarger(grant, key: key, than: Self.smallBytes) {
                park(exchange)
                return
            }
            var value = ByteBuffer()
            let reply = service.get(grant, exchange.grpc.door, key: key) { count in
                value.reserveCapacity(count)
                value.moveWriterIndex(to: count)
                return value.withUnsafeMutableReadableBytes { $0 }
            } later: {
                late(exchange) { exchange, item in
                    Self.answer(exchange, item.map { ($0.value[...], $0.facts.valueHash) })
                }
            }
            take(exchange, reply) { exchange, facts in
                Self.answer(exchange, facts.map { (ArraySlice(value.readableBytesView), $0.valueHash) })
            }
        }
    }

    private static func answer(_ exchange: Exchange, _ found: (value: ArraySlice<UInt8>, hash: ValueHash)?) {
        var response = Scs_GetWithHashResponse()
        if let found {
            response.found.value = Data(found.value)
            response.found.hash = found.hash.bytes
        } else {
            response.missing = .init()
        }
        respond(exchange, response)
    }

    private func keysExist(_ exchange: Exchange, _ request: Scs_KeysExistRequest) throws(MartletError) {
        if exchange.transport.isCrowded {
            park(exchange)
            return
        }
        guard let caller = exchange.rest.caller, var grant = exchange.rest.opened else {
            throw .missingCredential
        }
        let service = exchange.lane.service
        let door = exchange.grpc.door
        var keys = Elements()
        for key in request.cacheKeys {
            guard !key.isEmpty else { throw emptyKey(exchange) }
            grant = try key.withBytes { key throws(MartletError) in
                try service.permit(grant, caller, operation: .keysExist, key: key, door: door)
            }
            keys.append(key)
        }
        let answer = { (exchange: Exchange, exists: [Bool]) in
            Self.respond(exchange, Scs_KeysExistResponse.with { $0.exists = exists })
        }
        take(exchange, service.exist(grant, door, keys: keys) { late(exchange, answer) }, answer)
    }

    private func itemGetTTL(_ exchange: Exchange, _ request: Scs_ItemGetTtlRequest) throws(MartletError) {
        try perform(exchange, .itemGetTTL, key: request.cacheKey) { service, grant, key, later in
            service.describe(grant, exchange.grpc.door, key: key, later: later)
        } answer: { exchange, item in
            var response = Scs_ItemGetTtlResponse()
            if let item {
                let left = item.expiresAt.map { UInt64(max(0, $0.milliseconds - exchange.lane.now.milliseconds)) }
                response.found.remainingTtlMillis = left ?? TTL.ceilingMilliseconds
            } else {
                response.missing = .init()
            }
            Self.respond(exchange, response)
        }
    }

    private func itemGetType(_ exchange: Exchange, _ request: Scs_ItemGetTypeRequest) throws(MartletError) {
        try perform(exchange, .itemGetType, key: request.cacheKey) { service, grant, key, later in
            service.describe(grant, exchange.grpc.door, key: key, later: later)
        } answer: { exchange, item in
            var response = Scs_ItemGetTypeResponse()
            if let item {
                response.found.itemType = Scs_ItemGetTypeResponse.ItemType(item.kind)
            } else {
                response.missing = .init()
            }
            Self.respond(exchange, response)
        }
    }

    // MARK: Writes

    private func setIf(_ exchange: Exchange, _ request: Scs_SetIfRequest) throws(MartletError) {
        try setIf(exchange, request.cacheKey, request.cacheBody, request.ttlMilliseconds) { () throws(MartletError) in
            switch request.condition {
            case .present: return .present
            case .presentAndNotEqual(let check): return .presentAndNotEqual(Array(check.valueToCheck))
            case .absent: return .absent
            case .equal(let check): return .equal(Array(check.valueToCheck))
            case .absentOrEqual(let check): return .absentOrEqual(Array(check.valueToCheck))
            case .notEqual(let check): return .notEqual(Array(check.valueToCheck))
            case nil: throw .invalidArgument(field: "condition", reason: "must be set")
            }
        } answer: { exchange, isStored in
            var response = Scs_SetIfResponse()
            if isStored { response.stored = .init() } else { response.notStored = .init() }
            Self.respond(exchange, response)
        }
    }

    private func setIfNotExists(_ exchange: Exchange, _ request: Scs_SetIfNotExistsRequest) throws(MartletError) {
        try setIf(exchange, request.cacheKey, request.cacheBody, request.ttlMilliseconds) {
            .absent
        } answer: { exchange, isStored in
            var response = Scs_SetIfNotExistsResponse()
            if isStored { response.stored = .init() } else { response.notStored = .init() }
            Self.respond(exchange, response)
        }
    }

    private func setIf(
        _ exchange: Exchange, _ key: Data, _ value: Data, _ ttl: UInt64,
        _ condition: () throws(MartletError) -> ValueCondition, answer: @escaping (Exchange, Bool) -> Void
    ) throws(MartletError) {
        try perform(
            exchange, .setIf, key: key,
            { service, grant, key, later throws(MartletError) in
                let condition = try exchange.parameters(condition)
                let ttl = try Self.ttl(ttl, exchange)
                return value.withBytes { value in
                    service.setIf(
                        grant, exchange.grpc.door, key: key, value: value, ttl: ttl, condition: condition, later: later)
                }
            }, answer: answer)
    }

    private func setIfHash(_ exchange: Exchange, _ request: Scs_SetIfHashRequest) throws(MartletError) {
        let newHash = request.cacheBody.withBytes { exchange.lane.service.hash(of: $0) }
        try perform(
            exchange, .setIfHash, key: request.cacheKey,
            { service, grant, key, later throws(MartletError) in
                let condition = try exchange.parameters { () throws(MartletError) in try request.setCondition }
                let ttl = try Self.ttl(request.ttlMilliseconds, exchange)
                return request.cacheBody.withBytes { value in
                    service.set(
                        grant, exchange.grpc.door, key: key, value: value, ttl: ttl, condition: condition, later: later)
                }
            },
            answer: { exchange, isStored in
                var response = Scs_SetIfHashResponse()
                if isStored { response.stored.newHash = newHash.bytes } else { response.notStored = .init() }
                Self.respond(exchange, response)
            })
    }

    private func delete(_ exchange: Exchange, _ request: Scs_DeleteRequest) throws(MartletError) {
        try perform(exchange, .delete, key: request.cacheKey) { service, grant, key, later in
            service.delete(grant, exchange.grpc.door, key: key, condition: .always, later: later)
        } answer: { exchange, _ in
            exchange.respondGRPCEmpty()
        }
    }

    private func increment(_ exchange: Exchange, _ request: Scs_IncrementRequest) throws(MartletError) {
        try perform(
            exchange, .increment, key: request.cacheKey,
            { service, grant, key, later throws(MartletError) in
                let ttl = try Self.ttl(request.ttlMilliseconds, exchange)
                return service.increment(
                    grant, exchange.grpc.door, key: key, by: request.amount, ttl: ttl, later: later)
            },
            answer: { exchange, value in
                Self.respond(exchange, Scs_IncrementResponse.with { $0.value = value })
            })
    }

    private func updateTTL(_ exchange: Exchange, _ request: Scs_UpdateTtlRequest) throws(MartletError) {
        let (rule, milliseconds, field) = try exchange.parameters { () throws(MartletError) in
            switch request.updateTtl {
            case .increaseToMilliseconds(let ttl): return (ExpiryRule.onlyIfLater, ttl, "increase_to_milliseconds")
            case .decreaseToMilliseconds(let ttl): return (.onlyIfEarlier, ttl, "decrease_to_milliseconds")
            case .overwriteToMilliseconds(let ttl): return (.always, ttl, "overwrite_to_milliseconds")
            case nil: throw MartletError.invalidArgument(field: "update_ttl", reason: "must be set")
            }
        }
        let operation: CacheOperation =
            if case .always = rule { .updateTTLOverwrite } else { .updateTTLConditional }
        try perform(
            exchange, operation, key: request.cacheKey,
            { service, grant, key, later throws(MartletError) in
                let ttl = try exchange.parameters { () throws(MartletError) in
                    try TTL(milliseconds: milliseconds, field: field)
                }
                return service.updateTTL(
                    grant, exchange.grpc.door, key: key, ttl: ttl, rule: rule, later: later)
            },
            answer: { exchange, outcome in
                var response = Scs_UpdateTtlResponse()
                switch outcome {
                case .changed: response.set = .init()
                case .kept: response.notSet = .init()
                case .absent: response.missing = .init()
                }
                Self.respond(exchange, response)
            })
    }
}

extension Scs_SetIfHashRequest {
    fileprivate var setCondition: SetCondition {
        get throws(MartletError) {
            switch condition {
            case .presentAndNotHashEqual(let check): return .ifPresentAndHashNotIn(check.hashToCheck.valueHashes)
            case .presentAndHashEqual(let check): return .ifHashIn(check.hashToCheck.valueHashes)
            case .absentOrHashEqual(let check): return .ifAbsentOrHashIn(check.hashToCheck.valueHashes)
            case .absentOrNotHashEqual(let check): return .ifHashNotIn(check.hashToCheck.valueHashes)
            case .unconditional: return .always
            case nil: throw .invalidArgument(field: "condition", reason: "must be set")
            }
        }
    }
}

extension ValueHash {
    /// The 16 bytes that clients hold: opaque to them.
    var bytes: Data {
        var data = Data(capacity: 16)
        withUnsafeBytes(of: high.bigEndian) { data.append(contentsOf: $0) }
        withUnsafeBytes(of: low.bigEndian) { data.append(contentsOf: $0) }
        return data
    }
}

extension Data {
    /// The hash that a client gave back; none where no value can have it.
    fileprivate var valueHashes: [ValueHash] {
        guard count == 16 else { return [] }
        return withBytes { bytes in
            [
                ValueHash(
                    low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
                    high: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)))
            ]
        }
    }
}

extension Scs_ItemGetTypeResponse.ItemType {
    init(_ kind: ItemKind) {
        switch kind {
        case .scalar: self = .scalar
        case .dictionary: self = .dictionary
        case .set: self = .set
        case .list: self = .list
        case .sortedSet: self = .sortedSet
        }
    }
}
