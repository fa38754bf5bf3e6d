import GRDB
import Tenancy

/// The tables of the ledger.
///
/// `usage` holds one row per tenant, cache, door and minute in which something was counted; hours and days are sums over
/// it. `folded` holds, for each row of each counter file, the cumulative values that `usage` already contains. One
/// transaction changes both, which is what makes a fold happen exactly once.
enum LedgerSchema {
    /// Marks the file as a ledger: "MLDG".
    static let applicationID = 0x4D4C_4447

    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        // A migration is never changed after it shipped; a new meter gets a new one.
        migrator.registerMigration("v1") { database in
            try database.execute(sql: "PRAGMA application_id = \(applicationID)")
            try database.execute(
                sql: """
                    CREATE TABLE usage (
                        tenant INTEGER NOT NULL,
                        minute INTEGER NOT NULL,
                        cache INTEGER NOT NULL,
                        door INTEGER NOT NULL,
                        \(columnsOfVersion1.map { "\($0) INTEGER NOT NULL" }.joined(separator: ",\n    ")),
                        PRIMARY KEY (tenant, minute, cache, door)
                    ) STRICT, WITHOUT ROWID;
                    CREATE INDEX usage_by_minute ON usage (minute);
                    CREATE INDEX usage_by_cache ON usage (cache, minute);
                    CREATE TABLE folded (
                        generation INTEGER NOT NULL,
                        serial INTEGER NOT NULL,
                        \(columnsOfVersion1.map { "\($0) INTEGER NOT NULL" }.joined(separator: ",\n    ")),
                        PRIMARY KEY (generation, serial)
                    ) STRICT, WITHOUT ROWID;
                    """)
        }
        migrator.registerMigration("v2") { database in
            // A counter that did not exist has been folded up to zero.
            for table in ["usage", "folded"] {
                try database.execute(
                    sql: "ALTER TABLE \(table) ADD COLUMN subscription_milliseconds INTEGER NOT NULL DEFAULT 0")
            }
        }
        return migrator
    }

    private static let columnsOfVersion1 = [
        "operations", "bytes_in", "bytes_out", "calls", "hits", "misses", "client_errors", "throttled",
        "server_errors", "request_chunks", "response_chunks", "conditional_operations", "elements_in", "elements_out",
        "publishes", "deliveries",
    ]

    /// The value columns in the order of ``Meter``.
    static let columns = Meter.allCases.map(\.name)

    static let storeFolded = """
        INSERT OR REPLACE INTO folded (generation, serial, \(columns.joined(separator: ", ")))
        VALUES (?, ?, \(columns.map { _ in "?" }.joined(separator: ", ")))
        """

    static let addUsage = """
        INSERT INTO usage (tenant, minute, cache, door, \(columns.joined(separator: ", ")))
        VALUES (?, ?, ?, ?, \(columns.map { _ in "?" }.joined(separator: ", ")))
        ON CONFLICT DO UPDATE SET \(columns.map { "\($0) = \($0) + excluded.\($0)" }.joined(separator: ", "))
        """

    static let forgetFolded = "DELETE FROM folded WHERE generation = ? AND serial = ?"

    static let readFolded = "SELECT serial, \(columns.joined(separator: ", ")) FROM folded WHERE generation = ?"
}
