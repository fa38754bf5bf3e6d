import CacheService
import NIOCore
import Tenancy

/// Answers of gRPC calls, in each of its forms.
///
/// ```
///            plain                          web, webText (base64 of)
/// unary    │ head │ message │ trailers │   │ head │ message  trailer frame │
/// refusal  │ head with the status      │   │ head │ trailer frame          │
/// stream   │ head │ message … │ trailers │ │ head │ message … trailer frame │
/// ```
///
/// A message is framed: a flag, its length in four bytes, its bytes (gRPC over HTTP/2, "Length-Prefixed-Message").
extension Exchange {
    static let framePrefixBytes = 5

    /// Begins one framed message of so many bytes in ``responseBody``, which the caller writes behind it.
    @inline(__always)
    func beginMessage(byteCount: Int) {
        responseBody.clear(minimumCapacity: byteCount + Self.framePrefixBytes)
        responseBody.writeInteger(0 as UInt8)
        responseBody.writeInteger(UInt32(truncatingIfNeeded: byteCount))
    }

    /// Answers a unary call with the framed message that lies in ``responseBody``.
    @inline(__always)
    func respondGRPCMessage() {
        guard grpc.form == .plain else {
            respondWebMessage()
            return
        }
        var head = ResponseHead(status: 200)
        head.contentType = .grpc
        endsWithGRPCOK = true
        respond(head)
    }

    /// Answers a unary call with a message.
    func respondGRPC(message: some Collection<UInt8>) {
        beginMessage(byteCount: message.count)
        responseBody.writeBytes(message)
        respondGRPCMessage()
    }

    /// Answers a unary call with the message without a field set.
    func respondGRPCEmpty() {
        beginMessage(byteCount: 0)
        respondGRPCMessage()
    }

    private func respondWebMessage() {
        GRPCWebTrailers.write([("grpc-status", "0")], to: &responseBody)
        respondWeb()
    }

    private func respondWeb() {
        if grpc.form == .webText {
            let frames = responseBody
            responseBody = ByteBuffer()
            frames.withUnsafeReadableBytes { GRPCWebText.encode($0, into: &responseBody) }
        }
        var head = webHead
        head.contentLength = responseBody.readableBytes
        respond(head)
    }

    private var webHead: ResponseHead {
        var head = ResponseHead(status: 200)
        head.contentType = grpc.form == .webText ? .grpcWebText : .grpcWeb
        head.allowsAnyOrigin = request.has(.origin)
        return head
    }

    /// Ends a call that has not been answered with an error's status.
    func respondGRPC(error: MartletError) {
        guard !isResponded else { return }
        guard let refusal = lane.rendered(error) else {
            note(error)
            respondGRPC(status: error.grpcTrailers)
            return
        }
        grpc.status = refusal.grpcStatus
        responseBody.clear()
        if grpc.form == .plain {
            var head = ResponseHead(status: 200)
            head.contentType = .grpc
            head.rendered = refusal.grpcFields
            respond(head)
        } else {
            responseBody.writeBytes(refusal.grpcWebFrame)
            respondWeb()
        }
    }

    /// Ends a call that has not been answered with a status that is not 0.
    func respondGRPC(status fields: [(name: String, value: String)]) {
        guard !isResponded else { return }
        responseBody.clear()
        if grpc.form == .plain {
            var head = ResponseHead(status: 200)
            head.contentType = .grpc
            head.extra = fields
            respond(head)
        } else {
            GRPCWebTrailers.write(fields, to: &responseBody)
            respondWeb()
        }
    }

    private func note(_ error: MartletError) {
        grpc.status = error.row.grpcStatus
        // INTERNAL.
        if error.row.grpcStatus == 13 { lane.logFailure(self) }
    }

    // MARK: Streams

    /// Begins the answer of a streaming call.
    func beginGRPCStream() {
        if grpc.form == .plain {
            var head = ResponseHead(status: 200)
            head.contentType = .grpc
            beginResponse(head)
        } else {
            var head = webHead
            // For proxies of the kind that gather an answer before they pass it on.
            head.extra += [("cache-control", "no-store"), ("x-accel-buffering", "no")]
            beginResponse(head)
        }
    }

    /// Sends framed messages of a stream.
    func writeGRPC(frames: ByteBuffer) {
        guard grpc.form == .webText else {
            write(sharing: frames)
            return
        }
        var text = ByteBuffer()
        frames.withUnsafeReadableBytes { GRPCWebText.encode($0, into: &text) }
        write(sharing: text)
    }

    /// Ends a stream: with an error, or well.
    func finishGRPC(_ error: MartletError? = nil) {
        if let error {
            note(error)
            finishGRPC(status: error.grpcTrailers)
        } else if grpc.form == .plain {
            endsWithGRPCOK = true
            finish()
        } else {
            finishGRPC(status: [("grpc-status", "0")])
        }
    }

    /// Ends a stream with a status.
    func finishGRPC(status fields: [(name: String, value: String)]) {
        guard grpc.form != .plain else {
            finish(trailers: fields)
            return
        }
        var frame = ByteBuffer()
        GRPCWebTrailers.write(fields, to: &frame)
        writeGRPC(frames: frame)
        finish()
    }
}

extension MartletError {
    private var grpcMessage: String {
        if case .unsupportedEncoding = self { return "grpc-encoding must be one of \(GRPCEncoding.accepted)" }
        return message
    }

    /// The fields that end a call with this error.
    ///
    /// `err` is what SDKs tell causes of one status apart by; `grpc-retry-pushback-ms` is the wait that gRPC's own retries
    /// heed (gRFC A6); ``GRPCStatusDetails`` says the same to whoever reads google.rpc.RetryInfo.
    var grpcTrailers: [(name: String, value: String)] {
        let row = row
        var fields = [
            ("grpc-status", String(row.grpcStatus)), ("grpc-message", GRPCStatusText.percentEncode(grpcMessage)),
        ]
        if let err = row.grpcErr {
            fields.append(("err", err))
            if err == "server_is_busy" { fields.append(("retry_disposition", "retryable")) }
        }
        // The gRPC page on compression: what would be taken.
        if case .unsupportedEncoding = self { fields.append(("grpc-accept-encoding", GRPCEncoding.accepted)) }
        if let retryAfterMilliseconds {
            fields.append(("grpc-retry-pushback-ms", String(retryAfterMilliseconds)))
            fields.append(
                (
                    GRPCStatusDetails.fieldName,
                    GRPCStatusDetails.text(
                        code: row.grpcStatus, message: message, retryAfterMilliseconds: retryAfterMilliseconds)
                ))
        }
        return fields
    }
}

extension ByteBuffer {
    /// Writes a message behind its frame's prefix.
    mutating func writeGRPCFrame(_ message: some Collection<UInt8>) {
        writeInteger(0 as UInt8)
        writeInteger(UInt32(truncatingIfNeeded: message.count))
        writeBytes(message)
    }
}
