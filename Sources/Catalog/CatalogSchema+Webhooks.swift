extension CatalogSchema {
    /// Rows go with their cache: nothing is billed by a webhook's id, and its secret is not to outlive it.
    static let webhooks = """
        CREATE TABLE webhooks (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            cache_id INTEGER NOT NULL REFERENCES caches (id),
            name TEXT NOT NULL,
            topic TEXT NOT NULL,
            url TEXT NOT NULL,
            secret TEXT NOT NULL,
            created_at INTEGER NOT NULL
        ) STRICT;
        CREATE UNIQUE INDEX webhooks_by_name ON webhooks (cache_id, name);
        """
}
