import NIOCore
import NIOHTTP1
import NIOSSL

/// Sends one request and waits for the end of the reply, of which only the status is kept.
final class OutboundExchange: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let call: OutboundCall
    private let done: (OutboundOutcome) -> Void

    /// - Parameter done: Told the outcome as soon as it is known, and others after it, which do not count.
    init(_ call: OutboundCall, _ done: @escaping (OutboundOutcome) -> Void) {
        self.call = call
        self.done = done
    }

    func channelActive(context: ChannelHandlerContext) {
        var headers = HTTPHeaders([("host", call.url.authority)])
        for header in call.headers { headers.add(name: header.name, value: header.value) }
        headers.add(name: "content-length", value: String(call.body.count))
        headers.add(name: "connection", value: "close")
        let head = HTTPRequestHead(
            version: .http1_1, method: HTTPMethod(rawValue: call.method), uri: call.url.target, headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: call.body)))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): done(.answered(status: Int(head.status.code)))
        case .body: break
        case .end: context.close(promise: nil)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ReplyBound.Exceeded { done(.failed(.replyTooLarge)) }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        done(.failed(Self.failure(error)))
        context.close(promise: nil)
    }

    private static func failure(_ error: any Error) -> OutboundFailure {
        switch error {
        case NIOSSLError.uncleanShutdown, HTTPParserError.invalidEOFState: .closed
        case is NIOSSLError, is NIOSSLExtraError, is BoringSSLError: .untrusted
        case is HTTPParserError: .brokenReply
        default: .closed
        }
    }
}

/// Passes on so many bytes of a reply, then closes the connection.
final class ReplyBound: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    /// More came than is read.
    struct Exceeded {}

    private var left: Int

    init(limit: Int) {
        left = limit
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard left >= 0 else { return }
        var bytes = unwrapInboundIn(data)
        let part = bytes.readSlice(length: min(left, bytes.readableBytes)) ?? ByteBuffer()
        left -= part.readableBytes
        context.fireChannelRead(wrapInboundOut(part))
        guard bytes.readableBytes > 0 else { return }
        left = -1
        context.fireUserInboundEventTriggered(Exceeded())
        context.close(promise: nil)
    }
}
