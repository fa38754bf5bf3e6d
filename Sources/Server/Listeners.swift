import Gateway
import Logging
import NIOCore
import NIOSSL
import Synchronization
import Tenancy

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The listening sockets of one server.
final class Listeners: Sendable {
    let http: GatewayListener
    let resp: SocketAddress
    let operations: GatewayListener?
    let emulator: EmulatorListener?
    private let tls: (box: TLSContextBox, files: TLSFiles)?

    init(_ configuration: ServeConfiguration, rooms: Rooms, logger: Logger) async throws {
        let files = try TLSFiles(configuration, logger: logger)
        if let files {
            tls = (TLSContextBox(try files.load()), files)
        } else {
            tls = nil
        }
        let parts = GatewayParts(
            service: rooms.service, limits: rooms.limits, routes: rooms.routes,
            control: ControlRPCs(control: rooms.control), executor: rooms.executor, status: rooms.status,
            handshakes: rooms.handshakes, logger: logger)
        let operationsParts = GatewayParts(
            service: rooms.service, limits: rooms.limits, routes: rooms.routes,
            control: ControlRPCs(control: rooms.control), executor: rooms.operationsExecutor, status: rooms.status,
            logger: logger)
        let box = tls?.box
        http = try await Self.listen(
            .main, configuration.http, tls: box, loops: configuration.eventLoopCount, firstLane: 0, parts)
        do {
            resp = try await Self.listenForCommands(configuration, http, tls: box)
        } catch {
            await http.shutDown(grace: .zero)
            throw error
        }
        do {
            operations =
                if let address = configuration.ops {
                    // On loopback cleartext does; elsewhere it carries keys of the control plane over a network.
                    try await Self.listen(
                        .operations, address, tls: address.isLoopback ? nil : box, loops: 1,
                        firstLane: configuration.eventLoopCount, operationsParts)
                } else {
                    nil
                }
        } catch {
            await http.shutDown(grace: .zero)
            throw error
        }
        do {
            emulator =
                if let address = configuration.emulator?.admin {
                    try await Self.listenForEmulator(address, http)
                } else {
                    nil
                }
        } catch {
            await http.shutDown(grace: .zero)
            await operations?.shutDown(grace: .zero)
            throw error
        }
    }

    private static func listenForCommands(
        _ configuration: ServeConfiguration, _ listener: GatewayListener, tls: TLSContextBox?
    ) async throws -> SocketAddress {
        let address = configuration.resp
        return try await reporting(address) {
            try await listener.listenForCommands(
                host: address.host, port: address.port, tls: tls, isDevelopment: configuration.isDevelopment)
        }
    }

    private static func listenForEmulator(
        _ address: ListenAddress, _ listener: GatewayListener
    ) async throws -> EmulatorListener {
        try await reporting(address) {
            try await EmulatorListener(host: address.host, port: address.port, blocking: listener)
        }
    }

    private static func listen(
        _ role: GatewayListener.Role, _ address: ListenAddress, tls: TLSContextBox?, loops: Int, firstLane: Int,
        _ parts: GatewayParts
    ) async throws -> GatewayListener {
        try await reporting(address) {
            try await GatewayListener(
                role: role, host: address.host, port: address.port, tls: tls, eventLoops: loops, firstLane: firstLane,
                parts: parts)
        }
    }

    private static func reporting<Listener>(
        _ address: ListenAddress, _ listen: () async throws -> Listener
    ) async throws -> Listener {
        do {
            return try await listen()
        } catch let error as IOError {
            throw StartError("cannot listen on \(address): \(String(cString: strerror(error.errnoCode)))")
        } catch {
            throw StartError("cannot listen on \(address): \(error)")
        }
    }

    func reloadCertificate() throws {
        guard let tls else { return }
        tls.box.replace(try tls.files.load())
    }

    func shutDown(grace: TimeAmount) async {
        await http.shutDown(grace: grace)
        await operations?.shutDown(grace: .milliseconds(100))
        await emulator?.shutDown()
    }
}

/// Where the certificate and its key lie.
struct TLSFiles: Sendable {
    let certificate: String
    let key: String

    /// Nil when the configuration wants cleartext. Makes a local authority where no certificate is given.
    init?(_ configuration: ServeConfiguration, logger: Logger) throws {
        switch configuration.transport {
        case .cleartext:
            return nil
        case .tls(let certificatePath, let keyPath):
            certificate = certificatePath
            key = keyPath
        case .tlsWithLocalAuthority:
            let authority = LocalCertificateAuthority(directory: configuration.dataDirectory)
            let outcome = try authority.prepare(
                endpoint: configuration.endpoint, hostName: configuration.hostName, now: SystemClock().now())
            certificate = authority.serverCertificatePath
            key = authority.serverKeyPath
            logger.notice(
                "clients are to trust the certificate of the local authority",
                metadata: [
                    "ca": "\(authority.authorityCertificatePath)",
                    "names": "\(outcome.names.map { $0.description }.joined(separator: " "))",
                ])
        }
    }

    func load() throws -> NIOSSLContext {
        do {
            return try NIOSSLContext.martlet(certificateFile: certificate, keyFile: key)
        } catch {
            throw StartError("cannot use the certificate \(certificate) with the key \(key): \(error)")
        }
    }
}

/// The one line on standard output.
struct ReadyLine {
    private let text: String

    init(_ configuration: ServeConfiguration, _ listeners: Listeners) {
        func show(_ configured: ListenAddress, _ bound: SocketAddress) -> String {
            let host = configured.host.contains(":") ? "[\(configured.host)]" : configured.host
            return "\(host):\(bound.port ?? configured.port)"
        }
        var text = "martlet ready http=\(show(configuration.http, listeners.http.address))"
        text += " resp=\(show(configuration.resp, listeners.resp))"
        if let address = configuration.ops, let operations = listeners.operations {
            text += " ops=\(show(address, operations.address))"
        }
        text += " data-dir=\(configuration.dataDirectory) root-key=\(configuration.rootKeyPath)"
        if let address = configuration.emulator?.admin, let emulator = listeners.emulator {
            text += " emulator-admin=\(show(address, emulator.address))"
        }
        self.text = text
    }

    func print() {
        Swift.print(text)
        // Whoever waits for the line reads a pipe.
        fflush(nil)
    }
}
