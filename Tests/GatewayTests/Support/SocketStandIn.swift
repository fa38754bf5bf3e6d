import NIOCore
import NIOEmbedded

@testable import Gateway

/// The socket's side of a connection under test: takes as many bytes as the test lets it, tells the channel when it is
/// full, and forgets on close what it has not taken, as the kernel's face in swift-nio does.
final class SocketStandIn: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer

    /// Bytes that the peer would receive.
    private(set) var sent: [UInt8] = []
    /// Bytes that were written and have not been taken, and the most that there ever were.
    private(set) var pendingBytes = 0
    private(set) var highestPendingBytes = 0
    /// Writes that carried bytes.
    private(set) var writeCount = 0
    /// Bytes that were never taken because the connection was closed before.
    private(set) var lostBytes = 0
    private(set) var isClosed = false
    /// The peer has been told that nothing more comes; it may still send.
    private(set) var isOutputClosed = false
    /// Whether the pipeline has asked for more to read.
    private(set) var isReadWanted = false
    /// How many more bytes it takes.
    var capacity = Int.max
    /// Whether the next flush fails, as a write to a connection that the peer has reset.
    var failsNextFlush = false

    private var pending: [(bytes: ByteBuffer, promise: EventLoopPromise<Void>?, isFlushed: Bool)] = []
    static let highWaterMark = 65_536
    static let lowWaterMark = 32_768

    func takeSent() -> [UInt8] {
        defer { sent = [] }
        return sent
    }

    func takeReadWanted() -> Bool {
        defer { isReadWanted = false }
        return isReadWanted
    }

    func read(context: ChannelHandlerContext) {
        isReadWanted = true
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let bytes = unwrapOutboundIn(data)
        guard !isClosed, !isOutputClosed else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        pendingBytes += bytes.readableBytes
        if bytes.readableBytes > 0 { writeCount += 1 }
        highestPendingBytes = max(highestPendingBytes, pendingBytes)
        pending.append((bytes, promise, false))
        if pendingBytes > Self.highWaterMark { setWritable(false, context) }
    }

    func flush(context: ChannelHandlerContext) {
        if failsNextFlush {
            failsNextFlush = false
            close(context: context, mode: .all, promise: nil)
            return
        }
        for index in pending.indices { pending[index].isFlushed = true }
        drain(context)
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard mode == .all else {
            // An embedded channel would close altogether; a socket goes on reading.
            isOutputClosed = true
            promise?.succeed()
            return
        }
        if mode == .all, !isClosed {
            isClosed = true
            lostBytes += pendingBytes
            pendingBytes = 0
            let failed = pending
            pending = []
            for entry in failed { entry.promise?.fail(ChannelError.ioOnClosedChannel) }
        }
        context.close(mode: mode, promise: promise)
    }

    /// Moves what has been flushed to the peer, as far as there is capacity.
    func drain(_ context: ChannelHandlerContext) {
        while let first = pending.first, first.isFlushed, capacity > 0 || first.bytes.readableBytes == 0 {
            let count = min(capacity, first.bytes.readableBytes)
            sent.append(contentsOf: pending[0].bytes.readBytes(length: count) ?? [])
            capacity -= count
            pendingBytes -= count
            guard pending[0].bytes.readableBytes == 0 else { break }
            let promise = pending.removeFirst().promise
            promise?.succeed()
        }
        if pendingBytes < Self.lowWaterMark { setWritable(true, context) }
    }

    private func setWritable(_ isWritable: Bool, _ context: ChannelHandlerContext) {
        guard let channel = context.channel as? EmbeddedChannel, channel.isWritable != isWritable else { return }
        channel.isWritable = isWritable
        channel.pipeline.fireChannelWritabilityChanged()
    }
}

/// A connection of a fixture's lane as its peer sees it: bytes in, bytes out. The protocol is told from the bytes, as in
/// the server.
final class TestConnection {
    let channel: EmbeddedChannel
    let socket = SocketStandIn()
    private let fixture: GatewayFixture
    /// What the peer has sent and the server has not wanted to read yet.
    private(set) var unread: [UInt8] = []
    static let readBytes = 65_536

    /// - Parameter door: Makes the handler that a listener would; nil for that of HTTP.
    init(
        _ fixture: GatewayFixture, address: String = "203.0.113.7", door: ((GatewayLane) -> any ChannelHandler)? = nil
    ) throws {
        self.fixture = fixture
        channel = EmbeddedChannel(loop: fixture.loop)
        let peer = try SocketAddress(ipAddress: address, port: 40_000)
        channel.remoteAddress = peer
        try channel.pipeline.syncOperations.addHandlers([
            socket, door?(fixture.lane) ?? ProtocolDetector(lane: fixture.lane),
        ])
        channel.connect(to: peer, promise: nil)
        channel.read()
    }

    deinit {
        channel.close(promise: nil)
        fixture.loop.run()
    }

    var isOpen: Bool { !socket.isClosed }

    /// Streams of an HTTP/2 connection that have a request, those among them that wait for the reader, and the bytes of
    /// their heads. Numbers, so that a failed expectation does not describe the whole server.
    var exchangeCount: Int { http2?.exchanges.count ?? 0 }
    var parkedCount: Int { http2?.parked.count ?? 0 }
    var headBytes: Int { http2?.headBytes ?? 0 }

    /// The handler of an HTTP/2 connection.
    var http2: HTTP2Connection? {
        try? channel.pipeline.syncOperations.handler(type: HTTP2Connection.self)
    }

    /// Bytes of the present request's body that an HTTP/1.1 connection keeps.
    var heldBodyBytes: Int {
        guard let http1 = try? channel.pipeline.syncOperations.handler(type: HTTP1Connection.self) else { return 0 }
        let child = Mirror(reflecting: http1).children.first { $0.label == "exchange" }
        return (child?.value as? Exchange)?.requestBody.readableBytes ?? 0
    }

    /// Sends bytes to the server, in reads of at most 64 KiB, as far as it wants to read.
    func send(_ bytes: [UInt8]) {
        unread += bytes
        deliver()
    }

    func send(_ text: String) {
        send(Array(text.utf8))
    }

    /// Sends bytes that one turn of the event loop reads in several pieces: no wish not to read is asked for in between.
    func socketReads(_ bytes: [UInt8]) {
        _ = socket.takeReadWanted()
        var position = 0
        while position < bytes.count {
            let count = min(Self.readBytes, bytes.count - position)
            channel.pipeline.fireChannelRead(ByteBuffer(bytes: bytes[position..<position + count]))
            position += count
        }
        channel.pipeline.fireChannelReadComplete()
        channel.read()
        fixture.turn()
    }

    /// Gives the server what it wants to read.
    func deliver() {
        fixture.turn()
        while isOpen, !unread.isEmpty, socket.takeReadWanted() {
            let count = min(Self.readBytes, unread.count)
            channel.pipeline.fireChannelRead(ByteBuffer(bytes: unread[..<count]))
            unread.removeFirst(count)
            channel.pipeline.fireChannelReadComplete()
            channel.read()
            fixture.turn()
        }
    }

    /// The peer will send nothing more, and still reads. As swift-nio has it, what is unread comes first, wanted or not.
    func closeInput() {
        let last = unread
        unread = []
        if !last.isEmpty { socketReads(last) }
        guard isOpen else { return }
        channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        fixture.turn()
    }

    /// The connection is gone, as after a reset by the peer.
    func abort() {
        channel.close(promise: nil)
        fixture.turn()
    }

    /// What the peer has received since the last call.
    func receive() -> [UInt8] {
        fixture.turn()
        return socket.takeSent()
    }

    /// Lets the socket take so many more bytes, and receives what comes.
    func receive(atMost count: Int) -> [UInt8] {
        socket.capacity = count
        // A closed connection has no handlers any more.
        if let context = try? channel.pipeline.syncOperations.context(handler: socket) { socket.drain(context) }
        return receive()
    }

    /// From now on nothing more is taken.
    func stopReading() {
        socket.capacity = 0
    }
}

// A failed expectation describes what it names, down to the last child: of these, nothing is to be told.

extension TestConnection: CustomReflectable {
    var customMirror: Mirror { Mirror(self, children: []) }
}

extension SocketStandIn: CustomReflectable {
    var customMirror: Mirror { Mirror(self, children: []) }
}

extension GatewayFixture: CustomReflectable {
    var customMirror: Mirror { Mirror(self, children: []) }
}

extension HTTP2Pair: CustomReflectable {
    var customMirror: Mirror { Mirror(self, children: []) }
}
