/// A path of the control plane, and the methods that it answers.
enum AdminRoute: Equatable {
    case tenants
    case tenant(String)
    case latency(tenant: String)
    case plans
    case plan(String)
    case caches
    case cache(String)
    case flush(cache: String)
    case hotKeys(cache: String)
    case keys
    case key(id: String)
    case tokens
    case token(id: String)
    case signingKeys
    case signingKeyRotation
    case usage
    case audit

    /// What a caller that asks for something else is told.
    static let places =
        "/v1/admin/tenants, /tenants/{tenant}, /tenants/{tenant}/latency, /plans, /plans/{plan}, /caches, /caches/{cache}, "
        + "/caches/{cache}/flush, /caches/{cache}/hot-keys, /keys, /keys/{id}, /tokens, /tokens/{id}, /signing-keys, "
        + "/signing-keys/rotate, /usage and /audit"

    /// - Parameter path: The segments behind `/v1/admin/`.
    init?(path: [String]) {
        let first = path.first
        switch path.count {
        case 1:
            switch first {
            case "tenants": self = .tenants
            case "plans": self = .plans
            case "caches": self = .caches
            case "keys": self = .keys
            case "tokens": self = .tokens
            case "signing-keys": self = .signingKeys
            case "usage": self = .usage
            case "audit": self = .audit
            default: return nil
            }
        case 2:
            switch first {
            case "tenants": self = .tenant(path[1])
            case "plans": self = .plan(path[1])
            case "caches": self = .cache(path[1])
            case "keys": self = .key(id: path[1])
            case "tokens": self = .token(id: path[1])
            case "signing-keys" where path[1] == "rotate": self = .signingKeyRotation
            default: return nil
            }
        case 3:
            switch (first, path[2]) {
            case ("caches", "flush"): self = .flush(cache: path[1])
            case ("tenants", "latency"): self = .latency(tenant: path[1])
            case ("caches", "hot-keys"): self = .hotKeys(cache: path[1])
            default: return nil
            }
        default:
            return nil
        }
    }

    var methods: [HTTPMethod] {
        switch self {
        case .tenant, .plan, .cache: [.get, .put, .delete]
        case .tenants, .latency, .plans, .caches, .signingKeys, .usage, .audit, .hotKeys: [.get]
        case .keys: [.get, .post]
        case .tokens: [.post, .delete]
        case .key, .token: [.delete]
        case .flush, .signingKeyRotation: [.post]
        }
    }

    /// The value of an `Allow` field (RFC 9110 section 10.2.1).
    var allowed: String {
        methods.map(\.name).joined(separator: ", ")
    }
}
