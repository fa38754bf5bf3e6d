import Access
import CacheService
import Catalog
import Tenancy

extension AdminRoutes {
    /// `PUT /tenants/{t}`: 201 with the super-user key of a new tenant, 200 for a changed one.
    func putTenant(_ segment: String, _ call: AdminCall) throws(MartletError) -> AdminResponse {
        try control.permit(.manageTenants, call.caller)
        let name = try TenantName(segment)
        let body = try AdminBody(call.request.body, fields: ["limits", "plan", "labels"])
        var change = TenantChange()
        change.limits = try body.limits()
        change.plan = body.isNull("plan") ? "" : try body.text("plan")
        change.labels = try body.labels()
        let (report, key) = try control.putTenant(name, change, caller: call.caller)
        guard let key else { return AdminResponse(200, .object(report.members)) }
        let secrets: [JSONValue.Member] = [
            .init("key", .string(key.secret.presented)), .init("key_id", .string(key.record.id)),
            .init("refresh_token", .string(key.refreshToken.presented)),
        ]
        return AdminResponse(201, .object(report.members + secrets))
    }

    /// `GET /tenants/{t}`
    func getTenant(_ segment: String, _ call: AdminCall) throws(MartletError) -> AdminResponse {
        let report = try control.tenant(try TenantName(segment), caller: call.caller)
        return AdminResponse(200, .object(report.members))
    }

    /// `GET /tenants/{t}/latency`
    func latency(_ segment: String, _ call: AdminCall) throws(MartletError) -> AdminResponse {
        let report = try control.latency(try TenantName(segment), caller: call.caller)
        return AdminResponse(200, report.json)
    }

    /// `DELETE /tenants/{t}`
    func deleteTenant(_ segment: String, _ call: AdminCall) throws(MartletError) -> AdminResponse {
        try control.permit(.manageTenants, call.caller)
        try control.deleteTenant(try TenantName(segment), caller: call.caller)
        return .done
    }

    /// `GET /tenants`
    func listTenants(_ call: AdminCall) throws(MartletError) -> AdminResponse {
        try control.permit(.manageTenants, call.caller)
        let page = try control.tenants(try call.query.page(), caller: call.caller)
        return .list("tenants", page.items.map { .object($0.members) }, nextToken: page.nextToken)
    }
}
