import Logging
import NIOCore
import NIOPosix
import Synchronization
import Tenancy
import Testing

@testable import Gateway

/// Real sockets: whether the listener drops who is there and who comes, and the port that tells it to.
@Suite struct EmulatorListenerTests {
    private struct ReadyStatus: SystemStatus {
        var readiness: (isReady: Bool, reason: String) { (true, "ready") }
        var jwks: [UInt8] { [] }
        func metrics() -> [UInt8] { [] }
    }

    /// Collects what comes until the peer closes.
    private final class Collector: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
        private let text = Mutex("")
        private let waiting = Mutex<(needle: String, promise: EventLoopPromise<Void>)?>(nil)

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            text.withLock { $0 += String(buffer: unwrapInboundIn(data)) }
            check()
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }

        var seen: String { text.withLock { $0 } }

        /// Done when `needle` has come.
        func wait(for needle: String, on loop: any EventLoop) -> EventLoopFuture<Void> {
            let promise = loop.makePromise(of: Void.self)
            waiting.withLock { $0 = (needle, promise) }
            check()
            return promise.futureResult
        }

        private func check() {
            waiting.withLock { waiting in
                guard let (needle, promise) = waiting, seen.contains(needle) else { return }
                waiting = nil
                promise.succeed()
            }
        }
    }

    private func connect(_ address: SocketAddress) async throws -> (channel: any Channel, collector: Collector) {
        let collector = Collector()
        let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .channelInitializer { $0.pipeline.addHandler(collector) }
            .connect(to: address).get()
        return (channel, collector)
    }

    /// Sends a request and waits for the peer to close.
    private func ask(_ address: SocketAddress, _ request: String) async throws -> String {
        let (channel, collector) = try await connect(address)
        // A peer that has closed already may refuse the bytes.
        try? await channel.writeAndFlush(ByteBuffer(string: request)).get()
        try? await channel.closeFuture.get()
        return collector.seen
    }

    /// Whether the answer is of that status; nil for none at all.
    private func expect(_ status: Int?, from address: SocketAddress, to request: String) async throws {
        let answer = try await ask(address, request)
        if let status {
            #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(request)")
        } else {
            #expect(answer.isEmpty, "\(request)")
        }
    }

    private static let health = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    private func withListeners(
        _ body: (_ main: GatewayListener, _ admin: EmulatorListener) async throws -> Void
    ) async throws {
        let fixture = try ServiceFixture(isEmulator: true)
        var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        let parts = GatewayParts(
            service: fixture.service, limits: GatewayLimits(), routes: AdminRoutes(control: fixture.control),
            control: ControlRPCs(control: fixture.control), executor: ControlExecutor(capacity: 4),
            status: ReadyStatus(),
            logger: logger)
        let main = try await GatewayListener(
            role: .main, host: "127.0.0.1", port: 0, tls: nil, eventLoops: 2, firstLane: 1, parts: parts)
        let admin = try await EmulatorListener(host: "127.0.0.1", port: 0, blocking: main)
        do {
            try await body(main, admin)
        } catch {
            await admin.shutDown()
            await main.shutDown(grace: .zero)
            throw error
        }
        await admin.shutDown()
        await main.shutDown(grace: .zero)
    }

    @Test func blockDropsWhoIsThereAndWhoComesUntilUnblock() async throws {
        try await withListeners { main, admin in
            try await expect(200, from: main.address, to: Self.health)

            // Connections in every state: silent, within a head, HTTP/2, and kept alive after an answer.
            var open: [(channel: any Channel, collector: Collector)] = []
            for beginning in ["", "GET /healthz HTT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
                let connection = try await connect(main.address)
                try await connection.channel.writeAndFlush(ByteBuffer(string: beginning)).get()
                open.append(connection)
            }
            let kept = try await connect(main.address)
            let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
            try await kept.channel.writeAndFlush(ByteBuffer(string: request)).get()
            try await kept.collector.wait(for: "ok\n", on: kept.channel.eventLoop).get()
            open.append(kept)

            try await expect(200, from: admin.address, to: "GET /block HTTP/1.1\r\nHost: 127.0.0.1:9090\r\n\r\n")
            for connection in open { try? await connection.channel.closeFuture.get() }
            for _ in 0..<8 { try await expect(nil, from: main.address, to: Self.health) }
            // Twice is as once.
            try await expect(200, from: admin.address, to: "GET /block HTTP/1.1\r\nHost: localhost\r\n\r\n")
            try await expect(nil, from: main.address, to: Self.health)

            try await expect(200, from: admin.address, to: "GET /unblock?x=1 HTTP/1.0\r\n\r\n")
            for _ in 0..<4 { try await expect(200, from: main.address, to: Self.health) }
        }
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("GET /block/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("POST /block HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405),
        ("GET /block HTTP/1.1\r\nHost: example.com\r\n\r\n", 403),
        ("GET /block HTTP/1.1\r\nHost: localhost\r\nOrigin: http://example.com\r\n\r\n", 403),
        ("GET /block HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 403),
        ("nonsense\r\n\r\n", 400),
    ])
    func anythingElseBlocksNobody(request: String, status: Int) async throws {
        try await withListeners { main, admin in
            try await expect(status, from: admin.address, to: request)
            try await expect(200, from: main.address, to: Self.health)
        }
    }
}
