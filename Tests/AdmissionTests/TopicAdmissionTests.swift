import Tenancy
import Testing

@testable import Admission

@Suite struct TopicAdmissionTests {
    private let start: UInt64 = 5_000_000_000_000
    private let second: UInt64 = 1_000_000_000

    private func limits(_ name: LimitName, _ value: UInt64?) -> Limits {
        var limits = Limits()
        limits[name] = value
        return limits
    }

    private func cache(_ name: LimitName, cache: UInt64? = nil, tenant: UInt64? = nil) -> CacheAdmission {
        CacheAdmission(tenant: TenantAdmission(limits: limits(name, tenant)), limits: limits(name, cache))
    }

    private func refusalOfSubscription(_ cache: CacheAdmission) -> MartletError? {
        do {
            try cache.admitSubscription()
            return nil
        } catch {
            return error
        }
    }

    private func refusalOfPublish(_ cache: CacheAdmission, at now: UInt64) -> MartletError? {
        do {
            try cache.admitPublish(nowNanoseconds: now)
            return nil
        } catch {
            return error
        }
    }

    // MARK: Subscriptions

    @Test func withoutLimitsEverythingIsAdmitted() {
        let cache = CacheAdmission(tenant: TenantAdmission())
        for _ in 0..<1_000 {
            #expect(refusalOfSubscription(cache) == nil)
            #expect(refusalOfPublish(cache, at: start) == nil)
        }
        #expect(cache.topics.subscriptions.count == 1_000)
        #expect(cache.tenant.topics.subscriptions.count == 1_000)
    }

    @Test func subscriptionsAreRefusedByEitherLimitWithItsValue() {
        for limited in [cache(.maxSubscriptions, cache: 2), cache(.maxSubscriptions, tenant: 2)] {
            #expect(refusalOfSubscription(limited) == nil)
            #expect(refusalOfSubscription(limited) == nil)
            #expect(refusalOfSubscription(limited) == .countLimited(limit: .maxSubscriptions, value: 2))
            limited.releaseSubscription()
            #expect(refusalOfSubscription(limited) == nil)
            #expect(refusalOfSubscription(limited) != nil)
        }
    }

    @Test func tenantBoundsTheSubscriptionsOfAllItsCaches() {
        let first = cache(.maxSubscriptions, cache: 3, tenant: 4)
        let second = CacheAdmission(tenant: first.tenant)
        for _ in 0..<3 { #expect(refusalOfSubscription(first) == nil) }
        #expect(refusalOfSubscription(first)?.limit?.value == 3, "the cache's limit comes first")
        #expect(refusalOfSubscription(second) == nil)
        #expect(refusalOfSubscription(second)?.limit?.value == 4)
        first.releaseSubscription()
        #expect(refusalOfSubscription(second) == nil)
    }

    @Test func refusedSubscriptionIsCountedNowhere() {
        let refusedByTenant = cache(.maxSubscriptions, cache: 10, tenant: 1)
        #expect(refusalOfSubscription(refusedByTenant) == nil)
        for _ in 0..<20 { #expect(refusalOfSubscription(refusedByTenant)?.limit?.value == 1) }
        #expect(refusedByTenant.topics.subscriptions.count == 1)
        #expect(refusedByTenant.tenant.topics.subscriptions.count == 1)
        let refusedByCache = cache(.maxSubscriptions, cache: 0, tenant: 10)
        #expect(refusalOfSubscription(refusedByCache)?.limit?.value == 0)
        #expect(refusedByCache.tenant.topics.subscriptions.count == 0)
    }

    @Test func loweredCeilingRefusesNewSubscriptionsAndKeepsTheOld() {
        let cache = cache(.maxSubscriptions, cache: 4)
        for _ in 0..<4 { #expect(refusalOfSubscription(cache) == nil) }
        cache.update(limits: limits(.maxSubscriptions, 2), nowNanoseconds: start)
        #expect(cache.topics.subscriptions.count == 4)
        for _ in 0..<2 {
            #expect(refusalOfSubscription(cache)?.limit?.value == 2)
            cache.releaseSubscription()
        }
        #expect(refusalOfSubscription(cache)?.limit?.value == 2)
        cache.update(limits: Limits(), nowNanoseconds: start)
        #expect(refusalOfSubscription(cache) == nil)
        cache.tenant.update(limits: limits(.maxSubscriptions, 3), nowNanoseconds: start)
        #expect(refusalOfSubscription(cache)?.limit?.value == 3)
    }

    // MARK: Publishing

    @Test func publishesAreRefusedByEitherLimitWithItsValue() {
        for limited in [cache(.maxPublishPerSecond, cache: 2), cache(.maxPublishPerSecond, tenant: 2)] {
            #expect(refusalOfPublish(limited, at: start) == nil)
            #expect(refusalOfPublish(limited, at: start) == nil)
            #expect(
                refusalOfPublish(limited, at: start)
                    == .rateLimited(limit: .maxPublishPerSecond, value: 2, retryAfterMilliseconds: 500))
            #expect(refusalOfPublish(limited, at: start + second / 2) == nil)
        }
    }

    @Test func refusedPublishTakesNothingFromAnyLimit() {
        let tenant = TenantAdmission(limits: limits(.maxPublishPerSecond, 3))
        let cache = CacheAdmission(tenant: tenant, limits: limits(.maxPublishPerSecond, 5))
        for _ in 0..<3 { #expect(refusalOfPublish(cache, at: start) == nil) }
        for _ in 0..<20 { #expect(refusalOfPublish(cache, at: start)?.limit?.value == 3) }
        tenant.update(limits: Limits(), nowNanoseconds: start)
        for _ in 0..<2 { #expect(refusalOfPublish(cache, at: start) == nil) }
        #expect(refusalOfPublish(cache, at: start)?.limit?.value == 5)
    }

    @Test func publishLimitIsNotThatOfCalls() throws {
        let cache = cache(.maxPublishPerSecond, cache: 0)
        try cache.admit(operations: 1_000, bytesIn: 1_000, nowNanoseconds: start)
        #expect(refusalOfPublish(cache, at: start)?.limit?.name == "max_publish_per_second")
        cache.update(limits: limits(.maxPublishPerSecond, 1), nowNanoseconds: start)
        #expect(refusalOfPublish(cache, at: start) == nil)
    }
}
