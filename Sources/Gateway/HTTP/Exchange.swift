import Access
import Admission
import CacheService
import NIOCore
import Tenancy

/// What carries exchanges: a connection of one HTTP version.
protocol ExchangeTransport: AnyObject {
    var lane: GatewayLane { get }
    var peer: Peer { get }
    /// ``Exchange/response`` is set; the body, or its beginning, lies in ``Exchange/responseBody``.
    func responseHeadReady(_ exchange: Exchange)
    /// More of the body, or its end, is there.
    func responseBodyReady(_ exchange: Exchange)
    /// What the body may do changed: it was held and may flow now, or its bytes were used up.
    func requestBodyResumed(_ exchange: Exchange)
    /// The exchange cannot be finished properly.
    func reset(_ exchange: Exchange)
    /// Whether so many bytes of answers wait for this connection's reader that large ones have to wait unasked.
    var isCrowded: Bool { get }
    /// Whether the reader of a response that goes on takes more now.
    func isReady(_ exchange: Exchange) -> Bool
    /// The head of a request whose response goes on is needed no more.
    func dropHead(of exchange: Exchange)
    /// Leaves HTTP for a WebSocket, where the version does that with the whole connection (HTTP/1.1).
    func upgrade(_ exchange: Exchange, _ handshake: WebSocketHandshake, _ session: WebSocketSession)
    /// Puts the exchange aside until its reader has made room; then its door is asked to ``HTTPDoor/resume(_:)``.
    func park(_ exchange: Exchange)
}

/// One request and its response on one connection, of either HTTP version.
///
/// Exchanges are pooled by their event loop: `generation` tells a late reply whether the exchange still is the one that
/// it was meant for. All of it belongs to the connection's event loop.
///
/// ```
///            collectBody / streamBody                 respond / finish
/// head ──▶ held ──────────────────────▶ flowing ──▶ ended          response: none ─▶ head ─▶ body … ─▶ finished
///            └── respond: the body that still comes is thrown away
/// ```
final class Exchange {
    enum BodyMode: UInt8 {
        /// No byte is given out yet, and no window is given back: what the peer may send is bounded by flow control.
        case held
        case collecting
        case streaming
        /// Answered already: what still comes is dropped.
        case discarding
    }

    // MARK: Identity
    let lane: GatewayLane
    private(set) var generation: UInt64 = 0
    unowned(unsafe) var transport: any ExchangeTransport
    /// The HTTP/2 stream, 0 on HTTP/1.1.
    var streamID: Int32 = 0
    /// The place in the connection's list of live exchanges.
    var slot = -1
    var door: (any HTTPDoor)?

    // MARK: Request
    let request = RequestHead()
    var bodyMode = BodyMode.held
    var bodyLimit = 0
    /// Collected, or held until the door has decided.
    var requestBody = ByteBuffer()
    /// Bytes of the body that arrived, kept or not.
    var requestBodyReceived = 0
    /// The head announced a body that is not read unless it is wanted (HTTP/1.1).
    var isExpectingLongBody = false
    /// Bytes of ``requestBody`` whose window has not been given back.
    var heldBytes = 0
    var isRequestEnded = false
    /// Bytes reserved from the connection's and the tenant's budgets for the body.
    var reservedBytes = 0
    /// Whose budget they are of: the cache may have become known, or another grant for it, since.
    var reservedFrom: CacheGrant?
    var isOverBodyLimit = false
    /// Unique within the process's life: told in error responses and in the log.
    private(set) var requestID: UInt64 = 0
    var startedAt = Timestamp(milliseconds: 0)
    /// When the peer last moved this exchange on.
    var progressedAt = Timestamp(milliseconds: 0)

    // MARK: Response
    private(set) var response = ResponseHead(status: 0)
    private(set) var isResponded = false
    private(set) var isResponseEnded = false
    var responseBody = ByteBuffer()
    /// A peer that stops sending has gone: nobody reads what goes on until somebody stops it.
    var endsWithInput = false
    /// The door waits for the reader: ``HTTPDoor/responseDrained(_:)``.
    var awaitsReader = false
    /// How many bytes of ``responseBody`` the connection's backlog counts.
    var countedBacklog = 0
    /// Whose backlog counts them.
    var backlogFlow: FairFlow?
    var trailers: [(name: String, value: String)] = []
    /// The response ends with `grpc-status: 0` and no other trailer.
    var endsWithGRPCOK = false
    var hasTrailers: Bool { endsWithGRPCOK || !trailers.isEmpty }
    /// Where rendered header values lie until they are sent.
    let rendered: UnsafeMutableRawPointer
    static let renderedCapacity = 128

    // MARK: What doors keep between head and body
    var rest = RESTRequest()
    var adminCaller: Caller?
    var topics: TopicsRequest?
    var grpc = GRPCRequest()

    init(lane: GatewayLane, transport: any ExchangeTransport) {
        self.lane = lane
        self.transport = transport
        rendered = .allocate(byteCount: Self.renderedCapacity, alignment: 8)
    }

    deinit {
        rendered.deallocate()
    }

    /// Takes the exchange into use for one request.
    func open(transport: any ExchangeTransport, streamID: Int32, now: Timestamp) {
        self.transport = transport
        self.streamID = streamID
        requestID = lane.nextRequestID()
        startedAt = now
        progressedAt = now
    }

    /// Makes the exchange ready for another request. Late replies meant for the old one find another generation.
    func recycle() {
        generation &+= 1
        door = nil
        request.reset()
        bodyMode = .held
        bodyLimit = 0
        requestBodyReceived = 0
        heldBytes = 0
        isExpectingLongBody = false
        isRequestEnded = false
        isOverBodyLimit = false
        response = ResponseHead(status: 0)
        isResponded = false
        isResponseEnded = false
        if !trailers.isEmpty { trailers = [] }
        endsWithGRPCOK = false
        rest.reset()
        adminCaller = nil
        if topics != nil { topics = nil }
        grpc.deadlineTask?.cancel()
        grpc = GRPCRequest()
        awaitsReader = false
        endsWithInput = false
        Self.empty(&requestBody)
        Self.empty(&responseBody)
    }

    private static func empty(_ buffer: inout ByteBuffer) {
        if buffer.capacity > 16_384 {
            buffer = ByteBuffer()
        } else if buffer.writerIndex > 0 {
            buffer.clear()
        }
    }

    // MARK: Request body

    /// Lets the body in, to be collected up to `limit` bytes. Over it the exchange answers 413 by itself.
    func collectBody(limit: Int) {
        bodyMode = .collecting
        bodyLimit = limit
        transport.requestBodyResumed(self)
    }

    /// Lets the body in, piece by piece.
    func streamBody() {
        bodyMode = .streaming
        bodyLimit = .max
        transport.requestBodyResumed(self)
    }

    // MARK: Response

    /// Answers with a complete response; the body is what lies in ``responseBody``.
    func respond(_ head: ResponseHead) {
        guard !isResponded else { return }
        response = head
        isResponded = true
        isResponseEnded = true
        if !isRequestEnded { bodyMode = .discarding }
        lane.log(self)
        transport.responseHeadReady(self)
    }

    /// Begins a response whose body follows by ``write(_:)`` until ``finish(trailers:)``.
    func beginResponse(_ head: ResponseHead) {
        guard !isResponded else { return }
        response = head
        isResponded = true
        lane.log(self)
        transport.responseHeadReady(self)
    }

    func write(_ bytes: UnsafeRawBufferPointer) {
        guard isResponded, !isResponseEnded else { return }
        beginWaiting()
        responseBody.writeBytes(bytes)
        transport.responseBodyReady(self)
    }

    /// As ``write(_:)``, for bytes that other exchanges are given too: where nothing waits before them, they share them.
    func write(sharing bytes: ByteBuffer) {
        guard isResponded, !isResponseEnded else { return }
        beginWaiting()
        if responseBody.readableBytes == 0 {
            responseBody = bytes
        } else {
            responseBody.writeImmutableBuffer(bytes)
        }
        transport.responseBodyReady(self)
    }

    /// Until now there may have been nothing that the reader could have been slow to take.
    private func beginWaiting() {
        if responseBody.readableBytes == 0 { progressedAt = lane.now }
    }

    /// Whether more may be written now. When it is not, ``HTTPDoor/responseDrained(_:)`` says when it is again.
    var isReady: Bool {
        guard isResponded, !isResponseEnded else { return false }
        if transport.isReady(self) { return true }
        awaitsReader = true
        return false
    }

    /// Tells a door that waits for the reader that it may go on, once all that was written is taken.
    func tellReaderIsBack() {
        guard awaitsReader, responseBody.readableBytes == 0, !isResponseEnded else { return }
        awaitsReader = false
        door?.responseDrained(self)
    }

    func finish(trailers: [(name: String, value: String)] = []) {
        guard isResponded, !isResponseEnded else { return }
        self.trailers = trailers
        isResponseEnded = true
        // What still comes of the request, nobody reads.
        if !isRequestEnded { bodyMode = .discarding }
        transport.responseBodyReady(self)
    }
}

/// An exchange as a late reply knows it.
struct ExchangeTicket {
    private let exchange: Exchange
    private let generation: UInt64

    init(_ exchange: Exchange) {
        self.exchange = exchange
        self.generation = exchange.generation
    }

    /// The exchange, unless it has ended since. Call it on the exchange's event loop.
    var live: Exchange? {
        exchange.generation == generation ? exchange : nil
    }
}

/// Who is at the other end of a connection, and what it may still do there.
final class Peer {
    /// The address's bytes without the port: what throttling goes by.
    let address: [UInt8]
    /// Bytes of request bodies that this connection holds.
    var bytesInFlight = 0
    /// The last credential that this connection showed, and who it was: most connections show one all their life.
    var lastCredential: [UInt8] = []
    var lastCaller: LaneCaller?

    /// What the connection counts against.
    let claims = ConnectionClaims()
    /// Signature checks of false tokens that the connection may still cause.
    var checks: CheckAllowance

    init(address: [UInt8], now: Timestamp) {
        self.address = address
        checks = CheckAllowance(.init(burst: 20, perSecond: 5), now: now)
    }
}
