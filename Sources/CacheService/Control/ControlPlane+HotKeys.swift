import Access
import Catalog
import Tenancy

extension ControlPlane {
    /// How many hot keys are shown where no number is asked for.
    package static let hotKeysShown = 10

    /// The keys of a cache that took the most operations within the last seconds, the hottest first: at most
    /// ``KeySketch/capacity``.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``, and ``MartletError/cacheNotFound``.
    package func hotKeys(
        _ name: CacheName, limit: Int = hotKeysShown, tenant: TenantName? = nil, caller: Caller
    ) throws(MartletError) -> HotKeyReport {
        let account = try permit(.manageCaches, caller, tenant: tenant)
        guard let record = catalog.snapshot.cache(tenant: account.id, name: name) else { throw .cacheNotFound }
        return service.hotKeys(record.id, limit: limit)
    }
}
