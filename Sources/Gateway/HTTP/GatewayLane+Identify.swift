import CacheService
import Tenancy

extension GatewayLane {
    /// Identifies the caller of a request and goes on with it, at once or when a signature has been checked.
    ///
    /// - Parameters:
    ///   - credential: Where the raw credential lies in the request's arena.
    ///   - proceed: Called with the exchange and its caller, unless the exchange was refused or has ended.
    @inline(__always)
    func identify(_ exchange: Exchange, _ credential: ByteRange, _ proceed: @escaping (Exchange, LaneCaller) -> Void) {
        let peer = exchange.transport.peer
        let isSame = exchange.request.arena.withUnsafeBytes { bytes in
            peer.lastCredential.withUnsafeBytes { $0.equals(bytes.slice(credential.range)) }
        }
        if isSame, let caller = peer.lastCaller, service.fault(of: caller) == nil {
            proceed(exchange, caller)
            return
        }
        identifyAnew(exchange, credential, proceed)
    }

    private func identifyAnew(
        _ exchange: Exchange, _ credential: ByteRange, _ proceed: @escaping (Exchange, LaneCaller) -> Void
    ) {
        let peer = exchange.transport.peer
        let identity = exchange.request.arena.withUnsafeBytes { bytes in
            service.identify(bytes.slice(credential.range), address: peer.address) {
                let ticket = ExchangeTicket(exchange)
                return { result in
                    guard let exchange = ticket.live else { return }
                    self.beginTick()
                    switch result {
                    case .success(let caller):
                        self.remember(caller, exchange, credential)
                        proceed(exchange, caller)
                    case .failure(let error):
                        exchange.respond(error: error)
                    }
                }
            }
        }
        switch identity {
        case .known(let caller):
            remember(caller, exchange, credential)
            proceed(exchange, caller)
        case .refused(let error):
            exchange.respond(error: error)
        case .later:
            break
        }
    }

    private func remember(_ caller: LaneCaller, _ exchange: Exchange, _ credential: ByteRange) {
        let peer = exchange.transport.peer
        peer.lastCredential = Array(exchange.request.arena[credential.range])
        peer.lastCaller = caller
    }
}
