import Access
import Catalog
import Tenancy

extension ControlPlane {
    /// Finds the tenant that a caller means and checks that it may do `operation` there.
    ///
    /// Every method of the control plane begins with it. A door calls it as well, before it reads a body, so that who may
    /// not do something is told that and nothing else.
    ///
    /// - Parameter name: The tenant that the caller picks: root any, and `default` when it picks none; a super-user its
    ///   own, which it need not name.
    /// - Throws: ``MartletError/revokedCredential`` or ``MartletError/expiredCredential`` when the credential was good
    ///   once; ``MartletError/permissionDenied(_:)``, for another's tenant too, whether it exists or not;
    ///   ``MartletError/notFound(_:)`` for a tenant that root picks and nobody has.
    @discardableResult
    package func permit(
        _ operation: ControlOperation, _ caller: Caller, tenant name: TenantName? = nil
    ) throws(MartletError) -> TenantRecord {
        let snapshot = catalog.snapshot
        let own = try requireLive(caller, snapshot)
        try caller.require(operation, in: own.id)
        guard let name, name != own.name else { return own }
        guard caller.kind == .root else {
            throw .permissionDenied("this credential belongs to another tenant")
        }
        guard let tenant = snapshot.tenant(name) else { throw .notFound("Tenant") }
        return tenant
    }

    /// A request may wait for its body or for a thread while its credential is revoked: so it is looked at again here.
    ///
    /// - Returns: the caller's own tenant.
    private func requireLive(_ caller: Caller, _ snapshot: CatalogSnapshot) throws(MartletError) -> TenantRecord {
        guard !caller.isExpired(at: now) else { throw .expiredCredential }
        // As in `ServiceLane.fault(of:)`.
        let isLive = caller === service.emulatorCaller || snapshot.isLive(caller)
        guard isLive, let tenant = snapshot.tenant(caller.tenant) else { throw .revokedCredential }
        return tenant
    }

    /// As ``permit(_:_:tenant:)`` for what outlives a tenant: root also picks one that was deleted, of several of one
    /// name the latest.
    func permitHistory(
        _ operation: ControlOperation, _ caller: Caller, tenant name: TenantName?
    ) throws(MartletError) -> TenantID {
        do {
            return try permit(operation, caller, tenant: name).id
        } catch .notFound(let what) {
            // Only root gets here: others learn nothing of tenants that are not theirs.
            guard let name, let id = try catalog.tenantIDs(name: name).last else { throw .notFound(what) }
            return id
        }
    }
}
