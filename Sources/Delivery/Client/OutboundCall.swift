import Tenancy

/// One call to somebody else's server.
package struct OutboundCall: Sendable {
    package let url: OutboundURL
    package let method: String
    /// Beside `host`, `content-length` and `connection`, which the client sets.
    package let headers: [(name: String, value: String)]
    package let body: [UInt8]
    /// On whose behalf: nobody has more than a share of the calls that are under way.
    package let payer: TenantID

    package init(
        _ url: OutboundURL, method: String = "POST", headers: [(name: String, value: String)], body: [UInt8],
        payer: TenantID
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.payer = payer
    }
}

/// What became of a call.
package enum OutboundOutcome: Hashable, Sendable {
    /// The server answered with this status, whichever it is: redirects are not followed.
    case answered(status: Int)
    /// No address of the host may be called; this is what the first one is.
    case refused(AddressRefusal)
    /// Too many calls are under way. Nothing was sent.
    case crowded
    /// There was no answer in time.
    case timedOut
    case failed(OutboundFailure)
}

/// Why there was no answer.
package enum OutboundFailure: String, CaseIterable, Sendable {
    case unresolvable = "the host has no address"
    case unreachable = "no connection could be made"
    case untrusted = "TLS failed, or the certificate is not trusted for the host"
    case brokenReply = "the reply is no HTTP"
    case closed = "the connection ended before the reply"
    case replyTooLarge = "the reply's header fields are too large"
}

/// Whoever makes calls: ``OutboundClient``, or a test in its place.
package protocol OutboundCaller: Sendable {
    /// Makes a call, once. Does not block.
    ///
    /// - Parameter done: Told the outcome, once, on any thread; it may be before this returns.
    func start(_ call: OutboundCall, _ done: @escaping @Sendable (OutboundOutcome) -> Void)
}

/// What outbound calls may take.
package struct OutboundLimits: Sendable {
    /// From the start to the end of the reply.
    package var milliseconds: Int64 = 5000
    /// Head and body of a reply. What is more is not read.
    package var replyBytes = 64 << 10
    /// Calls under way in the process,
    package var calls = 64
    /// on behalf of one payer,
    package var callsPerPayer = 16
    /// and of one payer to one host.
    package var callsPerHost = 8
    /// How many addresses of a host are tried, one after the other, until one takes the connection.
    package var addresses = 4

    package init() {}
}
