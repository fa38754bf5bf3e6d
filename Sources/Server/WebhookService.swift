import CacheService
import Delivery
import Gateway
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle

/// Serves the webhooks: one event loop, on which topics are listened to and receivers called.
///
/// It begins before the server says that it is ready, so that what is published from then on reaches them. It is shut down
/// after the listeners and before what it needs: no more is published, and what is under way has its time to end.
final class WebhookService: Service {
    private let group: MultiThreadedEventLoopGroup
    private let dispatcher: NIOLoopBound<WebhookDispatcher>
    private let ticks: RepeatedTask
    private let logger: Logger

    init(_ configuration: ServeConfiguration, rooms: Rooms, listeners: Listeners, logger: Logger) async throws {
        self.logger = logger
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        let client = OutboundClient(
            loops: group,
            addressGuard: AddressGuard(allowed: configuration.deliveryAllow, listeners: listeners.own))
        let dispatcher = try await loop.submit {
            let lane = ServiceLane(service: rooms.service, index: ServeDefaults.webhookLane) { loop.execute($0) }
            let dispatcher = WebhookDispatcher(
                lane: lane, caller: client, userAgent: "Martlet/\(Version.text) (Webhooks)")
            dispatcher.tick()
            return NIOLoopBound(dispatcher, eventLoop: loop)
        }.get()
        self.group = group
        self.dispatcher = dispatcher
        let tick = TimeAmount.milliseconds(WebhookDispatcher.tickMilliseconds)
        ticks = loop.scheduleRepeatedTask(initialDelay: tick, delay: tick) { _ in dispatcher.value.tick() }
    }

    func run() async throws {
        try? await gracefulShutdown()
        ticks.cancel()
        let isIdle = dispatcher.eventLoop.makePromise(of: Void.self)
        dispatcher.eventLoop.execute { [dispatcher] in dispatcher.value.stop { isIdle.succeed() } }
        // Each call ends by its own deadline.
        try? await isIdle.futureResult.get()
        do {
            try await group.shutdownGracefully()
        } catch {
            logger.error("the event loop of the webhooks did not stop", metadata: ["error": "\(error)"])
        }
    }
}

extension Listeners {
    /// Where this server listens.
    fileprivate var own: [OwnListener] {
        [http.address, operations?.address, emulator?.address].compactMap { $0.flatMap { OwnListener($0) } }
    }
}
