import Access
import CacheService
import Tenancy

/// A control-plane request as its routes see it: read, identified, off the event loop.
struct AdminRequest: Sendable {
    let method: HTTPMethod
    /// The segments behind `/v1/admin/`, percent-decoded.
    let path: [String]
    /// The parameters of the query in their order, percent-decoded.
    let query: [(name: String, value: String)]
    let body: [UInt8]
    let caller: Caller
    let wantsCSV: Bool
    let now: Timestamp
}

/// What a control-plane request answers.
struct AdminResponse: Sendable {
    var status: Int
    var contentType: ContentType
    var body: [UInt8]
    /// Lower-case names with values that hold no line break.
    var extra: [(name: String, value: String)] = []

    init(status: Int, contentType: ContentType = .json, body: [UInt8] = []) {
        self.status = status
        self.contentType = body.isEmpty ? .none : contentType
        self.body = body
    }
}

/// The routes of the control plane. They block, on the catalog's writer and its disk.
protocol AdminRouting: Sendable {
    func respond(to request: AdminRequest) throws(MartletError) -> AdminResponse
}
