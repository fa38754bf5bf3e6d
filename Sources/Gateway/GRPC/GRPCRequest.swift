import NIOCore
import Tenancy

/// What the gRPC door found in the head of a request.
struct GRPCRequest {
    /// How messages and the status travel.
    enum Form: UInt8 {
        /// The request is not one of gRPC.
        case none
        /// gRPC over HTTP/2: the status stands in trailers.
        case plain
        /// gRPC-web: the status is a frame of the body.
        case web
        /// The same with the body in base64.
        case webText
    }

    var form = Form.none
    var method = GRPCMethod.unknown
    /// On the lane's ``GatewayLane/uptimeMilliseconds``; nil for a call without one.
    var deadline: Int64?
    /// Ends the call at its deadline, where its answer is awaited.
    var deadlineTask: Scheduled<Void>?
    /// What compressed messages of the request are.
    var encoding = GRPCEncoding.identity
    /// The body has been made of its base64: a call that waited is looked at again.
    var isDecoded = false
    /// How the stream of the call will break, by order.
    var streamFault: StreamFault?
    /// What the call ended with, to be logged.
    var status: Int?

    /// The door under which the call is metered.
    var door: Door { form == .plain ? .grpc : .grpcWeb }

    init() {}
}

extension GRPCRequest.Form {
    /// The form that a content type stands for (gRPC over HTTP/2, and the gRPC-web protocol).
    init(contentType: UnsafeRawBufferPointer) {
        let base: StaticString = "application/grpc"
        guard contentType.starts(withText: base) else {
            self = .none
            return
        }
        let rest = contentType.slice(base.utf8CodeUnitCount..<contentType.count)
        if rest.isEmpty || rest[0] == UInt8(ascii: "+") || rest[0] == UInt8(ascii: ";") {
            self = .plain
        } else if rest.starts(withText: "-web-text") {
            self = .webText
        } else if rest.starts(withText: "-web") {
            self = .web
        } else {
            self = .none
        }
    }
}
