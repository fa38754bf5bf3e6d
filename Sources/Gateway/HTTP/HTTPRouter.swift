import Tenancy

/// Chooses the door of each request, by its path. One for each lane; the ops listener's leaves the data plane out.
final class HTTPRouter {
    private let rest: RESTDoor?
    private let admin: AdminDoor
    private let system: SystemDoor
    private let refusal = RefusalDoor()

    init(rest: RESTDoor?, admin: AdminDoor, system: SystemDoor) {
        self.rest = rest
        self.admin = admin
        self.system = system
    }

    /// Cost: one comparison of a few bytes for the data plane.
    func door(for exchange: Exchange) -> any HTTPDoor {
        guard exchange.request.fault(exchange.lane.limits) == nil else { return refusal }
        return exchange.request.withArena { bytes in
            let path = bytes.slice(exchange.request.path.range)
            if let rest, path.starts(withText: "/cache/") { return rest }
            if path.starts(withText: "/v1/admin/") { return admin }
            return system
        }
    }
}

extension RequestHead {
    /// What is wrong with a head before anybody asks what it wants, or nil.
    @inline(__always)
    func fault(_ limits: GatewayLimits) -> MartletError? {
        if !isTooLarge, !hasConflictingFields, path.count <= limits.targetBytes, path.count > 0 { return nil }
        if path.count > limits.targetBytes { return .uriTooLong(limit: limits.targetBytes) }
        if isTooLarge { return .headersTooLarge(limit: limits.headerBytes) }
        if hasConflictingFields { return .malformed("a header field that may stand once stands twice") }
        return .malformed("the request has no path")
    }
}

/// Answers requests whose head is at fault.
final class RefusalDoor: HTTPDoor {
    func receiveHead(_ exchange: Exchange) {
        exchange.respond(error: exchange.request.fault(exchange.lane.limits) ?? .malformed("the request is not valid"))
    }

    func receiveEnd(_ exchange: Exchange) {}
}
