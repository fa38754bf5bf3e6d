import NIOHTTP1

extension HTTPRequestHead {
    /// Whether the client offers to go on in another protocol, after which swift-nio's decoder takes no further request.
    /// Where the offer is not taken, which it is for WebSockets alone (RFC 9110 section 7.8), the connection ends with the
    /// answer.
    var leavesHTTP: Bool {
        method == .CONNECT || headers[canonicalForm: "connection"].contains { $0.lowercased() == "upgrade" }
    }
}

extension HTTPHeaders {
    /// Whether a body is announced that may be too long to be read for the sake of the connection alone, or that its
    /// sender may not send at all.
    var announceLongBody: Bool {
        if contains(name: "expect") { return true }
        guard let length = first(name: "content-length") else { return false }
        return Int(length).map { $0 > Self.longBodyBytes } ?? true
    }

    static let longBodyBytes = 65_536
}

extension HTTP1Connection {
    /// The reason phrase of a status, with the space before it (RFC 9112 section 4).
    static func reason(_ status: Int) -> StaticString {
        switch status {
        case 200: " OK"
        case 201: " Created"
        case 204: " No Content"
        case 304: " Not Modified"
        case 400: " Bad Request"
        case 401: " Unauthorized"
        case 403: " Forbidden"
        case 404: " Not Found"
        case 405: " Method Not Allowed"
        case 408: " Request Timeout"
        case 409: " Conflict"
        case 412: " Precondition Failed"
        case 413: " Content Too Large"
        case 414: " URI Too Long"
        case 415: " Unsupported Media Type"
        case 417: " Expectation Failed"
        case 426: " Upgrade Required"
        case 429: " Too Many Requests"
        case 431: " Request Header Fields Too Large"
        case 500: " Internal Server Error"
        case 503: " Service Unavailable"
        case 507: " Insufficient Storage"
        default: " Status"
        }
    }
}

func withBytes(of text: String, _ body: (UnsafeRawBufferPointer) -> Void) {
    var text = text
    text.withUTF8 { body(UnsafeRawBufferPointer($0)) }
}

extension String {
    /// Lower case by ASCII rules, as field names have it.
    var lowercasedASCII: String {
        utf8.contains { $0 >= 0x41 && $0 <= 0x5A } ? lowercased() : self
    }
}
