import GRDB
import Tenancy

/// How many plans there may be: every snapshot holds them all.
package enum PlanLimits {
    package static let perInstallation = 1000
}

extension Catalog {
    /// Defines a plan, or changes the one of that name: for all tenants on it at once, those that named it before it was
    /// defined among them.
    ///
    /// - Parameter limits: Replaces all limits; nil leaves them as they are (a new plan: none).
    /// - Throws: ``MartletError/tooMany(_:limit:)``, and the failures of the catalog.
    /// - Complexity: O(tenants).
    package func putPlan(
        _ name: PlanName, limits: Limits? = nil, actor: String
    ) throws(MartletError) -> (record: PlanRecord, created: Bool) {
        try change { context in
            if var plan = context.state.plans[name] {
                let old = plan
                if let limits { plan.limits = limits }
                guard plan != old else { return .unchanged((old, false)) }
                try context.database.execute(
                    sql: "UPDATE plans SET limits = ? WHERE name = ?",
                    arguments: [try ColumnText.json(plan.limits), name.text])
                context.put(plan)
                return .changed((plan, false), plan.entry("plan.update", actor: actor))
            }
            guard context.state.plans.count < PlanLimits.perInstallation else {
                throw MartletError.tooMany("plans", limit: PlanLimits.perInstallation)
            }
            let plan = PlanRecord(name: name, limits: limits ?? Limits(), createdAt: context.now)
            try context.database.execute(
                sql: "INSERT INTO plans (name, limits, created_at) VALUES (?, ?, ?)",
                arguments: [name.text, try ColumnText.json(plan.limits), plan.createdAt.milliseconds])
            context.put(plan)
            return .changed((plan, true), plan.entry("plan.create", actor: actor))
        }
    }

    /// Deletes a plan that no tenant is on: taking their limits away is not to happen by the way.
    ///
    /// - Throws: ``MartletError/notFound(_:)``, ``MartletError/inUse(_:)``, and the failures of the catalog.
    /// - Complexity: O(tenants).
    package func deletePlan(_ name: PlanName, actor: String) throws(MartletError) {
        try change { context in
            guard context.state.plans[name] != nil else { throw MartletError.notFound("Plan") }
            let count = context.state.tenants(on: name).count
            guard count == 0 else {
                throw MartletError.inUse(
                    "the plan has \(count == 1 ? "a tenant" : "\(count) tenants"): put them on another plan first")
            }
            try context.database.execute(sql: "DELETE FROM plans WHERE name = ?", arguments: [name.text])
            context.removePlan(name)
            return .changed((), AuditEntry("plan.delete", name.text, tenant: nil, actor: actor))
        }
    }

    /// Plans by name.
    package func plans(_ page: PageRequest) throws(MartletError) -> Page<PlanRecord> {
        let after = try page.nameKey(.plans)
        let plans = try read { database in
            try Row.fetchAll(
                database, sql: "SELECT * FROM plans WHERE name > ? ORDER BY name LIMIT ?",
                arguments: [after, page.limit + 1]
            ).map { row in try PlanRecord(row: row) }
        }
        return Page(fetched: plans, request: page) { PageCursor(list: .plans, key: $0.name.text) }
    }
}

extension PlanRecord {
    fileprivate func entry(_ action: String, actor: String) -> AuditEntry {
        var detail = AuditDetail()
        detail.limits = AuditDetail.limits(limits)
        return AuditEntry(action, name.text, tenant: nil, actor: actor, detail: detail)
    }
}
