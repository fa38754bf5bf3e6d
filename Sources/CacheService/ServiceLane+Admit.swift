import Access
import Admission
import Catalog
import Tenancy

/// Step four, for every operation: within the limits of the cache and its tenant, and of what the server can do now.
extension ServiceLane {
    /// Admits a call, or refuses it before anything is done for it.
    ///
    /// - Parameters:
    ///   - operations: As the billing policy counts what is known of the call.
    ///   - bytesIn: Of keys and values.
    /// - Throws: ``MartletError/rateLimited(limit:value:retryAfterMilliseconds:)``, and
    ///   ``MartletError/busy(retryAfterMilliseconds:)`` while the server has more to do than it can.
    @inline(__always)
    func admit(
        _ cache: LaneCache, _ kind: CallKind, operations: UInt64, bytesIn: UInt64
    ) throws(MartletError) {
        calls &+= 1
        let admission = cache.shared.admission
        if overload.isShedding { try refuseWhileOverloaded(admission.tenant, kind) }
        try admission.admit(operations: operations, bytesIn: bytesIn, nowNanoseconds: nowNanoseconds)
    }

    @inline(never)
    private func refuseWhileOverloaded(_ tenant: TenantAdmission, _ kind: CallKind) throws(MartletError) {
        guard overload.refuses(kind, weight: tenant.weight, random: dice.next()),
            !tenant.hasReservation(nowNanoseconds: nowNanoseconds)
        else { return }
        throw .busy(retryAfterMilliseconds: overload.retryAfterMilliseconds(random: dice.next()))
    }

    /// Tells those who watch how the lane keeps up.
    package func tellLoad() {
        service.loads.set(
            LaneLoad(standingDelayNanoseconds: overload.standingDelay, overloadLevel: overload.level), of: index)
    }

    // MARK: Who shares the lane

    /// The tenant of a caller, as this lane serves it.
    @inline(__always)
    package func flow(of caller: LaneCaller) -> FairFlow {
        caller.flow ?? makeFlow(of: caller)
    }

    private func makeFlow(of caller: LaneCaller) -> FairFlow {
        guard let flow = flow(of: caller.caller.tenant) else { return anonymousFlow }
        caller.flow = flow
        return flow
    }

    private func flow(of tenant: TenantID) -> FairFlow? {
        if let known = flows[tenant] { return known }
        guard let record = snapshot.tenant(tenant) else { return nil }
        let made = FairFlow(service.admission(of: record))
        flows[tenant] = made
        return made
    }

    /// Which of some pieces of work, each of a tenant, is to go on: the first of the tenant that is least ahead of its share.
    /// Cost: O(pieces of work).
    func fairest(_ tenants: some Sequence<TenantID>) -> TenantID? {
        var best: (tenant: TenantID, lead: UInt64)?
        for tenant in tenants where tenant != best?.tenant {
            // Of one that is gone the work ends with its next step.
            let lead = flow(of: tenant).map { fairness.lead(of: $0) } ?? 0
            if lead < best?.lead ?? .max { best = (tenant, lead) }
        }
        return best?.tenant
    }

    /// Does a piece of work for a tenant, which is charged with it.
    func serve(_ tenant: TenantID, _ work: () -> Void) {
        let began = readNanoseconds()
        work()
        guard let flow = flow(of: tenant) else { return }
        fairness.charge(flow, nanoseconds: readNanoseconds() &- began)
    }
}
