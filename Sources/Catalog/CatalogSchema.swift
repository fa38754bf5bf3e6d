import GRDB

/// The tables of the catalog, and how a file of an older version becomes one of this version.
///
/// - Ids are `AUTOINCREMENT`: SQLite then never gives one twice, not even after the row is gone. A bill, a meter and a
///   token name tenants and caches by id for longer than they live, which is also why their rows are never deleted:
///   `deleted_at` marks the dead, and names are unique among the living alone.
/// - Times are milliseconds since 1970. Limits and labels are JSON objects, for no query looks into them.
/// - Rows of the audit table cannot be altered: triggers refuse it.
enum CatalogSchema {
    /// "MTLT": tells a catalog from other SQLite files.
    static let applicationID: Int32 = 0x4D54_4C54

    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        // Nothing here needs foreign keys off, and leaving them on spares each start a check of the whole file.
        migrator.registerMigration("1", foreignKeyChecks: .immediate) { database in
            try database.execute(sql: version1)
        }
        migrator.registerMigration("tenant signing keys", foreignKeyChecks: .immediate) { database in
            try database.execute(sql: tenantSigningKeys)
        }
        migrator.registerMigration("webhooks", foreignKeyChecks: .immediate) { database in
            try database.execute(sql: webhooks)
        }
        migrator.registerMigration("plans", foreignKeyChecks: .immediate) { database in
            try database.execute(sql: plans)
        }
        return migrator
    }

    private static let version1 = """
        CREATE TABLE tenants (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL,
            limits TEXT NOT NULL,
            plan TEXT,
            labels TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            deleted_at INTEGER
        ) STRICT;
        CREATE UNIQUE INDEX live_tenants_by_name ON tenants (name) WHERE deleted_at IS NULL;
        CREATE INDEX tenants_by_name ON tenants (name);

        CREATE TABLE caches (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            tenant_id INTEGER NOT NULL REFERENCES tenants (id),
            name TEXT NOT NULL,
            limits TEXT NOT NULL,
            labels TEXT NOT NULL,
            compression TEXT NOT NULL,
            owner TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            deleted_at INTEGER
        ) STRICT;
        CREATE UNIQUE INDEX live_caches_by_name ON caches (tenant_id, name) WHERE deleted_at IS NULL;
        CREATE INDEX caches_by_name ON caches (tenant_id, name);

        CREATE TABLE api_keys (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            tenant_id INTEGER NOT NULL REFERENCES tenants (id),
            hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
            refresh_hash BLOB CHECK (length(refresh_hash) = 32),
            format TEXT NOT NULL,
            grant_bytes BLOB NOT NULL,
            is_super_user INTEGER NOT NULL CHECK (is_super_user IN (0, 1)),
            token_id TEXT,
            description TEXT,
            created_at INTEGER NOT NULL,
            expires_at INTEGER,
            duration_seconds INTEGER
        ) STRICT;
        CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id, sequence);
        CREATE INDEX api_keys_by_label ON api_keys (tenant_id, token_id) WHERE token_id IS NOT NULL;
        CREATE INDEX api_keys_by_expiry ON api_keys (expires_at) WHERE expires_at IS NOT NULL;

        CREATE TABLE tokens (
            id TEXT PRIMARY KEY NOT NULL,
            tenant_id INTEGER NOT NULL REFERENCES tenants (id),
            token_id TEXT,
            issued_at INTEGER NOT NULL,
            expires_at INTEGER NOT NULL,
            minted_by TEXT NOT NULL,
            revoked_at INTEGER
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX tokens_by_tenant ON tokens (tenant_id) WHERE revoked_at IS NULL;
        CREATE INDEX tokens_by_label ON tokens (tenant_id, token_id) WHERE token_id IS NOT NULL;
        CREATE INDEX tokens_by_expiry ON tokens (expires_at, issued_at);
        CREATE INDEX revoked_tokens ON tokens (id, expires_at) WHERE revoked_at IS NOT NULL;

        CREATE TABLE signing_keys (
            kid TEXT PRIMARY KEY NOT NULL,
            private_pem TEXT,
            public_pem TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            retired_at INTEGER
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE root_key (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            hash BLOB NOT NULL CHECK (length(hash) = 32),
            set_at INTEGER NOT NULL
        ) STRICT;

        CREATE TABLE settings (
            name TEXT PRIMARY KEY NOT NULL,
            value BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE audit (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            at INTEGER NOT NULL,
            actor TEXT NOT NULL,
            tenant_id INTEGER,
            action TEXT NOT NULL,
            subject TEXT NOT NULL,
            detail TEXT NOT NULL
        ) STRICT;
        CREATE INDEX audit_by_tenant ON audit (tenant_id, sequence);
        CREATE TRIGGER audit_is_never_updated BEFORE UPDATE ON audit
            BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
        CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
            BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
        """

    private static let tenantSigningKeys = """
        CREATE TABLE tenant_signing_keys (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            kid TEXT NOT NULL UNIQUE,
            tenant_id INTEGER NOT NULL REFERENCES tenants (id),
            public_pem TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            expires_at INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX tenant_signing_keys_by_tenant ON tenant_signing_keys (tenant_id, sequence);
        CREATE INDEX tenant_signing_keys_by_expiry ON tenant_signing_keys (expires_at);
        """
}
