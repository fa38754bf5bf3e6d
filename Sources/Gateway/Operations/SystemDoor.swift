import NIOCore
import Tenancy

/// What the system door asks of the rest of the server. Callable from any thread, without blocking.
package protocol SystemStatus: Sendable {
    /// Whether requests are taken; the sentence says why not.
    var readiness: (isReady: Bool, reason: String) { get }
    /// The public halves of the signing keys (RFC 7517 section 5).
    var jwks: [UInt8] { get throws(MartletError) }
    /// The metrics in Prometheus text form, version 0.0.4.
    func metrics() -> [UInt8]
}

/// `/healthz`, `/readyz`, `/.well-known/jwks.json` and, on the ops listener, `/metrics`; and the answer to every path
/// that nobody has.
final class SystemDoor: HTTPDoor {
    private let status: any SystemStatus
    private let servesMetrics: Bool
    private let executor: ControlExecutor

    init(status: any SystemStatus, servesMetrics: Bool, executor: ControlExecutor) {
        self.status = status
        self.servesMetrics = servesMetrics
        self.executor = executor
    }

    private enum Resource {
        case health, readiness, jwks, metrics
    }

    func receiveHead(_ exchange: Exchange) {
        guard let resource = resource(exchange) else {
            let places =
                servesMetrics
                ? "/metrics, /healthz, /readyz and /v1/admin"
                : "/cache/{cache}?key=KEY, /cache/{cache}/increment?key=KEY, /v1/admin, /healthz, /readyz and "
                    + "/.well-known/jwks.json"
            exchange.respond(error: .notFound("Path (this server has \(places))"))
            return
        }
        guard exchange.request.method == .get || exchange.request.method == .head else {
            exchange.respond(error: .methodNotAllowed(allowed: "GET, HEAD"))
            return
        }
        switch resource {
        case .health:
            respond(exchange, 200, .text, Array("ok\n".utf8))
        case .readiness:
            let readiness = status.readiness
            respond(exchange, readiness.isReady ? 200 : 503, .text, Array("\(readiness.reason)\n".utf8))
        case .jwks:
            do throws(MartletError) {
                respond(exchange, 200, .jwks, try status.jwks)
            } catch {
                exchange.respond(error: error)
            }
        case .metrics:
            let ticket = LoopBound(ExchangeTicket(exchange), exchange.lane.eventLoop)
            let status = status
            let isQueued = executor.submit {
                let text = status.metrics()
                ticket.run { ticket in
                    guard let exchange = ticket.live else { return }
                    Self.respond(exchange, 200, .metrics, text)
                }
            }
            if !isQueued { exchange.respond(error: .busy(retryAfterMilliseconds: 200)) }
        }
    }

    func receiveEnd(_ exchange: Exchange) {}

    private func resource(_ exchange: Exchange) -> Resource? {
        exchange.request.arena.withUnsafeBytes { bytes in
            var path = bytes.slice(exchange.request.path.range)
            if let mark = path.firstIndex(of: 0x3F) { path = path.slice(0..<mark) }
            if path.matches("/healthz") { return .health }
            if path.matches("/readyz") { return .readiness }
            if path.matches("/.well-known/jwks.json") { return servesMetrics ? nil : .jwks }
            if path.matches("/metrics") { return servesMetrics ? .metrics : nil }
            return nil
        }
    }

    private func respond(_ exchange: Exchange, _ status: Int, _ type: ContentType, _ body: [UInt8]) {
        Self.respond(exchange, status, type, body)
    }

    private static func respond(_ exchange: Exchange, _ status: Int, _ type: ContentType, _ body: [UInt8]) {
        var head = ResponseHead(status: status)
        head.contentType = type
        head.contentLength = body.count
        exchange.responseBody.clear()
        exchange.responseBody.writeBytes(body)
        exchange.respond(head)
    }
}
