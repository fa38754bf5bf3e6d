/// The request methods that some door answers; every other is ``other``, which each path answers with 405.
enum HTTPMethod: UInt8 {
    case get, head, put, post, delete, options, connect, other

    /// - Parameter bytes: the method token, compared exactly (RFC 9110 section 9.1: methods are case-sensitive).
    init(_ bytes: UnsafeRawBufferPointer) {
        switch bytes.count {
        case 3 where bytes.matches("GET"): self = .get
        case 3 where bytes.matches("PUT"): self = .put
        case 4 where bytes.matches("POST"): self = .post
        case 4 where bytes.matches("HEAD"): self = .head
        case 6 where bytes.matches("DELETE"): self = .delete
        case 7 where bytes.matches("OPTIONS"): self = .options
        case 7 where bytes.matches("CONNECT"): self = .connect
        default: self = .other
        }
    }

    var name: String {
        switch self {
        case .get: "GET"
        case .head: "HEAD"
        case .put: "PUT"
        case .post: "POST"
        case .delete: "DELETE"
        case .options: "OPTIONS"
        case .connect: "CONNECT"
        case .other: "OTHER"
        }
    }
}
