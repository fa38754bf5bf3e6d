import NIOCore
import Tenancy

/// A refusal for load as every form of HTTP tells it, made once for all that come (`RefusalMemory`).
final class RenderedRefusal {
    let httpStatus: Int
    let grpcStatus: Int
    /// The body of a REST response, and the fields that come with it.
    let json: [UInt8]
    let fields: RenderedFields
    /// The fields that end a gRPC call; in gRPC-web a frame of the body.
    let grpcFields: RenderedFields
    let grpcWebFrame: [UInt8]

    init(_ error: MartletError) {
        let row = error.row
        httpStatus = row.httpStatus
        grpcStatus = row.grpcStatus
        json = error.json
        fields = RenderedFields(error.limitFields)
        let trailers = error.grpcTrailers
        grpcFields = RenderedFields(trailers)
        var frame = ByteBuffer()
        GRPCWebTrailers.write(trailers, to: &frame)
        grpcWebFrame = Array(frame.readableBytesView)
    }
}

extension MartletError {
    /// The fields that tell a REST client of a limit: when to come again and, for a limit a second, how much there is of
    /// what (draft-ietf-httpapi-ratelimit-headers-06). Empty for other errors.
    var limitFields: [(name: String, value: String)] {
        guard let retryAfterMilliseconds else { return [] }
        let seconds = String(retryAfterMilliseconds / 1000 + (retryAfterMilliseconds % 1000 == 0 ? 0 : 1))
        var fields = [("retry-after", seconds)]
        if case .rateLimited(_, let value, _) = self {
            fields += [
                ("ratelimit-limit", String(value)), ("ratelimit-remaining", "0"), ("ratelimit-reset", seconds),
                ("ratelimit-policy", "\(value);w=1"),
            ]
        }
        return fields
    }
}
