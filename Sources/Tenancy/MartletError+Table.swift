extension MartletError {
    /// The one table that maps an error to HTTP, gRPC, RESP and WebSocket.
    package var row: ErrorRow {
        switch self {
        case .missingCredential, .invalidCredential:
            ErrorRow("Unauthenticated", http: 401, grpc: 16, resp: "NOAUTH", webSocket: 4401)
        case .expiredCredential:
            ErrorRow("CredentialExpired", http: 401, grpc: 16, resp: "NOAUTH", webSocket: 4401)
        case .revokedCredential:
            ErrorRow("CredentialRevoked", http: 401, grpc: 16, resp: "NOAUTH", webSocket: 4403)
        case .permissionDenied:
            ErrorRow("PermissionDenied", http: 403, grpc: 7, resp: "NOPERM", webSocket: 4403)
        case .cacheNotFound, .notFound:
            ErrorRow("NotFound", http: 404, grpc: 5, webSocket: 4404)
        case .keyNotFound:
            ErrorRow("NotFound", http: 404, grpc: 5)
        case .methodNotAllowed:
            ErrorRow("MethodNotAllowed", http: 405, grpc: 12)
        case .unimplemented:
            ErrorRow("Unimplemented", http: 501, grpc: 12)
        case .alreadyExists:
            ErrorRow("AlreadyExists", http: 409, grpc: 6)
        case .inUse:
            ErrorRow("InUse", http: 409, grpc: 9)
        case .invalidArgument:
            ErrorRow("InvalidArgument", http: 400, grpc: 3, webSocket: 1007)
        case .malformed:
            ErrorRow("InvalidArgument", http: 400, grpc: 3, webSocket: 1002)
        case .unsupportedEncoding:
            ErrorRow("UnsupportedEncoding", http: 415, grpc: 12, webSocket: 1003)
        case .uriTooLong:
            ErrorRow("URITooLong", http: 414, grpc: 3)
        case .headersTooLarge:
            ErrorRow("HeadersTooLarge", http: 431, grpc: 8, err: "request_size_limit_exceeded")
        case .requestTimeout:
            ErrorRow("RequestTimeout", http: 408, grpc: 4)
        case .deadlineExceeded:
            ErrorRow("DeadlineExceeded", http: 504, grpc: 4)
        case .expectationFailed:
            ErrorRow("ExpectationFailed", http: 417, grpc: 3)
        case .upgradeRequired:
            ErrorRow("UpgradeRequired", http: 426, grpc: 3, webSocket: 1002)
        case .preconditionFailed:
            ErrorRow("PreconditionFailed", http: 412, grpc: 9)
        case .wrongType:
            ErrorRow("WrongType", http: 409, grpc: 9, resp: "WRONGTYPE")
        case .notAnInteger:
            ErrorRow("NotAnInteger", http: 409, grpc: 9)
        case .integerOverflow:
            ErrorRow("IntegerOverflow", http: 409, grpc: 9)
        case .command(let line):
            ErrorRow(
                "InvalidArgument", http: 400, grpc: 3, resp: String(line.prefix { $0 != " " }), webSocket: 1007)
        case .tooLarge(let limit, _):
            ErrorRow("TooLarge", http: 413, grpc: 8, err: limit.sizeErr, webSocket: 1009)
        case .bodyTooLarge:
            ErrorRow("TooLarge", http: 413, grpc: 8, err: "request_size_limit_exceeded", webSocket: 1009)
        case .rateLimited(let limit, _, _):
            ErrorRow("RateLimited", http: 429, grpc: 8, err: limit.rateErr, resp: "THROTTLED")
        case .countLimited(let limit, _):
            ErrorRow("LimitExceeded", http: 429, grpc: 8, err: limit.rateErr, resp: "THROTTLED")
        case .tooMany:
            ErrorRow("LimitExceeded", http: 429, grpc: 8, resp: "THROTTLED")
        case .throttled:
            ErrorRow("Throttled", http: 429, grpc: 8, err: "operations_rate_limit_exceeded", resp: "THROTTLED")
        case .memoryExhausted:
            ErrorRow("MemoryExhausted", http: 507, grpc: 8, err: "server_is_busy", resp: "OOM", webSocket: 1013)
        case .busy:
            ErrorRow("Busy", http: 503, grpc: 14, err: "server_is_busy", resp: "THROTTLED", webSocket: 1013)
        case .unavailable:
            ErrorRow("Unavailable", http: 503, grpc: 14, resp: "LOADING", webSocket: 1001)
        case .internalFailure:
            ErrorRow("Internal", http: 500, grpc: 13, webSocket: 1011)
        }
    }

    /// What a person reads.
    package var message: String {
        switch self {
        case .missingCredential: "a credential is required: send it in the Authorization header"
        case .invalidCredential: "the credential is not valid"
        case .expiredCredential: "the credential has expired"
        case .revokedCredential: "the credential has been revoked"
        case .permissionDenied(let reason): "Insufficient permissions: \(reason)"
        case .cacheNotFound: "Cache Not Found"
        case .keyNotFound: "Key Not Found"
        case .notFound(let what): "\(what) Not Found"
        case .methodNotAllowed(let allowed): "this path answers \(allowed)"
        case .unimplemented(let what): "\(what) is not offered here"
        case .alreadyExists(let what): "\(what) already exists"
        case .inUse(let reason): reason
        case .invalidArgument(let field, let reason): "\(field) \(reason)"
        case .malformed(let reason): reason
        case .unsupportedEncoding: "a body may be sent as it is or with Content-Encoding: zstd, and in no other coding"
        case .uriTooLong(let limit): "the request target is longer than \(limit) bytes"
        case .headersTooLarge(let limit): "the header fields are larger than \(limit) bytes"
        case .requestTimeout: "the request did not arrive in time"
        case .deadlineExceeded: "the deadline of the call is over"
        case .expectationFailed: "only the expectation 100-continue can be met"
        case .upgradeRequired: "only version 13 of the WebSocket protocol is spoken here"
        case .preconditionFailed: "the condition does not hold for the stored value"
        case .wrongType: "the key holds a value of another type"
        case .notAnInteger: "the stored value is not an integer"
        case .command(let line): line
        case .integerOverflow: "the increment would overflow a signed 64-bit integer"
        case .tooLarge(let limit, let value): "\(limit.sizeNoun) is over the limit of \(value) bytes"
        case .bodyTooLarge(let limit): "the body is over the request limit of \(limit) bytes"
        case .rateLimited(let limit, let value, _): "\(limit.rateNoun) are over the limit of \(value) a second"
        case .countLimited(let limit, let value): "the limit \(limit.rawValue) of \(value) is reached"
        case .tooMany(let what, let limit): "there may be no more than \(limit) \(what)"
        case .throttled: "too many requests with false credentials"
        case .memoryExhausted: "the item does not fit into the memory that the cache may use"
        case .busy: "the server is busy"
        case .unavailable(let reason): reason
        case .internalFailure(let reason): reason
        }
    }

    /// The configured ceiling that was met, with its value.
    package var limit: (name: String, value: UInt64)? {
        switch self {
        case .tooLarge(let limit, let value), .countLimited(let limit, let value),
            .rateLimited(let limit, let value, _):
            (limit.rawValue, value)
        case .uriTooLong(let limit): ("max_request_target_bytes", UInt64(limit))
        case .headersTooLarge(let limit): ("max_header_bytes", UInt64(limit))
        case .bodyTooLarge(let limit): ("max_body_bytes", UInt64(limit))
        default: nil
        }
    }

    /// When the same request may succeed, where that can be known.
    package var retryAfterMilliseconds: UInt64? {
        switch self {
        case .rateLimited(_, _, let delay), .throttled(let delay), .busy(let delay): delay
        default: nil
        }
    }

    /// The parameter or JSON field at fault.
    package var field: String? {
        switch self {
        case .invalidArgument(let field, _): field
        default: nil
        }
    }
}

extension LimitName {
    fileprivate var sizeNoun: String {
        switch self {
        case .maxKeyBytes: "the key"
        case .maxElementBytes: "the element size"
        case .maxMessageBytes: "the request limit is exceeded: the message"
        default: "the item size (key and value)"
        }
    }

    fileprivate var sizeErr: String {
        switch self {
        case .maxElementBytes: "element_size_limit_exceeded"
        case .maxMessageBytes: "request_size_limit_exceeded"
        default: "item_size_limit_exceeded"
        }
    }

    fileprivate var rateNoun: String {
        switch self {
        case .maxBytesInPerSecond, .maxBytesOutPerSecond: "throughput bytes"
        case .maxPublishPerSecond: "publish operations"
        default: "operations"
        }
    }

    fileprivate var rateErr: String {
        switch self {
        case .maxBytesInPerSecond, .maxBytesOutPerSecond: "throughput_rate_limit_exceeded"
        case .maxSubscriptions: "topic_subscriptions_limit_exceeded"
        default: "operations_rate_limit_exceeded"
        }
    }
}
