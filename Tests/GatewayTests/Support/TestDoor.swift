import NIOCore
import Tenancy

@testable import Gateway

/// A door with a streaming body in both directions: what comes in is sent back in pieces, then trailers. A path that ends
/// in `held` waits for ``release()`` before it lets the body in; one that ends in `silent` answers only when told.
final class TestDoor: HTTPDoor {
    private(set) var received: [UInt8] = []
    private(set) var ended = 0
    private(set) var abandoned = 0
    private(set) var waiting: [ExchangeTicket] = []
    private var hasBegun: Set<ObjectIdentifier> = []

    func receiveHead(_ exchange: Exchange) {
        let target = exchange.request.withArena { String(decoding: $0[exchange.request.path.range], as: UTF8.self) }
        if target.hasSuffix("held") || target.hasSuffix("silent") {
            waiting.append(ExchangeTicket(exchange))
            if target.hasSuffix("silent") { exchange.streamBody() }
            return
        }
        var head = ResponseHead(status: 200)
        head.contentType = .octetStream
        exchange.beginResponse(head)
        exchange.streamBody()
    }

    func receiveBody(_ exchange: Exchange, _ bytes: UnsafeRawBufferPointer) {
        received.append(contentsOf: bytes)
        exchange.write(bytes)
    }

    func receiveEnd(_ exchange: Exchange) {
        ended += 1
        exchange.finish(trailers: [("x-count", String(received.count)), ("x-check", "done")])
    }

    func abandon(_ exchange: Exchange) {
        abandoned += 1
    }

    /// Lets the body of the first waiting request in.
    func release() {
        waiting.removeFirst().live?.streamBody()
    }

    /// Begins a response to the first waiting request, which goes on whatever becomes of its body.
    func begin() -> ExchangeTicket {
        let ticket = waiting.removeFirst()
        ticket.live?.beginResponse(ResponseHead(status: 200))
        return ticket
    }
}

extension ExchangeTicket {
    /// Whether the exchange still is the one that the ticket was made for.
    var isLive: Bool { live != nil }
}
