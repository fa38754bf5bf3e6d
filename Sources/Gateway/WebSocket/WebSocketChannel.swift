import NIOCore
import Tenancy

/// A WebSocket on a whole connection that was upgraded from HTTP/1.1: the last handler of its pipeline.
final class WebSocketChannel: ChannelDuplexHandler, WebSocketCarrier, LaneConnection {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    let peer: Peer
    var laneSlot = -1
    private let lane: GatewayLane
    private let session: WebSocketSession
    private var context: ChannelHandlerContext?
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
        context?.channel.isWritable ?? false
    }

    func write(_ frames: ByteBuffer) {
        guard let context else { return }
        context.writeAndFlush(wrapOutboundOut(frames), promise: nil)
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

    func abort() {
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
