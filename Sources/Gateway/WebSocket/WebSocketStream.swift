import NIOCore
import Tenancy

/// A WebSocket on one stream of an HTTP/2 connection (RFC 8441): what it sends is the response's body, what it receives
/// the request's.
final class WebSocketStream: HTTPDoor, WebSocketCarrier {
    let peer: Peer
    private let ticket: ExchangeTicket
    private let session: WebSocketSession
    /// The session has asked for nothing more.
    private var isPaused = false
    /// The client does not read what it is answered.
    private var isHeldBack = false

    static func open(_ exchange: Exchange, _ handshake: WebSocketHandshake, _ session: WebSocketSession) {
        let stream = WebSocketStream(exchange, session)
        exchange.door = stream
        var head = ResponseHead(status: 200)
        if let name = handshake.protocolToEcho { head.extra.append(("sec-websocket-protocol", name)) }
        exchange.beginResponse(head)
        exchange.transport.dropHead(of: exchange)
        session.begin(on: stream)
        // The session may have ended with its first words.
        stream.ticket.live?.streamBody()
    }

    private init(_ exchange: Exchange, _ session: WebSocketSession) {
        peer = exchange.transport.peer
        ticket = ExchangeTicket(exchange)
        self.session = session
    }

    // MARK: WebSocketCarrier

    var isReady: Bool {
        ticket.live?.isReady ?? false
    }

    func write(_ frames: ByteBuffer) {
        ticket.live?.write(sharing: frames)
    }

    func pauseReading(_ isPaused: Bool) {
        self.isPaused = isPaused
        followPause()
    }

    private func followPause() {
        guard let exchange = ticket.live, !exchange.isResponseEnded else { return }
        if isPaused || isHeldBack {
            // Held bytes give no window back: the client is stopped by its own count.
            exchange.bodyMode = .held
        } else if exchange.bodyMode == .held {
            exchange.streamBody()
        }
    }

    func endOutput() {
        finish()
    }

    func finish() {
        ticket.live?.finish()
    }

    // MARK: HTTPDoor

    func receiveHead(_ exchange: Exchange) {}

    func receiveBody(_ exchange: Exchange, _ bytes: UnsafeRawBufferPointer) {
        session.receive(bytes)
        // A client that does not read what it is answered is not read from either.
        guard !isReady else { return }
        isHeldBack = true
        followPause()
    }

    func receiveEnd(_ exchange: Exchange) {
        session.inputEnded()
    }

    func responseDrained(_ exchange: Exchange) {
        session.carrierIsReady()
        isHeldBack = false
        followPause()
    }

    func abandon(_ exchange: Exchange) {
        session.carrierEnded()
    }
}
