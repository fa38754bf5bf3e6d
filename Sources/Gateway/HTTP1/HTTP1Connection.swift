import CacheService
import NIOCore
import NIOHTTP1
import Tenancy

/// One HTTP/1.1 connection. swift-nio's decoder reads requests; responses are written as bytes by ourselves, into the
/// lane's output buffer, one write and flush a read.
///
/// Requests of a pipeline are executed one after the other, each when the one before has been answered, so their
/// answers cannot change places. What arrives meanwhile waits in `queue`, which one read fills at most: while it is not
/// empty, nothing is read from the socket.
final class HTTP1Connection: ChannelDuplexHandler, RemovableChannelHandler, LaneConnection, ExchangeTransport {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    let lane: GatewayLane
    let peer: Peer
    var laneSlot = -1
    private var context: ChannelHandlerContext?
    private var exchange: Exchange?
    /// Parts of requests that wait for the present one's answer.
    private var queue = CircularBuffer<HTTPServerRequestPart>()
    private var output = ByteBuffer()
    private var hasScratch = false
    private var isInRead = false
    private var wantsRead = false
    private var isClosed = false
    private var closingSince: Timestamp?
    private var isDraining = false
    private var isDrainingQueue = false
    private var isInputClosed = false
    /// What is wrong with the bytes behind the requests that still wait for their answers.
    private var pendingRefusal: MartletError?
    /// Since when only the rest of a refused body is awaited.
    private var lingersSince: Timestamp?
    private var lingeredBytes = 0
    /// The present request's connection ends with its response.
    private var closesAfterResponse = false
    /// The response's body is sent in chunks.
    private var isChunked = false
    private var isHeadWritten = false
    private var isVersionOne = false
    private var lastActivity: Timestamp
    private var headBeganAt: Timestamp?
    /// Since when every sweep has found the socket full.
    private var fullSince: Timestamp?
    /// The present request leaves HTTP for this, once it is complete.
    private var upgrade: (handshake: WebSocketHandshake, session: WebSocketSession)?
    /// The handler that reads requests, which goes when HTTP is left.
    var decoder: ByteToMessageHandler<HTTPRequestDecoder>?
    /// Who stands before it and has turns; nil where a test puts it into a pipeline of its own.
    weak var detector: ProtocolDetector?

    init(lane: GatewayLane, peer: Peer) {
        self.lane = lane
        self.peer = peer
        lastActivity = lane.now
        headBeganAt = lane.now
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        lane.add(self)
        isDraining = lane.isDraining
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
        guard !isClosed else { return }
        lane.beginTick()
        lastActivity = lane.now
        isInRead = true
        let part = unwrapInboundIn(data)
        if lingersSince != nil {
            linger(part)
        } else if mustWait(part) {
            queue.append(part)
        } else {
            receive(part)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isInRead = false
        flush()
        context.fireChannelReadComplete()
    }

    func read(context: ChannelHandlerContext) {
        // While requests wait here, or a body that nobody has let in yet, the socket is left alone.
        if mayRead(context) {
            wantsRead = false
            context.read()
        } else {
            wantsRead = true
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            lane.beginTick()
            lastActivity = lane.now
            fullSince = nil
            if let exchange, isHeadWritten {
                responseBodyReady(exchange)
                exchange.tellReaderIsBack()
                lane.flushTouched()
            }
            drainQueue()
            flush()
        }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard !isClosed, lingersSince == nil, let error = error as? HTTPParserError, exchange?.isResponded != true
        else {
            close()
            return
        }
        let refusal: MartletError =
            error == .headerOverflow
            ? .headersTooLarge(limit: lane.limits.headerBytes) : .malformed("the request is not valid HTTP/1.1")
        if exchange?.isBusy ?? false || !queue.isEmpty {
            // What was asked before still gets its answer first.
            pendingRefusal = refusal
            return
        }
        lane.beginTick()
        refuseAndClose(refusal)
    }

    /// What follows on the connection cannot be told apart any more: answers once, and ends it.
    private func refuseAndClose(_ refusal: MartletError) {
        closesAfterResponse = true
        let exchange = exchange ?? beginExchange()
        exchange.isRequestEnded = true
        exchange.respond(error: refusal)
        close()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .some(.inputClosed) = event as? ChannelEvent {
            lane.beginTick()
            // Whoever has sent whole requests before still gets their answers.
            isInputClosed = true
            if lingersSince != nil || (exchange == nil && queue.isEmpty) || exchange?.endsWithInput == true { close() }
            return
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// Whether a part has to wait: for the answer before it, or, where a request begins, until the reader has taken what
    /// was answered.
    private func mustWait(_ part: HTTPServerRequestPart) -> Bool {
        if exchange?.isBusy ?? false || !queue.isEmpty { return true }
        if case .head = part, let context, !context.channel.isWritable { return true }
        return false
    }

    private var isBodyHeld: Bool {
        guard let exchange else { return false }
        return exchange.bodyMode == .held && exchange.requestBodyReceived > 0 && !exchange.isResponded
    }

    private func mayRead(_ context: ChannelHandlerContext) -> Bool {
        // Of a response that goes on, the end is to be noticed: that of whoever reads it.
        if lingersSince != nil || exchange?.endsWithInput == true { return queue.isEmpty }
        // Behind a last request nothing is awaited. After an Upgrade or CONNECT the decoder would only hoard it.
        let isLast = isClosed || (closesAfterResponse && exchange?.isRequestEnded == true)
        return queue.isEmpty && !isBodyHeld && !isLast && context.channel.isWritable
    }

    private func resumeReading() {
        guard wantsRead, let context, mayRead(context) else { return }
        wantsRead = false
        context.read()
    }

    /// Bytes came in that are no complete part yet: from now on the head has to be finished in time.
    func bytesArrived() {
        if exchange == nil, headBeganAt == nil { headBeganAt = lane.now }
    }

    // MARK: Requests

    private func receive(_ part: HTTPServerRequestPart) {
        switch part {
        case .head(let head): receive(head)
        case .body(let body): receive(body)
        case .end: receiveEnd()
        }
    }

    private func beginExchange() -> Exchange {
        let exchange = lane.makeExchange(for: self)
        exchange.open(transport: self, streamID: 0, now: lane.now)
        self.exchange = exchange
        isHeadWritten = false
        isChunked = false
        return exchange
    }

    private func receive(_ head: HTTPRequestHead) {
        headBeganAt = nil
        closesAfterResponse = !head.isKeepAlive || isDraining || head.leavesHTTP
        isVersionOne = head.version.major == 1 && head.version.minor == 0
        let exchange = beginExchange()
        exchange.isExpectingLongBody = head.headers.announceLongBody
        let limit = lane.limits.headerBytes
        withBytes(of: head.method.rawValue) { exchange.request.setMethod($0) }
        withBytes(of: head.uri) { exchange.request.setPath(Self.originForm($0), limit: limit) }
        for (name, value) in head.headers {
            // HTTP/1.0 has no upgrade, and one that is asked for in it is not seen (RFC 9110 section 7.8).
            if isVersionOne, name.lowercasedASCII == "upgrade" { continue }
            withBytes(of: name.lowercasedASCII) { name in
                withBytes(of: value) { exchange.request.add(name: name, value: $0, limit: limit) }
            }
        }
        if let refusal = faultOfFraming(head) {
            // Where the request ends is in doubt, so nothing behind it is read.
            closesAfterResponse = true
            exchange.isRequestEnded = true
            exchange.respond(error: refusal)
            return
        }
        exchange.door = lane.router.door(for: exchange)
        if let expectation = exchange.request.withValue(.expect, { $0.matchesIgnoringCase("100-continue") }),
            !expectation
        {
            exchange.respond(error: .expectationFailed)
            return
        }
        exchange.door?.receiveHead(exchange)
    }

    /// The target without scheme and authority, where a client sends them as to a proxy (RFC 9112 section 3.2.2).
    private static func originForm(_ target: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        var start: Int
        if target.count >= 7, target.slice(0..<7).matchesIgnoringCase("http://") {
            start = 7
        } else if target.count >= 8, target.slice(0..<8).matchesIgnoringCase("https://") {
            start = 8
        } else {
            return target
        }
        while start < target.count, target[start] != 0x2F { start += 1 }
        return target.slice(start..<target.count)
    }

    /// What RFC 9112 forbids and two servers in a row could read differently (request smuggling, sections 3.2, 6.1, 6.3).
    private func faultOfFraming(_ head: HTTPRequestHead) -> MartletError? {
        guard head.version.major == 1 else { return .malformed("only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here") }
        let hosts = head.headers["host"]
        if hosts.count > 1 || (hosts.isEmpty && head.version.minor > 0) {
            return .malformed("an HTTP/1.1 request carries exactly one Host field")
        }
        let lengths = head.headers["content-length"]
        let codings = head.headers["transfer-encoding"]
        if lengths.count > 1 { return .malformed("Content-Length must stand once") }
        if !lengths.isEmpty, !codings.isEmpty {
            return .malformed("Content-Length must not stand beside Transfer-Encoding")
        }
        if codings.count > 1 || (codings.count == 1 && codings[0].lowercased() != "chunked") {
            return .malformed("the only transfer coding that is understood is chunked")
        }
        if !codings.isEmpty, head.version.minor == 0 {
            return .malformed("HTTP/1.0 has no Transfer-Encoding")
        }
        return nil
    }

    private func receive(_ body: ByteBuffer) {
        guard let exchange, body.readableBytes > 0 else { return }
        exchange.progressedAt = lane.now
        exchange.requestBodyReceived += body.readableBytes
        switch exchange.bodyMode {
        case .held:
            var body = body
            exchange.requestBody.writeBuffer(&body)
        case .collecting:
            body.withUnsafeReadableBytes { _ = lane.collect(exchange, $0, peer: peer) }
        case .streaming:
            body.withUnsafeReadableBytes { exchange.door?.receiveBody(exchange, $0) }
        case .discarding:
            // A body in chunks that turns out long after all.
            if exchange.isResponseEnded, exchange.requestBodyReceived > HTTPHeaders.longBodyBytes {
                finishExchange(exchange, closing: true)
            }
        }
    }

    /// Reads on after a last response, and forgets what it reads, so that the response is not lost in a reset
    /// (RFC 9112 section 9.6).
    private func linger(_ part: HTTPServerRequestPart) {
        switch part {
        case .body(let bytes):
            lingeredBytes += bytes.readableBytes
            if lingeredBytes > Self.lingerBytes { close() }
        case .end:
            close()
        case .head:
            break
        }
    }

    private static let lingerBytes = 16 << 20
    private static let lingerMilliseconds: Int64 = 2000

    private func receiveEnd() {
        guard let exchange else { return }
        exchange.isRequestEnded = true
        if upgrade != nil {
            leaveHTTP()
            return
        }
        exchange.endIfFlowing()
        finishIfComplete(exchange)
    }

    func requestBodyResumed(_ exchange: Exchange) {
        if exchange.requestBody.readableBytes > 0 {
            switch exchange.bodyMode {
            case .collecting:
                // Refused, the exchange may serve another request by now.
                guard lane.adoptHeld(exchange, peer: peer) else { return }
            case .streaming:
                let bytes = exchange.requestBody
                exchange.requestBody.clear()
                bytes.withUnsafeReadableBytes { exchange.door?.receiveBody(exchange, $0) }
            case .held, .discarding:
                break
            }
        }
        if exchange.isRequestEnded {
            exchange.endIfFlowing()
        } else if exchange.requestBodyReceived == 0, !isVersionOne,
            exchange.request.withValue(.expect, { $0.matchesIgnoringCase("100-continue") }) == true
        {
            write("HTTP/1.1 100 Continue\r\n\r\n")
            flushUnlessReading()
        }
        drainQueue()
        resumeReading()
    }

    // MARK: Responses

    func responseHeadReady(_ exchange: Exchange) {
        guard exchange === self.exchange, !isClosed else { return }
        // A long body that nobody wants is not read for the sake of the next request: the connection ends with the
        // answer.
        if !exchange.isRequestEnded, exchange.bodyMode == .discarding, exchange.isExpectingLongBody {
            closesAfterResponse = true
        }
        writeHead(exchange)
        responseBodyReady(exchange)
        // The rest of a body that was held is read past now.
        resumeReading()
    }

    func responseBodyReady(_ exchange: Exchange) {
        guard exchange === self.exchange, !isClosed else { return }
        if exchange.request.method == .head || exchange.response.status == 204 || exchange.response.status == 304 {
            exchange.responseBody.clear()
            isChunked = false
        }
        writeBody(exchange)
        lane.countBacklog(of: exchange)
        finishIfComplete(exchange)
        flushUnlessReading()
    }

    private func finishIfComplete(_ exchange: Exchange) {
        guard exchange === self.exchange, exchange.isResponseEnded, isHeadWritten,
            exchange.responseBody.readableBytes == 0
        else { return }
        guard exchange.isRequestEnded || (closesAfterResponse && exchange.isExpectingLongBody) else { return }
        finishExchange(exchange, closing: closesAfterResponse || isDraining)
    }

    private func finishExchange(_ exchange: Exchange, closing: Bool) {
        self.exchange = nil
        let isPeerSending = !exchange.isRequestEnded
        exchange.responseBody.clear()
        lane.countBacklog(of: exchange)
        lane.releaseBody(exchange, peer: peer)
        exchange.recycle()
        lane.pool(exchange)
        if closing {
            queue.removeAll()
            flush()
            if isPeerSending, !isInputClosed {
                lingersSince = lane.now
                context?.closeWhenFlushed(mode: .output)
                resumeReading()
            } else {
                close()
            }
            return
        }
        headBeganAt = nil
        if !isDrainingQueue { drainQueue() }
    }

    /// Goes on with requests that waited for an answer or the reader.
    func takeTurn() {
        guard context != nil, !queue.isEmpty else { return }
        drainQueue()
    }

    /// Takes up the requests that waited, as long as the reader takes the answers.
    private func drainQueue() {
        guard !isDrainingQueue else { return }
        if !queue.isEmpty, let detector, !lane.serves(detector) {
            // In a turn, like all that is executed.
            return detector.askForTurn()
        }
        isDrainingQueue = true
        while !isClosed, lingersSince == nil, !(exchange?.isBusy ?? false), let part = queue.first {
            if case .head = part, let context, !context.channel.isWritable { break }
            queue.removeFirst()
            receive(part)
            // Answers go to the socket as they grow, so that it can say when it has enough.
            if output.readableBytes > HTTP2Connection.flushBytes { flush() }
            guard queue.isEmpty || detector == nil || !lane.isSliceOver else {
                detector?.askForTurn()
                break
            }
        }
        isDrainingQueue = false
        guard queue.isEmpty else { return }
        if exchange == nil, let pendingRefusal {
            refuseAndClose(pendingRefusal)
            return
        }
        resumeReading()
        if isInputClosed, exchange == nil { close() }
    }

    func reset(_ exchange: Exchange) {
        close()
    }

    private func writeHead(_ exchange: Exchange) {
        let head = exchange.response
        isHeadWritten = true
        if exchange.response.closesConnection || isDraining || lane.isDraining { closesAfterResponse = true }
        takeScratch()
        var renderer = FieldRenderer(exchange.rendered)
        write("HTTP/1.1 ")
        output.writeBytes(renderer.decimal(head.status))
        write(Self.reason(head.status))
        write("\r\ndate: ")
        output.writeBytes(lane.dateText)
        if head.contentType != .none {
            write("\r\ncontent-type: ")
            write(head.contentType.text)
        }
        let hasNoBody = head.status == 204 || head.status == 304
        if let length = head.contentLength, !hasNoBody {
            write("\r\ncontent-length: ")
            output.writeBytes(renderer.decimal(length))
        } else if !hasNoBody {
            if exchange.isResponseEnded {
                write("\r\ncontent-length: ")
                output.writeBytes(renderer.decimal(exchange.responseBody.readableBytes))
            } else if isVersionOne {
                closesAfterResponse = true
            } else {
                isChunked = true
                write("\r\ntransfer-encoding: chunked")
            }
        }
        if let etag = head.etag {
            write("\r\netag: ")
            output.writeBytes(renderer.etag(etag))
        }
        if head.contentCoding == .zstd { write("\r\ncontent-encoding: zstd") }
        if head.variesByEncoding { write("\r\nvary: accept-encoding") }
        if head.allowsAnyOrigin {
            write("\r\naccess-control-allow-origin: *\r\naccess-control-expose-headers: ")
            write(head.exposedFields)
        }
        if let requestID = head.requestID {
            write("\r\nx-request-id: ")
            output.writeBytes(renderer.hexadecimal(requestID))
        }
        if let rendered = head.rendered, rendered.lines.count > 2 {
            write("\r\n")
            // Without the last line end, which the next field brings.
            rendered.lines.withUnsafeBytes { _ = output.writeBytes(UnsafeRawBufferPointer(rebasing: $0.dropLast(2))) }
        }
        for (name, value) in head.extra {
            write("\r\n")
            output.writeString(name)
            write(": ")
            output.writeString(value)
        }
        if closesAfterResponse {
            write("\r\nconnection: close")
        } else if isVersionOne {
            write("\r\nconnection: keep-alive")
        }
        write("\r\n\r\n")
    }

    /// Writes what there is of the body, as long as the socket takes it. The rest waits in the exchange.
    private func writeBody(_ exchange: Exchange) {
        while exchange.responseBody.readableBytes > 0, let context {
            guard context.channel.isWritable else { return }
            takeScratch()
            let count = min(exchange.responseBody.readableBytes, HTTP2Connection.flushBytes)
            if isChunked {
                output.writeString(String(count, radix: 16))
                write("\r\n")
            }
            if var slice = exchange.responseBody.readSlice(length: count) { output.writeBuffer(&slice) }
            if isChunked { write("\r\n") }
            exchange.progressedAt = lane.now
            if output.readableBytes >= HTTP2Connection.flushBytes { flush() }
        }
        if exchange.isResponseEnded, isChunked {
            takeScratch()
            write("0\r\n")
            if exchange.endsWithGRPCOK { write("grpc-status: 0\r\n") }
            for (name, value) in exchange.trailers { output.writeString("\(name): \(value)\r\n") }
            write("\r\n")
            isChunked = false
        }
    }

    @inline(__always)
    private func write(_ text: StaticString) {
        takeScratch()
        output.writeBytes(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private func takeScratch() {
        guard !hasScratch else { return }
        hasScratch = true
        output = lane.takeScratch()
    }

    private func flushUnlessReading() {
        if !isInRead { flush() }
    }

    private func flush() {
        guard let context, !isClosed else { return }
        if hasScratch {
            hasScratch = false
            let didWrite = output.readableBytes > 0
            if didWrite { context.writeAndFlush(wrapOutboundOut(output), promise: nil) } else { context.flush() }
            lane.giveScratch(&output)
        }
    }

    // MARK: WebSocket

    func upgrade(_ exchange: Exchange, _ handshake: WebSocketHandshake, _ session: WebSocketSession) {
        guard exchange === self.exchange, !isClosed else {
            session.carrierEnded()
            return
        }
        upgrade = (handshake, session)
        // The rest of the request, if only its end, is still on its way through the decoder.
        if exchange.isRequestEnded { leaveHTTP() }
    }

    /// Answers the handshake (RFC 6455 section 4.2.2) and gives the connection to a handler of frames. What the decoder
    /// holds of them already, it hands on when it is removed.
    private func leaveHTTP() {
        guard let (handshake, session) = upgrade, let exchange, let context, let decoder else { return }
        upgrade = nil
        write("HTTP/1.1 101 Switching Protocols\r\ndate: ")
        output.writeBytes(lane.dateText)
        write("\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ")
        output.writeString(handshake.accept ?? "")
        if let name = handshake.protocolToEcho {
            write("\r\nsec-websocket-protocol: ")
            output.writeString(name)
        }
        write("\r\n\r\n")
        flush()
        guard self.context != nil, exchange === self.exchange else {
            // The peer was found gone.
            session.carrierEnded()
            return
        }
        self.exchange = nil
        isClosed = true
        lane.releaseBody(exchange, peer: peer)
        exchange.recycle()
        lane.pool(exchange)
        let channel = WebSocketChannel(lane, peer, session)
        do {
            let pipeline = context.pipeline.syncOperations
            try pipeline.addHandler(channel, position: .after(self))
            pipeline.removeHandler(self, promise: nil)
            pipeline.removeHandler(decoder, promise: nil)
        } catch {
            session.carrierEnded()
            context.close(promise: nil)
            return
        }
        session.begin(on: channel)
        channel.start()
    }

    /// There is one at a time, which stays until the response is complete.
    func dropHead(of exchange: Exchange) {}

    func isReady(_ exchange: Exchange) -> Bool {
        !isClosed && exchange.responseBody.readableBytes == 0 && context?.channel.isWritable ?? false
    }

    // MARK: Ends

    /// Ends the connection once the socket has taken what was written.
    private func close() {
        guard !isClosed, let context else { return }
        flush()
        isClosed = true
        closingSince = lane.now
        // Who lingers has told the peer already that nothing more comes.
        if lingersSince == nil { context.closeWhenFlushed() } else { context.close(promise: nil) }
    }

    private func tearDown() {
        isClosed = true
        lane.remove(self)
        queue.removeAll()
        upgrade?.session.carrierEnded()
        upgrade = nil
        decoder = nil
        guard let exchange else { return }
        self.exchange = nil
        exchange.door?.abandon(exchange)
        exchange.responseBody.clear()
        lane.countBacklog(of: exchange)
        lane.releaseBody(exchange, peer: peer)
        exchange.recycle()
        lane.pool(exchange)
    }

    func sweep(now: Timestamp) {
        let limits = lane.limits
        let isFull = context.map { !$0.channel.isWritable } ?? false
        fullSince = isFull ? fullSince ?? now : nil
        let isStuck = fullSince.map { now.milliseconds - $0.milliseconds > limits.stallMilliseconds } ?? false
        if let closingSince {
            if now.milliseconds - closingSince.milliseconds > limits.stallMilliseconds { closeAbruptly() }
            return
        }
        if let lingersSince {
            if now.milliseconds - lingersSince.milliseconds > Self.lingerMilliseconds { close() }
            return
        }
        let still = now.milliseconds - lastActivity.milliseconds
        if let exchange {
            guard exchange.isStalled(now: now, limits: limits) else {
                // A reader that does not read, or a body that nobody wants and that does not end either.
                let isUnended = exchange.isResponseEnded && !exchange.isRequestEnded
                if isStuck || (isUnended && still > limits.stallMilliseconds) { closeAbruptly() }
                return
            }
            if exchange.isResponded {
                closeAbruptly()
                return
            }
            closesAfterResponse = true
            exchange.refuse(.requestTimeout)
            close()
        } else if let began = headBeganAt, now.milliseconds - began.milliseconds > limits.headMilliseconds {
            close()
        } else if still > limits.idleMilliseconds {
            close()
        } else if isStuck {
            closeAbruptly()
        }
    }

    private func closeAbruptly() {
        isClosed = true
        context?.close(promise: nil)
    }

    func drain() {
        isDraining = true
        if exchange == nil, queue.isEmpty { close() }
    }

    /// The connection's own requests wait in the queue while its reader is behind.
    var isCrowded: Bool { lane.isCrowded(peer.lastCaller) }

    func park(_ exchange: Exchange) {
        exchange.refuse(lane.crowdedRefusal())
    }

    func closeNow() {
        closeAbruptly()
    }
}

extension Exchange {
    /// Whether the next request of the connection has to wait: this one is complete but not answered, or its body is
    /// held, so that parts behind it cannot be told to anyone.
    fileprivate var isBusy: Bool {
        isRequestEnded
    }
}
