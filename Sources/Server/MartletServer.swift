import CacheService
import Gateway
import Logging
import NIOCore
import ServiceLifecycle
import UnixSignals

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The whole server, from a configuration to its end.
package enum MartletServer {
    /// Serves until SIGTERM or SIGINT, then drains and returns.
    ///
    /// One line on standard output says when it serves; logs go to standard error.
    /// - Throws: ``StartError`` with one clear sentence when it cannot start.
    package static func run(_ configuration: ServeConfiguration) async throws {
        configuration.log.bootstrap()
        // A reader of our logs that goes away, or a peer that does, is an error of that write and not the end.
        signal(SIGPIPE, SIG_IGN)
        let logger = Logger(label: "martlet")
        let rooms = try Rooms(configuration, logger: logger)
        // Before the ready line: whoever has read it may send signals.
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint, .sighup)
        let listeners = try await Listeners(configuration, rooms: rooms, logger: logger)
        let webhooks = try await WebhookService(configuration, rooms: rooms, listeners: listeners, logger: logger)
        ReadyLine(configuration, listeners).print()
        logger.info(
            "serving",
            metadata: [
                "version": "\(Version.text)", "event_loops": "\(configuration.eventLoopCount)",
                "seal": "\(rooms.service.isSealing ? "on" : "off")",
            ])
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [
                    .init(service: Maintenance(rooms: rooms, logger: logger)),
                    .init(service: webhooks),
                    // Last, so that it is shut down first: requests end before what serves them does.
                    .init(
                        service: ListenerService(
                            listeners: listeners, rooms: rooms,
                            grace: .seconds(Int64(configuration.shutdownGraceSeconds)),
                            logger: logger)),
                ],
                logger: logger))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            tasks.addTask { await obey(signals, listeners, group, logger) }
            try await tasks.next()
            tasks.cancelAll()
        }
        try rooms.close(logger: logger)
        logger.info("stopped")
    }

    /// SIGHUP takes in new certificates, while open connections keep the old ones; SIGTERM and SIGINT end the server.
    private static func obey(
        _ signals: UnixSignalsSequence, _ listeners: Listeners, _ group: ServiceGroup, _ logger: Logger
    ) async {
        for await signal in signals {
            guard signal == .sighup else {
                await group.triggerGracefulShutdown()
                continue
            }
            do {
                try listeners.reloadCertificate()
                logger.info("certificate reloaded")
            } catch {
                logger.error(
                    "the certificate could not be reloaded; the old one stays", metadata: ["error": "\(error)"])
            }
        }
    }
}

/// Why the server did not start.
package struct StartError: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// Keeps the listeners for as long as the group runs, and drains them when it is told to stop.
struct ListenerService: Service {
    let listeners: Listeners
    let rooms: Rooms
    let grace: TimeAmount
    let logger: Logger

    func run() async throws {
        try? await gracefulShutdown()
        logger.info("draining")
        rooms.status.setDraining()
        await listeners.shutDown(grace: grace)
        await rooms.executor.shutDown()
        await rooms.operationsExecutor.shutDown()
    }
}
