import CacheService
import Foundation
import NIOCore
import Tenancy

/// Calls on collections and leaderboards: a message becomes a command, and its reply a message.
extension GRPCDoor {
    func answer(
        _ exchange: Exchange, _ rpc: CollectionRPC, _ message: UnsafeRawBufferPointer
    ) throws(MartletError) {
        if exchange.transport.isCrowded {
            // The answer may be a large one.
            park(exchange)
            return
        }
        // A request that cannot be read is told what is wrong with it only where its sender may be there at all, which was
        // seen on the head.
        let call = try exchange.parameters { () throws(MartletError) in try rpc.decode(message) }
        try call.key.withBytes { key throws(MartletError) in
            let grant = try permit(exchange, call, key: key)
            let answer = { (exchange: Exchange, reply: CollectionReply) in
                do throws(MartletError) {
                    var message = ByteBuffer()
                    try rpc.encode(reply, into: &message)
                    exchange.respondGRPC(message: message.readableBytesView)
                } catch {
                    exchange.respondGRPC(error: error)
                }
            }
            let reply = exchange.lane.service.perform(grant, exchange.grpc.door, key: key, call.command) {
                let ticket = ExchangeTicket(exchange)
                return {
                    guard let exchange = ticket.live, !exchange.isResponded else { return .abandoned }
                    // Others of the connection have been answered meanwhile, and their answers wait.
                    return exchange.transport.isCrowded ? .refused(exchange.lane.crowdedRefusal()) : .wanted
                }
            } later: {
                late(exchange, answer)
            }
            switch reply {
            case .here(let reply): answer(exchange, reply)
            case .refused(let error): exchange.respondGRPC(error: error)
            case .later: break
            }
        }
    }

    private func permit(
        _ exchange: Exchange, _ call: CollectionCall, key: UnsafeRawBufferPointer
    ) throws(MartletError) -> CacheGrant {
        guard let caller = exchange.rest.caller, let opened = exchange.rest.opened else { throw .missingCredential }
        let service = exchange.lane.service
        let operation = call.command.operation
        var grant = try service.permit(opened, caller, operation: operation, key: key, door: exchange.grpc.door)
        try call.command.otherKeys?.forEach { other throws(MartletError) in
            grant = try service.permit(grant, caller, operation: operation, key: other, door: exchange.grpc.door)
        }
        return grant
    }
}
