import CNGHTTP2
import CacheService
import NIOCore
import Tenancy

/// Response heads as libnghttp2 wants them. Names and usual values are static text; what differs from response to
/// response is rendered into memory that belongs to the exchange, which outlives the frame. So nothing is copied.
extension HTTP2Connection {
    private static let staticText = UInt8(
        NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue)
    /// For values that never come again: they would only push others out of the compression table.
    private static let neverIndexed = staticText | UInt8(NGHTTP2_NV_FLAG_NO_INDEX.rawValue)
    private static let copied = UInt8(NGHTTP2_NV_FLAG_NONE.rawValue)

    private static func field(_ name: StaticString, _ value: StaticString) -> nghttp2_nv {
        nghttp2_nv(
            name: UnsafeMutablePointer(mutating: name.utf8Start),
            value: UnsafeMutablePointer(mutating: value.utf8Start),
            namelen: name.utf8CodeUnitCount, valuelen: value.utf8CodeUnitCount, flags: staticText)
    }

    private static func field(_ name: StaticString, _ value: UnsafeRawBufferPointer, _ flags: UInt8) -> nghttp2_nv {
        nghttp2_nv(
            name: UnsafeMutablePointer(mutating: name.utf8Start),
            value: UnsafeMutablePointer(mutating: value.baseAddress?.assumingMemoryBound(to: UInt8.self)),
            namelen: name.utf8CodeUnitCount, valuelen: value.count, flags: flags)
    }

    private static func field(_ lines: UnsafeRawBufferPointer, _ name: Range<Int>, _ value: Range<Int>) -> nghttp2_nv {
        let base = UnsafeMutablePointer(mutating: lines.baseAddress?.assumingMemoryBound(to: UInt8.self))
        return nghttp2_nv(
            name: base.map { $0 + name.lowerBound }, value: base.map { $0 + value.lowerBound }, namelen: name.count,
            valuelen: value.count, flags: copied)
    }

    func responseHeadReady(_ exchange: Exchange) {
        guard let session else { return }
        if exchange.bodyMode == .discarding { dropHeldBody(of: exchange) }
        let head = exchange.response
        let isHead = exchange.request.method == .head
        if isHead { exchange.responseBody.clear() }
        countBacklog(of: exchange)
        if exchange.responseBody.readableBytes > Self.flushBytes { hasLargeAnswers = true }
        let hasBody = !isHead && (exchange.responseBody.readableBytes > 0 || !exchange.isResponseEnded)
        submit(exchange, head, session: session, hasBody: hasBody)
        schedulePump()
    }

    /// Cost: one allocation inside libnghttp2 for the frame.
    private func submit(_ exchange: Exchange, _ head: ResponseHead, session: OpaquePointer, hasBody: Bool) {
        withUnsafeTemporaryAllocation(
            of: nghttp2_nv.self, capacity: 13 + (head.rendered?.bounds.count ?? 0) + head.extra.count
        ) { fields in
            var count = 0
            func add(_ field: nghttp2_nv) {
                fields[count] = field
                count += 1
            }
            var renderer = FieldRenderer(exchange.rendered)
            add(Self.statusField(head.status, &renderer))
            // No gRPC client reads it.
            if head.contentType != .grpc { add(Self.field("date", lane.dateText, Self.staticText)) }
            if head.contentType != .none { add(Self.field("content-type", head.contentType.text)) }
            if let length = head.contentLength {
                add(Self.field("content-length", renderer.decimal(length), Self.staticText))
            }
            if let etag = head.etag { add(Self.field("etag", renderer.etag(etag), Self.neverIndexed)) }
            if head.contentCoding == .zstd { add(Self.field("content-encoding", "zstd")) }
            if head.variesByEncoding { add(Self.field("vary", "accept-encoding")) }
            if head.allowsAnyOrigin {
                add(Self.field("access-control-allow-origin", "*"))
                add(Self.field("access-control-expose-headers", head.exposedFields))
            }
            if let requestID = head.requestID {
                add(Self.field("x-request-id", renderer.hexadecimal(requestID), Self.neverIndexed))
            }
            if let rendered = head.rendered {
                // The library copies what it is given here before it returns.
                rendered.lines.withUnsafeBytes { lines in
                    for field in rendered.bounds { add(Self.field(lines, field.name, field.value)) }
                    submit(exchange, session, fields.baseAddress, count, hasBody)
                }
            } else if head.extra.isEmpty {
                submit(exchange, session, fields.baseAddress, count, hasBody)
            } else {
                Self.withText(head.extra) { extra in
                    for field in extra { add(field) }
                    submit(exchange, session, fields.baseAddress, count, hasBody)
                }
            }
        }
    }

    private func submit(
        _ exchange: Exchange, _ session: OpaquePointer, _ fields: UnsafeMutablePointer<nghttp2_nv>?, _ count: Int,
        _ hasBody: Bool
    ) {
        if hasBody {
            var provider = nghttp2_data_provider()
            provider.read_callback = readResponseBody
            nghttp2_submit_response(session, exchange.streamID, fields, count, &provider)
        } else {
            nghttp2_submit_response(session, exchange.streamID, fields, count, nil)
        }
    }

    private static func statusField(_ status: Int, _ renderer: inout FieldRenderer) -> nghttp2_nv {
        switch status {
        case 200: field(":status", "200")
        case 204: field(":status", "204")
        case 404: field(":status", "404")
        default: field(":status", renderer.decimal(status), staticText)
        }
    }

    /// Gives libnghttp2 fields to copy.
    private static func withText(_ fields: [(name: String, value: String)], _ body: ([nghttp2_nv]) -> Void) {
        var text: [UInt8] = []
        for field in fields {
            text.append(contentsOf: field.name.utf8)
            text.append(contentsOf: field.value.utf8)
        }
        text.withUnsafeMutableBufferPointer { buffer in
            var position = 0
            var result: [nghttp2_nv] = []
            for field in fields {
                let nameCount = field.name.utf8.count
                let valueCount = field.value.utf8.count
                let base = buffer.baseAddress.map { $0 + position }
                result.append(
                    nghttp2_nv(
                        name: base, value: base.map { $0 + nameCount }, namelen: nameCount, valuelen: valueCount,
                        flags: copied))
                position += nameCount + valueCount
            }
            body(result)
        }
    }

    func responseBodyReady(_ exchange: Exchange) {
        guard let session else { return }
        if exchange.request.method == .head {
            exchange.responseBody.clear()
        }
        countBacklog(of: exchange)
        nghttp2_session_resume_data(session, exchange.streamID)
        schedulePump()
    }

    /// Header fields that end a response have left: only now may a stop follow, which would otherwise overtake them.
    func lastHeadSent(streamID: Int32) {
        guard let exchange = exchange(streamID), !exchange.isRequestEnded else { return }
        submitStop(exchange)
    }

    func submitTrailers(_ exchange: Exchange) {
        if exchange.endsWithGRPCOK {
            var status = Self.field("grpc-status", "0")
            nghttp2_submit_trailer(session, exchange.streamID, &status, 1)
            return
        }
        Self.withText(exchange.trailers) { fields in
            nghttp2_submit_trailer(session, exchange.streamID, fields, fields.count)
        }
    }

    func submitContinue(_ exchange: Exchange) {
        var status = [Self.field(":status", "100")]
        nghttp2_submit_headers(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), exchange.streamID, nil, &status, 1, nil)
    }
}
