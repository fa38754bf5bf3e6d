import Admission
import NIOCore
import Tenancy

/// A connection that has not begun to speak, or whose handshake is not over.
protocol ArrivingConnection: AnyObject {
    /// Its place among the lane's arriving ones; -1 when it is none of them any more.
    var arrivalPlace: Int { get set }
    /// Hands what was held to TLS.
    func takeStep()
    func closeNow()
}

/// Carries out for one event loop what ``HandshakeQueue`` decides. Used on that loop alone.
///
/// A message that comes while the loop has done no step since it last looked at its sockets goes on at once; so where
/// handshakes are few, none of them waits. Others are taken up in turns of some hundred microseconds, with a look at the
/// sockets between two turns: whatever an established connection has sent is served first.
final class HandshakeLane {
    private let eventLoop: any EventLoop
    private let counters: HandshakeCounters
    private var queue: HandshakeQueue
    /// By place.
    private var connections: [(any ArrivingConnection)?] = []
    private var isTurnScheduled = false
    private var isInTurn = false
    private var reported = (waiting: 0, underway: 0)

    init(eventLoop: any EventLoop, limits: GatewayLimits, counters: HandshakeCounters) {
        self.eventLoop = eventLoop
        self.counters = counters
        var bounds = HandshakeQueue.Limits()
        bounds.unidentified = limits.unidentifiedPerLoop
        bounds.underway = limits.handshakesPerLoop
        bounds.milliseconds = limits.handshakeMilliseconds
        queue = HandshakeQueue(bounds)
    }

    private var nowMilliseconds: Int64 {
        Int64(clamping: eventLoop.now.uptimeNanoseconds / 1_000_000)
    }

    /// Takes in a new connection, if need be in the place of the stalest that has not begun to speak.
    func arrive(_ connection: any ArrivingConnection, from address: SocketAddress?) {
        let (place, dropped) = queue.arrive(NetworkPrefix(address), now: nowMilliseconds)
        while connections.count <= place { connections.append(nil) }
        connections[place] = connection
        connection.arrivalPlace = place
        if let dropped {
            drop(dropped)
            if !isInTurn { report() }
        }
    }

    /// The connection holds a message of the client for which TLS has to compute.
    func messageArrived(_ connection: any ArrivingConnection) {
        guard connection.arrivalPlace >= 0 else { return }
        queue.hold(connection.arrivalPlace)
        if isTurnScheduled || isInTurn { report() } else { takeTurn() }
    }

    /// The connection is established, or closed.
    func leave(_ connection: any ArrivingConnection, isEstablished: Bool) {
        let place = connection.arrivalPlace
        guard place >= 0 else { return }
        connection.arrivalPlace = -1
        connections[place] = nil
        queue.leave(place)
        if isEstablished { counters.countCompletion() }
        if !isInTurn { report() }
    }

    /// The connection is given up, because it took too long.
    func countDrop() {
        counters.countDrop()
    }

    private func drop(_ place: Int) {
        guard let connection = connections[place] else { return }
        connections[place] = nil
        connection.arrivalPlace = -1
        counters.countDrop()
        connection.closeNow()
    }

    // MARK: Turns

    /// What a turn may take before the loop looks at its sockets: two or three first messages, or some more last ones.
    private static let turnNanoseconds: UInt64 = 300_000
    private static let stepsPerTurn = 8
    private static let dropsPerTurn = 64
    /// A task without delay would run before the sockets are looked at.
    private static let pause = TimeAmount.microseconds(10)

    private func takeTurn() {
        isInTurn = true
        let began = NIODeadline.now().uptimeNanoseconds
        var stepsLeft = Self.stepsPerTurn
        var dropsLeft = Self.dropsPerTurn
        while stepsLeft > 0, dropsLeft > 0, let turn = queue.next(now: nowMilliseconds) {
            switch turn {
            case .drop(let place):
                dropsLeft -= 1
                drop(place)
            case .step(let place):
                stepsLeft -= 1
                connections[place]?.takeStep()
                if NIODeadline.now().uptimeNanoseconds &- began >= Self.turnNanoseconds { stepsLeft = 0 }
            }
        }
        isInTurn = false
        report()
        // Also when nothing is left: what comes in this look at the sockets waits for the next.
        isTurnScheduled = true
        eventLoop.assumeIsolated().scheduleTask(in: Self.pause) {
            self.isTurnScheduled = false
            if self.queue.waitingCount > 0 { self.takeTurn() }
        }
    }

    private func report() {
        let now = (waiting: queue.waitingCount, underway: queue.underwayCount)
        counters.change(waiting: now.waiting - reported.waiting, underway: now.underway - reported.underway)
        reported = now
    }
}

extension NetworkPrefix {
    /// An address that is none of the Internet's counts as one party.
    init(_ address: SocketAddress?) {
        switch address {
        case .v4(let address):
            // `sin_addr` of `sockaddr_in`.
            self = withUnsafeBytes(of: address.address) { NetworkPrefix($0.dropFirst(4).prefix(4)) }
        case .v6(let address):
            // `sin6_addr` of `sockaddr_in6`.
            self = withUnsafeBytes(of: address.address) { NetworkPrefix($0.dropFirst(8).prefix(16)) }
        case .unixDomainSocket, nil:
            self.init([])
        }
    }
}
