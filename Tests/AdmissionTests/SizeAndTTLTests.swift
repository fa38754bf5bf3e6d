import Tenancy
import Testing

@testable import Admission

private func limits(_ values: [LimitName: UInt64]) -> Limits {
    var limits = Limits()
    for (name, value) in values { limits[name] = value }
    return limits
}

@Suite struct SizeLimitsTests {
    @Test func unsetSizesAreTheDefaults() {
        let sizes = SizeLimits()
        #expect(sizes.itemBytes == 5_000_192)
        #expect(sizes.elementBytes == 131_072)
        #expect(sizes.messageBytes == 102_400)
        #expect(sizes.keyBytes == 65_536)
    }

    @Test func smallerOfCacheAndTenantHolds() {
        func item(_ cache: UInt64?, _ tenant: UInt64?) -> Int {
            SizeLimits(
                cache: limits(cache.map { [.maxItemBytes: $0] } ?? [:]),
                tenant: limits(tenant.map { [.maxItemBytes: $0] } ?? [:])
            ).itemBytes
        }
        #expect(item(100, nil) == 100)
        #expect(item(nil, 200) == 200)
        #expect(item(100, 200) == 100)
        #expect(item(300, 200) == 200)
        #expect(item(50_000_000, nil) == 50_000_000, "a limit that is set replaces the default")
        #expect(item(.max, .max) == Int.max)
        #expect(item(0, nil) == 0)
    }

    @Test func sizesAreCheckedAtTheEdge() throws {
        let sizes = SizeLimits(
            cache: limits([.maxItemBytes: 100, .maxKeyBytes: 10, .maxElementBytes: 20, .maxMessageBytes: 30]))
        try sizes.checkKey(byteCount: 10)
        #expect(throws: MartletError.tooLarge(limit: .maxKeyBytes, value: 10)) { try sizes.checkKey(byteCount: 11) }
        try sizes.checkItem(keyBytes: 10, valueBytes: 90)
        #expect(throws: MartletError.tooLarge(limit: .maxItemBytes, value: 100)) {
            try sizes.checkItem(keyBytes: 10, valueBytes: 91)
        }
        #expect(throws: MartletError.tooLarge(limit: .maxItemBytes, value: 100)) {
            try sizes.checkItem(keyBytes: 10, valueBytes: .max)
        }
        #expect(throws: MartletError.tooLarge(limit: .maxKeyBytes, value: 10)) {
            try sizes.checkItem(keyBytes: 11, valueBytes: 0)
        }
        try sizes.checkElement(byteCount: 20)
        #expect(throws: MartletError.tooLarge(limit: .maxElementBytes, value: 20)) {
            try sizes.checkElement(byteCount: 21)
        }
        try sizes.checkMessage(byteCount: 30)
        #expect(throws: MartletError.tooLarge(limit: .maxMessageBytes, value: 30)) {
            try sizes.checkMessage(byteCount: 31)
        }
        #expect(sizes.valueBytes(besideKeyOf: 10) == 90)
        #expect(sizes.valueBytes(besideKeyOf: 1_000) == 0)
    }
}

@Suite struct TTLRulesTests {
    private let now = Timestamp(seconds: 1_700_000_000)

    private func ttl(_ seconds: UInt64) throws -> TTL {
        try TTL(milliseconds: seconds * 1_000, field: "ttl_seconds")
    }

    private func field(_ body: () throws(MartletError) -> Timestamp) -> String? {
        do {
            _ = try body()
            return nil
        } catch {
            return error.field
        }
    }

    @Test func requestedTTLHoldsUpToTheCeiling() throws {
        let rules = TTLRules(cache: limits([.maxTTLSeconds: 60]))
        let longest = try ttl(60)
        let tooLong = try TTL(milliseconds: 60_001, field: "ttl_ms")
        #expect(try rules.expiry(of: longest, now: now) == Timestamp(seconds: 1_700_000_060))
        #expect(
            throws: MartletError.invalidArgument(
                field: "ttl_ms", reason: "is over the limit max_ttl of 60 seconds")
        ) { try rules.expiry(of: tooLong, now: now, field: "ttl_ms") }
    }

    @Test func absentTTLIsTheDefaultOrAnErrorOfItsField() throws {
        let rules = TTLRules(cache: limits([.defaultTTLSeconds: 30]))
        #expect(try rules.expiry(of: nil, now: now) == Timestamp(seconds: 1_700_000_030))
        #expect(field { () throws(MartletError) in try TTLRules().expiry(of: nil, now: now) } == "ttl_seconds")
        let none = TTLRules(cache: limits([.defaultTTLSeconds: 0]))
        #expect(field { () throws(MartletError) in try none.expiry(of: nil, now: now) } == "ttl_seconds")
    }

    @Test func cacheStandsWithinItsTenant() throws {
        let tenant = limits([.maxTTLSeconds: 100, .defaultTTLSeconds: 50])
        #expect(TTLRules(cache: limits([.maxTTLSeconds: 200]), tenant: tenant).maxTTLSeconds == 100)
        #expect(TTLRules(cache: limits([.maxTTLSeconds: 40]), tenant: tenant).maxTTLSeconds == 40)
        #expect(try TTLRules(tenant: tenant).defaultTTL == ttl(50))
        #expect(try TTLRules(cache: limits([.defaultTTLSeconds: 70]), tenant: tenant).defaultTTL == ttl(70))
        #expect(try TTLRules(cache: limits([.defaultTTLSeconds: 500]), tenant: tenant).defaultTTL == ttl(100))
    }

    @Test func hugeLimitsNeitherTrapNorPassTheCeilingOfEveryTTL() throws {
        let rules = TTLRules(cache: limits([.maxTTLSeconds: .max, .defaultTTLSeconds: .max]))
        #expect(rules.defaultTTL?.milliseconds == TTL.ceilingMilliseconds)
        let longest = try TTL(milliseconds: TTL.ceilingMilliseconds, field: "ttl_ms")
        #expect(try rules.resolve(longest) == longest)
    }
}
