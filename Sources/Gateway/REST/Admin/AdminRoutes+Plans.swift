import Access
import CacheService
import Catalog
import Tenancy

extension AdminRoutes {
    /// `PUT /plans/{p}`: 201 for a new plan, 200 for a changed one.
    func putPlan(_ segment: String, _ call: AdminCall) throws(MartletError) -> AdminResponse {
        try control.permit(.managePlans, call.caller)
        let name = try PlanName(segment)
        let body = try AdminBody(call.request.body, fields: ["limits"])
        let (report, created) = try control.putPlan(name, try body.limits(), caller: call.caller)
        return AdminResponse(created ? 201 : 200, report.json)
    }

    /// `GET /plans/{p}`
    func getPlan(_ segment: String, _ call: AdminCall) throws(MartletError) -> AdminResponse {
        try control.permit(.managePlans, call.caller)
        return AdminResponse(200, try control.plan(try PlanName(segment), caller: call.caller).json)
    }

    /// `DELETE /plans/{p}`
    func deletePlan(_ segment: String, _ call: AdminCall) throws(MartletError) -> AdminResponse {
        try control.permit(.managePlans, call.caller)
        try control.deletePlan(try PlanName(segment), caller: call.caller)
        return .done
    }

    /// `GET /plans`
    func listPlans(_ call: AdminCall) throws(MartletError) -> AdminResponse {
        try control.permit(.managePlans, call.caller)
        let page = try control.plans(try call.query.page(), caller: call.caller)
        return .list("plans", page.items.map(\.json), nextToken: page.nextToken)
    }
}
