import Access
import CacheService
import Tenancy

extension AdminRoutes {
    /// `GET /caches/{c}/hot-keys?limit=`
    func hotKeys(_ segment: String, _ call: AdminCall) throws(MartletError) -> AdminResponse {
        let tenant = try call.tenant()
        try control.permit(.manageCaches, call.caller, tenant: tenant)
        let limit = try call.query.whole("limit", maximum: Int64(KeySketch.capacity)).map { Int($0) }
        guard limit != 0 else { throw .invalidArgument(field: "limit", reason: "must be at least 1") }
        let name = try CacheName(segment)
        let report = try control.hotKeys(
            name, limit: limit ?? ControlPlane.hotKeysShown, tenant: tenant, caller: call.caller)
        return AdminResponse(200, report.json(of: name))
    }
}

extension HotKeyReport {
    func json(of cache: CacheName) -> JSONValue {
        .members([
            "cache": .string(cache.text),
            "window_seconds": .number(windowSeconds.text(decimals: 1)),
            "sampled": JSONValue(samples),
            "keys": .array(keys.map(\.json)),
        ])
    }
}

extension HotKey {
    var json: JSONValue {
        var members: [JSONValue.Member] = []
        if let text {
            members.append(.init("key", .string(text)))
        } else {
            members.append(.init("key", .null))
            members.append(.init("key_base64", .string(Base64.encode(key, .standard))))
        }
        members.append(.init("is_truncated", .boolean(isTruncated)))
        members.append(.init("operations_per_second", .number(operationsPerSecond.text(decimals: 1))))
        members.append(.init("share", .number(share.text(decimals: 4))))
        return .object(members)
    }

    /// The key, where it is UTF-8. One that was cut off may end within a character, which is then left out.
    private var text: String? {
        for dropped in 0...(isTruncated ? min(3, key.count) : 0) {
            if let text = String(validating: key.dropLast(dropped), as: UTF8.self) { return text }
        }
        return nil
    }
}

extension Double {
    /// As JSON writes it, rounded; 0 for what is no number.
    fileprivate func text(decimals: Int) -> String {
        var unit = 1.0
        for _ in 0..<decimals { unit *= 10 }
        guard let scaled = Int64(exactly: (self * unit).rounded()), scaled > 0 else { return "0" }
        let digits = String(scaled)
        let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
        return "\(padded.dropLast(decimals)).\(padded.suffix(decimals))"
    }
}
