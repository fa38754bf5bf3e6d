import GRDB
import Tenancy

extension Catalog {
    /// Who changed what, newest first.
    ///
    /// - Parameter tenant: Events of that tenant alone, dead or alive; nil for all events, those of the installation
    ///   among them.
    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` for a false `next_token`, and the failures of the catalog.
    package func audit(of tenant: TenantID?, _ page: PageRequest) throws(MartletError) -> Page<AuditEvent> {
        let before = try page.numberKey(.audit, first: .max)
        let events = try read { database in
            var sql = "SELECT * FROM audit WHERE sequence < ?"
            var arguments: StatementArguments = [before]
            if let tenant {
                sql += " AND tenant_id = ?"
                arguments += [tenant.column]
            }
            sql += " ORDER BY sequence DESC LIMIT ?"
            arguments += [page.limit + 1]
            return try Row.fetchAll(database, sql: sql, arguments: arguments).map { row in try AuditEvent(row: row) }
        }
        return Page(fetched: events, request: page) { PageCursor(list: .audit, key: $0.sequence) }
    }
}
