import Admission
import NIOCore
import Tenancy

/// One WebSocket (RFC 6455), whatever carries it and whatever it is used for: frames in and out, the closing handshake,
/// and the bounds on a client that breaks rules, floods, or does not read.
///
/// ```
///            close frame of ours, an ending of ours          the client's close frame, or its end, or time
///   open ─────────────────────────────────────────▶ closing ───────────────────────────────────────────▶ over
///     └───────────── the client's close frame (answered), its end, an error of the carrier ────────────────▲
/// ```
///
/// While it is closing, what the client still sends is thrown away: a socket that is closed with unread bytes would take
/// the close frame with it.
final class WebSocketSession: LaneStream {
    private enum State {
        case open
        /// Since when, on the lane's ``GatewayLane/uptimeMilliseconds``.
        case closing(since: Int64)
        case over
    }

    let lane: GatewayLane
    var streamSlot = -1
    var isTouched = false
    var isReaderBack = false
    private let application: any WebSocketApplication
    /// It and the session hold each other until the session is over.
    private var carrier: (any WebSocketCarrier)?
    private var state = State.open
    private var hasLeft = false
    private var decoder: WebSocketDecoder
    private var isFeeding = false
    /// The application is not done with what it received: the client waits.
    private var isBusy = false
    /// Frames that wait for the end of this piece of work.
    private var output = ByteBuffer()
    /// The application was told to wait until these have left.
    private var isHoldingBack = false
    /// What is reserved, of the tenant's budget, for what the decoder keeps.
    private let budget: SharedByteBudget
    private var reservedBytes = 0
    private var messageBeganAt: Int64?
    private var controlFrames = 0
    private var controlFramesSince: Int64

    /// How long the client has to answer a close frame.
    private static let closeMilliseconds: Int64 = 2000
    /// What the decoder may keep unreserved: a message that came in two pieces.
    private static let freeBytes = 16_384
    /// Where a client sends on while it has to wait.
    private static let unreadBytes = 4 << 20

    /// - Parameter budget: What the client's tenant may have in messages that are not complete.
    init(_ lane: GatewayLane, _ application: any WebSocketApplication, budget: SharedByteBudget) {
        self.lane = lane
        self.application = application
        self.budget = budget
        decoder = WebSocketDecoder(messageBytesLimit: application.messageBytesLimit)
        controlFramesSince = lane.uptimeMilliseconds
    }

    /// The handshake is over, and frames may be sent.
    func begin(on carrier: any WebSocketCarrier) {
        self.carrier = carrier
        lane.add(self)
        application.begin(self)
        flush()
    }

    var peer: Peer? { carrier?.peer }

    var isOpen: Bool {
        if case .open = state { carrier != nil } else { false }
    }

    // MARK: In

    func receive(_ bytes: UnsafeRawBufferPointer) {
        guard !isFeeding else { return }
        switch state {
        case .open where isBusy:
            // What was read before the carrier could stop: its turn comes with `goOn`.
            decoder.hold(bytes)
            checkBounds()
        case .open:
            feed(bytes)
            flush()
        case .closing:
            awaitClose(bytes)
        case .over:
            break
        }
    }

    /// Reads on for the client's close frame alone.
    private func awaitClose(_ bytes: UnsafeRawBufferPointer) {
        var isAnswered = false
        isFeeding = true
        // Where the frames cannot be told apart any more, its end or time is waited for.
        try? decoder.feed(bytes) { event in
            if case .close = event { isAnswered = true }
            return true
        }
        isFeeding = false
        if isAnswered { finish() }
    }

    private func feed(_ bytes: UnsafeRawBufferPointer) {
        adoptMessageLimit()
        isFeeding = true
        do throws(WebSocketViolation) {
            try decoder.feed(bytes) { event in
                handle(event)
                return isOpen && !isBusy
            }
        } catch {
            isFeeding = false
            close(error.closeCode, reason: error.reason)
            // Its close frame could not be told from the rest any more. The end of what it sends can.
            carrier?.endOutput()
            return
        }
        isFeeding = false
        guard isOpen else { return }
        if decoder.isInsideMessage {
            messageBeganAt = messageBeganAt ?? lane.uptimeMilliseconds
        } else {
            messageBeganAt = nil
        }
        checkBounds()
    }

    /// Takes up a limit that was changed. A message that has begun is received under the one that it began under, unless
    /// the new one is higher.
    private func adoptMessageLimit() {
        let limit = application.messageBytesLimit
        if limit > decoder.messageBytesLimit || !decoder.isInsideMessage { decoder.messageBytesLimit = limit }
    }

    /// Accounts for what the decoder keeps, and ends the session where that is too much.
    private func checkBounds() {
        guard reserve(decoder.bufferedBytes) else {
            close(1013, reason: "the server has no memory to spare for this message")
            return
        }
        if decoder.bufferedBytes > decoder.messageBytesLimit + Self.unreadBytes {
            close(1008, reason: "too much was sent while the server was at work")
        }
    }

    private func handle(_ event: WebSocketEvent) {
        guard isOpen else { return }
        switch event {
        case .text(let text):
            application.receive(text)
        case .binary:
            refuse(.malformed("messages to the server are text frames"))
        case .ping(let payload):
            countControlFrame()
            if isOpen { WebSocketEncoder.writePong(payload, to: &output) }
        case .pong:
            countControlFrame()
        case .close(let code, _):
            answerClose(code)
        }
    }

    /// A frame that costs us work and the client nothing: a control frame, one that was refused, another credential.
    func countControlFrame() {
        if lane.uptimeMilliseconds - controlFramesSince > 10_000 {
            controlFramesSince = lane.uptimeMilliseconds
            controlFrames = 0
        }
        controlFrames += 1
        if controlFrames > lane.limits.idleFramesPerTenSeconds {
            close(1008, reason: "too many frames to no end")
        }
    }

    /// Holds back what the client sends until ``goOn()``: `work` is not done when it returns, as the check of a
    /// credential may be not.
    func wait(for work: () -> Void) {
        isBusy = true
        work()
        if isBusy { carrier?.pauseReading(true) }
    }

    /// Takes up what was held back.
    func goOn() {
        guard isBusy, isOpen else { return }
        isBusy = false
        // A decoder that is at work goes on by itself, and must not be looked at.
        if !isFeeding, decoder.hasUnread { feed(UnsafeRawBufferPointer(start: nil, count: 0)) }
        flush()
        if !isBusy { carrier?.pauseReading(false) }
    }

    private func reserve(_ count: Int) -> Bool {
        if count <= Self.freeBytes {
            release()
            return true
        }
        let more = count - reservedBytes
        guard more > 0 else { return true }
        guard budget.reserve(more) else { return false }
        reservedBytes += more
        return true
    }

    private func release() {
        guard reservedBytes > 0 else { return }
        budget.release(reservedBytes)
        reservedBytes = 0
    }

    // MARK: Out

    /// Whether the client takes more frames. When it does not, ``WebSocketApplication/sessionIsReady()`` says when it
    /// does again.
    var isReady: Bool {
        guard isOpen, let carrier else { return false }
        guard output.readableBytes < HTTP2Connection.flushBytes else {
            isHoldingBack = true
            return false
        }
        return carrier.isReady
    }

    /// Sends frames that are whole already: at once, if nothing waits before them.
    func send(frames: ByteBuffer) {
        guard isOpen else { return }
        guard output.readableBytes == 0 else {
            output.writeImmutableBuffer(frames)
            lane.touch(self)
            return
        }
        carrier?.write(frames)
    }

    /// Sends frames together with whatever else this piece of work sends.
    func append(_ write: (inout ByteBuffer) -> Void) {
        guard isOpen else { return }
        write(&output)
        lane.touch(self)
    }

    /// Sends one JSON object.
    func send(json: some Collection<UInt8>) {
        append { output in
            WebSocketEncoder.writeTextHead(payloadBytes: json.count, to: &output)
            output.writeBytes(json)
        }
    }

    /// Sends `{"error":{…}}`, with the id of what it is about where there is one.
    func send(error: MartletError, id: [UInt8]? = nil) {
        var text = Array("{".utf8)
        if let id {
            text += "\"id\":".utf8
            text += id
            text += ",".utf8
        }
        text += "\"error\":".utf8
        text += error.json.dropLast()  // its line break
        text += "}".utf8
        send(json: text)
    }

    /// Answers a frame that was refused.
    func refuse(_ error: MartletError, id: [UInt8]? = nil) {
        send(error: error, id: id)
        countControlFrame()
    }

    func flushTouched() {
        flush()
    }

    private func flush() {
        guard output.readableBytes > 0 else { return }
        let frames = output
        output = ByteBuffer()
        carrier?.write(frames)
        guard isHoldingBack, isOpen, carrier?.isReady ?? false else { return }
        isHoldingBack = false
        lane.queueReader(of: self)
    }

    /// The client has taken what was written.
    func carrierIsReady() {
        if isOpen { lane.queueReader(of: self) }
    }

    func readerIsBack() {
        guard isOpen else { return }
        application.sessionIsReady()
        flush()
    }

    // MARK: Ends

    /// Ends the session for a reason of the service's, with a last frame that says which.
    func end(_ error: MartletError) {
        guard isOpen else { return }
        send(error: error)
        close(error.row.webSocketClose, reason: error.row.code)
    }

    /// Sends a close frame, and waits a while for the client's.
    func close(_ code: UInt16, reason: String) {
        guard isOpen else { return }
        WebSocketEncoder.writeClose(code, reason: reason, to: &output)
        state = .closing(since: lane.uptimeMilliseconds)
        leave()
        flush()
        carrier?.pauseReading(false)
    }

    private func answerClose(_ code: UInt16?) {
        WebSocketEncoder.writeClose(code, to: &output)
        state = .closing(since: lane.uptimeMilliseconds)
        leave()
        flush()
        finish()
    }

    /// The client has stopped sending, with or without a close frame.
    func inputEnded() {
        finish()
    }

    /// The connection or stream is gone, or never came to be.
    func carrierEnded() {
        leave()
        over()
    }

    /// The application has no business any more. Once is enough.
    private func leave() {
        guard !hasLeft else { return }
        hasLeft = true
        application.sessionEnded()
        release()
    }

    private func finish() {
        leave()
        let carrier = carrier
        over()
        carrier?.finish()
    }

    private func over() {
        state = .over
        carrier = nil
        output = ByteBuffer()
        lane.remove(self)
        release()
    }

    // MARK: LaneStream

    func tick(now: Timestamp) {
        switch state {
        case .open:
            if let began = messageBeganAt, lane.uptimeMilliseconds - began > lane.limits.stallMilliseconds {
                close(1008, reason: "the message took too long")
                return
            }
            application.tick(now: now)
        case .closing(let since):
            if lane.uptimeMilliseconds - since > Self.closeMilliseconds { finish() }
        case .over:
            break
        }
    }

    func drain() {
        end(.unavailable("the server is being stopped: connect again and resume"))
    }
}
