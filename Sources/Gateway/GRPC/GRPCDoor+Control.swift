import Access
import CacheService
import NIOCore
import Tenancy

/// Calls of the control plane, on a thread that may block.
extension GRPCDoor {
    func answer(_ exchange: Exchange, _ rpc: ControlRPC, _ message: UnsafeRawBufferPointer) {
        let message = Array(message)
        let emulatorCaller = exchange.lane.emulatorCaller(for: exchange, ByteRange())
        // What changes something is logged.
        exchange.rest.isControl = true
        if let caller = exchange.rest.caller {
            perform(exchange, rpc, message, caller.caller)
        } else if rpc.credentialPlace != .none {
            identify(exchange, rpc, message, emulatorCaller)
        } else if rpc == .refreshApiToken, !exchange.lane.service.knowsAPIKey(rpc.presentedKey(in: message)) {
            // Nobody is known here: only who holds a key gets a place in the queue of the control plane.
            exchange.respondGRPC(error: .invalidCredential)
        } else {
            perform(exchange, rpc, message, nil)
        }
    }

    /// Identifies by the credential in the message, as it is: it was in no field of the head.
    private func identify(
        _ exchange: Exchange, _ rpc: ControlRPC, _ message: [UInt8], _ emulatorCaller: LaneCaller?
    ) {
        guard let credential = rpc.credential(in: message), !credential.isEmpty else {
            if let caller = emulatorCaller {
                perform(exchange, rpc, message, caller.caller)
            } else {
                exchange.respondGRPC(error: .missingCredential)
            }
            return
        }
        let ticket = ExchangeTicket(exchange)
        let bytes = Array(credential.utf8)
        bytes.withUnsafeBytes { bytes in
            exchange.lane.identify(bytes, peer: exchange.transport.peer) { result in
                guard let exchange = ticket.live else { return }
                switch result {
                case .success(let caller): self.perform(exchange, rpc, message, caller.caller)
                case .failure(let error): exchange.respondGRPC(error: error)
                }
            }
        }
    }

    private func perform(_ exchange: Exchange, _ rpc: ControlRPC, _ message: [UInt8], _ caller: Caller?) {
        endAtDeadline(exchange)
        let ticket = LoopBound(ExchangeTicket(exchange), exchange.lane.eventLoop)
        let control = control
        let isQueued = executor.submit {
            let result = Result { () throws(MartletError) in
                try control.respond(to: rpc, message: message, caller: caller)
            }
            ticket.run { ticket in
                guard let exchange = ticket.live else { return }
                exchange.lane.beginTick()
                switch result {
                case .success(let message): exchange.respondGRPC(message: message)
                case .failure(let error): exchange.respondGRPC(error: error)
                }
            }
        }
        if !isQueued { exchange.respondGRPC(error: .busy(retryAfterMilliseconds: 200)) }
    }
}
