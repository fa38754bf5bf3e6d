import Admission
import CacheService
import NIOCore
import NIOSSL
import Tenancy

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// One connection of the RESP door: bytes in, commands to its session, replies out.
///
/// All commands that came with one read are executed, then what they answered is written at once. While an answer is
/// awaited, or the reader is behind, what has come waits in `pending` and nothing more is read.
///
/// In the clear, and while nothing waits before it, what is written goes to the socket itself (as for WebSockets,
/// ``WebSocketChannel``); what the socket does not take goes the way through the pipeline.
final class RESPConnection: ChannelDuplexHandler, LaneConnection, ScheduledConnection {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    let lane: GatewayLane
    private(set) var peer: Peer
    var laneSlot = -1
    let session: RESPSession
    private let isDevelopment: Bool
    private var context: ChannelHandlerContext?
    /// The connection's socket; nil where the pipeline has to see what is written (TLS), and once the connection ends.
    private var socket: NIOBSDSocket.Handle?
    private var pendingWrites = 0
    /// What was written and the socket has not taken.
    private(set) var backlogBytes = 0
    private var decoder = RESPDecoder()
    /// What has come and is not executed yet; the first byte begins a command.
    private var pending = ByteBuffer()
    /// What is reserved for `pending`, and from whose budget.
    private var reservedBytes = 0
    private var reservedFrom: CommandIdentity?
    private var isProcessing = false
    var isWaitingForTurn = false
    var inputArrivedAt: UInt64 = 0
    private var wantsRead = false
    private var isInputEnded = false
    private var isFinishing = false
    private var finishingSince: Timestamp?
    private var fullSince: Timestamp?
    private(set) var lastActivity: Timestamp

    /// Replies that are written out before all commands of a read are executed.
    private static let flushBytes = 128 << 10
    /// A pending buffer above that is reserved from the tenant's budget, in steps of this.
    private static let freeBytes = 64 << 10
    /// How long a connection may stay without a credential.
    private static let introductionMilliseconds: Int64 = 60_000
    /// Commands executed before the clock is looked at.
    private static let commandsPerLook = 32

    /// - Parameter isDevelopment: Whether a connection from this machine may do without a credential.
    init(lane: GatewayLane, isDevelopment: Bool) {
        self.lane = lane
        self.isDevelopment = isDevelopment
        lane.beginTick()
        lastActivity = lane.now
        peer = Peer(address: [], now: lane.now)
        session = RESPSession(lane)
    }

    /// Whether the connection may use cache `default` without a credential.
    var isOpen: Bool {
        isDevelopment && (peer.address.first == 127 && peer.address.count == 4 || peer.address == Self.loopback)
    }

    private static let loopback = [UInt8](repeating: 0, count: 15) + [1]

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        peer = Peer(context.channel, now: lane.now)
        session.begin(self)
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

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isFinishing else { return }
        lane.beginTick()
        lastActivity = lane.now
        var buffer = unwrapInboundIn(data)
        if pending.readableBytes == 0 {
            pending = buffer
        } else {
            pending.writeBuffer(&buffer)
        }
        guard lane.mayServe(self) else { return }
        lane.beginService(of: self)
        process()
        lane.endService(self)
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
            session.readerIsBack()
            scheduleProcessing()
        }
        context.fireChannelWritabilityChanged()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .some(.inputClosed) = event as? ChannelEvent {
            lane.beginTick()
            // Whoever has sent whole commands before still gets their answers.
            isInputEnded = true
            scheduleProcessing()
            return
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A reset, a failed handshake, or cleartext on a TLS port: nothing that the client could still be told.
        abort()
    }

    private func tearDown() {
        guard laneSlot >= 0 else { return }
        socket = nil
        isFinishing = true
        isWaitingForTurn = false
        lane.endService(self)
        lane.remove(self)
        session.end()
        pending = ByteBuffer()
        releaseBytes()
    }

    private func mayRead(_ context: ChannelHandlerContext) -> Bool {
        guard !isFinishing else { return true }
        // The socket of one who waits is read on, within bounds, so that his going away is noticed.
        if session.isStalled { return pending.readableBytes < Self.freeBytes }
        return context.channel.isWritable && !isWaitingForTurn
    }

    private func resumeReading() {
        guard wantsRead, let context, mayRead(context) else { return }
        wantsRead = false
        context.read()
    }

    // MARK: Commands

    private var mayProcess: Bool {
        !isFinishing && !session.isStalled
            && (pendingWrites == 0 && socket != nil || context?.channel.isWritable ?? false)
    }

    var caller: LaneCaller? { session.identity?.caller }

    /// Goes on with what waits here, soon: not inside a write or an event of the socket.
    func scheduleProcessing() {
        guard !isWaitingForTurn, context != nil else { return }
        inputArrivedAt = lane.earliestArrival
        lane.wait(self)
    }

    func takeTurn() {
        lane.beginService(of: self, arrivedAt: inputArrivedAt)
        process()
        lane.endService(self)
    }

    /// Executes what has come, as far as it may be.
    private func process() {
        guard !isProcessing else { return }
        isProcessing = true
        let shared = lane.resp
        let service = lane.service
        let writer = shared.writer
        writer.isVersion3 = session.isVersion3
        var commandsLeft = Self.commandsPerLook
        var commandsWarmed = 1
        // A copy that shares the memory: what a command causes may end the connection.
        let bytes = pending
        var consumed = 0
        bytes.withUnsafeReadableBytes { all in
            while mayProcess {
                if commandsLeft == 0 || service.hasSlowCalls {
                    service.hasSlowCalls = false
                    guard !lane.isSliceOver else {
                        inputArrivedAt = lane.serviceArrival
                        lane.wait(self)
                        break
                    }
                    commandsLeft = Self.commandsPerLook
                }
                let rest = UnsafeRawBufferPointer(rebasing: all[consumed...])
                if commandsWarmed == 0, let identity = session.identity {
                    commandsWarmed = max(1, shared.warm(rest, service, identity))
                }
                commandsWarmed -= 1
                let (byteCount, isMore) = step(rest, shared)
                consumed += byteCount
                commandsLeft -= 1
                if writer.count >= Self.flushBytes {
                    flush()
                    commandsLeft = 0
                }
                if !isMore { break }
            }
        }
        let isHeldUp = !mayProcess
        flush()
        isProcessing = false
        guard !isFinishing else { return }
        keepRest(from: consumed)
        // The reader came back with this last write.
        if isHeldUp, mayProcess { scheduleProcessing() }
        // Whoever sends no more while he waits has gone, as Redis sees it: nobody's element is to be given to him.
        if isInputEnded, session.isWaiting, session.giveUpWaiting() { return finish() }
        if isInputEnded, !session.isStalled, !isWaitingForTurn, mayProcess { return finish() }
        resumeReading()
    }

    /// Reads one command and executes it.
    ///
    /// - Returns: How many bytes that took, and whether there may be more.
    private func step(_ bytes: UnsafeRawBufferPointer, _ shared: RESPLane) -> (byteCount: Int, isMore: Bool) {
        decoder.limits.isAuthenticated = session.isAuthenticated
        switch decoder.next(bytes) {
        case .command(let byteCount):
            if let words = decoder.words {
                words.withUnsafeBytes { session.receive(shared.arguments(decoder, in: $0), shared) }
            } else {
                session.receive(shared.arguments(decoder, in: bytes), shared)
            }
            decoder.finish()
            return (byteCount, true)
        case .nothing(let byteCount):
            return (byteCount, true)
        case .needsMore:
            return (0, false)
        case .dropped(let byteCount):
            return (byteCount, false)
        case .refused(let byteCount, let refusal):
            decoder.finish()
            session.refuse(refusal, shared.writer)
            return (byteCount, true)
        case .violation(let what):
            shared.writer.error("ERR Protocol error: \(what)")
            flush()
            finish()
            return (0, false)
        }
    }

    /// Keeps what is no complete command yet, or may not be executed yet.
    private func keepRest(from consumed: Int) {
        pending.moveReaderIndex(forwardBy: min(consumed, pending.readableBytes))
        guard pending.readableBytes > 0 else {
            pending = ByteBuffer()
            releaseBytes()
            return
        }
        // In memory of its own: what was read lies in a buffer that is used again, or is larger than what is left of it.
        // For what is announced room is made as it comes: an announcement costs its sender nothing.
        let wanted = max(
            pending.readableBytes, min(decoder.bytesAnnounced, pending.readableBytes * 4 + Self.freeBytes))
        if !reserveBytes(wanted + decoder.bytesBeside), decoder.isInsideCommand {
            decoder.refuse(.noRoom)
            return
        }
        if pending.readerIndex > 0 || pending.writableBytes < wanted - pending.readableBytes {
            var own = lane.eventLoopAllocator.buffer(capacity: wanted)
            own.writeImmutableBuffer(pending)
            pending = own
        }
    }

    private func reserveBytes(_ count: Int) -> Bool {
        guard count > Self.freeBytes + reservedBytes else { return true }
        let more = (count - reservedBytes + Self.freeBytes - 1) / Self.freeBytes * Self.freeBytes
        if reservedBytes == 0 { reservedFrom = session.identity }
        guard lane.service.reserveBytes(more, reservedFrom?.grant) else { return false }
        reservedBytes += more
        return true
    }

    private func releaseBytes() {
        guard reservedBytes > 0 else { return }
        lane.service.releaseBytes(reservedBytes, reservedFrom?.grant)
        reservedBytes = 0
        reservedFrom = nil
    }

    // MARK: Output

    /// Sends what the commands of this turn have answered.
    func flush() {
        let writer = lane.resp.writer
        guard writer.count > 0 else { return }
        write(writer.bytes)
        writer.clear()
    }

    /// Sends bytes that are whole replies, behind those that were sent before.
    func write(_ bytes: UnsafeRawBufferPointer) {
        guard let context, bytes.count > 0 else { return }
        var sent = 0
        if let socket, pendingWrites == 0 {
            sent = max(0, send(socket, bytes.baseAddress, bytes.count, Self.sendFlags))
            guard sent < bytes.count else { return }
        }
        // Full, or gone: the channel finds out which.
        let restBytes = bytes.count - sent
        guard restBytes < Self.freeBytes || !lane.isCrowded(caller) else { return abort() }
        lane.backlogBytes += restBytes
        let flow = caller.map { lane.service.flow(of: $0) }
        flow?.backlogBytes += restBytes
        var rest = lane.eventLoopAllocator.buffer(capacity: restBytes)
        rest.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[sent...]))
        pendingWrites += 1
        let byteCount = rest.readableBytes
        backlogBytes += byteCount
        lane.resp.backlogBytes += byteCount
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { _ in
            self.pendingWrites -= 1
            self.lane.backlogBytes -= restBytes
            flow?.backlogBytes -= restBytes
            self.backlogBytes -= byteCount
            self.lane.resp.backlogBytes -= byteCount
            // What had to wait for it goes on.
            guard self.pendingWrites == 0, !self.isProcessing else { return }
            if self.pending.readableBytes > 0 || self.isInputEnded { self.scheduleProcessing() }
        }
        context.writeAndFlush(wrapOutboundOut(rest), promise: promise)
    }

    private static let sendFlags = CInt(MSG_DONTWAIT) | CInt(MSG_NOSIGNAL)

    /// Whether the peer has taken what was sent, more or less.
    var isReaderReady: Bool { context?.channel.isWritable ?? false }

    /// Closes when what was written has been taken.
    func finish() {
        guard !isFinishing, let context else { return }
        isFinishing = true
        finishingSince = lane.now
        context.closeWhenFlushed()
        resumeReading()
    }

    /// Whose ends the connection has, as `address:port`.
    var addresses: (remote: String, local: String) {
        func text(_ address: SocketAddress?) -> String {
            guard let address, let host = address.ipAddress, let port = address.port else { return "" }
            return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        }
        return (text(context?.channel.remoteAddress), text(context?.channel.localAddress))
    }

    /// Ends it now.
    func abort() {
        isFinishing = true
        context?.close(promise: nil)
    }

    // MARK: LaneConnection

    func sweep(now: Timestamp) {
        guard let context else { return }
        let stall = lane.limits.stallMilliseconds
        if let finishingSince, now.milliseconds - finishingSince.milliseconds > stall {
            return abort()
        }
        if context.channel.isWritable {
            fullSince = nil
        } else if let fullSince, now.milliseconds - fullSince.milliseconds > stall {
            return abort()
        } else {
            fullSince = fullSince ?? now
        }
        let idle = now.milliseconds - lastActivity.milliseconds
        // Who he is a client tells at once; and the rest of a long command follows.
        if !session.isAuthenticated && idle > Self.introductionMilliseconds || reservedBytes > 0 && idle > stall {
            return abort()
        }
        session.sweep(now: now)
    }

    func drain() {
        session.drain()
    }

    func closeNow() {
        abort()
    }
}
