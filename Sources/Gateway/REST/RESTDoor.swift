import Access
import CacheService
import Engine
import NIOCore
import Tenancy

/// The REST door: items of caches under `/cache/{cache}`.
///
/// It translates and nothing else: who calls, whether they may, within which limits and at what price is the service's
/// (``ServiceLane``). The order of refusals is identify (401), permit (403), cache exists (404), parameters (400),
/// limits (413, 429).
final class RESTDoor: HTTPDoor {
    static let itemMethods = "GET, HEAD, PUT, DELETE, OPTIONS"
    static let incrementMethods = "POST, OPTIONS"

    func receiveHead(_ exchange: Exchange) {
        exchange.rest.allowsAnyOrigin = exchange.request.has(.origin)
        guard exchange.rest.parse(exchange.request) else {
            exchange.respond(error: .notFound("Path"))
            return
        }
        if exchange.request.method == .options {
            preflight(exchange)
            return
        }
        let method = exchange.request.method
        let isKnown: Bool
        switch exchange.rest.resource {
        case .increment: isKnown = method == .post
        case .item, .none: isKnown = method == .get || method == .put || method == .delete || method == .head
        }
        guard isKnown else {
            let allowed = exchange.rest.resource == .increment ? Self.incrementMethods : Self.itemMethods
            exchange.respond(error: .methodNotAllowed(allowed: allowed))
            return
        }
        guard let credential = exchange.presentedCredential() else { return }
        if let caller = exchange.lane.rememberedCaller(exchange, credential) {
            open(exchange, caller)
        } else {
            exchange.lane.identify(exchange, credential) { exchange, caller in self.open(exchange, caller) }
        }
    }

    func receiveEnd(_ exchange: Exchange) {
        guard let caller = exchange.rest.caller, let opened = exchange.rest.opened else { return }
        // A body may have taken its time: who was let in then may be shut out now.
        if let fault = exchange.lane.service.fault(of: caller) {
            exchange.refuse(fault)
            return
        }
        do throws(MartletError) {
            let grant = try permit(exchange, caller, operation(exchange.request))
            guard grant.isForSameCache(as: opened) else { throw .cacheNotFound }
            try store(exchange, grant)
        } catch {
            exchange.respond(error: error)
        }
    }

    func resume(_ exchange: Exchange) {
        exchange.rest.reset()
        receiveHead(exchange)
    }

    // MARK: Permit

    private func open(_ exchange: Exchange, _ caller: LaneCaller) {
        exchange.rest.caller = caller
        do throws(MartletError) {
            let operation = operation(exchange.request)
            let grant = try permit(exchange, caller, operation)
            exchange.rest.opened = grant
            exchange.rest.variesByEncoding = grant.variesByEncoding
            if let fault = exchange.rest.fault { throw exchange.lane.service.refused(grant, .rest, fault) }
            try execute(exchange, grant, operation)
        } catch {
            exchange.respond(error: error)
        }
    }

    /// What a request of a method that its resource has wants to do.
    private func operation(_ request: RequestHead) -> CacheOperation {
        switch request.method {
        case .get: .get
        case .head: .getWithHash
        case .put: request.has(.ifMatch) || request.has(.ifNoneMatch) ? .setIf : .set
        case .delete: request.has(.ifMatch) ? .deleteIf : .delete
        default: .increment
        }
    }

    private func permit(
        _ exchange: Exchange, _ caller: LaneCaller, _ operation: CacheOperation
    ) throws(MartletError) -> CacheGrant {
        let cacheName = exchange.rest.cacheName.range
        let key = exchange.rest.fault == nil ? exchange.rest.key : nil
        return try exchange.request.withArena { bytes throws(MartletError) in
            try exchange.lane.service.permit(
                caller, cacheName: bytes.slice(cacheName), operation: operation,
                key: key.map { bytes.slice($0.range) }, door: .rest, on: exchange.transport.peer.claims)
        }
    }

    private func execute(
        _ exchange: Exchange, _ grant: CacheGrant, _ operation: CacheOperation
    ) throws(MartletError) {
        switch operation {
        case .get: try get(exchange, grant)
        case .getWithHash: try head(exchange, grant)
        case .set, .setIf: try admitBody(exchange, grant)
        case .delete, .deleteIf: try delete(exchange, grant)
        default: try increment(exchange, grant)
        }
    }

    // MARK: Reads

    private func get(_ exchange: Exchange, _ grant: CacheGrant) throws(MartletError) {
        guard let key = exchange.rest.key else { return }  // a missing key is a fault, refused above
        let condition = try readCondition(exchange, grant)
        if exchange.transport.isCrowded, isLarge(exchange, grant, key) {
            exchange.transport.park(exchange)
            return
        }
        let accepted = acceptedEncoding(exchange)
        let reply = exchange.request.withArena { bytes in
            exchange.lane.service.get(
                grant, .rest, key: bytes.slice(key.range), condition: condition, accepting: accepted
            ) { count in
                exchange.reserveResponseBody(count)
            } later: {
                let ticket = ExchangeTicket(exchange)
                return { result in
                    guard let exchange = ticket.live else { return }
                    self.answerLateGet(exchange, result, condition)
                }
            }
        }
        switch reply {
        case .here(let facts): answer(exchange, facts, condition)
        case .refused(let error): exchange.respond(error: error)
        case .later: break
        }
    }

    /// What a connection whose reader is behind still gets at once.
    private static let smallBytes = 16_384

    private func isLarge(_ exchange: Exchange, _ grant: CacheGrant, _ key: ByteRange) -> Bool {
        exchange.request.withArena { bytes in
            exchange.lane.service.isLarger(
                grant, key: bytes.slice(key.range), accepting: acceptedEncoding(exchange), than: Self.smallBytes)
        }
    }

    /// In which forms the request takes the value. The field is read only where it can make a difference.
    @inline(__always)
    private func acceptedEncoding(_ exchange: Exchange) -> AcceptedEncoding {
        guard exchange.rest.variesByEncoding, exchange.request.has(.acceptEncoding) else { return .identity }
        return exchange.request.acceptedEncoding
    }

    private func answerLateGet(
        _ exchange: Exchange, _ result: Result<LateItem?, MartletError>, _ condition: ReadCondition?
    ) {
        switch result {
        case .success(let item):
            exchange.responseBody.clear()
            if let item { exchange.responseBody.writeBytes(item.value) }
            answer(exchange, item?.facts, condition)
        case .failure(let error): exchange.respond(error: error)
        }
    }

    private func head(_ exchange: Exchange, _ grant: CacheGrant) throws(MartletError) {
        guard let key = exchange.rest.key else { return }
        let condition = try readCondition(exchange, grant)
        let accepted = acceptedEncoding(exchange)
        let reply = exchange.request.withArena { bytes in
            exchange.lane.service.facts(grant, .rest, key: bytes.slice(key.range), accepting: accepted) {
                let ticket = ExchangeTicket(exchange)
                return { result in
                    guard let exchange = ticket.live else { return }
                    switch result {
                    case .success(let facts): self.answer(exchange, facts, condition)
                    case .failure(let error): exchange.respond(error: error)
                    }
                }
            }
        }
        switch reply {
        case .here(let facts): answer(exchange, facts, condition)
        case .refused(let error): exchange.respond(error: error)
        case .later: break
        }
    }

    /// Answers a read. A value, if one is answered, lies in the exchange's response body already.
    private func answer(_ exchange: Exchange, _ facts: ItemFacts?, _ condition: ReadCondition?) {
        guard let facts else {
            exchange.respond(error: .keyNotFound)
            return
        }
        var head = ResponseHead(status: 200)
        var tag = EntityTag(hash: facts.valueHash)
        if facts.storedEncoding == .zstd { tag.coding = .zstd }
        switch condition?.outcome(of: facts.valueHash) {
        case nil, .send: break
        case .notModified:
            head.status = 304
            // Of the form that the caller has: its tag is what he finds it by (RFC 9111 section 4.3.4).
            tag = (try? EntityTags(.ifNoneMatch, of: exchange.request))?.named(tag) ?? tag
        case .failed:
            exchange.respond(error: .preconditionFailed)
            return
        }
        head.etag = tag
        head.variesByEncoding = exchange.rest.variesByEncoding
        head.allowsAnyOrigin = exchange.rest.allowsAnyOrigin
        if head.status == 200 {
            head.contentType = .octetStream
            head.contentCoding = tag.coding
            head.contentLength = facts.handedOutByteCount
        } else {
            exchange.responseBody.clear()
        }
        exchange.respond(head)
    }

    private func readCondition(_ exchange: Exchange, _ grant: CacheGrant) throws(MartletError) -> ReadCondition? {
        do throws(MartletError) {
            return try Self.readCondition(exchange.request)
        } catch {
            throw exchange.lane.service.refused(grant, .rest, error)
        }
    }

    /// Under which hashes a read wants the value; nil for the usual read, which asks nothing.
    private static func readCondition(_ request: RequestHead) throws(MartletError) -> ReadCondition? {
        guard request.has(.ifMatch) || request.has(.ifNoneMatch) else { return nil }
        return ReadCondition(
            mustBeAmong: try EntityTags(.ifMatch, of: request)?.hashes(isStrong: true),
            mustNotBeAmong: try EntityTags(.ifNoneMatch, of: request)?.hashes(isStrong: false))
    }

    // MARK: Writes

    /// Checks all that can be known from the head, then lets the body in.
    private func admitBody(_ exchange: Exchange, _ grant: CacheGrant) throws(MartletError) {
        let service = exchange.lane.service
        let keyCount = exchange.rest.key?.count ?? 0
        let length = exchange.request.withValue(.contentLength) { $0.decimal } ?? nil
        let coding: ContentCoding
        do throws(MartletError) {
            let ttl = try exchange.rest.ttl(in: exchange.request)
            try service.checkTTL(grant, ttl)
            _ = try Self.condition(exchange.request)
            coding = try exchange.request.contentCoding()
        } catch {
            throw service.refused(grant, .rest, error)
        }
        let limit = try service.valueLimit(
            grant, .rest, keyCount: keyCount, declared: length.map(Int.init(clamping:)), coding: coding)
        exchange.rest.sizeLimit = (.maxItemBytes, UInt64(limit.valueBytes + keyCount))
        exchange.collectBody(limit: limit.bodyBytes)
    }

    private func store(_ exchange: Exchange, _ grant: CacheGrant) throws(MartletError) {
        guard let key = exchange.rest.key else { return }
        let ttl = try exchange.rest.ttl(in: exchange.request)
        let condition = try Self.condition(exchange.request)
        let coding = try exchange.request.contentCoding()
        let reply = exchange.request.withArena { bytes in
            exchange.requestBody.withUnsafeReadableBytes { value in
                exchange.lane.service.set(
                    grant, .rest, key: bytes.slice(key.range), value: value, coding: coding, ttl: ttl,
                    condition: condition
                ) {
                    let ticket = ExchangeTicket(exchange)
                    return { result in
                        guard let exchange = ticket.live else { return }
                        switch result {
                        case .success(let isStored): self.answerWrite(exchange, isStored)
                        case .failure(let error): exchange.respond(error: error)
                        }
                    }
                }
            }
        }
        switch reply {
        case .here(let isStored): answerWrite(exchange, isStored)
        case .refused(let error): exchange.respond(error: error)
        case .later: break
        }
    }

    private func answerWrite(_ exchange: Exchange, _ isDone: Bool) {
        guard isDone else {
            exchange.respond(error: .preconditionFailed)
            return
        }
        var head = ResponseHead(status: 204)
        head.allowsAnyOrigin = exchange.rest.allowsAnyOrigin
        exchange.respond(head)
    }

    private func delete(_ exchange: Exchange, _ grant: CacheGrant) throws(MartletError) {
        guard let key = exchange.rest.key else { return }
        let service = exchange.lane.service
        let condition: SetCondition
        do throws(MartletError) {
            guard !exchange.request.has(.ifNoneMatch) else {
                throw MartletError.invalidArgument(field: "if-none-match", reason: "has no meaning for DELETE")
            }
            condition = try Self.condition(exchange.request)
        } catch {
            throw service.refused(grant, .rest, error)
        }
        let reply = exchange.request.withArena { bytes in
            service.delete(grant, .rest, key: bytes.slice(key.range), condition: condition) {
                let ticket = ExchangeTicket(exchange)
                return { result in
                    guard let exchange = ticket.live else { return }
                    switch result {
                    case .success(let isDone): self.answerWrite(exchange, isDone)
                    case .failure(let error): exchange.respond(error: error)
                    }
                }
            }
        }
        switch reply {
        case .here(let isDone): answerWrite(exchange, isDone)
        case .refused(let error): exchange.respond(error: error)
        case .later: break
        }
    }

    private func increment(_ exchange: Exchange, _ grant: CacheGrant) throws(MartletError) {
        guard let key = exchange.rest.key else { return }
        let service = exchange.lane.service
        let amount: Int64
        let ttl: TTL?
        do throws(MartletError) {
            amount = try exchange.rest.amount(in: exchange.request)
            ttl = try exchange.rest.ttl(in: exchange.request)
            try service.checkTTL(grant, ttl)
        } catch {
            throw service.refused(grant, .rest, error)
        }
        let reply = exchange.request.withArena { bytes in
            service.increment(grant, .rest, key: bytes.slice(key.range), by: amount, ttl: ttl) {
                let ticket = ExchangeTicket(exchange)
                return { result in
                    guard let exchange = ticket.live else { return }
                    switch result {
                    case .success(let value): self.answerIncrement(exchange, value)
                    case .failure(let error): exchange.respond(error: error)
                    }
                }
            }
        }
        switch reply {
        case .here(let value): answerIncrement(exchange, value)
        case .refused(let error): exchange.respond(error: error)
        case .later: break
        }
    }

    private func answerIncrement(_ exchange: Exchange, _ value: Int64) {
        var head = ResponseHead(status: 200)
        head.allowsAnyOrigin = exchange.rest.allowsAnyOrigin
        exchange.respond(head, json: Array("{\"value\":\(value)}\n".utf8))
    }

    /// The condition of a write: `If-None-Match` or `If-Match`, not both.
    private static func condition(_ request: RequestHead) throws(MartletError) -> SetCondition {
        let match = try EntityTags(.ifMatch, of: request)
        let noneMatch = try EntityTags(.ifNoneMatch, of: request)
        switch (match, noneMatch) {
        case (nil, nil): return .always
        case (.some, .some):
            throw .invalidArgument(field: "if-none-match", reason: "must not stand beside if-match")
        case (.some(.any), nil): return .ifPresent
        case (.some(let tags), nil): return .ifHashIn(tags.strong)
        case (nil, .some(.any)): return .ifAbsent
        case (nil, .some(let tags)): return .ifHashNotIn(tags.weak)
        }
    }

    // MARK: CORS

    /// Answers a preflight (Fetch standard, section 3.3): any page may use the data plane with a credential that it
    /// holds; nothing is ever taken from cookies.
    private func preflight(_ exchange: Exchange) {
        var head = ResponseHead(status: 204)
        head.allowsAnyOrigin = true
        let methods = exchange.rest.resource == .increment ? Self.incrementMethods : Self.itemMethods
        head.extra = [
            ("allow", methods),
            ("access-control-allow-methods", "GET, HEAD, PUT, POST, DELETE, OPTIONS"),
            ("access-control-allow-headers", "authorization, content-encoding, content-type, if-match, if-none-match"),
            ("access-control-max-age", "86400"),
        ]
        exchange.respond(head)
    }
}

extension EntityTags {
    /// The tags of a conditional field, or nil when the request has none.
    init?(_ field: RequestHead.Known, of request: RequestHead) throws(MartletError) {
        guard let range = request.range(field) else { return nil }
        let name = field == .ifMatch ? "if-match" : "if-none-match"
        self = try request.withArena { bytes throws(MartletError) in
            try EntityTags(bytes.slice(range.range), field: name)
        }
    }
}

extension Exchange {
    /// Makes room for a value in the response body.
    @inline(__always)
    func reserveResponseBody(_ count: Int) -> UnsafeMutableRawBufferPointer {
        responseBody.clear(minimumCapacity: count)
        responseBody.moveWriterIndex(to: count)
        // The buffer is this exchange's alone: its memory stays valid until the next change, which comes after the copy.
        return responseBody.withUnsafeMutableReadableBytes { $0 }
    }
}
