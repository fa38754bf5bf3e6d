import GRDB
import Tenancy

/// A bill names what has long been deleted, so these look among the dead as well.
extension Catalog {
    /// SQLite takes 32,766 parameters; far fewer are enough for a page of usage.
    private static let idsPerQuery = 500

    /// The names of caches, dead or alive, by id. Ids that were never given are left out.
    ///
    /// - Throws: the failures of the catalog.
    package func cacheNames(_ ids: [CacheID]) throws(MartletError) -> [CacheID: CacheName] {
        try names(of: ids.map(\.column), in: "caches") { reader in
            (CacheID(rawValue: try reader.id("id")), try reader.cacheName("name"))
        }
    }

    /// The names of tenants, dead or alive, by id. Ids that were never given are left out.
    ///
    /// - Throws: the failures of the catalog.
    package func tenantNames(_ ids: [TenantID]) throws(MartletError) -> [TenantID: TenantName] {
        try names(of: ids.map(\.column), in: "tenants") { reader in
            (TenantID(rawValue: try reader.id("id")), try reader.tenantName("name"))
        }
    }

    /// The ids of all caches that a tenant ever had under a name, oldest first.
    ///
    /// - Throws: the failures of the catalog.
    package func cacheIDs(tenant: TenantID, name: CacheName) throws(MartletError) -> [CacheID] {
        try read { database in
            try Row.fetchAll(
                database, sql: "SELECT id FROM caches WHERE tenant_id = ? AND name = ? ORDER BY id",
                arguments: [tenant.column, name.text]
            ).map { row in CacheID(rawValue: try RowReader(row: row, table: "caches").id("id")) }
        }
    }

    /// The ids of all tenants that ever had a name, oldest first.
    ///
    /// - Throws: the failures of the catalog.
    package func tenantIDs(name: TenantName) throws(MartletError) -> [TenantID] {
        try read { database in
            try Row.fetchAll(
                database, sql: "SELECT id FROM tenants WHERE name = ? ORDER BY id", arguments: [name.text]
            ).map { row in TenantID(rawValue: try RowReader(row: row, table: "tenants").id("id")) }
        }
    }

    private func names<ID: Hashable, Name>(
        of ids: [Int64], in table: String, decode: (RowReader) throws -> (ID, Name)
    ) throws(MartletError) -> [ID: Name] {
        try read { database in
            var names: [ID: Name] = [:]
            var rest = ids[...]
            while !rest.isEmpty {
                let batch = rest.prefix(Self.idsPerQuery)
                rest = rest.dropFirst(batch.count)
                let places = databaseQuestionMarks(count: batch.count)
                let rows = try Row.fetchAll(
                    database, sql: "SELECT id, name FROM \(table) WHERE id IN (\(places))",
                    arguments: StatementArguments(batch))
                for row in rows {
                    let (id, name) = try decode(RowReader(row: row, table: table))
                    names[id] = name
                }
            }
            return names
        }
    }
}
