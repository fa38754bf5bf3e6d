import NIOCore
import NIOHTTP1
import NIOPosix

/// The port on which tests of client libraries cut their clients off and let them in again: `GET /block` and
/// `GET /unblock`, over HTTP/1.1 in cleartext, one request for each connection.
///
/// It has an event loop of its own, so that it answers whatever the listener does that it blocks.
package final class EmulatorListener: Sendable {
    private let group: MultiThreadedEventLoopGroup
    private let channel: any Channel
    package let address: SocketAddress

    /// A connection that says nothing for so long is given up.
    private static let idleTime = TimeAmount.seconds(10)

    /// - Parameters:
    ///   - host: A loopback address, because whoever reaches it may cut everybody off.
    ///   - listener: What is blocked.
    /// - Throws: What the operating system says, such as "address already in use".
    package init(host: String, port: Int, blocking listener: GatewayListener) async throws {
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(IdleStateHandler(readTimeout: Self.idleTime))
                    try pipeline.configureHTTPServerPipeline(
                        withPipeliningAssistance: false, withErrorHandling: true)
                    try pipeline.addHandler(EmulatorHandler(listener: listener))
                }
            }
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

    package func shutDown() async {
        try? await channel.close().get()
        try? await group.shutdownGracefully()
    }
}

/// One connection to the emulator's port. It answers the first head that it reads and closes.
private final class EmulatorHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let listener: GatewayListener
    private var hasRequest = false

    init(listener: GatewayListener) {
        self.listener = listener
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(let head) = unwrapInboundIn(data), !hasRequest else { return }
        hasRequest = true
        guard isFromHere(head) else {
            respond(context, .forbidden)
            return
        }
        let path = head.uri.prefix { $0 != "?" }
        guard path == "/block" || path == "/unblock" else {
            respond(context, .notFound)
            return
        }
        guard head.method == .GET else {
            respond(context, .methodNotAllowed)
            return
        }
        if path == "/unblock" {
            listener.unblock()
            respond(context, .ok)
            return
        }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        listener.block(on: context.eventLoop).whenComplete { _ in
            let (handler, context) = bound.value
            handler.respond(context, .ok)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent {
            context.close(promise: nil)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    /// A page of a stranger's in the browser of the developer is to cut nobody off either.
    private func isFromHere(_ head: HTTPRequestHead) -> Bool {
        let origins = head.headers["origin"]
        let hosts = head.headers["host"]
        guard origins.count <= 1, hosts.count <= 1 else { return false }
        return withBytes(origins.first) { origin in
            withBytes(hosts.first) { host in
                withBytes(head.headers.first(name: "sec-fetch-site")) { site in
                    EmulatorCredential.isAdmitted(origin: origin, host: host, site: site)
                }
            }
        }
    }

    private func withBytes<R>(_ text: String?, _ body: (UnsafeRawBufferPointer?) -> R) -> R {
        guard var text else { return body(nil) }
        return text.withUTF8 { body(UnsafeRawBufferPointer($0)) }
    }

    private func respond(_ context: ChannelHandlerContext, _ status: HTTPResponseStatus) {
        guard context.channel.isActive else { return }
        var head = HTTPResponseHead(version: .http1_1, status: status)
        let body = context.channel.allocator.buffer(string: status.reasonPhrase + "\n")
        head.headers = [
            "content-type": "text/plain; charset=utf-8", "content-length": "\(body.readableBytes)",
            "connection": "close",
        ]
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in bound.value.close(promise: nil) }
    }
}
