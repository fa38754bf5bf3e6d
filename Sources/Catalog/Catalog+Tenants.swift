import GRDB
import Tenancy

extension Catalog {
    /// Makes a tenant, or changes the one of that name.
    ///
    /// - Parameters:
    ///   - limits: Replaces all of its own limits; nil leaves them as they are (a new tenant: none).
    ///   - plan: Replaces the plan, an empty text removes it; nil leaves it as it is.
    ///   - labels: Replaces all labels; nil leaves them as they are.
    ///   - firstKey: Makes a first API key for a new tenant, stored in the same transaction, so that no new tenant is
    ///     ever without one. Not called for a tenant that exists.
    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` for labels or a plan out of bounds, what `firstKey`
    ///   throws, and the failures of the catalog.
    package func putTenant(
        _ name: TenantName, limits: Limits? = nil, plan: String? = nil, labels: [String: String]? = nil, actor: String,
        firstKey: ((TenantID) throws(MartletError) -> APIKeyRecord)? = nil
    ) throws(MartletError) -> (record: TenantRecord, created: Bool) {
        try TextRules.validate(labels: labels ?? [:])
        try TextRules.validate(plan, field: "plan", maximumBytes: TextRules.maximumPlanBytes)
        return try change { context in
            if let id = context.state.tenantIDs[name], var tenant = context.state.tenants[id] {
                let old = tenant
                tenant.update(limits: limits, plan: plan, labels: labels)
                tenant.planLimits = context.state.limits(ofPlan: tenant.plan)
                guard tenant != old else { return .unchanged((old, false)) }
                try context.database.execute(
                    sql: "UPDATE tenants SET limits = ?, plan = ?, labels = ? WHERE id = ?",
                    arguments: [
                        try ColumnText.json(tenant.limits), tenant.plan, try ColumnText.json(tenant.labels), id.column,
                    ])
                context.put(tenant)
                return .changed((tenant, false), tenant.entry("tenant.update", actor: actor))
            }
            let tenant = try context.insertTenant(name, limits: limits, plan: plan, labels: labels)
            var entries = [tenant.entry("tenant.create", actor: actor)]
            if let key = try firstKey?(tenant.id) {
                guard key.tenant == tenant.id else {
                    throw MartletError.internalFailure("the first API key of a tenant belongs to another tenant")
                }
                entries.append(try context.insertKey(key, actor: actor))
            }
            return .changed((tenant, true), entries)
        }
    }

    /// Deletes a tenant with its caches, API keys and signing keys, and revokes its tokens, all at once. A later tenant
    /// of the same name gets another id; nothing of the old one reaches it.
    ///
    /// - Throws: ``MartletError/notFound(_:)`` for an unknown tenant, ``MartletError/invalidArgument(field:reason:)`` for
    ///   the default tenant, and the failures of the catalog.
    /// - Complexity: O(what the tenant owns).
    package func deleteTenant(_ name: TenantName, actor: String) throws(MartletError) {
        guard name.text != Self.defaultTenantName else {
            throw .invalidArgument(field: "tenant", reason: "'\(Self.defaultTenantName)' cannot be deleted")
        }
        try change { context in
            guard let id = context.state.tenantIDs[name] else { throw MartletError.notFound("Tenant") }
            var detail = AuditDetail()
            detail.caches = try context.deleteCaches(of: id)
            detail.keys = try context.deleteKeys(of: id, tokenID: nil).count
            detail.tokens = try context.revokeTokens(of: id, tokenID: nil).count
            detail.signingKeys = try context.deleteSigningKeys(of: id)
            try context.database.execute(
                sql: "UPDATE tenants SET deleted_at = ? WHERE id = ?",
                arguments: [context.now.milliseconds, id.column])
            context.removeTenant(id)
            return .changed((), AuditEntry("tenant.delete", name.text, tenant: id, actor: actor, detail: detail))
        }
    }

    /// Live tenants by name.
    package func tenants(_ page: PageRequest) throws(MartletError) -> Page<TenantRecord> {
        let after = try page.nameKey(.tenants)
        let tenants = try read { database in
            try Row.fetchAll(
                database,
                sql: """
                    \(TenantRecord.selection) WHERE deleted_at IS NULL AND tenants.name > ?
                    ORDER BY tenants.name LIMIT ?
                    """,
                arguments: [after, page.limit + 1]
            ).map { row in try TenantRecord(row: row) }
        }
        return Page(fetched: tenants, request: page) { PageCursor(list: .tenants, key: $0.name.text) }
    }
}

extension TenantRecord {
    fileprivate mutating func update(limits: Limits?, plan: String?, labels: [String: String]?) {
        if let limits { self.limits = limits }
        if let plan { self.plan = plan.isEmpty ? nil : plan }
        if let labels { self.labels = labels }
    }

    fileprivate func entry(_ action: String, actor: String) -> AuditEntry {
        var detail = AuditDetail()
        detail.limits = AuditDetail.limits(limits)
        detail.plan = plan
        detail.labels = labels
        return AuditEntry(action, name.text, tenant: id, actor: actor, detail: detail)
    }
}

extension ChangeContext {
    fileprivate mutating func insertTenant(
        _ name: TenantName, limits: Limits?, plan: String?, labels: [String: String]?
    ) throws -> TenantRecord {
        var draft = TenantRecord(
            id: TenantID(rawValue: 0), name: name, limits: Limits(), plan: nil, labels: [:], createdAt: now)
        draft.update(limits: limits, plan: plan, labels: labels)
        try database.execute(
            sql: "INSERT INTO tenants (name, limits, plan, labels, created_at) VALUES (?, ?, ?, ?, ?)",
            arguments: [
                name.text, try ColumnText.json(draft.limits), draft.plan, try ColumnText.json(draft.labels),
                now.milliseconds,
            ])
        let tenant = TenantRecord(
            id: TenantID(rawValue: UInt64(database.lastInsertedRowID)), name: name, limits: draft.limits,
            plan: draft.plan, planLimits: state.limits(ofPlan: draft.plan), labels: draft.labels, createdAt: now)
        put(tenant)
        return tenant
    }
}
