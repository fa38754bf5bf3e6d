import CacheService
import Tenancy

/// The content types that Martlet sends.
enum ContentType: UInt8 {
    case none, octetStream, json, jwks, text, csv, metrics, eventStream
    case grpc, grpcWeb, grpcWebText

    var text: StaticString {
        switch self {
        case .none: ""
        case .octetStream: "application/octet-stream"
        case .json: "application/json"
        case .jwks: "application/jwk-set+json"
        case .text: "text/plain; charset=utf-8"
        case .csv: "text/csv; charset=utf-8"
        case .metrics: "text/plain; version=0.0.4; charset=utf-8"
        case .eventStream: "text/event-stream"
        case .grpc: "application/grpc"
        case .grpcWeb: "application/grpc-web+proto"
        case .grpcWebText: "application/grpc-web-text+proto"
        }
    }
}

/// The head of a response before a wire form is made of it.
struct ResponseHead {
    var status: Int
    var contentType = ContentType.none
    /// Nil while the length is not known: a streamed body.
    var contentLength: Int?
    var etag: EntityTag?
    /// In which form the body is.
    var contentCoding = ContentCoding.identity
    /// The answer may depend on what the request accepts: `vary: accept-encoding` is added.
    var variesByEncoding = false
    /// `access-control-allow-origin: *` and its companions are added.
    var allowsAnyOrigin = false
    /// The connection ends after this response (HTTP/1.1).
    var closesConnection = false
    /// The request's id, in `x-request-id`.
    var requestID: UInt64?
    /// Further fields that were rendered before.
    var rendered: RenderedFields?
    /// Lower-case names with values that hold no line break. Empty on the hot path.
    var extra: [(name: String, value: String)] = []

    /// What a page of another origin may read.
    var exposedFields: StaticString {
        contentType == .grpcWeb || contentType == .grpcWebText
            ? GRPCWebCORS.exposedHeaders : Self.exposedHeaders
    }

    private static let exposedHeaders: StaticString =
        "etag, retry-after, ratelimit-limit, ratelimit-remaining, ratelimit-reset, ratelimit-policy, x-request-id"

    init(status: Int) {
        self.status = status
    }
}

/// Names a representation of a value: the value by its hash, and the form that it was sent in.
///
/// The tag of a form other than the value as it is has the coding's name behind the hash. Two zstd frames of one value share
/// a tag, whoever made them: whatever they unpack to is the same, and no parts of them are served.
struct EntityTag: Equatable {
    var hash: ValueHash
    var coding = ContentCoding.identity

    static let zstdSuffix: StaticString = "-zstd"
}
