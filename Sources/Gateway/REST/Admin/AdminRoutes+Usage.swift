import Access
import CacheService
import Metering
import Tenancy

extension AdminRoutes {
    /// The last second of the year 9999: later is a slip, or milliseconds.
    private static let latestSecond: Int64 = 253_402_300_799

    /// `GET /usage`, as JSON or as CSV. Both come in pages; CSV, which has no place for it, tells the token of the next
    /// page in the field `martlet-next-token`.
    func usage(_ call: AdminCall) throws(MartletError) -> AdminResponse {
        let tenant = try call.tenant()
        try control.permit(.readUsage, call.caller)
        let query = call.query
        var request = UsageRequest()
        request.cache = try query.text("cache").map { text throws(MartletError) in try CacheName(text) }
        request.door = try query.text("door").map { text throws(MartletError) in
            guard let door = Door(name: text) else {
                throw MartletError.invalidArgument(field: "door", reason: Self.oneOf(Door.allCases.map(\.name)))
            }
            return door
        }
        request.from = try query.whole("from", maximum: Self.latestSecond).map { Timestamp(seconds: $0) }
        request.to = try query.whole("to", maximum: Self.latestSecond).map { Timestamp(seconds: $0) }
        if let text = try query.text("window") {
            guard let window = UsageWindow(rawValue: text) else {
                throw .invalidArgument(field: "window", reason: Self.oneOf(UsageWindow.allCases.map(\.rawValue)))
            }
            request.window = window
        }
        request.limit = try query.whole("limit").map { Int(clamping: $0) }
        request.nextToken = try query.text("next_token")
        let report = try control.usage(request, tenant: tenant, caller: call.caller)
        guard call.request.wantsCSV else {
            return .list("rows", report.rows.map(\.json), nextToken: report.nextToken)
        }
        var response = AdminResponse(status: 200, contentType: .csv, body: report.csv)
        if let nextToken = report.nextToken { response.extra.append(("martlet-next-token", nextToken)) }
        return response
    }

    /// `GET /audit`
    func audit(_ call: AdminCall) throws(MartletError) -> AdminResponse {
        let tenant = try call.tenant()
        try control.permit(.readAudit, call.caller)
        let report = try control.audit(try call.query.page(), tenant: tenant, caller: call.caller)
        return .list("events", report.rows.map(\.json), nextToken: report.nextToken)
    }

    private static func oneOf(_ names: [String]) -> String {
        "must be one of \(names.joined(separator: ", "))"
    }
}
