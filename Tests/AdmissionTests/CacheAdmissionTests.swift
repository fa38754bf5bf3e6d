import Synchronization
import Tenancy
import Testing

@testable import Admission

@Suite struct CacheAdmissionTests {
    private let start: UInt64 = 5_000_000_000_000
    private let second: UInt64 = 1_000_000_000

    private func limits(_ values: [LimitName: UInt64]) -> Limits {
        var limits = Limits()
        for (name, value) in values { limits[name] = value }
        return limits
    }

    private func refusal(
        _ cache: CacheAdmission, operations: UInt64 = 1, bytesIn: UInt64 = 0, at now: UInt64
    ) -> MartletError? {
        do {
            try cache.admit(operations: operations, bytesIn: bytesIn, nowNanoseconds: now)
            return nil
        } catch {
            return error
        }
    }

    @Test func withoutLimitsEverythingIsAdmitted() {
        let cache = CacheAdmission(tenant: TenantAdmission())
        for _ in 0..<1_000 { #expect(refusal(cache, operations: 1_000_000, bytesIn: 1 << 40, at: start) == nil) }
    }

    @Test func eachLimitRefusesWithItsNameAndValue() {
        for (name, operations, bytesIn) in [
            (LimitName.maxOperationsPerSecond, 100, 0), (LimitName.maxBytesInPerSecond, 1, 100),
        ] as [(LimitName, UInt64, UInt64)] {
            for isTenants in [false, true] {
                let set = limits([name: 100])
                let cache = CacheAdmission(
                    tenant: TenantAdmission(limits: isTenants ? set : Limits()), limits: isTenants ? Limits() : set)
                #expect(refusal(cache, operations: operations, bytesIn: bytesIn, at: start) == nil)
                #expect(
                    refusal(cache, operations: operations, bytesIn: bytesIn, at: start)
                        == .rateLimited(limit: name, value: 100, retryAfterMilliseconds: 1_000))
            }
        }
    }

    @Test func burstsComeAtOnceAndTheRateHoldsBehindThem() {
        let set = limits([
            .maxOperationsPerSecond: 10, .burstOperations: 40, .maxBytesInPerSecond: 100, .burstBytesIn: 50,
            .maxBytesOutPerSecond: 100, .burstBytesOut: 200,
        ])
        for isTenants in [false, true] {
            let cache = CacheAdmission(
                tenant: TenantAdmission(limits: isTenants ? set : Limits()), limits: isTenants ? Limits() : set)
            for _ in 0..<40 { #expect(refusal(cache, at: start) == nil) }
            #expect(
                refusal(cache, at: start)
                    == .rateLimited(limit: .maxOperationsPerSecond, value: 10, retryAfterMilliseconds: 100))
            let later = start + 10 * second
            #expect(refusal(cache, bytesIn: 50, at: later) == nil)
            #expect(
                refusal(cache, bytesIn: 1, at: later)
                    == .rateLimited(limit: .maxBytesInPerSecond, value: 100, retryAfterMilliseconds: 10))
            cache.settle(extraOperations: 0, bytesOut: 200, nowNanoseconds: later)
            #expect(refusal(cache, at: later) == nil)
            cache.settle(extraOperations: 0, bytesOut: 100, nowNanoseconds: later)
            #expect(
                refusal(cache, at: later)
                    == .rateLimited(limit: .maxBytesOutPerSecond, value: 100, retryAfterMilliseconds: 1_000))
        }
    }

    @Test func aBurstIsChangedAtRunTime() {
        let cache = CacheAdmission(tenant: TenantAdmission(), limits: limits([.maxOperationsPerSecond: 10]))
        cache.update(limits: limits([.maxOperationsPerSecond: 10, .burstOperations: 2]), nowNanoseconds: start)
        #expect((0..<20).filter { _ in refusal(cache, at: start) == nil }.count == 2)
        cache.update(limits: limits([.maxOperationsPerSecond: 10]), nowNanoseconds: start + second)
        #expect((0..<20).filter { _ in refusal(cache, at: start + second) == nil }.count == 10)
    }

    @Test func connectionsHaveTheCeilingThatIsSet() {
        let cache = CacheAdmission(
            tenant: TenantAdmission(limits: limits([.maxConnections: 5])), limits: limits([.maxConnections: 2]))
        #expect(cache.connections.ceiling == 2 && cache.tenant.connections.ceiling == 5)
        cache.update(limits: Limits(), nowNanoseconds: start)
        cache.tenant.update(limits: limits([.maxConnections: 7]), nowNanoseconds: start)
        #expect(cache.connections.ceiling == nil && cache.tenant.connections.ceiling == 7)
    }

    @Test func bytesOutHoldBackTheCallsAfter() {
        let cache = CacheAdmission(tenant: TenantAdmission(), limits: limits([.maxBytesOutPerSecond: 1_000]))
        #expect(refusal(cache, at: start) == nil)
        cache.settle(extraOperations: 0, bytesOut: 3_000, nowNanoseconds: start)
        #expect(
            refusal(cache, at: start)
                == .rateLimited(limit: .maxBytesOutPerSecond, value: 1_000, retryAfterMilliseconds: 2_000))
        #expect(refusal(cache, at: start + 2 * second) == nil)
    }

    @Test func operationsOfALargeValueAreSettled() {
        let cache = CacheAdmission(tenant: TenantAdmission(), limits: limits([.maxOperationsPerSecond: 10]))
        #expect(refusal(cache, at: start) == nil)
        cache.settle(extraOperations: 9, bytesOut: 10_000, nowNanoseconds: start)
        #expect(refusal(cache, at: start) != nil)
    }

    @Test func tenantBoundsAllItsCachesTogether() {
        let tenant = TenantAdmission(limits: limits([.maxOperationsPerSecond: 10]))
        let first = CacheAdmission(tenant: tenant, limits: limits([.maxOperationsPerSecond: 8]))
        let second = CacheAdmission(tenant: tenant)
        for _ in 0..<8 { #expect(refusal(first, at: start) == nil) }
        #expect(refusal(first, at: start)?.limit?.value == 8)
        for _ in 0..<2 { #expect(refusal(second, at: start) == nil) }
        #expect(refusal(second, at: start)?.limit?.value == 10)
    }

    @Test func refusedCallTakesNothingFromAnyLimit() {
        let tenant = TenantAdmission(limits: limits([.maxBytesInPerSecond: 100, .maxOperationsPerSecond: 50]))
        let cache = CacheAdmission(
            tenant: tenant, limits: limits([.maxOperationsPerSecond: 10, .maxBytesInPerSecond: 500]))
        #expect(refusal(cache, bytesIn: 100, at: start) == nil)
        for _ in 0..<100 { #expect(refusal(cache, bytesIn: 50, at: start)?.limit?.name == "max_bytes_in_per_second") }
        for _ in 0..<9 { #expect(refusal(cache, at: start) == nil) }
        #expect(refusal(cache, at: start)?.limit?.value == 10)
        for _ in 0..<40 {
            #expect(refusal(CacheAdmission(tenant: tenant), at: start) == nil, "the tenant paid for ten calls only")
        }
        #expect(refusal(CacheAdmission(tenant: tenant), at: start)?.limit?.value == 50)
    }

    @Test func changedLimitsHoldAtOnce() {
        let tenant = TenantAdmission()
        let cache = CacheAdmission(tenant: tenant)
        cache.update(limits: limits([.maxOperationsPerSecond: 1]), nowNanoseconds: start)
        #expect(refusal(cache, at: start) == nil)
        #expect(refusal(cache, at: start) != nil)
        cache.update(limits: Limits(), nowNanoseconds: start)
        #expect(refusal(cache, at: start) == nil)
        tenant.update(limits: limits([.maxOperationsPerSecond: 0]), nowNanoseconds: start)
        #expect(
            refusal(cache, at: start)
                == .rateLimited(limit: .maxOperationsPerSecond, value: 0, retryAfterMilliseconds: 1_000))
    }

    @Test func tokensHaveTheirOwnLimit() throws {
        let tenant = TenantAdmission(limits: limits([.maxTokensPerSecond: 2]))
        try tenant.admitToken(nowNanoseconds: start)
        try tenant.admitToken(nowNanoseconds: start)
        #expect(
            throws: MartletError.rateLimited(limit: .maxTokensPerSecond, value: 2, retryAfterMilliseconds: 500)
        ) { try tenant.admitToken(nowNanoseconds: start) }
    }

    private final class Counted: Sendable {
        let calls = Atomic<Int>(0)
    }

    /// Two caches of one tenant, eight threads, one instant: the tenant's burst and not a call more, although refused
    /// calls give back what they took.
    @Test func manyThreadsGetExactlyTheTenantsBurst() async {
        let tenant = TenantAdmission(limits: limits([.maxOperationsPerSecond: 1_000]))
        let caches = (0..<2).map { _ in
            CacheAdmission(tenant: tenant, limits: limits([.maxOperationsPerSecond: 800]))
        }
        let counted = Counted()
        await withTaskGroup(of: Void.self) { group in
            for thread in 0..<8 {
                let cache = caches[thread % 2]
                group.addTask { [start] in
                    for _ in 0..<5_000 {
                        if (try? cache.admit(operations: 1, bytesIn: 0, nowNanoseconds: start)) != nil {
                            counted.calls.add(1, ordering: .relaxed)
                        }
                    }
                }
            }
        }
        #expect(counted.calls.load(ordering: .relaxed) == 1_000)
    }
}
