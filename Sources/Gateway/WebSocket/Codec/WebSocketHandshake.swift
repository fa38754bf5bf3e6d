import Access
import Tenancy

/// A request to go on as a WebSocket: `GET` with `Upgrade` on HTTP/1.1 (RFC 6455 section 4.2.1), extended `CONNECT` on
/// HTTP/2 (RFC 8441), where there is neither a key nor an upgrade.
///
/// Only what is about the protocol is read here. The path, the query, the `Authorization` field and `Origin` are the
/// door's, as for any request. Extensions are not looked at: none is ever agreed.
///
/// A page in a browser can set neither a header field nor a cookie of ours, but it can name subprotocols. So a
/// credential may travel as one, beside the protocol itself; only the latter is ever echoed:
///
/// ```
/// sec-websocket-protocol: martlet.v1, martlet.auth.eyJhbGciOi…
/// ```
struct WebSocketHandshake {
    /// The value of `sec-websocket-accept`; nil for an extended CONNECT, which has no key.
    let accept: String?
    /// The value of `sec-websocket-protocol` in the response; nil: the response has none.
    let protocolToEcho: String?
    /// The credential that came as a subprotocol, in the head's arena.
    let credential: ByteRange?

    static let version: StaticString = "13"
    static let subprotocol: StaticString = "martlet.v1"
    static let credentialPrefix: StaticString = "martlet.auth."

    /// Whether an HTTP/1.1 request asks for a WebSocket: one that does so wrongly too, so that it is told what is wrong
    /// rather than answered as if it had not asked.
    static func isUpgrade(_ head: RequestHead) -> Bool {
        head.method == .get && head.lists("upgrade", "websocket")
    }

    /// - Throws: ``MartletError/upgradeRequired`` for another version than 13 or none,
    ///   ``MartletError/invalidArgument(field:reason:)`` for whatever else is wrong.
    init(_ head: RequestHead) throws(MartletError) {
        if head.isWebSocketConnect {
            try Self.checkVersion(head, isOptional: true)
            accept = nil
        } else {
            guard head.lists("connection", "upgrade") else {
                throw .invalidArgument(field: "connection", reason: "must name upgrade")
            }
            guard head.lists("upgrade", "websocket") else {
                throw .invalidArgument(field: "upgrade", reason: "must name websocket")
            }
            try Self.checkVersion(head, isOptional: false)
            // It would have to be waited for before the first frame.
            guard head.withValue(.contentLength, { $0.decimal == 0 }) ?? true,
                try head.single("transfer-encoding") == nil
            else { throw .malformed("a request that leaves HTTP has no body") }
            accept = try Self.accept(head)
        }
        let offer = try Offer(head)
        guard offer.isEmpty || offer.hasSubprotocol else {
            throw .invalidArgument(field: Self.protocolField, reason: "must offer \(Self.subprotocol)")
        }
        protocolToEcho = offer.hasSubprotocol ? "\(Self.subprotocol)" : nil
        credential = offer.credential
    }

    /// The credential alone, for who must know the caller before telling what else is wrong with the handshake.
    ///
    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` when there are two, or subprotocols that are no tokens.
    static func credential(in head: RequestHead) throws(MartletError) -> ByteRange? {
        try Offer(head).credential
    }

    private static func checkVersion(_ head: RequestHead, isOptional: Bool) throws(MartletError) {
        // Not a list: the field "MUST NOT appear more than once" (section 11.3.5).
        guard let value = try head.single("sec-websocket-version") else {
            guard isOptional else { throw .upgradeRequired }
            return
        }
        guard head.withArena({ $0.slice(value.range).matches(version) }) else { throw .upgradeRequired }
    }

    /// Section 4.2.2, 5.4: base64 of the SHA-1 of the key as it was written and a text that no other protocol has.
    private static func accept(_ head: RequestHead) throws(MartletError) -> String {
        let field = "sec-websocket-key"
        guard let range = try head.single("sec-websocket-key") else {
            throw .invalidArgument(field: field, reason: "is missing")
        }
        var text = head.withArena { Array($0.slice(range.range)) }
        guard text.count == 24, Base64.decode(text, .standard)?.count == 16 else {
            throw .invalidArgument(field: field, reason: "must be the base64 form of 16 bytes")
        }
        text.append(contentsOf: "258EAFA5-E914-47DA-95CA-C5AB0DC85B11".utf8)
        return Base64.encode(try SHA1.digest(of: text), .standard)
    }

    private static let protocolField = "sec-websocket-protocol"

    /// The subprotocols of a request: one list, however many fields it is spread over.
    private struct Offer {
        private(set) var isEmpty = true
        private(set) var hasSubprotocol = false
        private(set) var credential: ByteRange?

        init(_ head: RequestHead) throws(MartletError) {
            var fault: String?
            head.forEachMember(of: "sec-websocket-protocol") { range, bytes in
                isEmpty = false
                if !bytes.allSatisfy(\.isTokenCharacter) {
                    fault = "must be a list of tokens"
                } else if bytes.matches(subprotocol) {
                    hasSubprotocol = true
                } else if bytes.starts(withText: credentialPrefix) {
                    if credential != nil { fault = "must not carry two credentials" }
                    let start = range.lowerBound + credentialPrefix.utf8CodeUnitCount
                    if start == range.upperBound { fault = "must not carry an empty credential" }
                    credential = ByteRange(start, range.upperBound)
                }
            }
            if let fault { throw .invalidArgument(field: protocolField, reason: fault) }
        }
    }
}
