import Access
import CacheService
import NIOCore
import Tenancy

/// The gRPC door: every service of `api/proto`, over HTTP/2 and, in the two forms of gRPC-web, over both HTTP versions.
///
/// It translates and nothing else: who calls, whether they may, within which limits and at what price is the service's
/// (``ServiceLane``).
///
/// ```
/// head ─▶ method ─▶ credential ─▶ identify ─▶ cache, permit ─▶ body ─▶ message ─▶ permit its key ─▶ answer
///         GRPCMethods                          (metadata)       bounded  GRPCDoor+Message
/// ```
///
/// A procedure that names its cache in the metadata is resolved and permitted on the head, as far as that goes without the
/// key, so that nobody's body is kept who may not do anything there. The order of refusals is that of the REST door.
final class GRPCDoor: HTTPDoor {
    let control: ControlRPCs
    let executor: ControlExecutor

    init(control: ControlRPCs, executor: ControlExecutor) {
        self.control = control
        self.executor = executor
    }

    /// Whether a request is for this door. Its form is noted, so that whatever is wrong with it is told in that form.
    @inline(__always)
    func takes(_ exchange: Exchange) -> Bool {
        switch exchange.request.method {
        case .post:
            let form = exchange.request.withValue(.contentType) { GRPCRequest.Form(contentType: $0) } ?? .none
            exchange.grpc.form = form
            return form != .none
        case .options:
            return method(exchange) != .unknown
        default:
            return false
        }
    }

    private func method(_ exchange: Exchange) -> GRPCMethod {
        let path = exchange.request.path.range
        return exchange.request.withArena { GRPCMethods.shared.method($0.slice(path)) }
    }

    // MARK: Head

    func receiveHead(_ exchange: Exchange) {
        guard exchange.request.method == .post else {
            preflight(exchange)
            return
        }
        if exchange.grpc.form == .plain, exchange.streamID == 0 {
            exchange.grpc.form = .none
            exchange.respond(error: .malformed("gRPC is spoken over HTTP/2; over HTTP/1.1 there is gRPC-web"))
            return
        }
        let method = method(exchange)
        exchange.grpc.method = method
        do throws(MartletError) {
            try readMetadata(exchange)
        } catch {
            exchange.respond(error: error)
            return
        }
        switch method {
        case .unknown:
            exchange.respond(error: .unimplemented("this procedure"))
        case .control(.login):
            exchange.respond(error: .unimplemented("a login in a browser"))
        case .healthCheck, .healthWatch:
            exchange.collectBody(limit: Self.smallMessageBytes)
        case .reflection:
            Reflection.begin(exchange)
        case .control(let rpc) where rpc.credentialPlace == .none:
            exchange.collectBody(limit: Self.smallMessageBytes)
        case .control(let rpc)
        where rpc.credentialPlace == .metadataOrMessage && exchange.request.range(.authorization)?.isEmpty ?? true:
            // The credential is in the message, which is small.
            exchange.collectBody(limit: Self.smallMessageBytes)
        default:
            identify(exchange)
        }
    }

    /// What a message without a value has at most.
    static let smallMessageBytes = 65_536

    private func readMetadata(_ exchange: Exchange) throws(MartletError) {
        if exchange.request.has(.grpcTimeout) {
            guard let timeout = exchange.request.withValue(.grpcTimeout, { GRPCTimeout.milliseconds($0) }) ?? nil else {
                throw .invalidArgument(field: "grpc-timeout", reason: "is not a time")
            }
            exchange.grpc.deadline = exchange.lane.uptimeMilliseconds.addingClamped(timeout)
        }
        if let encoding = exchange.request.range(.grpcEncoding) {
            exchange.grpc.encoding = try exchange.request.withArena { bytes throws(MartletError) in
                try GRPCEncoding(bytes.slice(encoding.range))
            }
        }
    }

    private func identify(_ exchange: Exchange) {
        guard let credential = exchange.presentedCredential() else { return }
        if let caller = exchange.lane.rememberedCaller(exchange, credential) {
            open(exchange, caller)
        } else {
            exchange.lane.identify(exchange, credential) { exchange, caller in self.open(exchange, caller) }
        }
    }

    /// Lets the body in of a caller that is known, as far as the head tells that they may send it.
    private func open(_ exchange: Exchange, _ caller: LaneCaller) {
        exchange.rest.caller = caller
        let service = exchange.lane.service
        do throws(MartletError) {
            if let operation = exchange.grpc.method.itemOperation {
                guard let name = exchange.request.range(.cache) else {
                    throw .invalidArgument(field: "cache", reason: "metadata is missing")
                }
                let door = exchange.grpc.door
                let grant = try exchange.request.withArena { bytes throws(MartletError) in
                    try service.permit(
                        caller, cacheName: bytes.slice(name.range), operation: operation, key: nil, door: door,
                        on: exchange.transport.peer.claims)
                }
                exchange.rest.opened = grant
                let namesOneKey = exchange.grpc.method.namesOneKey
                letBodyIn(
                    exchange,
                    limit: namesOneKey
                        ? service.keyBytesLimit(grant) + Self.smallMessageBytes
                        : service.itemBytesLimit(grant) + Self.overheadBytes)
            } else if case .control = exchange.grpc.method {
                exchange.rest.isControl = true
                letBodyIn(exchange, limit: exchange.lane.limits.controlBodyBytes)
            } else {
                letBodyIn(exchange, limit: service.messageBytesDefault(for: caller) + Self.smallMessageBytes)
            }
        } catch {
            exchange.respond(error: error)
        }
    }

    /// What a request's message may have beside its largest item.
    private static let overheadBytes = 262_144

    private func letBodyIn(_ exchange: Exchange, limit: Int) {
        // Base64 makes four bytes of three.
        exchange.collectBody(limit: exchange.grpc.form == .webText ? limit / 3 * 4 + 4 : limit)
    }

    func resume(_ exchange: Exchange) {
        answer(exchange)
    }

    // MARK: CORS

    private func preflight(_ exchange: Exchange) {
        var head = ResponseHead(status: 204)
        head.allowsAnyOrigin = true
        let requested = exchange.request.range("access-control-request-headers")
        head.extra = exchange.request.withArena { bytes in
            GRPCWebCORS.preflight(requested: requested.map { bytes.slice($0.range) })
        }
        exchange.respond(head)
    }
}

extension Int64 {
    /// The sum, or the largest number where it would be larger.
    func addingClamped(_ other: Int64) -> Int64 {
        let (sum, isOver) = addingReportingOverflow(other)
        return isOver ? .max : sum
    }
}
