import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// One call from its slot to its end. All but the resolving happens on its event loop.
final class OutboundTask: Sendable {
    private struct State {
        var outcome: OutboundOutcome?
        var isResolving = false
        var isConnecting = false
        var channel: (any Channel)?
        var deadline: Scheduled<Void>?
        var isReported = false
        var isReleased = false

        /// Nothing of the call goes on but perhaps the resolver, which cannot be stopped.
        var isOver: Bool { outcome != nil && !isConnecting && channel == nil }
    }

    private let client: OutboundClient
    let call: OutboundCall
    private let loop: any EventLoop
    private let endsAt: NIODeadline
    private let release: @Sendable () -> Void
    private let report: @Sendable (OutboundOutcome) -> Void
    private let state = Mutex(State())

    /// - Parameters:
    ///   - release: Gives the slot back: when nothing of the call goes on.
    ///   - report: Told the outcome, when the connection is closed.
    init(
        _ client: OutboundClient, _ call: OutboundCall, on loop: any EventLoop,
        release: @escaping @Sendable () -> Void, report: @escaping @Sendable (OutboundOutcome) -> Void
    ) {
        self.client = client
        self.call = call
        self.loop = loop
        self.release = release
        self.report = report
        endsAt = .now() + .milliseconds(client.limits.milliseconds)
    }

    func begin() {
        let deadline = loop.scheduleTask(deadline: endsAt) { [self] in
            finish(.timedOut)
            state.withLock { $0.channel }?.close(promise: nil)
        }
        state.withLock { $0.deadline = deadline }
        if let address = call.url.address {
            loop.execute { [self] in go([address]) }
            return
        }
        state.withLock { $0.isResolving = true }
        client.resolve(call.url.host) { [self] addresses in
            let isLate = state.withLock { state in
                state.isResolving = false
                return state.outcome != nil
            }
            // The loop of a call that is over may be gone too.
            if isLate { settle() } else { loop.execute { [self] in go(addresses) } }
        }
    }

    // MARK: Connect

    private func go(_ addresses: [IPAddress]) {
        switch client.permitted(addresses, port: call.url.port) {
        case .failure(let fault): finish(fault.outcome)
        case .success(let allowed): connect(to: allowed[...])
        }
    }

    /// Tries one address after the other. Nothing is sent before one took the connection, and then to that one alone.
    private func connect(to addresses: ArraySlice<IPAddress>) {
        let left = endsAt - .now()
        guard let address = addresses.first, left > .zero, state.withLock({ $0.outcome == nil }),
            let destination = try? SocketAddress(address, port: call.url.port)
        else { return finish(left > .zero ? .failed(.unreachable) : .timedOut) }
        state.withLock { $0.isConnecting = true }
        ClientBootstrap(group: loop)
            .connectTimeout(.nanoseconds(max(1, left.nanoseconds / Int64(addresses.count))))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture { try addHandlers(to: channel) }
            }
            .connect(to: destination)
            .whenComplete { [self] result in
                state.withLock { $0.isConnecting = false }
                switch result {
                case .failure(let error):
                    // What was not the network would be the same with the next address.
                    if state.withLock({ $0.outcome == nil }), !(error is OutboundFault) {
                        connect(to: addresses.dropFirst())
                    } else {
                        finish((error as? OutboundFault)?.outcome ?? .failed(.unreachable))
                    }
                case .success(let channel): attach(channel)
                }
            }
    }

    private func addHandlers(to channel: any Channel) throws {
        let pipeline = channel.pipeline.syncOperations
        if call.url.isTLS {
            do {
                try pipeline.addHandler(client.makeTLSHandler(for: call.url))
            } catch {
                throw OutboundFault(.failed(.untrusted))
            }
        }
        try pipeline.addHandler(ReplyBound(limit: client.limits.replyBytes))
        try pipeline.addHTTPClientHandlers(leftOverBytesStrategy: .dropBytes)
        try pipeline.addHandler(OutboundExchange(call) { [self] in finish($0) })
    }

    private func attach(_ channel: any Channel) {
        state.withLock { $0.channel = channel }
        channel.closeFuture.whenComplete { [self] _ in
            state.withLock { $0.channel = nil }
            finish(.failed(.closed))
        }
        // The time may have run out on the way.
        if endsAt <= .now() { channel.close(promise: nil) }
    }

    // MARK: End

    /// Takes the first outcome that there is.
    private func finish(_ outcome: OutboundOutcome) {
        state.withLock { if $0.outcome == nil { $0.outcome = outcome } }
        settle()
    }

    private func settle() {
        let (outcome, isFree, deadline) = state.withLock { state in
            guard state.isOver else { return (nil as OutboundOutcome?, false, nil as Scheduled<Void>?) }
            let outcome = state.isReported ? nil : state.outcome
            state.isReported = true
            let isFree = !state.isResolving && !state.isReleased
            if isFree { state.isReleased = true }
            let deadline = state.deadline
            state.deadline = nil
            return (outcome, isFree, deadline)
        }
        deadline?.cancel()
        if isFree { release() }
        if let outcome { report(outcome) }
    }
}

extension OwnListener {
    /// Nil for what is no address of the Internet.
    package init?(_ address: SocketAddress) {
        guard let host = address.ipAddress.flatMap({ IPAddress($0) }), let port = address.port else { return nil }
        self.init(address: host, port: port)
    }
}

extension SocketAddress {
    init(_ address: IPAddress, port: Int) throws {
        try self.init(packedIPAddress: ByteBuffer(bytes: address.bytes), port: port)
    }
}
