import Tenancy

/// Chooses the door of each request: that of gRPC by its content type, the others by its path. One for each lane; the ops listener's leaves the data plane out.
final class HTTPRouter {
    private let rest: RESTDoor?
    private let grpc: GRPCDoor?
    private let admin: AdminDoor
    private let system: SystemDoor
    private let others: [(prefix: StaticString, door: any HTTPDoor)]
    private let refusal = RefusalDoor()

    /// - Parameter others: Further doors, each with the beginning of its paths; asked after the data plane's.
    init(
        rest: RESTDoor?, grpc: GRPCDoor? = nil, admin: AdminDoor, system: SystemDoor,
        others: [(prefix: StaticString, door: any HTTPDoor)] = []
    ) {
        self.rest = rest
        self.grpc = grpc
        self.admin = admin
        self.system = system
        self.others = others
    }

    /// Cost: one comparison of a few bytes for the data plane.
    func door(for exchange: Exchange) -> any HTTPDoor {
        let isGRPC = grpc?.takes(exchange) ?? false
        guard exchange.request.fault(exchange.lane.limits) == nil else { return refusal }
        if isGRPC, let grpc { return grpc }
        return exchange.request.withArena { bytes in
            let path = bytes.slice(exchange.request.path.range)
            if let rest, path.starts(withText: "/cache/") { return rest }
            if path.starts(withText: "/v1/admin/"), exchange.request.method != .connect { return admin }
            for other in others where path.starts(withText: other.prefix) { return other.door }
            // Nothing else is there to connect to, and its body has no end that could be waited for.
            return exchange.request.method == .connect ? refusal : system
        }
    }
}

extension RequestHead {
    /// What is wrong with a head before anybody asks what it wants, or nil.
    @inline(__always)
    func fault(_ limits: GatewayLimits) -> MartletError? {
        if !isTooLarge, !hasConflictingFields, targetSize <= limits.targetBytes, targetSize > 0 { return nil }
        if targetSize > limits.targetBytes { return .uriTooLong(limit: limits.targetBytes) }
        if isTooLarge { return .headersTooLarge(limit: limits.headerBytes) }
        if hasConflictingFields { return .malformed("a header field that may stand once stands twice") }
        return .malformed("the request has no path")
    }
}

/// Answers requests whose head is at fault.
final class RefusalDoor: HTTPDoor {
    func receiveHead(_ exchange: Exchange) {
        exchange.respond(
            error: exchange.request.fault(exchange.lane.limits) ?? .notFound("Path"),
            closesConnection: true)
    }

    func receiveEnd(_ exchange: Exchange) {}
}
