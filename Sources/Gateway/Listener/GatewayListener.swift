import Admission
import CacheService
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import Tenancy

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The TLS context that new connections get. It may be replaced at any time; connections keep theirs.
package final class TLSContextBox: Sendable {
    private let context: Mutex<NIOSSLContext>

    package init(_ context: NIOSSLContext) {
        self.context = Mutex(context)
    }

    package func replace(_ new: NIOSSLContext) {
        context.withLock { $0 = new }
    }

    var current: NIOSSLContext {
        context.withLock { $0 }
    }
}

/// What a listener's lanes are made of.
package struct GatewayParts: Sendable {
    package let service: CacheService
    package let limits: GatewayLimits
    package let routes: AdminRoutes
    package let control: ControlRPCs
    package let executor: ControlExecutor
    package let status: any SystemStatus
    package let handshakes: HandshakeCounters
    package let logger: Logger

    /// - Parameters:
    ///   - executor: Where control-plane requests of the listener wait. One with no other listener's among them answers
    ///     when that one is flooded.
    ///   - handshakes: Counts the listener's handshakes, and no other's: it accepts by them.
    package init(
        service: CacheService, limits: GatewayLimits, routes: AdminRoutes, control: ControlRPCs,
        executor: ControlExecutor, status: any SystemStatus,
        handshakes: HandshakeCounters = HandshakeCounters(), logger: Logger
    ) {
        self.service = service
        self.limits = limits
        self.routes = routes
        self.control = control
        self.executor = executor
        self.status = status
        self.handshakes = handshakes
        self.logger = logger
    }
}

/// One listening socket with HTTP behind it, on event loops of its own group, and where it is asked for a second one with
/// RESP.
package final class GatewayListener: Sendable {
    package enum Role: Sendable {
        /// The data plane and everything else.
        case main
        /// Metrics, health and the control plane, on a loop that data traffic does not reach.
        case operations
    }

    private let group: MultiThreadedEventLoopGroup
    private let lanes: [NIOLoopBound<GatewayLane>]
    private let channel: any Channel
    private let respChannel = Mutex<(any Channel)?>(nil)
    private let gate: EmulatorGate
    private let accepting: Accepting
    package let address: SocketAddress

    /// Binds and starts to accept.
    ///
    /// - Parameters:
    ///   - firstLane: The index of this listener's first lane among all lanes of the process: lanes own their counters.
    /// - Throws: What the operating system says, such as "address already in use".
    package init(
        role: Role, host: String, port: Int, tls: TLSContextBox?, eventLoops: Int, firstLane: Int, parts: GatewayParts
    ) async throws {
        let passes = LoopPasses()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: eventLoops, metricsDelegate: passes)
        self.group = group
        let gate = EmulatorGate()
        self.gate = gate
        let faults = parts.service.emulatorCaller.map { _ in FaultInjection() }
        let registry = RESPRegistry(now: parts.service.clock.now())
        var lanes: [NIOLoopBound<GatewayLane>] = []
        for (index, loop) in group.makeIterator().enumerated() {
            lanes.append(
                try await loop.submit {
                    let lane = Self.makeLane(role, loop, firstLane + index, parts)
                    lane.faults = faults
                    lane.resp.registry = registry
                    return NIOLoopBound(lane, eventLoop: loop)
                }.get())
        }
        self.lanes = lanes
        passes.begin(lanes)
        let byLoop = Dictionary(uniqueKeysWithValues: lanes.map { (ObjectIdentifier($0.eventLoop), $0) })
        accepting = Accepting(
            counters: parts.handshakes, waitingCeiling: max(1, parts.limits.waitingHandshakesPerLoop) * lanes.count)
        let bootstrap = Self.bootstrap(group, byLoop, gate, accepting, tls: tls) { ProtocolDetector(lane: $0) }
        do {
            channel = try await bootstrap.bind(host: host, port: port).get()
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        guard let address = channel.localAddress else {
            try? await group.shutdownGracefully()
            throw ChannelError.unknownLocalAddress
        }
        self.address = address
    }

    /// What a listening socket goes by.
    private struct Accepting: Sendable {
        let counters: HandshakeCounters
        let waitingCeiling: Int
    }

    private static func bootstrap(
        _ group: MultiThreadedEventLoopGroup, _ byLoop: [ObjectIdentifier: NIOLoopBound<GatewayLane>],
        _ gate: EmulatorGate, _ accepting: Accepting, tls: TLSContextBox?,
        handler: @escaping @Sendable (GatewayLane) -> any ChannelHandler
    ) -> ServerBootstrap {
        ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.maxMessagesPerRead, value: AcceptGate.connectionsPerLook)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        AcceptGate(
                            counters: accepting.counters, waitingCeiling: accepting.waitingCeiling,
                            eventLoop: channel.eventLoop))
                }
            }
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(unacknowledgedTime, value: unacknowledgedMilliseconds)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.maxMessagesPerRead, value: 4)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try gate.requireOpen()
                    guard let lane = byLoop[ObjectIdentifier(channel.eventLoop)] else { return }
                    let pipeline = channel.pipeline.syncOperations
                    if let tls {
                        try pipeline.addHandler(HandshakeGate(lane: lane.value, tls: tls, makeDoor: handler))
                    } else {
                        try pipeline.addHandlers([SilenceGuard(lane: lane.value), handler(lane.value)])
                    }
                }
            }
    }

    /// Binds the RESP door too, on the same event loops.
    ///
    /// - Parameter isDevelopment: Whether a connection from this machine may do without a credential.
    /// - Returns: Where it listens.
    /// - Throws: What the operating system says, such as "address already in use".
    package func listenForCommands(
        host: String, port: Int, tls: TLSContextBox?, isDevelopment: Bool
    ) async throws -> SocketAddress {
        let byLoop = Dictionary(uniqueKeysWithValues: lanes.map { (ObjectIdentifier($0.eventLoop), $0) })
        let bootstrap = Self.bootstrap(group, byLoop, gate, accepting, tls: tls) { lane in
            RESPConnection(lane: lane, isDevelopment: isDevelopment)
        }
        let channel = try await bootstrap.bind(host: host, port: port).get()
        guard let address = channel.localAddress else { throw ChannelError.unknownLocalAddress }
        respChannel.withLock { $0 = channel }
        return address
    }

    /// How long bytes may stay unacknowledged before the kernel gives the peer up (RFC 5482; Linux's TCP_USER_TIMEOUT):
    /// streams whose peers have vanished without a word end with it, because heartbeats are sent on them.
    private static let unacknowledgedTime = ChannelOptions.socket(.init(IPPROTO_TCP), .init(18))
    private static let unacknowledgedMilliseconds: ChannelOptions.Types.SocketOption.Value = 60_000

    private static func makeLane(
        _ role: Role, _ loop: any EventLoop, _ index: Int, _ parts: GatewayParts
    ) -> GatewayLane {
        let isOperations = role == .operations
        // Bodies that the data path waits for do not keep the operator's out.
        let bodyBudget = isOperations ? SharedByteBudget(limit: parts.limits.operationsBodyBytes) : nil
        let service = ServiceLane(service: parts.service, index: index, bodyBudget: bodyBudget) { work in
            loop.execute(work)
        }
        let admin = AdminDoor(routes: parts.routes, executor: parts.executor)
        let system = SystemDoor(status: parts.status, servesMetrics: isOperations, executor: parts.executor)
        let router = HTTPRouter(
            rest: isOperations ? nil : RESTDoor(),
            grpc: isOperations ? nil : GRPCDoor(control: parts.control, executor: parts.executor), admin: admin,
            system: system,
            others: isOperations ? [] : [(TopicsDoor.prefix, TopicsDoor()), (StreamDoor.path, StreamDoor())])
        let lane = GatewayLane(
            eventLoop: loop, service: service, limits: parts.limits, router: router, handshakes: parts.handshakes,
            logger: parts.logger)
        lane.startSweeping()
        return lane
    }

    /// Drops every connection, and from now on each new one at once, as if nobody were there.
    ///
    /// - Returns: Done when none is left, on the loop given.
    package func block(on eventLoop: any EventLoop) -> EventLoopFuture<Void> {
        // First: a connection that still passed is in its lane before the lane is told to close all that it has.
        gate.block()
        return .andAllComplete(
            lanes.map { lane in lane.eventLoop.submit { lane.value.closeConnections() } }, on: eventLoop)
    }

    /// Takes connections again.
    package func unblock() {
        gate.unblock()
    }

    /// Stops accepting, lets what is in flight finish for at most `grace`, then closes everything.
    package func shutDown(grace: TimeAmount) async {
        try? await channel.close().get()
        try? await respChannel.withLock { $0 }?.close().get()
        for lane in lanes {
            lane.eventLoop.execute { lane.value.drain() }
        }
        let deadline = NIODeadline.now() + grace
        while NIODeadline.now() < deadline {
            var open = 0
            for lane in lanes {
                open += (try? await lane.eventLoop.submit { lane.value.connections.count }.get()) ?? 0
            }
            if open == 0 { break }
            try? await Task.sleep(for: .milliseconds(20))
        }
        for lane in lanes {
            try? await lane.eventLoop.submit { lane.value.closeAll() }.get()
        }
        try? await group.shutdownGracefully()
    }
}
