import CacheService
import NIOCore
import Tenancy

/// `/v1/stream`: a WebSocket for many topics (``StreamSocket``). Whoever has a valid credential may open it; what it may
/// do there is decided frame by frame.
final class StreamDoor: HTTPDoor {
    static let path: StaticString = "/v1/stream"
    private static let methods = "GET, OPTIONS"

    func receiveHead(_ exchange: Exchange) {
        exchange.rest.allowsAnyOrigin = exchange.request.has(.origin)
        let (path, query) = exchange.request.splitTarget()
        guard exchange.request.withArena({ $0.slice(path.range).matches(Self.path) }) else {
            exchange.respond(error: .notFound("Path"))
            return
        }
        if let query { readToken(query, exchange) }
        switch exchange.request.method {
        case .connect where exchange.request.isWebSocketConnect:
            identify(exchange)
        case .get:
            if !WebSocketHandshake.isUpgrade(exchange.request), exchange.rest.fault == nil {
                exchange.rest.fault = .upgradeRequired
            }
            identify(exchange)
        case .options:
            preflight(exchange)
        default:
            exchange.respond(error: .methodNotAllowed(allowed: Self.methods))
        }
    }

    func receiveEnd(_ exchange: Exchange) {}

    private func readToken(_ query: ByteRange, _ exchange: Exchange) {
        var scanner = QueryScanner(query)
        while let (name, value) = scanner.next(in: exchange.request) {
            exchange.rest.takeToken(name, value, exchange.request)
        }
    }

    private func identify(_ exchange: Exchange) {
        let carried = exchange.readHandshake()
        guard let credential = exchange.presentedCredential(alternative: carried) else { return }
        exchange.lane.identify(exchange, credential) { exchange, caller in self.open(exchange, caller) }
    }

    private func open(_ exchange: Exchange, _ caller: LaneCaller) {
        exchange.rest.caller = caller
        guard exchange.rest.fault == nil, let handshake = exchange.topics?.handshake else {
            exchange.respond(error: exchange.rest.fault ?? .upgradeRequired)
            return
        }
        guard !exchange.lane.isDraining else {
            exchange.respond(error: .unavailable("the server is being stopped"))
            return
        }
        exchange.upgrade(handshake, StreamSocket(exchange.lane, caller))
    }

    private func preflight(_ exchange: Exchange) {
        var head = ResponseHead(status: 204)
        head.allowsAnyOrigin = true
        head.extra = [("allow", Self.methods), ("access-control-allow-methods", Self.methods)]
        exchange.respond(head)
    }
}
