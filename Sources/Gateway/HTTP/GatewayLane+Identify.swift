import Access
import CacheService
import Tenancy

extension GatewayLane {
    /// Identifies the caller of a request and goes on with it, at once or when a signature has been checked.
    ///
    /// - Parameters:
    ///   - credential: Where the raw credential lies in the request's arena.
    ///   - proceed: Called with the exchange and its caller, unless the exchange was refused or has ended.
    func identify(_ exchange: Exchange, _ credential: ByteRange, _ proceed: @escaping (Exchange, LaneCaller) -> Void) {
        if let caller = rememberedCaller(exchange, credential) {
            proceed(exchange, caller)
        } else if let caller = emulatorCaller(for: exchange, credential) {
            proceed(exchange, caller)
        } else {
            identifyAnew(exchange, credential, proceed)
        }
    }

    /// The caller of the connection's last request, if this one shows the same credential and it is still good. Asked
    /// before ``identify(_:_:_:)`` on the hot path, where it saves the closure. Cost: one comparison of the credential.
    @inline(__always)
    func rememberedCaller(_ exchange: Exchange, _ credential: ByteRange) -> LaneCaller? {
        let peer = exchange.transport.peer
        let isSame = exchange.request.withArena { bytes in
            peer.lastCredential.withUnsafeBytes { $0.equalsInConstantTime(bytes.slice(credential.range)) }
        }
        guard isSame, let caller = peer.lastCaller, service.fault(of: caller) == nil else { return nil }
        return caller
    }

    private func identifyAnew(
        _ exchange: Exchange, _ credential: ByteRange, _ proceed: @escaping (Exchange, LaneCaller) -> Void
    ) {
        let ticket = ExchangeTicket(exchange)
        exchange.request.arena.withUnsafeBytes { bytes in
            identify(bytes.slice(credential.range), peer: exchange.transport.peer) { result in
                guard let exchange = ticket.live else { return }
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

    /// Identifies whoever shows a credential.
    ///
    /// - Parameter proceed: Called once, at once or when a signature has been checked, in a tick of its own.
    func identify(
        _ credential: UnsafeRawBufferPointer, peer: Peer,
        _ proceed: @escaping (Result<LaneCaller, MartletError>) -> Void
    ) {
        let identity = service.identify(credential, address: peer.address, allowance: &peer.checks) {
            { result in
                switch result {
                case .success, .failure(.revokedCredential): peer.checks.refund()  // the signature was good
                case .failure: break
                }
                self.beginTick()
                proceed(result)
            }
        }
        switch identity {
        case .known(let caller): proceed(.success(caller))
        case .refused(let error): proceed(.failure(error))
        case .later: break
        }
    }

    private func remember(_ caller: LaneCaller, _ exchange: Exchange, _ credential: ByteRange) {
        let peer = exchange.transport.peer
        peer.lastCredential = Array(exchange.request.arena[credential.range])
        peer.lastCaller = caller
    }
}
