import CNGHTTP2
import CacheService
import NIOCore
import Tenancy

/// One HTTP/2 connection: a libnghttp2 session inside one channel handler. There is no channel for a stream.
///
/// ```
/// socket ─▶ channelRead ─▶ nghttp2_session_mem_recv ─▶ callbacks ─▶ Exchange ─▶ door
/// socket ◀─ one write and flush a read ◀─ nghttp2_session_mem_send ◀─ submit_response ◀─ respond
/// ```
///
/// All that arrived in one read is executed before one flush. Output is drawn from the session only while the socket
/// takes it, so a peer that stops reading costs what its requests have put into the backlog and no more; the backlog is
/// bounded by parking requests (``HTTP2Connection+Flow.swift``).
///
/// Reentrancy: libnghttp2 forbids to receive, send or delete inside a callback. Submitting is allowed. So callbacks and
/// doors only submit, and ``pump(_:)`` runs after them.
final class HTTP2Connection: ChannelDuplexHandler, LaneConnection, ExchangeTransport, ScheduledConnection {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    let lane: GatewayLane
    let peer: Peer
    var laneSlot = -1
    var session: OpaquePointer?
    var context: ChannelHandlerContext?
    /// The streams with an exchange, in no order.
    var exchanges: [Exchange] = []
    /// Exchanges whose request is complete in head but waits until earlier responses have left.
    var parked: [Exchange] = []
    /// Streams whose waiting doors are to be told that the reader has made room.
    var drained: [Int32] = []
    /// Streams whose doors wait for room on the connection, with nothing of their own that has to leave first.
    var crowdedOut: [Int32] = []
    /// The exchange that header and data callbacks met last.
    private var recent: Exchange?
    /// Output of this tick, between two flushes.
    var output = ByteBuffer()
    /// What has come and was not executed yet, while the connection waits for its turn: then nothing more is read.
    private var input = ByteBuffer()
    private var wantsRead = false
    var isWaitingForTurn = false
    var inputArrivedAt: UInt64 = 0
    var isReceiving = false
    /// Whether answers were so large that few of them are a slice.
    var hasLargeAnswers = false
    /// Requests since the clock was looked at.
    private var headsUnlooked = 0
    /// Whether the clock is to be looked at before this request goes on.
    private var looksAtClock = false
    private var isPumping = false
    var isPumpScheduled = false
    var isDraining = false
    private var isInputClosed = false
    /// The peer has stopped sending, and what it has sent before is still waiting for its turn.
    private var isEndPending = false
    private var isClosed = false
    /// Since when the connection only waits for the socket to take its last bytes.
    var closingSince: Timestamp?
    /// Bytes of responses that were submitted and have not left.
    var backlogBytes = 0
    var headBytes = 0
    /// Since when every sweep has found the socket full.
    var fullSince: Timestamp?
    var lastActivity: Timestamp
    /// When the header block now arriving began, or when the connection did.
    var headBeganAt: Timestamp?
    var idleFrames = 0
    /// Bytes of the DATA frame now arriving, without its padding.
    var dataBytesOfFrame = 0
    var idleFramesSince: Timestamp

    init(lane: GatewayLane, peer: Peer) {
        self.lane = lane
        self.peer = peer
        lastActivity = lane.now
        idleFramesSince = lane.now
        headBeganAt = lane.now
    }

    deinit {
        if let session { nghttp2_session_del(session) }
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        var session: OpaquePointer?
        let pointer = Unmanaged.passUnretained(self).toOpaque()
        let library = HTTP2Library.shared
        guard
            nghttp2_session_server_new3(
                &session, library.callbacks, pointer, library.options, lane.http2Memory.callbacks) == 0
        else {
            context.close(promise: nil)
            return
        }
        self.session = session
        lane.add(self)
        submitSettings()
        if lane.isDraining { drain() }
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
        guard session != nil, !isClosed else { return }
        lane.beginTick()
        lastActivity = lane.now
        var buffer = unwrapInboundIn(data)
        if input.readableBytes == 0 {
            input = buffer
        } else {
            input.writeBuffer(&buffer)
        }
        guard lane.mayServe(self) else { return }
        lane.beginService(of: self)
        receiveInput(context)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        pump(context)
        lane.endService(self)
        context.fireChannelReadComplete()
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

    var caller: LaneCaller? { peer.lastCaller }

    func takeTurn() {
        guard let context, !isClosed else { return }
        lane.beginService(of: self, arrivedAt: inputArrivedAt)
        receiveInput(context)
        pump(context)
        lane.endService(self)
        if isEndPending, input.readableBytes == 0, let context = self.context { inputEnded(context) }
        if wantsRead, input.readableBytes == 0, let context = self.context {
            wantsRead = false
            context.read()
        }
    }

    /// Executes what has come, as long as the connection's slice lasts.
    private func receiveInput(_ context: ChannelHandlerContext) {
        while input.readableBytes > 0 {
            receivePiece(context)
            guard !isClosed, session != nil else { return }
            guard input.readableBytes > 0, lane.isSliceOver else { continue }
            inputArrivedAt = lane.serviceArrival
            return lane.wait(self)
        }
        input = ByteBuffer()
    }

    /// Some hundred requests of the shortest kind.
    private static let pieceBytes = 4096
    /// Requests executed before the clock is looked at.
    private static let headsPerLook = 8

    /// Whether the session is to stop here: asked with each field of a head.
    @inline(__always)
    func pausesBeforeNextRequest() -> Bool {
        guard looksAtClock else { return false }
        looksAtClock = false
        return lane.isSliceOver
    }

    private func receivePiece(_ context: ChannelHandlerContext) {
        guard let session else { return }
        isReceiving = true
        // A copy that shares the memory: what a request causes may end the connection.
        let bytes = input
        let count = min(bytes.readableBytes, Self.pieceBytes)
        let consumed = bytes.withUnsafeReadableBytes { bytes in
            nghttp2_session_mem_recv(session, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), count)
        }
        isReceiving = false
        recent = nil
        input.moveReaderIndex(forwardBy: min(max(0, consumed), input.readableBytes))
        if consumed < 0 {
            // A broken preface, a flood, or memory: the session has queued its GOAWAY where one is due.
            input = ByteBuffer()
            pump(context)
            if context.channel.isWritable { close(context) } else { closeNow() }
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            fullSince = nil
            lane.beginTick()
            pump(context)
        }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // TLS without a close_notify, a reset: nothing that the peer could still be told.
        close(context)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .some(.inputClosed) = event as? ChannelEvent {
            // What it has sent before goes first.
            if input.readableBytes > 0 { isEndPending = true } else { inputEnded(context) }
            return
        }
        context.fireUserInboundEventTriggered(event)
    }

    private func inputEnded(_ context: ChannelHandlerContext) {
        isEndPending = false
        lane.beginTick()
        // A peer that has stopped sending may still read what it asked for, unless it was still asking.
        isInputClosed = true
        if exchanges.isEmpty || headBeganAt != nil || exchanges.contains(where: { !$0.isRequestEnded }) {
            close(context)
        } else {
            drain()
        }
    }

    // MARK: Output

    /// Draws what the session has to send and writes it, as long as the socket takes it.
    ///
    /// A write may find the peer gone and close the channel within the call, which ends the session: after each write it
    /// is looked up anew.
    func pump(_ context: ChannelHandlerContext) {
        // While the socket is full nothing is drawn: the session keeps it, within its own bounds and ours.
        guard !isPumping, !isClosed, context.channel.isWritable else { return }
        isPumping = true
        defer { isPumping = false }
        var goesOn = true
        while goesOn {
            guard let session else { return }
            draw(session)
            let didWrite = output.readableBytes > 0
            if didWrite { context.writeAndFlush(wrapOutboundOut(output), promise: nil) }
            lane.giveScratch(&output)
            let didUnpark = unpark()
            let didResume = resumeReaders()
            guard let session = self.session else { return }
            goesOn =
                (didWrite || didUnpark || didResume) && context.channel.isWritable
                && nghttp2_session_want_write(session) != 0
        }
        guard let session else { return }
        let wantsWrite = nghttp2_session_want_write(session) != 0
        let wantsRead = nghttp2_session_want_read(session) != 0 && !(isInputClosed && exchanges.isEmpty)
        if !wantsRead, !wantsWrite { close(context) }
    }

    /// Moves what the session has to send into ``output``, up to ``flushBytes`` and one frame.
    private func draw(_ session: OpaquePointer) {
        output = lane.takeScratch()
        while output.readableBytes < Self.flushBytes {
            var bytes: UnsafePointer<UInt8>?
            let count = nghttp2_session_mem_send(session, &bytes)
            guard count > 0, let bytes else { break }
            output.writeBytes(UnsafeRawBufferPointer(start: bytes, count: count))
        }
    }

    static let flushBytes = 65_536

    /// Pumps once the present callback is over.
    func schedulePump() {
        guard !isReceiving, !isPumping, !isPumpScheduled, let context else { return }
        isPumpScheduled = true
        context.eventLoop.assumeIsolated().execute {
            self.isPumpScheduled = false
            guard let context = self.context else { return }
            self.pump(context)
        }
    }

    /// Ends the connection once the socket has taken what was written.
    func close(_ context: ChannelHandlerContext) {
        guard !isClosed else { return }
        isClosed = true
        closingSince = lane.now
        context.closeWhenFlushed()
    }

    private func tearDown() {
        isClosed = true
        isWaitingForTurn = false
        lane.endService(self)
        input = ByteBuffer()
        lane.remove(self)
        for exchange in exchanges { release(exchange) }
        exchanges.removeAll()
        parked.removeAll()
        recent = nil
        if let session {
            // Callbacks do not run in here: libnghttp2 frees streams silently.
            nghttp2_session_del(session)
            self.session = nil
        }
    }

    /// Tells the door, gives back what the exchange reserved, and pools it.
    private func release(_ exchange: Exchange) {
        if !exchange.isResponded || exchange.responseBody.readableBytes > 0 || !exchange.isResponseEnded {
            exchange.door?.abandon(exchange)
        }
        dropHeldBody(of: exchange)
        if exchange.door != nil { headBytes -= exchange.request.size }
        exchange.responseBody.clear()
        countBacklog(of: exchange)
        lane.releaseBody(exchange, peer: peer)
        exchange.recycle()
        lane.pool(exchange)
    }

    // MARK: Streams

    @inline(__always)
    func exchange(_ streamID: Int32) -> Exchange? {
        if let recent, recent.streamID == streamID { return recent }
        guard let session, let pointer = nghttp2_session_get_stream_user_data(session, streamID) else { return nil }
        // The connection's list keeps it alive until the stream closes.
        let exchange = Unmanaged<Exchange>.fromOpaque(pointer).takeUnretainedValue()
        recent = exchange
        return exchange
    }

    func headBegan(streamID: Int32) -> Int32 {
        headBeganAt = lane.now
        headsUnlooked += 1
        if hasLargeAnswers || headsUnlooked >= Self.headsPerLook || lane.service.hasSlowCalls {
            hasLargeAnswers = false
            headsUnlooked = 0
            lane.service.hasSlowCalls = false
            looksAtClock = true
        }
        let exchange = lane.makeExchange(for: self)
        exchange.open(transport: self, streamID: streamID, now: lane.now)
        exchange.slot = exchanges.count
        exchanges.append(exchange)
        recent = exchange
        return nghttp2_session_set_stream_user_data(session, streamID, Unmanaged.passUnretained(exchange).toOpaque())
    }

    func headerReceived(streamID: Int32, name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        guard let exchange = exchange(streamID), exchange.door == nil else { return }
        let limit = lane.limits.headerBytes
        if name.count > 1, name[0] == UInt8(ascii: ":") {
            if name.matches(":path") {
                exchange.request.setPath(value, limit: limit)
            } else if name.matches(":method") {
                exchange.request.setMethod(value)
            } else if name.matches(":protocol") {
                exchange.request.setProtocol(value)
            } else if name.matches(":authority") {
                exchange.request.add(name: Self.hostName, value: value, limit: limit)
            }
            return
        }
        exchange.request.add(name: name, value: value.withoutBlanks, limit: limit)
    }

    private static let hostText: StaticString = "host"
    private static var hostName: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: hostText.utf8Start, count: hostText.utf8CodeUnitCount)
    }

    func frameReceived(_ header: nghttp2_frame_hd) {
        let isEnd = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
        switch header.type {
        case UInt8(NGHTTP2_HEADERS.rawValue):
            headBeganAt = nil
            guard let exchange = exchange(header.stream_id) else { return }
            if isEnd { exchange.isRequestEnded = true }
            if exchange.door == nil {
                idleFrames = 0
                headComplete(exchange)
            } else if isEnd {
                bodyEnded(exchange)
            }
        case UInt8(NGHTTP2_DATA.rawValue):
            guard isEnd else {
                // Nothing but padding.
                if dataBytesOfFrame == 0, header.length > 0 { countIdleFrame() }
                return
            }
            guard let exchange = exchange(header.stream_id) else { return }
            exchange.isRequestEnded = true
            bodyEnded(exchange)
        default:
            break
        }
    }

    private func headComplete(_ exchange: Exchange) {
        exchange.door = lane.router.door(for: exchange)
        headBytes += exchange.request.size
        if headBytes > lane.limits.headBytesPerConnection {
            reset(exchange, code: NGHTTP2_REFUSED_STREAM)
            return
        }
        exchange.door?.receiveHead(exchange)
    }

    private func bodyEnded(_ exchange: Exchange) {
        exchange.endIfFlowing()
    }

    func streamClosed(streamID: Int32) {
        guard let exchange = exchange(streamID) else { return }
        recent = nil
        // A head that libnghttp2 has refused never becomes complete.
        if exchange.door == nil { headBeganAt = nil }
        let slot = exchange.slot
        if slot < exchanges.count - 1 {
            exchanges[slot] = exchanges[exchanges.count - 1]
            exchanges[slot].slot = slot
        }
        exchanges.removeLast()
        if !parked.isEmpty { parked.removeAll { $0 === exchange } }
        release(exchange)
    }

    func dropHead(of exchange: Exchange) {
        headBytes -= exchange.request.size
        exchange.request.reset()
    }

    func upgrade(_ exchange: Exchange, _ handshake: WebSocketHandshake, _ session: WebSocketSession) {
        WebSocketStream.open(exchange, handshake, session)
    }

    func reset(_ exchange: Exchange) {
        reset(exchange, code: NGHTTP2_INTERNAL_ERROR)
    }

    func reset(_ exchange: Exchange, code: nghttp2_error_code) {
        guard let session else { return }
        exchange.bodyMode = .discarding
        dropHeldBody(of: exchange)
        nghttp2_submit_rst_stream(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), exchange.streamID, UInt32(code.rawValue))
        schedulePump()
    }
}
