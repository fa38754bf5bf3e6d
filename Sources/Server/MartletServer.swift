import CacheService
import Gateway
import Logging
import NIOCore
import ServiceLifecycle
import UnixSignals

/// The whole server, from a configuration to its end.
package enum MartletServer {
    /// Serves until SIGTERM or SIGINT, then drains and returns.
    ///
    /// One line on standard output says when it serves; logs go to standard error.
    /// - Throws: ``StartError`` with one clear sentence when it cannot start.
    package static func run(_ configuration: ServeConfiguration) async throws {
        configuration.log.bootstrap()
        let logger = Logger(label: "martlet")
        let rooms = try Rooms(configuration, logger: logger)
        let listeners = try await Listeners(configuration, rooms: rooms, logger: logger)
        ReadyLine(configuration, listeners).print()
        logger.info(
            "serving",
            metadata: ["version": "\(Version.text)", "event_loops": "\(configuration.eventLoopCount)"])
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [
                    .init(service: Maintenance(rooms: rooms, logger: logger)),
                    .init(service: CertificateReload(listeners: listeners, logger: logger)),
                    // Last, so that it is shut down first: requests end before what serves them does.
                    .init(
                        service: ListenerService(
                            listeners: listeners, rooms: rooms, grace: .seconds(Int64(configuration.shutdownGraceSeconds)),
                            logger: logger)),
                ],
                gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        try await group.run()
        try rooms.close(logger: logger)
        logger.info("stopped")
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
    }
}

/// Takes in new certificates on SIGHUP. Open connections keep the old ones.
struct CertificateReload: Service {
    let listeners: Listeners
    let logger: Logger

    func run() async throws {
        let signals = await UnixSignalsSequence(trapping: .sighup)
        for await _ in signals.cancelOnGracefulShutdown() {
            do {
                try listeners.reloadCertificate()
                logger.info("certificate reloaded")
            } catch {
                logger.error("the certificate could not be reloaded; the old one stays", metadata: ["error": "\(error)"])
            }
        }
    }
}
