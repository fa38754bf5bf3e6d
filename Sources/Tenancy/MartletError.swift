/// Everything that can be refused, in one vocabulary for every door. ``MartletError/row`` says how each wire tells it.
///
/// A message may quote names and numbers that the caller itself sent; it never holds a credential, a value, or anything
/// that belongs to another tenant.
package enum MartletError: Error, Equatable, Sendable {
    // Identify
    case missingCredential
    case invalidCredential
    case expiredCredential
    case revokedCredential
    // Permit
    case permissionDenied(String)
    // Resolve
    case cacheNotFound
    case keyNotFound
    /// Another thing that was named does not exist: a tenant, an API key, a token, a path.
    case notFound(String)
    case methodNotAllowed(allowed: String)
    /// A procedure that is not offered here.
    case unimplemented(String)
    case alreadyExists(String)
    /// What others still depend on and may not go: a plan that tenants are on.
    case inUse(String)
    // Parameters
    case invalidArgument(field: String, reason: String)
    /// A message that could not be read as its protocol demands.
    case malformed(String)
    /// A body in a content coding that is not taken.
    case unsupportedEncoding
    case uriTooLong(limit: Int)
    case headersTooLarge(limit: Int)
    case requestTimeout
    /// The time that the caller gave is over.
    case deadlineExceeded
    case expectationFailed
    /// A WebSocket handshake of a version that is not spoken.
    case upgradeRequired
    // State
    case preconditionFailed
    case wrongType
    case notAnInteger
    case integerOverflow
    /// A command of the Redis protocol that is refused in the words that its clients know: the whole line, prefix first.
    case command(String)
    // Limits
    case tooLarge(limit: LimitName, value: UInt64)
    /// A body that is no item: a control-plane document.
    case bodyTooLarge(limit: Int)
    case rateLimited(limit: LimitName, value: UInt64, retryAfterMilliseconds: UInt64)
    case countLimited(limit: LimitName, value: UInt64)
    /// As many as there may be of something that nobody configures.
    case tooMany(String, limit: Int)
    /// Too many requests that carry no identity, or a false one.
    case throttled(retryAfterMilliseconds: UInt64)
    case memoryExhausted
    case busy(retryAfterMilliseconds: UInt64)
    case unavailable(String)
    case internalFailure(String)
}

/// How each wire tells one error.
package struct ErrorRow: Equatable, Sendable {
    /// The machine-readable name in JSON bodies and WebSocket frames.
    package let code: String
    package let httpStatus: Int
    /// gRPC status code (https://grpc.github.io/grpc/core/md_doc_statuscodes.html).
    package let grpcStatus: Int
    /// The `err` trailer of the gRPC contract, where one is defined.
    package let grpcErr: String?
    /// The first word of a RESP error.
    package let respPrefix: String
    /// The code that ends a WebSocket when this error ends it (RFC 6455 section 7.4, private range 4000-4999).
    package let webSocketClose: UInt16

    init(
        _ code: String, http: Int, grpc: Int, err: String? = nil, resp: String = "ERR", webSocket: UInt16 = 1008
    ) {
        self.code = code
        self.httpStatus = http
        self.grpcStatus = grpc
        self.grpcErr = err
        self.respPrefix = resp
        self.webSocketClose = webSocket
    }
}
