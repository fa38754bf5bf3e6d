import NIOCore
import Tenancy

/// Calls that were ordered to go wrong, where the server stands in for the emulator.
extension GRPCDoor {
    /// Answers a call that is complete as its metadata orders: late, with a status, or as any other.
    func injectFault(_ exchange: Exchange, _ faults: FaultInjection) {
        let order: FaultOrder
        do throws(MartletError) {
            order = try FaultOrder(exchange.request)
        } catch {
            exchange.refuse(error)
            return
        }
        let name = exchange.grpc.method.faultName
        if case .subscribe = exchange.grpc.method { exchange.grpc.streamFault = faults.streamFault(of: name, order) }
        guard let fault = faults.fault(of: name, order) else {
            answer(exchange)
            return
        }
        guard fault.delayMilliseconds > 0 else {
            end(exchange, fault)
            return
        }
        endAtDeadline(exchange)
        let ticket = ExchangeTicket(exchange)
        let lane = exchange.lane
        lane.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(fault.delayMilliseconds)) {
            guard let exchange = ticket.live, !exchange.isResponded else { return }
            lane.beginTick()
            self.end(exchange, fault)
        }
    }

    private func end(_ exchange: Exchange, _ fault: Fault) {
        if let error = fault.error {
            exchange.respondGRPC(status: error.trailers)
        } else {
            answer(exchange)
        }
    }
}

extension GRPCStatusCode {
    /// The fields that end a call that was ordered to end so.
    var trailers: [(name: String, value: String)] {
        [("grpc-status", String(rawValue)), ("grpc-message", "ordered by the call's metadata: \(name)")]
    }
}
