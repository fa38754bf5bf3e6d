extension CatalogSchema {
    /// Tenants name their plan by its text, which may be that of a plan that is not defined yet: so nothing refers to
    /// these rows.
    ///
    /// With this migration limits may carry the names `weight` and `burst_*` besides, which an older version would take
    /// for damage. It does not come to that: it refuses a file that has seen a migration which it does not know.
    static let plans = """
        CREATE TABLE plans (
            name TEXT PRIMARY KEY NOT NULL,
            limits TEXT NOT NULL,
            created_at INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        """
}
