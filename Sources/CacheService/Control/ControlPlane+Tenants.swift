import Access
import Catalog
import Synchronization
import Tenancy

/// A change of a tenant. What is not named stays.
package struct TenantChange: Sendable {
    package var limits: LimitChanges = [:]
    /// Nil: as it is. An empty text removes it.
    package var plan: String?
    package var labels: LabelChanges = [:]

    package init() {}
}

/// A tenant with what it uses now.
package struct TenantReport: Sendable {
    package let record: TenantRecord
    /// What is used, over all its caches, of the limits that hold for it.
    package let use: [LimitUse]
}

extension ControlPlane {
    /// Makes a tenant with its super-user key, or changes the one of that name. Root only.
    ///
    /// - Returns: the tenant, and for a new one its key, which is shown this once.
    /// - Throws: ``MartletError/permissionDenied(_:)``, ``MartletError/invalidArgument(field:reason:)``, and the failures
    ///   of the catalog.
    package func putTenant(
        _ name: TenantName, _ change: TenantChange, caller: Caller
    ) throws(MartletError) -> (report: TenantReport, key: MintedKey?) {
        try permit(.manageTenants, caller)
        return try changes.withLock { (_: inout Void) throws(MartletError) in
            let old = catalog.snapshot.tenant(name)
            let limits = (old?.limits ?? Limits()).applying(change.limits)
            try limits.validate()
            var key: MintedKey?
            // The format that carries the endpoint, so that the key is all that a client needs.
            let order = KeyOrder(format: .v1, grant: .superUser, description: "made with the tenant")
            let (record, _) = try catalog.putTenant(
                name, limits: limits, plan: change.plan,
                labels: (old?.labels ?? [:]).applying(change.labels), actor: caller.credentialID
            ) { id throws(MartletError) in
                let made = try self.makeKey(order, tenant: id)
                key = made
                return made.record
            }
            return (report(record), key)
        }
    }

    /// One tenant: any for root, its own for a super-user.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``.
    package func tenant(_ name: TenantName, caller: Caller) throws(MartletError) -> TenantReport {
        let record = try permit(.readUsage, caller, tenant: name)
        return report(record)
    }

    /// Live tenants by name. Root only.
    ///
    /// - Throws: ``MartletError/permissionDenied(_:)``, ``MartletError/invalidArgument(field:reason:)`` for a false
    ///   `next_token`, and the failures of the catalog.
    package func tenants(_ page: PageRequest, caller: Caller) throws(MartletError) -> Page<TenantReport> {
        try permit(.manageTenants, caller)
        let records = try catalog.tenants(page)
        return Page(items: records.items.map(report), nextToken: records.nextToken)
    }

    /// Deletes a tenant with its caches and keys, and revokes its tokens. Root only.
    ///
    /// - Throws: ``MartletError/permissionDenied(_:)``, ``MartletError/notFound(_:)``,
    ///   ``MartletError/invalidArgument(field:reason:)`` for the tenant `default`, and the failures of the catalog.
    package func deleteTenant(_ name: TenantName, caller: Caller) throws(MartletError) {
        let record = try permit(.manageTenants, caller, tenant: name)
        try catalog.deleteTenant(name, actor: caller.credentialID)
        mintingRates.forget(record.id)
    }

    private func report(_ record: TenantRecord) -> TenantReport {
        TenantReport(record: record, use: use(of: record))
    }
}
