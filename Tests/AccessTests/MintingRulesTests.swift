import Access
import Tenancy
import Testing

@Suite struct MintingRulesTests {
    private let tenant = TenantID(rawValue: 7)
    private let other = TenantID(rawValue: 8)
    private let data = Grant.permissions(.allDataReadWrite)

    private func refused(_ body: () throws(MartletError) -> Void) -> Bool {
        guard let error = failure(body) else { return false }
        return error.message.contains("Insufficient permissions") && error.row.httpStatus == 403
    }

    @Test func rootMintsEverythingEverywhere() throws {
        let root = Caller.root(defaultTenant: tenant)
        for place in [tenant, other] {
            try MintingRules.requireMayMintKey(root, grant: .superUser, in: place)
            try MintingRules.requireMayMintKey(root, grant: data, in: place)
            try MintingRules.requireMayMintToken(root, in: place)
        }
    }

    @Test func superUserMintsDataKeysAndTokensInItsTenantOnly() throws {
        let caller = Callers.superUser(tenant: tenant)
        try MintingRules.requireMayMintKey(caller, grant: data, in: tenant)
        try MintingRules.requireMayMintToken(caller, in: tenant)
        #expect(
            refused { () throws(MartletError) in
                try MintingRules.requireMayMintKey(caller, grant: .superUser, in: tenant)
            })
        #expect(
            refused { () throws(MartletError) in
                try MintingRules.requireMayMintKey(caller, grant: data, in: other)
            })
        #expect(refused { () throws(MartletError) in try MintingRules.requireMayMintToken(caller, in: other) })
    }

    @Test func dataKeysAndTokensMintNothing() throws {
        for caller in [Callers.dataKey(tenant: tenant), Caller.token(try Vectors.claims())] {
            for grant in [data, .superUser] {
                #expect(
                    refused { () throws(MartletError) in
                        try MintingRules.requireMayMintKey(caller, grant: grant, in: tenant)
                    })
            }
            #expect(refused { () throws(MartletError) in try MintingRules.requireMayMintToken(caller, in: tenant) })
        }
    }

    @Test func labelIsCountedInScalars() throws {
        try MintingRules.validate(tokenID: nil)
        try MintingRules.validate(tokenID: "a")
        try MintingRules.validate(tokenID: String(repeating: "é", count: 64))
        for label in [
            "", String(repeating: "a", count: 65), "e" + String(repeating: "\u{301}", count: 64), "a\nb", "\u{0}",
            "\u{85}",
        ] {
            #expect(
                failure { () throws(MartletError) in try MintingRules.validate(tokenID: label) }?.field == "token_id")
        }
    }

    @Test(arguments: [Int64.min, -1, 0, 90_001, .max])
    func tokenLifetimeOutsideItsLimitsIsRefused(_ seconds: Int64) {
        let error = failure { () throws(MartletError) in
            _ = try MintingRules.tokenLifetime(seconds: seconds, ceilingSeconds: nil, now: Vectors.now)
        }
        #expect(error?.field == "ttl_seconds")
    }

    @Test func tokenLivesAtLeastAsLongAsAskedAndLessThanASecondMore() throws {
        for milliseconds: Int64 in [0, 1, 500, 999] {
            let now = Vectors.now.adding(milliseconds: milliseconds)
            for seconds: Int64 in [1, 600, 90_000] {
                let life = try MintingRules.tokenLifetime(seconds: seconds, ceilingSeconds: nil, now: now)
                #expect(life.issuedAt == Vectors.now)
                #expect(life.expiresAt.milliseconds % 1000 == 0)
                let lived = life.expiresAt.milliseconds - now.milliseconds
                #expect((seconds * 1000..<(seconds + 1) * 1000).contains(lived))
            }
        }
    }

    @Test func tenantsOwnCeilingHolds() throws {
        _ = try MintingRules.tokenLifetime(seconds: 60, ceilingSeconds: 60, now: Vectors.now)
        #expect(
            throws: MartletError.invalidArgument(field: "ttl_seconds", reason: "must be at most 60")
        ) { try MintingRules.tokenLifetime(seconds: 61, ceilingSeconds: 60, now: Vectors.now) }
        // A ceiling beyond every TTL is held to what a TTL can be.
        #expect(throws: MartletError.self) {
            try MintingRules.tokenLifetime(seconds: .max, ceilingSeconds: .max, now: Vectors.now)
        }
    }

    @Test func keyExpiresOnlyIfAsked() throws {
        #expect(try MintingRules.keyExpiry(seconds: nil, now: Vectors.now) == nil)
        #expect(
            try MintingRules.keyExpiry(seconds: 200_000, now: Vectors.now)
                == Vectors.now.adding(milliseconds: 200_000_000))
        for seconds: Int64 in [0, -1, .min, .max] {
            let error = failure { () throws(MartletError) in
                _ = try MintingRules.keyExpiry(seconds: seconds, now: Vectors.now)
            }
            #expect(error?.field == "ttl_seconds")
        }
    }

    @Test func callerOfATokenIsWhatItsClaimsSay() throws {
        let caller = Caller.token(try Vectors.claims())
        #expect(caller.kind == .token)
        #expect(caller.tenant == tenant)
        #expect(caller.credentialID == "000102030405060708090a0b0c0d0e0f")
        #expect(caller.tokenID == "user-42")
        #expect(!caller.grant.isSuperUser)
        #expect(!caller.isExpired(at: Vectors.now))
        #expect(caller.isExpired(at: try Vectors.claims().expiresAt))
        #expect(!Caller.root(defaultTenant: tenant).isExpired(at: Timestamp(milliseconds: .max)))
        let shop = try CacheName("shop")
        Array("cart:1".utf8).withUnsafeBytes { #expect(caller.scope(for: shop).allows(.increment, key: $0)) }
        Array("other".utf8).withUnsafeBytes { #expect(!caller.scope(for: shop).allows(.get, key: $0)) }
    }
}
