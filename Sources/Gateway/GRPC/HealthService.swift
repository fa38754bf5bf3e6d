import NIOCore
import SwiftProtobuf
import Tenancy
import Wire

/// `grpc.health.v1.Health`: for load balancers and probes, without a credential.
///
/// A server that is being stopped does not serve any more; every service that there is serves otherwise.
enum HealthService {
    static func check(_ exchange: Exchange, _ message: UnsafeRawBufferPointer) throws(MartletError) {
        let request = try Health_HealthCheckRequest(reading: message)
        guard isKnown(request.service) else { throw .notFound("Service") }
        exchange.respondGRPC(message: try response(status(exchange.lane)))
    }

    /// Tells the status, and again when it changes. A service that is not known is told so and may be waited for.
    static func watch(_ exchange: Exchange, _ message: UnsafeRawBufferPointer) throws(MartletError) {
        let request = try Health_HealthCheckRequest(reading: message)
        let watch = HealthWatch(exchange, isKnown: isKnown(request.service))
        try watch.begin(exchange)
    }

    private static func isKnown(_ service: String) -> Bool {
        service.isEmpty || ServiceDescriptors.shared.services.contains(service)
    }

    static func status(_ lane: GatewayLane) -> Health_HealthCheckResponse.ServingStatus {
        lane.isDraining ? .notServing : .serving
    }

    static func response(_ status: Health_HealthCheckResponse.ServingStatus) throws(MartletError) -> [UInt8] {
        try Health_HealthCheckResponse.with { $0.status = status }.written()
    }
}

/// The stream of a Watch call.
private final class HealthWatch: HTTPDoor, LaneStream {
    var streamSlot = -1
    var isTouched = false
    var isReaderBack = false
    private let lane: GatewayLane
    private let ticket: ExchangeTicket
    private let deadline: Int64?
    private let isKnown: Bool

    init(_ exchange: Exchange, isKnown: Bool) {
        lane = exchange.lane
        ticket = ExchangeTicket(exchange)
        deadline = exchange.grpc.deadline
        self.isKnown = isKnown
    }

    func begin(_ exchange: Exchange) throws(MartletError) {
        let message = try HealthService.response(isKnown ? HealthService.status(lane) : .serviceUnknown)
        exchange.door = self
        exchange.endsWithInput = true
        lane.bodyIsUsedUp(exchange)
        lane.add(self)
        exchange.beginGRPCStream()
        write(message, to: exchange)
    }

    private func write(_ message: [UInt8], to exchange: Exchange) {
        var frame = ByteBuffer()
        frame.writeGRPCFrame(message)
        exchange.writeGRPC(frames: frame)
    }

    private func finish(_ error: MartletError) {
        guard streamSlot >= 0 else { return }
        lane.remove(self)
        ticket.live?.finishGRPC(error)
    }

    func tick(now: Timestamp) {
        if let deadline, lane.uptimeMilliseconds >= deadline { finish(.deadlineExceeded) }
    }

    func flushTouched() {}
    func readerIsBack() {}

    func drain() {
        if isKnown, let exchange = ticket.live, let message = try? HealthService.response(.notServing) {
            write(message, to: exchange)
        }
        finish(.unavailable("the server is being stopped"))
    }

    func receiveHead(_ exchange: Exchange) {}
    func receiveEnd(_ exchange: Exchange) {}

    func abandon(_ exchange: Exchange) {
        if streamSlot >= 0 { lane.remove(self) }
    }
}
