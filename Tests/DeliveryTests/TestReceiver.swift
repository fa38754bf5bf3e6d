import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

@testable import Delivery

/// A server on a free port of loopback that answers as a test tells it.
final class TestReceiver: Sendable {
    /// Given the connection when a whole request has come.
    typealias Answer = @Sendable (any Channel) -> Void

    let port: Int
    private let channel: any Channel
    private let requests = Requests()

    init(tls: NIOSSLContext? = nil, _ answer: @escaping Answer) async throws {
        let requests = requests
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    requests.countConnection()
                    if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
                    try channel.pipeline.syncOperations.addHandler(RequestCollector(requests, answer))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = channel.localAddress?.port ?? 0
    }

    /// One that answers with these bytes and closes.
    convenience init(tls: NIOSSLContext? = nil, reply: String) async throws {
        try await self.init(tls: tls) { channel in
            channel.writeAndFlush(ByteBuffer(string: reply)).whenComplete { _ in channel.close(promise: nil) }
        }
    }

    var texts: [String] { requests.state.withLock { $0.texts } }
    var connections: Int { requests.state.withLock { $0.connections } }

    func close() async throws { try await channel.close() }

    final class Requests: Sendable {
        let state = Mutex((texts: [String](), connections: 0))

        func countConnection() { state.withLock { $0.connections += 1 } }
        func add(_ text: String) { state.withLock { $0.texts.append(text) } }
    }
}

/// Waits for a request with the body that its `content-length` announces.
private final class RequestCollector: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let requests: TestReceiver.Requests
    private let answer: TestReceiver.Answer
    private var text = ""

    init(_ requests: TestReceiver.Requests, _ answer: @escaping TestReceiver.Answer) {
        self.requests = requests
        self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        text += String(buffer: unwrapInboundIn(data))
        guard let end = text.firstRange(of: "\r\n\r\n")?.upperBound,
            let field = text.firstMatch(of: /content-length: (\d+)\r\n/), let length = Int(field.1),
            text[end...].utf8.count >= length
        else { return }
        requests.add(text)
        text = ""
        answer(context.channel)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}

/// A resolver that knows what it was told, and counts.
final class TestResolver: HostResolver {
    private let known: [String: [IPAddress]]
    private let asked = Mutex<[String]>([])

    init(_ known: [String: [String]]) {
        self.known = known.mapValues { $0.compactMap { IPAddress($0) } }
    }

    var questions: [String] { asked.withLock { $0 } }

    func addresses(of host: String) -> [IPAddress] {
        asked.withLock { $0.append(host) }
        return known[host] ?? []
    }
}
