import Access
import Catalog
import Metering
import Tenancy

/// Which usage to show.
package struct UsageRequest: Sendable {
    package var cache: CacheName?
    package var door: Door?
    /// Nil: a day before ``to``.
    package var from: Timestamp?
    /// Nil: now, the open window included.
    package var to: Timestamp?
    package var window = UsageWindow.minute
    package var limit: Int?
    package var nextToken: String?

    package init() {}
}

/// Usage with the names of whom it belongs to, which may be gone by now.
package struct UsageReport: Sendable {
    package struct Row: Sendable {
        package let tenant: String
        package let cache: String
        package let usage: UsageRow
    }

    package let rows: [Row]
    package let nextToken: String?
}

/// Audit events with the names of the tenants that they belong to.
package struct AuditReport: Sendable {
    package struct Row: Sendable {
        /// Nil for an event of the installation.
        package let tenant: String?
        package let event: AuditEvent
    }

    package let rows: [Row]
    package let nextToken: String?
}

extension ControlPlane {
    /// What is shown where no range is asked for.
    private static let defaultRangeMilliseconds: Int64 = 86_400_000

    /// What a tenant used: root any tenant, a deleted one too; a super-user its own. A cache is found by its name among
    /// the deleted as well.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``; ``MartletError/cacheNotFound`` for a name that no cache of the tenant ever had;
    ///   ``MartletError/invalidArgument(field:reason:)`` for a range, limit or `next_token` that is not valid;
    ///   ``MartletError/unavailable(_:)`` when the ledger cannot be read.
    package func usage(
        _ request: UsageRequest, tenant name: TenantName? = nil, caller: Caller
    ) throws(MartletError) -> UsageReport {
        let tenant = try permitHistory(.readUsage, caller, tenant: name)
        var caches: [CacheID]?
        if let cache = request.cache {
            let ids = try catalog.cacheIDs(tenant: tenant, name: cache)
            guard !ids.isEmpty else { throw .cacheNotFound }
            caches = ids
        }
        // A millisecond further, so that the window that opens at this very instant is in.
        let to = request.to ?? now.adding(milliseconds: 1)
        let from = request.from ?? to.adding(milliseconds: -Self.defaultRangeMilliseconds)
        guard from < to else {
            throw request.to == nil
                ? .invalidArgument(field: "from", reason: "must be in the past")
                : .invalidArgument(field: "to", reason: "must be later than from")
        }
        let page = try ledger.usage(
            UsageQuery(
                tenant: tenant, caches: caches, door: request.door, from: from, to: to, window: request.window,
                limit: request.limit ?? 1_000, nextToken: request.nextToken))
        let cacheNames = try catalog.cacheNames(Array(Set(page.rows.map(\.cache))))
        let tenantNames = try catalog.tenantNames([tenant])
        return UsageReport(
            rows: page.rows.map { row in
                UsageReport.Row(
                    tenant: tenantNames[row.tenant]?.text ?? "#\(row.tenant.rawValue)",
                    cache: cacheNames[row.cache]?.text ?? "#\(row.cache.rawValue)", usage: row)
            },
            nextToken: page.nextToken)
    }

    /// Who changed what, newest first: a super-user sees its own tenant's events; root those of the tenant it picks, or
    /// all, the installation's among them, when it picks none.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``, ``MartletError/invalidArgument(field:reason:)`` for a false `next_token`, and
    ///   the failures of the catalog.
    package func audit(
        _ page: PageRequest, tenant name: TenantName? = nil, caller: Caller
    ) throws(MartletError) -> AuditReport {
        let picked = try permitHistory(.readAudit, caller, tenant: name)
        let events = try catalog.audit(of: caller.kind == .root && name == nil ? nil : picked, page)
        let names = try catalog.tenantNames(Array(Set(events.items.compactMap(\.tenant))))
        return AuditReport(
            rows: events.items.map { event in
                AuditReport.Row(
                    tenant: event.tenant.map { names[$0]?.text ?? "#\($0.rawValue)" }, event: event)
            },
            nextToken: events.nextToken)
    }
}
