import Access
import Catalog
import Synchronization
import Tenancy
import Testing

@testable import CacheService

/// Keys and tokens from their making to their end.
struct ControlCredentialTests {
    @Test func mintedTokenVerifiesUntilItIsRevoked() throws {
        let fixture = try Fixture()
        let acme = try fixture.makeTenant("acme")
        let permissions = try PermissionSet(validating: [
            Permission(.readWrite, cache: .named(try CacheName("shop")), .items(.keyPrefix(Array("cart:".utf8))))
        ])
        let token = try fixture.control.mintToken(
            TokenOrder(permissions: permissions, ttlSeconds: 600, tokenID: "user-42"), caller: acme)
        let caller = try fixture.identify(token.presented)
        #expect(caller.kind == .token)
        #expect(caller.tenant == acme.tenant)
        #expect(caller.credentialID == token.claims.id)
        #expect(caller.tokenID == "user-42")
        #expect(caller.grant == .permissions(permissions))
        #expect(try fixture.identify(token.presented).credentialID == token.claims.id)

        try fixture.control.revokeToken(id: token.claims.id, caller: acme)
        #expect(throws: MartletError.revokedCredential) { try fixture.identify(token.presented) }
        #expect(throws: MartletError.revokedCredential) { try fixture.identify(token.presented) }
        // Once more does no harm.
        try fixture.control.revokeToken(id: token.claims.id, caller: acme)
    }

    @Test func tokenExpiresByItself() throws {
        let fixture = try Fixture()
        let order = TokenOrder(permissions: .allDataReadWrite, ttlSeconds: 10)
        let token = try fixture.control.mintToken(order, caller: fixture.root)
        _ = try fixture.identify(token.presented)
        fixture.clock.advance(milliseconds: 10_000)
        #expect(throws: MartletError.expiredCredential) { try fixture.identify(token.presented) }
    }

    @Test func tokensAndKeysOfALabelEndTogetherAndOthersGoOn() throws {
        let fixture = try Fixture()
        let acme = try fixture.makeTenant("acme")
        let other = try fixture.makeTenant("other")
        func token(_ label: String?, _ caller: Caller) throws -> String {
            let order = TokenOrder(permissions: .allDataReadWrite, ttlSeconds: 600, tokenID: label)
            return try fixture.control.mintToken(order, caller: caller).presented
        }
        func key(_ label: String, _ caller: Caller) throws -> String {
            let order = KeyOrder(format: .v1, grant: .permissions(.allDataReadWrite), tokenID: label)
            return try fixture.control.mintKey(order, caller: caller).secret.presented
        }
        let ended = [try token("user-42", acme), try token("user-42", acme), try key("user-42", acme)]
        let staying = [try token("user-43", acme), try token(nil, acme), try token("user-42", other)]
        for credential in ended + staying { _ = try fixture.identify(credential) }

        #expect(try fixture.control.revokeTokens(tokenID: "user-42", caller: acme) == 3)
        for credential in ended {
            #expect(throws: MartletError.self) { try fixture.identify(credential) }
        }
        for credential in staying {
            #expect(throws: Never.self) { try fixture.identify(credential) }
        }
        #expect(try fixture.control.revokeTokens(tokenID: "user-42", caller: acme) == 0)
    }

    @Test(arguments: [0, -1, 90_001, Int64.max])
    func tokenLifetimeHasACeiling(_ seconds: Int64) throws {
        let fixture = try Fixture()
        let order = TokenOrder(permissions: .allDataReadWrite, ttlSeconds: seconds)
        let error = #expect(throws: MartletError.self) { try fixture.control.mintToken(order, caller: fixture.root) }
        #expect(error?.field == "ttl_seconds")
    }

    @Test func tenantHasItsOwnCeilingOfTokenLifetime() throws {
        let fixture = try Fixture()
        var change = TenantChange()
        change.limits = [.maxTokenTTLSeconds: 60]
        let acme = try fixture.makeTenant("acme", change)
        let error = #expect(throws: MartletError.self) {
            try fixture.control.mintToken(
                TokenOrder(permissions: .allDataReadWrite, ttlSeconds: 61), caller: acme)
        }
        #expect(error?.field == "ttl_seconds")
        _ = try fixture.control.mintToken(TokenOrder(permissions: .allDataReadWrite, ttlSeconds: 60), caller: acme)
    }

    @Test func tokensAreMintedNoFasterThanTheTenantMay() throws {
        let fixture = try Fixture()
        var change = TenantChange()
        change.limits = [.maxTokensPerSecond: 2]
        let acme = try fixture.makeTenant("acme", change)
        let order = TokenOrder(permissions: .allDataReadWrite, ttlSeconds: 60)
        for _ in 0..<2 { _ = try fixture.control.mintToken(order, caller: acme) }
        #expect(
            throws: MartletError.rateLimited(limit: .maxTokensPerSecond, value: 2, retryAfterMilliseconds: 500)
        ) { try fixture.control.mintToken(order, caller: acme) }
        // Another tenant has its own allowance.
        _ = try fixture.control.mintToken(order, caller: fixture.root)
        fixture.clock.advance(milliseconds: 500)
        _ = try fixture.control.mintToken(order, caller: acme)
    }

    @Test(arguments: APIKeyFormat.allCases)
    func mintedKeyIsListedAndRevoked(_ format: APIKeyFormat) throws {
        let fixture = try Fixture()
        let acme = try fixture.makeTenant("acme")
        let key = try fixture.control.mintKey(
            KeyOrder(
                format: format, grant: .permissions(.allDataReadWrite), ttlSeconds: 3600, description: "the shop",
                tokenID: "shop"),
            caller: acme)
        let caller = try fixture.identify(key.secret.presented)
        #expect(caller.kind == .dataKey)
        #expect(caller.credentialID == key.record.id)
        #expect(key.record.expiresAt == fixture.clock.now().adding(milliseconds: 3_600_000))

        let listed = try fixture.control.keys(PageRequest(), caller: acme).items
        #expect(listed.map(\.record.id) == [acme.credentialID, key.record.id])
        #expect(listed.last?.grant == .permissions(.allDataReadWrite))
        #expect(listed.last?.record.description == "the shop")

        try fixture.control.revokeKey(id: key.record.id, caller: acme)
        #expect(throws: MartletError.self) { try fixture.identify(key.secret.presented) }
        #expect(try fixture.control.keys(PageRequest(), caller: acme).items.count == 1)
        #expect(throws: MartletError.notFound("API key")) {
            try fixture.control.revokeKey(id: key.record.id, caller: acme)
        }
    }

    @Test func keyWithoutTTLNeverExpires() throws {
        let fixture = try Fixture()
        let order = KeyOrder(format: .v2, grant: .permissions(.allDataReadWrite))
        let key = try fixture.control.mintKey(order, caller: fixture.root)
        #expect(key.record.expiresAt == nil)
        fixture.clock.advance(milliseconds: 100 * 365 * 86_400_000)
        #expect(try fixture.identify(key.secret.presented).credentialID == key.record.id)
    }

    @Test func credentialsOfOneTenantAreOutOfReachOfAnother() throws {
        let fixture = try Fixture()
        let acme = try fixture.makeTenant("acme")
        let other = try fixture.makeTenant("other")
        let key = try fixture.control.mintKey(
            KeyOrder(format: .v1, grant: .permissions(.allDataReadWrite)), caller: acme)
        let token = try fixture.control.mintToken(
            TokenOrder(permissions: .allDataReadWrite, ttlSeconds: 60), caller: acme)
        #expect(throws: MartletError.notFound("API key")) {
            try fixture.control.revokeKey(id: key.record.id, caller: other)
        }
        #expect(throws: MartletError.notFound("Token")) {
            try fixture.control.revokeToken(id: token.claims.id, caller: other)
        }
        #expect(try fixture.control.keys(PageRequest(), caller: other).items.map(\.record.id) == [other.credentialID])
        _ = try fixture.identify(key.secret.presented)
        _ = try fixture.identify(token.presented)
    }

    @Test(arguments: APIKeyFormat.allCases)
    func refreshedKeyPermitsTheSameForAsLongAgainAndEndsTheOld(_ format: APIKeyFormat) throws {
        let fixture = try Fixture()
        let order = KeyOrder(
            format: format, grant: .permissions(.allDataReadWrite), ttlSeconds: 3600, description: "d", tokenID: "t")
        let old = try fixture.control.mintKey(order, caller: fixture.root)
        fixture.clock.advance(milliseconds: 1_800_000)
        let new = try fixture.control.refreshKey(
            presented: old.secret.presented, refreshToken: old.refreshToken.presented)
        #expect(new.record.id != old.record.id)
        #expect(new.record.expiresAt == fixture.clock.now().adding(milliseconds: 3_600_000))
        #expect(new.record.grant == old.record.grant)
        #expect(new.record.format == format)
        #expect(new.record.tokenID == "t")
        #expect(new.record.description == "d")
        #expect(throws: MartletError.self) { try fixture.identify(old.secret.presented) }
        #expect(try fixture.identify(new.secret.presented).credentialID == new.record.id)
        #expect(throws: MartletError.invalidCredential) {
            try fixture.control.refreshKey(
                presented: old.secret.presented, refreshToken: old.refreshToken.presented)
        }
    }

    @Test func refreshNeedsTheKeyAndItsOwnRefreshTokenInTime() throws {
        let fixture = try Fixture()
        let order = KeyOrder(format: .v1, grant: .permissions(.allDataReadWrite), ttlSeconds: 60)
        let key = try fixture.control.mintKey(order, caller: fixture.root)
        let other = try fixture.control.mintKey(order, caller: fixture.root)
        for refreshToken in [other.refreshToken.presented, "", "nonsense", key.secret.presented] {
            #expect(throws: MartletError.invalidCredential) {
                try fixture.control.refreshKey(presented: key.secret.presented, refreshToken: refreshToken)
            }
        }
        #expect(throws: MartletError.invalidCredential) {
            try fixture.control.refreshKey(presented: "nonsense", refreshToken: key.refreshToken.presented)
        }
        fixture.clock.advance(milliseconds: 61_000)
        #expect(throws: MartletError.expiredCredential) {
            try fixture.control.refreshKey(
                presented: key.secret.presented, refreshToken: key.refreshToken.presented)
        }
    }

    @Test func tokensOutliveTheRotationOfTheKeyThatSignedThem() throws {
        let fixture = try Fixture()
        let order = TokenOrder(permissions: .allDataReadWrite, ttlSeconds: 600)
        let before = try fixture.control.mintToken(order, caller: fixture.root)
        let old = try #require(fixture.catalog.snapshot.currentSigningKey)
        let rotated = try fixture.control.rotateSigningKey(caller: fixture.root)
        let after = try fixture.control.mintToken(order, caller: fixture.root)
        #expect(rotated.kid != old.kid)
        #expect(SignedToken(after.presented)?.keyID == rotated.kid)
        _ = try fixture.identify(before.presented)
        _ = try fixture.identify(after.presented)
        #expect(try fixture.control.signingKeys(caller: fixture.root).map(\.kid) == [rotated.kid, old.kid])

        let document = String(decoding: try fixture.control.jwks(), as: UTF8.self)
        for kid in [rotated.kid, old.kid] { #expect(document.contains(kid)) }
        #expect(!document.contains("PRIVATE"))
    }

    @Test func firstSigningKeyIsMadeOnce() throws {
        let fixture = try Fixture()
        let kid = try #require(fixture.catalog.snapshot.currentSigningKey).kid
        try fixture.control.ensureSigningKey(now: fixture.clock.now())
        #expect(fixture.catalog.snapshot.signingKeys.map(\.kid) == [kid])
    }

    @Test func rootKeyIsInForceOnceItIsSaved() throws {
        let fixture = try Fixture()
        var saved = ""
        try ControlPlane.rotateRootKey(in: fixture.catalog) { text throws(MartletError) in
            #expect(fixture.catalog.snapshot.rootKeyHash == nil)
            saved = text
        }
        #expect(try fixture.identify(saved).kind == .root)

        let first = saved
        #expect(throws: MartletError.unavailable("the disk is full")) {
            try ControlPlane.rotateRootKey(in: fixture.catalog) { _ throws(MartletError) in
                throw .unavailable("the disk is full")
            }
        }
        #expect(try fixture.identify(first).kind == .root)

        try ControlPlane.rotateRootKey(in: fixture.catalog) { text throws(MartletError) in saved = text }
        #expect(throws: MartletError.self) { try fixture.identify(first) }
        #expect(try fixture.identify(saved).kind == .root)
    }

    @Test func labelsOfKeysAndTokensAreChecked() throws {
        let fixture = try Fixture()
        for label in ["", String(repeating: "x", count: 65), "a\nb", "a\0b"] {
            let key = #expect(throws: MartletError.self) {
                try fixture.control.mintKey(
                    KeyOrder(format: .v1, grant: .permissions(.allDataReadWrite), tokenID: label),
                    caller: fixture.root)
            }
            #expect(key?.field == "token_id")
            let token = #expect(throws: MartletError.self) {
                try fixture.control.mintToken(
                    TokenOrder(permissions: .allDataReadWrite, ttlSeconds: 1, tokenID: label), caller: fixture.root)
            }
            #expect(token?.field == "token_id")
        }
    }
}
