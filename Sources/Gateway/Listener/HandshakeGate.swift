import NIOCore
import NIOSSL
import NIOTLS
import Tenancy

/// Stands before TLS until the handshake is over: it holds what the client sends until the loop has a turn for it
/// (``HandshakeLane``), and does not read on meanwhile.
///
/// TLS and what comes behind it join the pipeline with the first step, so a connection that waits, or is given up before
/// its turn, has cost a socket and the bytes of one message. When the handshake is over the gate leaves, and established
/// connections have nothing of it.
///
/// ```
///   waiting:      socket ─ gate
///   underway:     socket ─ gate ─ TLS ─ witness ─ door
///   established:  socket ─ TLS ─ door
/// ```
final class HandshakeGate: ChannelDuplexHandler, RemovableChannelHandler, LaneConnection, ArrivingConnection {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let lane: GatewayLane
    private let tls: TLSContextBox
    private let makeDoor: (GatewayLane) -> any ChannelHandler
    private let connectedAt: NIODeadline
    var laneSlot = -1
    var arrivalPlace = -1
    private var context: ChannelHandlerContext?
    private var held = ByteBuffer()
    /// Whether what is held waits for a turn.
    private var isWaiting = false
    private var hasBegun = false
    private var isStepping = false
    private var isEstablished = false
    /// Whether the channel asked for a read that it did not get.
    private var wantsRead = false
    private var isInputEnded = false

    /// The longest first message: one TLS record (RFC 8446 section 5.1, with what older versions may add).
    private static let recordCeiling = 5 + 16_384 + 2048
    /// What may be held later: the client's last message, and requests right behind it.
    private static let heldCeiling = 256 << 10

    /// - Parameter makeDoor: Makes what stands behind TLS.
    init(lane: GatewayLane, tls: TLSContextBox, makeDoor: @escaping (GatewayLane) -> any ChannelHandler) {
        self.lane = lane
        self.tls = tls
        self.makeDoor = makeDoor
        connectedAt = lane.eventLoop.now
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        lane.add(self)
        lane.handshakes.arrive(self, from: context.channel.remoteAddress)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        end()
    }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        if held.readableBytes == 0 { held = buffer } else { held.writeBuffer(&buffer) }
        if held.readableBytes > (hasBegun ? Self.heldCeiling : Self.recordCeiling) { closeNow() }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        guard held.readableBytes > 0, !isWaiting else { return }
        // Nothing is computed, nor a turn taken, for the beginning of a message.
        guard hasBegun || isFirstMessageWhole else { return }
        isWaiting = true
        lane.handshakes.messageArrived(self)
    }

    func read(context: ChannelHandlerContext) {
        if isWaiting { wantsRead = true } else { context.read() }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .some(.inputClosed) = event as? ChannelEvent else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        isInputEnded = true
        if !hasBegun {
            // Nobody is there any more.
            closeNow()
        } else if !isWaiting {
            context.fireUserInboundEventTriggered(event)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if hasBegun { context.fireErrorCaught(error) } else { closeNow() }
    }

    private func end() {
        lane.handshakes.leave(self, isEstablished: isEstablished)
        lane.remove(self)
        held = ByteBuffer()
        isWaiting = false
        context = nil
    }

    /// Whether the first TLS record is here. What is no handshake is let through at once: TLS says what is wrong with it.
    private var isFirstMessageWhole: Bool {
        let start = held.readerIndex
        guard let type = held.getInteger(at: start, as: UInt8.self) else { return false }
        guard type == 22 else { return true }
        guard let length = held.getInteger(at: start + 3, as: UInt16.self) else { return false }
        return held.readableBytes >= min(5 + Int(length), Self.recordCeiling)
    }

    // MARK: ArrivingConnection

    func takeStep() {
        guard let context, isWaiting else { return }
        if !hasBegun {
            do {
                try begin(context)
            } catch {
                closeNow()
                return
            }
        }
        var bytes = ByteBuffer()
        swap(&bytes, &held)
        isWaiting = false
        isStepping = true
        context.fireChannelRead(wrapInboundOut(bytes))
        context.fireChannelReadComplete()
        isStepping = false
        // The step may have ended the connection.
        guard self.context != nil else { return }
        if isInputEnded {
            context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        } else if wantsRead {
            context.read()
        }
        wantsRead = false
        if isEstablished { leave() }
    }

    private func begin(_ context: ChannelHandlerContext) throws {
        hasBegun = true
        let pipeline = context.pipeline.syncOperations
        // One by one, and behind the gate, which is alone: the door asks whether TLS is there.
        try pipeline.addHandler(NIOSSLServerHandler(context: tls.current))
        try pipeline.addHandler(HandshakeWitness { [weak self] in self?.handshakeCompleted() })
        try pipeline.addHandler(makeDoor(lane))
    }

    private func handshakeCompleted() {
        isEstablished = true
        if !isStepping { leave() }
    }

    private func leave() {
        guard let context else { return }
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    // MARK: LaneConnection

    func sweep(now: Timestamp) {
        guard lane.eventLoop.now - connectedAt > .milliseconds(lane.limits.handshakeMilliseconds) else { return }
        lane.handshakes.countDrop()
        closeNow()
    }

    func drain() {
        closeNow()
    }

    func closeNow() {
        context?.close(promise: nil)
    }
}

/// Stands behind TLS until it says that the handshake is over.
private final class HandshakeWitness: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private var completed: (() -> Void)?

    init(_ completed: @escaping () -> Void) {
        self.completed = completed
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        context.fireUserInboundEventTriggered(event)
        guard case .some(.handshakeCompleted) = event as? TLSUserEvent else { return }
        completed?()
        completed = nil
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }
}

/// Stands before a door in cleartext until the first byte, so that connections that never send one are bounded too.
final class SilenceGuard: ChannelInboundHandler, RemovableChannelHandler, ArrivingConnection {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let lane: GatewayLane
    private var context: ChannelHandlerContext?
    var arrivalPlace = -1

    init(lane: GatewayLane) {
        self.lane = lane
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        lane.handshakes.arrive(self, from: context.channel.remoteAddress)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        end()
    }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.fireChannelRead(data)
        // What was read goes on with the door; it finishes this read like any other.
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    private func end() {
        lane.handshakes.leave(self, isEstablished: false)
        context = nil
    }

    // MARK: ArrivingConnection

    func takeStep() {}

    func closeNow() {
        context?.close(promise: nil)
    }
}
