import CacheService
import NIOCore
import Tenancy

extension Exchange {
    /// Answers with an error in the form of every REST path: `{"code","message"}` with `limit`, `value`,
    /// `retry_after_ms` and `field` where they apply.
    func respond(error: MartletError, closesConnection: Bool = false) {
        guard !isResponded else { return }
        guard grpc.form == .none else {
            respondGRPC(error: error)
            return
        }
        if let refusal = lane.rendered(error) {
            respond(refusal, closesConnection: closesConnection)
            return
        }
        let row = error.row
        var head = ResponseHead(status: row.httpStatus)
        head.closesConnection = closesConnection
        head.allowsAnyOrigin = rest.allowsAnyOrigin
        head.requestID = requestID
        if case .methodNotAllowed(let allowed) = error { head.extra.append(("allow", allowed)) }
        // RFC 9110 section 12.5.3: what would be taken.
        if case .unsupportedEncoding = error { head.extra.append(("accept-encoding", "zstd")) }
        if case .upgradeRequired = error {
            head.extra.append(("sec-websocket-version", "\(WebSocketHandshake.version)"))
            // A field of the connection, which HTTP/2 does not have (RFC 9113 section 8.2.2).
            if streamID == 0 { head.extra.append(("upgrade", "websocket")) }
        }
        if row.httpStatus == 401 { head.extra.append(("www-authenticate", "Bearer realm=\"martlet\"")) }
        respond(head, json: error.json)
    }

    /// Answers with a refusal that was rendered before. No allocation.
    private func respond(_ refusal: RenderedRefusal, closesConnection: Bool) {
        var head = ResponseHead(status: refusal.httpStatus)
        head.closesConnection = closesConnection
        head.allowsAnyOrigin = rest.allowsAnyOrigin
        head.requestID = requestID
        head.rendered = refusal.fields
        head.contentType = .json
        head.contentLength = refusal.json.count
        responseBody.clear()
        responseBody.writeBytes(refusal.json)
        respond(head)
    }

    /// Refuses a request that the service has let in, and has it written down there.
    func refuse(_ error: MartletError) {
        let door = grpc.form == .none ? Door.rest : grpc.door
        respond(error: rest.opened.map { lane.service.refused($0, door, error) } ?? error)
    }

    /// Answers with a JSON document.
    func respond(_ head: ResponseHead, json: [UInt8]) {
        var head = head
        head.contentType = .json
        head.contentLength = json.count
        responseBody.clear()
        responseBody.writeBytes(json)
        respond(head)
    }

    /// The request's id as it stands in responses and in the log.
    var requestIDText: String {
        String(requestID, radix: 16)
    }

    /// What a body over its limit is told.
    var bodyLimitError: MartletError {
        rest.isControl || grpc.form != .none
            ? .bodyTooLarge(limit: bodyLimit)
            : .tooLarge(limit: rest.sizeLimit.name, value: rest.sizeLimit.value)
    }
}

extension MartletError {
    /// The error as the JSON object of every HTTP path and WebSocket frame.
    package var json: [UInt8] {
        var text = "{\"code\":\"\(row.code)\",\"message\":\(Self.quoted(message))"
        if let limit { text += ",\"limit\":\"\(limit.name)\",\"value\":\(limit.value)" }
        if let retryAfterMilliseconds { text += ",\"retry_after_ms\":\(retryAfterMilliseconds)" }
        if let field { text += ",\"field\":\(Self.quoted(field))" }
        text += "}\n"
        return Array(text.utf8)
    }

    /// A JSON string (RFC 8259 section 7).
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
