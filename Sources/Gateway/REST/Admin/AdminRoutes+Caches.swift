import Access
import CacheService
import Catalog
import Tenancy

extension AdminRoutes {
    /// `PUT /caches/{c}`: 201 for a new cache, 200 for a changed one.
    func putCache(_ segment: String, _ call: AdminCall) throws(MartletError) -> AdminResponse {
        let tenant = try call.tenant()
        try control.permit(.manageCaches, call.caller, tenant: tenant)
        let name = try CacheName(segment)
        let body = try AdminBody(call.request.body, fields: ["limits", "labels", "compression"])
        var change = CacheChange()
        change.limits = try body.limits()
        change.labels = try body.labels()
        if let text = try body.text("compression") { change.compression = try CacheCompression(text: text) }
        let (report, created) = try control.putCache(name, change, tenant: tenant, caller: call.caller)
        return AdminResponse(created ? 201 : 200, report.json)
    }

    /// `GET /caches/{c}`
    func getCache(_ segment: String, _ call: AdminCall) throws(MartletError) -> AdminResponse {
        let tenant = try call.tenant()
        try control.permit(.manageCaches, call.caller, tenant: tenant)
        let report = try control.cache(try CacheName(segment), tenant: tenant, caller: call.caller)
        return AdminResponse(200, report.json)
    }

    /// `DELETE /caches/{c}`
    func deleteCache(_ segment: String, _ call: AdminCall) throws(MartletError) -> AdminResponse {
        let tenant = try call.tenant()
        try control.permit(.manageCaches, call.caller, tenant: tenant)
        try control.deleteCache(try CacheName(segment), tenant: tenant, caller: call.caller)
        return .done
    }

    /// `GET /caches`
    func listCaches(_ call: AdminCall) throws(MartletError) -> AdminResponse {
        let tenant = try call.tenant()
        try control.permit(.manageCaches, call.caller, tenant: tenant)
        let page = try control.caches(try call.query.page(), tenant: tenant, caller: call.caller)
        return .list("caches", page.items.map(\.json), nextToken: page.nextToken)
    }

    /// `POST /caches/{c}/flush`
    func flushCache(_ segment: String, _ call: AdminCall) throws(MartletError) -> AdminResponse {
        let tenant = try call.tenant()
        try control.permit(.flushCache, call.caller, tenant: tenant)
        try control.flushCache(try CacheName(segment), tenant: tenant, caller: call.caller)
        return .done
    }
}
