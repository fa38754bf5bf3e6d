import Access
import CacheService
import Catalog
import Tenancy

/// The control plane over HTTP: reads JSON, calls the ``ControlPlane``, writes JSON. It decides nothing itself.
///
/// The order of refusals is that of the data plane: who may not do something learns nothing of what is wrong with the
/// request, so every route asks for permission before it reads the body.
package struct AdminRoutes: AdminRouting {
    let control: ControlPlane

    package init(control: ControlPlane) {
        self.control = control
    }

    func respond(to request: AdminRequest) throws(MartletError) -> AdminResponse {
        let query = try AdminQuery(request.query)
        guard let route = AdminRoute(path: request.path) else {
            throw .notFound("Path (the control plane has \(AdminRoute.places))")
        }
        guard route.methods.contains(request.method) else {
            throw .methodNotAllowed(allowed: route.allowed)
        }
        let call = AdminCall(request: request, query: query)
        switch (route, request.method) {
        case (.tenants, _): return try listTenants(call)
        case (.tenant(let name), .put): return try putTenant(name, call)
        case (.tenant(let name), .delete): return try deleteTenant(name, call)
        case (.tenant(let name), _): return try getTenant(name, call)
        case (.latency(let name), _): return try latency(name, call)
        case (.plans, _): return try listPlans(call)
        case (.plan(let name), .put): return try putPlan(name, call)
        case (.plan(let name), .delete): return try deletePlan(name, call)
        case (.plan(let name), _): return try getPlan(name, call)
        case (.caches, _): return try listCaches(call)
        case (.cache(let name), .put): return try putCache(name, call)
        case (.cache(let name), .delete): return try deleteCache(name, call)
        case (.cache(let name), _): return try getCache(name, call)
        case (.flush(let name), _): return try flushCache(name, call)
        case (.hotKeys(let name), _): return try hotKeys(name, call)
        case (.keys, .post): return try mintKey(call)
        case (.keys, _): return try listKeys(call)
        case (.key(let id), _): return try revokeKey(id, call)
        case (.tokens, .post): return try mintToken(call)
        case (.tokens, _): return try revokeTokens(call)
        case (.token(let id), _): return try revokeToken(id, call)
        case (.signingKeys, _): return try listSigningKeys(call)
        case (.signingKeyRotation, _): return try rotateSigningKey(call)
        case (.usage, _): return try usage(call)
        case (.audit, _): return try audit(call)
        }
    }
}

/// One request with its query read.
struct AdminCall {
    let request: AdminRequest
    let query: AdminQuery

    var caller: Caller { request.caller }

    /// The tenant that the query picks.
    func tenant() throws(MartletError) -> TenantName? {
        guard let text = try query.text("tenant") else { return nil }
        return try TenantName(text)
    }
}

extension AdminResponse {
    /// A JSON document.
    init(_ status: Int, _ json: JSONValue) {
        self.init(status: status, contentType: .json, body: json.encoded() + [0x0A])
    }

    /// An answer without a body.
    static let done = AdminResponse(status: 204)

    /// One page of a list.
    static func list(_ name: String, _ items: [JSONValue], nextToken: String?) -> AdminResponse {
        AdminResponse(
            200,
            .object([
                JSONValue.Member(name, .array(items)), JSONValue.Member("next_token", JSONValue(nextToken)),
            ]))
    }
}
