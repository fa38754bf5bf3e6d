import CacheService
import NIOCore
import NIOHTTP1
import NIOSSL
import Tenancy

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Tells HTTP/2 from HTTP/1.1 by a connection's first bytes, the client's preface (RFC 9113 section 3.4), and makes the
/// rest of the pipeline. ALPN needs no look of its own: a client that negotiated `h2` begins with the preface.
///
/// In front of HTTP/1.1 it stays, to notice bytes that are no complete request yet, and to hand on what has come piece by
/// piece, in turns with other connections.
final class ProtocolDetector: ChannelDuplexHandler, RemovableChannelHandler, LaneConnection, ScheduledConnection {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = Never

    private static let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

    private let lane: GatewayLane
    var laneSlot = -1
    private var context: ChannelHandlerContext?
    private var begun = ByteBuffer()
    private var http1: HTTP1Connection?
    private let connectedAt: Timestamp
    /// What has come over HTTP/1.1 and was not handed on yet, while the connection waits for its turn: then nothing more is
    /// read.
    private var input = ByteBuffer()
    private var wantsRead = false
    /// The peer has stopped sending, and what it has sent before is still waiting for its turn.
    private var isEndPending = false
    var isWaitingForTurn = false
    var inputArrivedAt: UInt64 = 0

    init(lane: GatewayLane) {
        self.lane = lane
        lane.beginTick()
        connectedAt = lane.now
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        lane.add(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        lane.remove(self)
        isWaitingForTurn = false
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        lane.remove(self)
        isWaitingForTurn = false
        lane.endService(self)
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if let http1 {
            lane.beginTick()
            http1.bytesArrived()
            var buffer = unwrapInboundIn(data)
            if input.readableBytes == 0 {
                input = buffer
            } else {
                input.writeBuffer(&buffer)
            }
            guard lane.mayServe(self) else { return }
            lane.beginService(of: self)
            return handOn(context)
        }
        var buffer = unwrapInboundIn(data)
        if begun.readableBytes > 0 {
            begun.writeBuffer(&buffer)
            buffer = begun
        }
        let preface = Self.preface
        let count = min(buffer.readableBytes, preface.utf8CodeUnitCount)
        let isPreface = buffer.withUnsafeReadableBytes { bytes in
            bytes.slice(0..<count)
                .equals(UnsafeRawBufferPointer(start: preface.utf8Start, count: count))
        }
        // Three bytes are enough to leave HTTP/1.1: no method begins with `PRI`.
        if isPreface, count < 3 {
            begun = buffer
            return
        }
        begun = ByteBuffer()
        do {
            try isPreface ? becomeHTTP2(context) : becomeHTTP1(context)
        } catch {
            context.close(promise: nil)
            return
        }
        guard isPreface else {
            lane.beginTick()
            input = buffer
            guard lane.mayServe(self) else { return }
            lane.beginService(of: self)
            return handOn(context)
        }
        context.fireChannelRead(wrapInboundOut(buffer))
        // What was read before is with the new handler; it finishes this read like any other.
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    /// Goes on, in its turn, with what waits behind it.
    func askForTurn() {
        guard context != nil, !isWaitingForTurn else { return }
        inputArrivedAt = lane.earliestArrival
        lane.wait(self)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.fireChannelReadComplete()
        if http1 != nil { lane.endService(self) }
    }

    func read(context: ChannelHandlerContext) {
        if input.readableBytes == 0 {
            wantsRead = false
            context.read()
        } else {
            wantsRead = true
        }
    }

    // MARK: Turns

    var caller: LaneCaller? { http1?.peer.lastCaller }

    func takeTurn() {
        guard let context else { return }
        lane.beginService(of: self, arrivedAt: inputArrivedAt)
        http1?.takeTurn()
        handOn(context)
        context.fireChannelReadComplete()
        lane.endService(self)
        if isEndPending, input.readableBytes == 0 {
            isEndPending = false
            context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        }
        guard wantsRead, input.readableBytes == 0, let context = self.context else { return }
        wantsRead = false
        context.read()
    }

    /// Hands on what has come, as long as the connection's slice lasts.
    private func handOn(_ context: ChannelHandlerContext) {
        while let piece = input.readSlice(length: min(input.readableBytes, Self.pieceBytes)), piece.readableBytes > 0 {
            context.fireChannelRead(wrapInboundOut(piece))
            guard input.readableBytes > 0, lane.isSliceOver else { continue }
            inputArrivedAt = lane.serviceArrival
            return lane.wait(self)
        }
        input = ByteBuffer()
    }

    /// Some tens of requests of the shortest kind.
    private static let pieceBytes = 2048

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A failed handshake, or cleartext on a TLS port.
        if http1 == nil { context.close(promise: nil) } else { context.fireErrorCaught(error) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if http1 == nil, case .some(.inputClosed) = event as? ChannelEvent {
            context.close(promise: nil)
            return
        }
        if case .some(.inputClosed) = event as? ChannelEvent, input.readableBytes > 0 {
            // What it has sent before goes first.
            isEndPending = true
            return
        }
        context.fireUserInboundEventTriggered(event)
    }

    private func becomeHTTP2(_ context: ChannelHandlerContext) throws {
        let connection = HTTP2Connection(lane: lane, peer: Peer(context.channel, now: lane.now))
        try context.pipeline.syncOperations.addHandler(connection, position: .after(self))
    }

    private func becomeHTTP1(_ context: ChannelHandlerContext) throws {
        let connection = HTTP1Connection(lane: lane, peer: Peer(context.channel, now: lane.now))
        var limits = NIOHTTPDecoderLimitConfiguration()
        // Wider than what is accepted, so that the refusal can tell a long target from large fields.
        limits.maxHeaderFieldSize = 8 * lane.limits.headerBytes
        limits.maxHeaderListSize = 8 * lane.limits.headerBytes
        limits.maxHeaderFieldCount = 1024
        let decoder = ByteToMessageHandler(
            HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: limits),
            maximumBufferSize: 1 << 20)
        connection.decoder = decoder
        connection.detector = self
        try context.pipeline.syncOperations.addHandlers([decoder, connection], position: .after(self))
        http1 = connection
    }

    // MARK: LaneConnection: before the protocol is known

    func sweep(now: Timestamp) {
        guard http1 == nil, now.milliseconds - connectedAt.milliseconds > lane.limits.headMilliseconds else { return }
        closeNow()
    }

    func drain() {
        if http1 == nil { closeNow() }
    }

    func closeNow() {
        context?.close(promise: nil)
    }
}

extension Peer {
    convenience init(_ channel: any Channel, now: Timestamp) {
        let text = channel.remoteAddress?.ipAddress ?? ""
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 {
            self.init(address: Array(bytes.prefix(4)), now: now)
        } else if inet_pton(AF_INET6, text, &bytes) == 1 {
            self.init(address: bytes, now: now)
        } else {
            self.init(address: [], now: now)
        }
        // Whatever becomes of its handlers, a channel closes once.
        channel.closeFuture.assumeIsolated().whenComplete { [claims] _ in claims.end() }
    }
}
