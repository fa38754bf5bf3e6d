import Access
import Catalog
import Synchronization
import Tenancy

/// A plan with how many tenants are on it.
package struct PlanReport: Sendable {
    package let record: PlanRecord
    package let tenants: Int
}

extension ControlPlane {
    /// Defines a plan, or changes the one of that name: what is not named stays. In force for every tenant on it when
    /// this returns. Root only.
    ///
    /// - Throws: ``MartletError/permissionDenied(_:)``; ``MartletError/invalidArgument(field:reason:)`` for a limit out of
    ///   its range; ``MartletError/tooMany(_:limit:)``; and the failures of the catalog.
    package func putPlan(
        _ name: PlanName, _ change: LimitChanges, caller: Caller
    ) throws(MartletError) -> (report: PlanReport, created: Bool) {
        try permit(.managePlans, caller)
        return try changes.withLock { (_: inout Void) throws(MartletError) in
            let old = catalog.snapshot.plan(name)
            let limits = (old?.limits ?? Limits()).applying(change)
            try limits.validate()
            let (record, created) = try catalog.putPlan(name, limits: limits, actor: caller.credentialID)
            return (report(record), created)
        }
    }

    /// One plan. Root only.
    ///
    /// - Throws: ``MartletError/permissionDenied(_:)``, and ``MartletError/notFound(_:)``.
    package func plan(_ name: PlanName, caller: Caller) throws(MartletError) -> PlanReport {
        try permit(.managePlans, caller)
        guard let record = catalog.snapshot.plan(name) else { throw .notFound("Plan") }
        return report(record)
    }

    /// Plans by name. Root only.
    ///
    /// - Throws: ``MartletError/permissionDenied(_:)``, ``MartletError/invalidArgument(field:reason:)`` for a false
    ///   `next_token`, and the failures of the catalog.
    package func plans(_ page: PageRequest, caller: Caller) throws(MartletError) -> Page<PlanReport> {
        try permit(.managePlans, caller)
        let records = try catalog.plans(page)
        return Page(items: reports(records.items), nextToken: records.nextToken)
    }

    /// Deletes a plan that no tenant is on. Root only.
    ///
    /// - Throws: ``MartletError/permissionDenied(_:)``, ``MartletError/notFound(_:)``, ``MartletError/inUse(_:)``, and the
    ///   failures of the catalog.
    package func deletePlan(_ name: PlanName, caller: Caller) throws(MartletError) {
        try permit(.managePlans, caller)
        try catalog.deletePlan(name, actor: caller.credentialID)
    }

    private func report(_ record: PlanRecord) -> PlanReport {
        PlanReport(record: record, tenants: catalog.snapshot.tenantCounts(of: [record.name])[record.name] ?? 0)
    }

    /// Cost: O(tenants).
    private func reports(_ records: [PlanRecord]) -> [PlanReport] {
        let counts = catalog.snapshot.tenantCounts(of: records.map(\.name))
        return records.map { PlanReport(record: $0, tenants: counts[$0.name] ?? 0) }
    }
}
