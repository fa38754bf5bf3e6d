import Admission
import Admission
import CacheService
import Logging
import NIOCore
import Tenancy

/// A connection as its lane sees it.
protocol LaneConnection: AnyObject {
    /// The place in the lane's list; -1 when in none.
    var laneSlot: Int { get set }
    /// Called about once a second: gives up what is idle, stalled or slow.
    func sweep(now: Timestamp)
    /// Takes no new requests, finishes those in flight, then closes.
    func drain()
    func closeNow()
}

/// What one event loop owns and its connections share: the clock reading of the tick, pooled exchanges, the output
/// buffer, the face of the service. Everything is used on that loop alone, so nothing is locked.
final class GatewayLane {
    let eventLoop: any EventLoop
    let service: ServiceLane
    let limits: GatewayLimits
    let router: HTTPRouter
    let logger: Logger
    /// Faults on demand; nil unless the server stands in for the emulator of client libraries.
    var faults: FaultInjection?
    let http2Memory = HTTP2Memory()
    let resp: RESPLane
    let handshakes: HandshakeLane
    let eventLoopAllocator = ByteBufferAllocator()
    private(set) var now: Timestamp
    private(set) var isDraining = false
    /// Bytes of responses that wait for readers, over all connections of the lane.
    var backlogBytes = 0
    private(set) var connections: [any LaneConnection] = []
    /// Streams that go on by themselves, and those of them that have something to send (`LaneStream.swift`).
    var streams: [any LaneStream] = []
    var touched: [any LaneStream] = []
    var readersBack: [any LaneStream] = []
    var isTurnScheduled = false
    var isInTurn = false
    var isSliceScheduled = false
    /// Whether the next slice is of answers, and not of what was published.
    var areCallsNext = false
    // How the lane shares its time (`GatewayLane+Turns.swift`), in nanoseconds of the monotonic clock.
    var isPassBegun = false
    /// When the loop looked at its sockets last, and when it was done with what it found before.
    var passBegan: UInt64
    var lastPassEnded: UInt64
    /// Before that nothing that is found in this pass can have come.
    var earliestArrival: UInt64
    var passes: UInt64 = 1
    var turnTakenInPass: UInt64 = 0
    var isFairTurnScheduled = false
    /// Whether the loop tells when a pass is over; one that is driven by a test does not.
    var seesPasses = false
    /// The connection that is served, and as whose.
    var served: ObjectIdentifier?
    var servedAs: FairFlow?
    /// Whom the loop served last, and until when it is taken to be shared since it served another.
    var lastServed: FairFlow?
    var sharedUntil: UInt64 = 0
    /// Whether the sockets brought something to do in this pass.
    var hasServedInPass = false
    var serviceBegan: UInt64 = 0
    var serviceArrival: UInt64 = 0
    var callsBefore: UInt64 = 0
    private var refusals = RefusalMemory<RenderedRefusal>()
    private var exchanges: [Exchange] = []
    private var scratch = ByteBuffer()
    private let date: UnsafeMutableRawPointer
    private var dateSecond = Int64.min
    private var sweeps: RepeatedTask?
    private var ticks: RepeatedTask?

    private var requestID: UInt64
    private let logsEveryRequest: Bool

    init(
        eventLoop: any EventLoop, service: ServiceLane, limits: GatewayLimits, router: HTTPRouter,
        handshakes: HandshakeCounters = HandshakeCounters(), logger: Logger
    ) {
        self.eventLoop = eventLoop
        self.service = service
        self.limits = limits
        self.router = router
        self.logger = logger
        now = service.now
        resp = RESPLane(now: service.now)
        passBegan = service.nowNanoseconds
        lastPassEnded = passBegan
        earliestArrival = passBegan
        self.handshakes = HandshakeLane(eventLoop: eventLoop, limits: limits, counters: handshakes)
        // The lane in the upper bits, the start's second below: ids of two lanes or two lives do not meet.
        requestID = UInt64(service.index) << 56 | UInt64(truncatingIfNeeded: service.now.seconds & 0xFFFF_FFFF) << 24
        logsEveryRequest = logger.logLevel <= .debug
        date = .allocate(byteCount: HTTPDate.byteCount, alignment: 8)
        refreshDate()
        service.onTopicsReady = { [weak self] in self?.drainTopics() }
        service.onCallsLeft = { [weak self] in self?.scheduleSlice() }
    }

    deinit {
        date.deallocate()
    }

    // MARK: Tick

    /// Reads the clock and takes in what the control plane has published. Called once a read or timer.
    @inline(__always)
    func beginTick() {
        service.beginTick()
        now = service.now
        if now.seconds != dateSecond { refreshDate() }
        if !isPassBegun { beginPass() }
    }

    /// The present in the form of a `date` field. The memory stays where it is, its text follows the clock.
    var dateText: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: date, count: HTTPDate.byteCount)
    }

    private func refreshDate() {
        dateSecond = now.seconds
        HTTPDate.render(seconds: dateSecond, into: date)
    }

    /// Milliseconds of a clock that nobody sets: for how long something has lasted.
    var uptimeMilliseconds: Int64 { service.uptimeMilliseconds }

    // MARK: Requests

    @inline(__always)
    func nextRequestID() -> UInt64 {
        requestID &+= 1
        return requestID
    }

    /// Logs a request as it is answered: every one at level debug, changes by the control plane at info, failures of
    /// ours at error. The query is left out: it may hold a credential.
    @inline(__always)
    func log(_ exchange: Exchange) {
        if logsEveryRequest || exchange.response.status >= 500 || exchange.rest.isControl { writeLog(exchange) }
    }

    /// Logs a call that failed for a reason of ours, whose response says so in other places than its status.
    func logFailure(_ exchange: Exchange) {
        writeLog(exchange, status: 500)
    }

    private func writeLog(_ exchange: Exchange) {
        writeLog(exchange, status: exchange.response.status)
    }

    private func writeLog(_ exchange: Exchange, status: Int) {
        let isChange = exchange.rest.isControl && exchange.request.method != .get
        let level: Logger.Level = status >= 500 ? .error : isChange ? .info : .debug
        let target = exchange.request.arena[exchange.request.path.range]
        let path = target.prefix { $0 != 0x3F }
        var metadata: Logger.Metadata = [
            "request_id": "\(exchange.requestIDText)", "method": "\(exchange.request.method.name)",
            "path": "\(String(decoding: path.prefix(512), as: UTF8.self))", "status": "\(exchange.response.status)",
            "milliseconds": "\(now.milliseconds - exchange.startedAt.milliseconds)",
        ]
        if let status = exchange.grpc.status { metadata["grpc_status"] = "\(status)" }
        logger.log(level: level, "request", metadata: metadata)
    }

    /// A refusal for load in its rendered form; nil for any other error.
    @inline(__always)
    func rendered(_ error: MartletError) -> RenderedRefusal? {
        refusals.value(for: error) { RenderedRefusal($0) }
    }

    // MARK: Exchanges

    func makeExchange(for transport: any ExchangeTransport) -> Exchange {
        exchanges.popLast() ?? Exchange(lane: self, transport: transport)
    }

    func pool(_ exchange: Exchange) {
        if exchanges.count < 256 { exchanges.append(exchange) }
    }

    // MARK: Output buffer

    /// The lane's output buffer, empty. It goes back by ``giveScratch(_:)``.
    @inline(__always)
    func takeScratch() -> ByteBuffer {
        var buffer = ByteBuffer()
        swap(&buffer, &scratch)
        buffer.clear(minimumCapacity: 8192)
        return buffer
    }

    /// Takes the output buffer back. While the socket still holds its bytes, the next tick finds it shared and gets
    /// other memory by itself.
    @inline(__always)
    func giveScratch(_ buffer: inout ByteBuffer) {
        swap(&buffer, &scratch)
        buffer = ByteBuffer()
    }

    // MARK: Connections

    func add(_ connection: any LaneConnection) {
        connection.laneSlot = connections.count
        connections.append(connection)
    }

    func remove(_ connection: any LaneConnection) {
        let slot = connection.laneSlot
        guard slot >= 0 else { return }
        connection.laneSlot = -1
        let last = connections.removeLast()
        if slot < connections.count {
            connections[slot] = last
            last.laneSlot = slot
        }
    }

    func startSweeping() {
        let lane = NIOLoopBound(self, eventLoop: eventLoop)
        sweeps = eventLoop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
            lane.value.sweep()
        }
        let tick = TimeAmount.milliseconds(ServiceLane.topicTickMilliseconds)
        ticks = eventLoop.scheduleRepeatedTask(initialDelay: tick, delay: tick) { _ in lane.value.tickStreams() }
    }

    private func sweep() {
        beginTick()
        // A copy, because a sweep may take connections out of the list.
        for connection in connections { connection.sweep(now: now) }
    }

    func drain() {
        isDraining = true
        beginTick()
        serveAllThatWait()
        drainStreams()
        for connection in connections { connection.drain() }
    }

    func closeAll() {
        sweeps?.cancel()
        ticks?.cancel()
        closeConnections()
    }

    /// Closes what is open, and stays ready for what comes.
    func closeConnections() {
        for connection in connections { connection.closeNow() }
    }

    // MARK: Backlog

    /// Whether the readers of a caller's tenant have let so much pile up on this loop that no large answer is added to it:
    /// half of what all together may; or some, while all together have reached that. Who has nothing piled up is served
    /// on until there is half as much again.
    func isCrowded(_ caller: LaneCaller?) -> Bool {
        let limit = limits.backlogBytesPerLoop
        guard backlogBytes >= limit / 2 else { return false }
        if backlogBytes >= limit / 2 * 3 { return true }
        let own = (caller.map { service.flow(of: $0) } ?? service.anonymousFlow).backlogBytes
        return own >= limit / 2 || backlogBytes >= limit && own >= limit / 256
    }

    /// When a caller may come back whose answer has no place to wait in: not all together.
    func crowdedRefusal() -> MartletError {
        .busy(retryAfterMilliseconds: [500, 700, 1000, 1500].randomElement() ?? 1000)
    }

    /// Brings the loop's sum up to what now waits in `exchange`, which remembers what it was counted with.
    ///
    /// - Returns: By how much it changed.
    @discardableResult
    func countBacklog(of exchange: Exchange) -> Int {
        let change = exchange.responseBody.readableBytes - exchange.countedBacklog
        guard change != 0 else { return 0 }
        if exchange.countedBacklog == 0, change > Self.smallAnswerBytes {
            let caller = exchange.transport.peer.lastCaller
            exchange.backlogFlow = caller.map { service.flow(of: $0) } ?? service.anonymousFlow
        }
        exchange.countedBacklog += change
        backlogBytes += change
        if let flow = exchange.backlogFlow {
            flow.backlogBytes += change
            if exchange.countedBacklog == 0 { exchange.backlogFlow = nil }
        }
        return change
    }

    /// Answers that count for nobody's backlog: they hardly ever wait, and are no more than a connection's streams.
    private static let smallAnswerBytes = 512

    // MARK: Request bodies

    /// Adds bytes to a body that is being collected. Returns false once the exchange has been refused.
    func collect(_ exchange: Exchange, _ bytes: UnsafeRawBufferPointer, peer: Peer) -> Bool {
        guard reserve(exchange, upTo: exchange.requestBody.readableBytes + bytes.count, peer: peer) else {
            return false
        }
        exchange.requestBody.writeBytes(bytes)
        return true
    }

    /// Counts bytes that were held before the door let the body in.
    ///
    /// - Returns: False when the exchange has been refused, and may already serve another request.
    func adoptHeld(_ exchange: Exchange, peer: Peer) -> Bool {
        reserve(exchange, upTo: exchange.requestBody.readableBytes, peer: peer)
    }

    private func reserve(_ exchange: Exchange, upTo count: Int, peer: Peer) -> Bool {
        guard count <= exchange.bodyLimit else {
            exchange.requestBody = ByteBuffer()
            exchange.refuse(exchange.bodyLimitError)
            return false
        }
        let more = count - exchange.reservedBytes
        guard more > 0 else { return true }
        // Taken in steps, so that a long body does not pay for each frame.
        let step = min(max(more, 65_536), max(exchange.bodyLimit - exchange.reservedBytes, more))
        if exchange.reservedBytes == 0 { exchange.reservedFrom = exchange.rest.opened }
        guard peer.bytesInFlight + step <= limits.bodyBytesPerConnection,
            service.reserveBytes(step, exchange.reservedFrom)
        else {
            exchange.requestBody = ByteBuffer()
            exchange.refuse(.busy(retryAfterMilliseconds: 100))
            return false
        }
        peer.bytesInFlight += step
        exchange.reservedBytes += step
        return true
    }

    /// Lets go of a body that has been read, where the response goes on for long.
    func bodyIsUsedUp(_ exchange: Exchange) {
        if !exchange.isRequestEnded { exchange.bodyMode = .discarding }
        exchange.requestBody = ByteBuffer()
        releaseBody(exchange, peer: exchange.transport.peer)
    }

    /// Gives back what a body had reserved.
    func releaseBody(_ exchange: Exchange, peer: Peer) {
        guard exchange.reservedBytes > 0 else { return }
        peer.bytesInFlight -= exchange.reservedBytes
        service.releaseBytes(exchange.reservedBytes, exchange.reservedFrom)
        exchange.reservedBytes = 0
        exchange.reservedFrom = nil
    }
}
