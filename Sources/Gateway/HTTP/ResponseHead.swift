import Tenancy

/// The content types that Martlet sends.
enum ContentType: UInt8 {
    case none, octetStream, json, jwks, text, csv, metrics, eventStream

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
        }
    }
}

/// The head of a response before a wire form is made of it.
struct ResponseHead {
    var status: Int
    var contentType = ContentType.none
    /// Nil while the length is not known: a streamed body.
    var contentLength: Int?
    var etag: ValueHash?
    /// `access-control-allow-origin: *` and its companions are added.
    var allowsAnyOrigin = false
    /// The connection ends after this response (HTTP/1.1).
    var closesConnection = false
    /// Lower-case names with values that hold no line break. Empty on the hot path.
    var extra: [(name: String, value: String)] = []

    init(status: Int) {
        self.status = status
    }
}
