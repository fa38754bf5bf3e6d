import NIOCore
import NIOSSL
import Tenancy

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A WebSocket on a whole connection that was upgraded from HTTP/1.1: the last handler of its pipeline.
///
/// A message to ten thousand subscribers is ten thousand writes, and nothing else of that size. So where the connection
/// is in the clear and nothing waits before a frame, the frame is written to the socket itself; only what the socket
/// does not take goes the way through the pipeline, which waits for it to take more. Either way the order is kept.
final class WebSocketChannel: ChannelDuplexHandler, WebSocketCarrier, LaneConnection {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    let peer: Peer
    var laneSlot = -1
    private let lane: GatewayLane
    private let session: WebSocketSession
    private var context: ChannelHandlerContext?
    /// The connection's socket; nil where the pipeline has to see what is written (TLS), and once the connection ends.
    ///
    /// The channel closes the socket and then, before anything else runs on this thread, fails what was waiting and calls
    /// ``channelInactive(context:)``: nothing of that writes, so no number of a socket is used when it may be another's.
    private var socket: NIOBSDSocket.Handle?
    /// Writes that the pipeline has not completed.
    private var pendingWrites = 0
    private var isReadingPaused = false
    private var wantsRead = false
    private var isFinishing = false
    /// Since when every sweep has found the socket full.
    private var fullSince: Timestamp?
    private var finishingSince: Timestamp?

    init(_ lane: GatewayLane, _ peer: Peer, _ session: WebSocketSession) {
        self.lane = lane
        self.peer = peer
        self.session = session
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        lane.add(self)
        let pipeline = context.pipeline.syncOperations
        if (try? pipeline.handler(type: NIOSSLServerHandler.self)) == nil {
            socket = try? pipeline.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { $0 }
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        tearDown()
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        lane.beginTick()
        tearDown()
        context.fireChannelInactive()
    }

    /// Asks for bytes: the handler before this one may have swallowed the channel's own request.
    func start() {
        // Behind the handshake's answer, and answers before it, which the socket may not have taken yet.
        if socket != nil { writeToPipeline(ByteBuffer()) }
        wantsRead = true
        resumeReading()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isFinishing else { return }
        lane.beginTick()
        unwrapInboundIn(data).withUnsafeReadableBytes { session.receive($0) }
    }

    func read(context: ChannelHandlerContext) {
        if mayRead(context) {
            wantsRead = false
            context.read()
        } else {
            wantsRead = true
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            fullSince = nil
            lane.beginTick()
            session.carrierIsReady()
            resumeReading()
        }
        context.fireChannelWritabilityChanged()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .some(.inputClosed) = event as? ChannelEvent {
            lane.beginTick()
            session.inputEnded()
            return
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A reset, or TLS without a close_notify: nothing that the client could still be told.
        abort()
    }

    private func tearDown() {
        socket = nil
        lane.remove(self)
        session.carrierEnded()
    }

    /// A client that does not read what it is answered is not read from either.
    private func mayRead(_ context: ChannelHandlerContext) -> Bool {
        !isReadingPaused && (context.channel.isWritable || isFinishing)
    }

    private func resumeReading() {
        guard wantsRead, let context, mayRead(context) else { return }
        wantsRead = false
        context.read()
    }

    // MARK: WebSocketCarrier

    var isReady: Bool {
        (pendingWrites == 0 && socket != nil) || context?.channel.isWritable ?? false
    }

    func write(_ frames: ByteBuffer) {
        guard let socket else {
            context?.writeAndFlush(wrapOutboundOut(frames), promise: nil)
            return
        }
        guard pendingWrites == 0 else {
            writeToPipeline(frames)
            return
        }
        let written = frames.withUnsafeReadableBytes { bytes in
            send(socket, bytes.baseAddress, bytes.count, Self.sendFlags)
        }
        guard written < frames.readableBytes else { return }
        // Full, or gone: the channel finds out which.
        var rest = frames
        rest.moveReaderIndex(forwardBy: max(0, written))
        writeToPipeline(rest)
    }

    private static let sendFlags = CInt(MSG_DONTWAIT) | CInt(MSG_NOSIGNAL)

    private func writeToPipeline(_ frames: ByteBuffer) {
        guard let context else { return }
        pendingWrites += 1
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { _ in self.pendingWrites -= 1 }
        context.writeAndFlush(wrapOutboundOut(frames), promise: promise)
    }

    func pauseReading(_ isPaused: Bool) {
        isReadingPaused = isPaused
        resumeReading()
    }

    func endOutput() {
        context?.closeWhenFlushed(mode: .output)
    }

    func finish() {
        guard !isFinishing, let context else { return }
        isFinishing = true
        finishingSince = lane.now
        context.closeWhenFlushed()
    }

    /// Ends it now: the client takes nothing, or has gone.
    private func abort() {
        isFinishing = true
        context?.close(promise: nil)
    }

    // MARK: LaneConnection

    func sweep(now: Timestamp) {
        guard let context else { return }
        let stall = lane.limits.stallMilliseconds
        if let finishingSince, now.milliseconds - finishingSince.milliseconds > stall {
            abort()
        } else if context.channel.isWritable {
            fullSince = nil
        } else if let fullSince, now.milliseconds - fullSince.milliseconds > stall {
            abort()
        } else {
            fullSince = fullSince ?? now
        }
    }

    /// The session is told by itself.
    func drain() {}

    func closeNow() {
        abort()
    }
}
