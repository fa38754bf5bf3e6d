import Tenancy

/// What the control plane can be asked for, and by whom. No permission of a data key or a token reaches it.
package enum ControlOperation: CaseIterable, Hashable, Sendable {
    case manageTenants
    case managePlans
    case mintSuperUserKey
    case rotateSigningKeys
    case manageCaches
    case flushCache
    case mintDataKey
    case mintToken
    case manageCredentials
    case manageWebhooks
    case listSigningKeys
    /// Those with which a tenant signs tokens itself.
    case manageTenantSigningKeys
    case readUsage
    case readAudit

    /// Who may, apart from the tenant: a super-user in its own only, root in any.
    package var callers: Set<Caller.Kind> {
        switch self {
        case .manageTenants, .managePlans, .mintSuperUserKey, .rotateSigningKeys: [.root]
        case .manageCaches, .flushCache, .mintDataKey, .mintToken, .manageCredentials, .manageWebhooks,
            .listSigningKeys, .manageTenantSigningKeys, .readUsage, .readAudit:
            [.root, .superUser]
        }
    }

    private var phrase: String {
        switch self {
        case .manageTenants: "managing tenants"
        case .managePlans: "managing plans"
        case .mintSuperUserKey: "making a super-user key"
        case .rotateSigningKeys: "rotating signing keys"
        case .manageCaches: "managing caches"
        case .flushCache: "flushing a cache"
        case .mintDataKey: "making an API key"
        case .mintToken: "making a token"
        case .manageCredentials: "managing keys and tokens"
        case .manageWebhooks: "managing webhooks"
        case .listSigningKeys: "listing signing keys"
        case .manageTenantSigningKeys: "managing a tenant's signing keys"
        case .readUsage: "reading usage"
        case .readAudit: "reading the audit log"
        }
    }

    fileprivate var refusal: MartletError {
        .permissionDenied("\(phrase) needs \(callers.contains(.superUser) ? "a super-user key" : "the root key")")
    }
}

extension Caller {
    /// - Throws: ``MartletError/permissionDenied(_:)`` unless the caller may do this in `tenant`.
    package func require(_ operation: ControlOperation, in tenant: TenantID) throws(MartletError) {
        guard operation.callers.contains(kind), kind == .root || tenant == self.tenant else {
            throw operation.refusal
        }
    }
}
