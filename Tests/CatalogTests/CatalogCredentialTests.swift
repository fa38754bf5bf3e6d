import Foundation
import Tenancy
import Testing

@testable import Catalog

struct CatalogCredentialTests {
    let directory: TestDirectory
    let clock = ManualClock()
    let catalog: Catalog
    let tenant: TenantID
    let other: TenantID

    init() throws {
        directory = try TestDirectory()
        catalog = try Catalog(path: directory.path, clock: clock)
        tenant = try catalog.defaultTenant
        other = try catalog.putTenant(try tenantName("other"), actor: "root").record.id
    }

    // MARK: API keys

    @Test func aKeyIsFoundByItsHashUntilItIsRevoked() throws {
        let key = makeKey("k", tenant: tenant, tokenID: "user", description: "for the till", expiresAt: clock.now())
        try catalog.insertKey(key, actor: "root")
        #expect(catalog.snapshot.apiKey(hash: makeHash("k")) == key)
        #expect(catalog.snapshot.isLive(apiKeyID: "k"))
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
        #expect(throws: MartletError.notFound("API key")) {
            try catalog.revokeKey(id: "k", tenant: other, actor: "root")
        }
        #expect(throws: MartletError.notFound("API key")) {
            try catalog.revokeKey(id: "k\0", tenant: tenant, actor: "root")
        }
        try catalog.revokeKey(id: "k", tenant: tenant, actor: "root")
        #expect(catalog.snapshot.apiKey(hash: makeHash("k")) == nil && !catalog.snapshot.isLive(apiKeyID: "k"))
        #expect(throws: MartletError.notFound("API key")) {
            try catalog.revokeKey(id: "k", tenant: tenant, actor: "root")
        }
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
    }

    @Test func theAuditLogTellsOfAKeyWithoutItsHash() throws {
        try catalog.insertKey(makeKey("k", tenant: tenant, tokenID: "user"), actor: "root")
        let event = try #require(try catalog.audit(of: tenant, PageRequest(limit: 1)).items.first)
        #expect(
            event.detail
                == #"{"format":"v2","permissions":"{\"all\":true}","super_user":false,"token_id":"user"}"#)
    }

    @Test func keysOutOfBoundsAreRefused() throws {
        try catalog.insertKey(makeKey("k", tenant: tenant), actor: "root")
        #expect(throws: MartletError.alreadyExists("API key")) {
            try catalog.insertKey(makeKey("k", tenant: other), actor: "root")
        }
        #expect(throws: MartletError.notFound("Tenant")) {
            try catalog.insertKey(makeKey("l", tenant: TenantID(rawValue: 99)), actor: "root")
        }
        for (key, field) in [
            (makeKey("l", tenant: tenant, tokenID: "a\0b"), "token_id"),
            (makeKey("l", tenant: tenant, tokenID: String(repeating: "x", count: 257)), "token_id"),
            (makeKey("l", tenant: tenant, description: String(repeating: "x", count: 1025)), "description"),
        ] {
            let error = #expect(throws: MartletError.self) { try catalog.insertKey(key, actor: "root") }
            #expect(error?.field == field)
        }
        #expect(catalog.snapshot.apiKeyCount == 1)
    }

    @Test func aRefreshedKeyReplacesTheOldOnce() throws {
        try catalog.insertKey(makeKey("old", tenant: tenant), actor: "root")
        try catalog.replaceKey(id: "old", tenant: tenant, with: makeKey("new", tenant: tenant), actor: "old")
        #expect(!catalog.snapshot.isLive(apiKeyID: "old") && catalog.snapshot.isLive(apiKeyID: "new"))
        #expect(throws: MartletError.notFound("API key")) {
            try catalog.replaceKey(id: "old", tenant: tenant, with: makeKey("newer", tenant: tenant), actor: "old")
        }
        // A replacement that fails leaves the old key in place.
        try catalog.insertKey(makeKey("third", tenant: tenant), actor: "root")
        #expect(throws: MartletError.alreadyExists("API key")) {
            try catalog.replaceKey(id: "new", tenant: tenant, with: makeKey("third", tenant: tenant), actor: "new")
        }
        #expect(catalog.snapshot.isLive(apiKeyID: "new"))
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
        #expect(try catalog.actions().contains("key.refresh new"))
    }

    @Test func keysAreListedInTheOrderOfMakingWithinTheirTenant() throws {
        for number in 0..<12 {
            try catalog.insertKey(makeKey("k\(number)", tenant: number.isMultiple(of: 3) ? other : tenant), actor: "r")
        }
        let first = try catalog.keys(of: tenant, PageRequest(limit: 5))
        let second = try catalog.keys(of: tenant, PageRequest(limit: 5, nextToken: first.nextToken))
        #expect(first.items.map(\.id) == ["k1", "k2", "k4", "k5", "k7"])
        #expect(second.items.map(\.id) == ["k8", "k10", "k11"])
        #expect(second.nextToken == nil)
        #expect(second.items.first == catalog.snapshot.apiKey(id: "k8"))
    }

    // MARK: Tokens

    @Test func aTokenIsRevokedByItsIDWithinItsTenant() throws {
        try catalog.insertToken(makeToken("t", tenant: tenant), actor: "root")
        #expect(!catalog.snapshot.isRevoked(tokenID: "t"))
        for id in ["u", "t\0", "T", ""] {
            #expect(throws: MartletError.notFound("Token")) {
                try catalog.revokeToken(id: id, tenant: tenant, actor: "root")
            }
        }
        #expect(throws: MartletError.notFound("Token")) {
            try catalog.revokeToken(id: "t", tenant: other, actor: "root")
        }
        try catalog.revokeToken(id: "t", tenant: tenant, actor: "root")
        #expect(catalog.snapshot.isRevoked(tokenID: "t"))
        let version = catalog.currentVersion
        try catalog.revokeToken(id: "t", tenant: tenant, actor: "root")
        #expect(catalog.currentVersion == version)
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
    }

    @Test func mintingPublishesNothingAndIsAudited() throws {
        let version = catalog.currentVersion
        try catalog.insertToken(makeToken("t", tenant: tenant, tokenID: "user"), actor: "key 1")
        #expect(catalog.currentVersion == version)
        let event = try #require(try catalog.audit(of: tenant, PageRequest(limit: 1)).items.first)
        #expect(event.action == "token.mint" && event.subject == "t" && event.actor == "key 1")
        #expect(event.detail == #"{"expires_at":1700000600,"token_id":"user"}"#)
        #expect(throws: MartletError.alreadyExists("Token")) {
            try catalog.insertToken(makeToken("t", tenant: other), actor: "key 1")
        }
        #expect(throws: MartletError.notFound("Tenant")) {
            try catalog.insertToken(makeToken("u", tenant: TenantID(rawValue: 99)), actor: "key 1")
        }
    }

    @Test func aLabelRevokesItsKeysAndTokensAndNoOthers() throws {
        for (owner, name) in [(tenant, "a"), (other, "b")] {
            for label in ["user", "use", "user\u{301}"] {
                try catalog.insertKey(makeKey("key \(name) \(label)", tenant: owner, tokenID: label), actor: "r")
                try catalog.insertToken(makeToken("token \(name) \(label)", tenant: owner, tokenID: label), actor: "r")
            }
            try catalog.insertKey(makeKey("key \(name)", tenant: owner), actor: "r")
        }
        #expect(try catalog.revokeTokens(tokenID: "user", tenant: tenant, actor: "root") == 2)
        let snapshot = catalog.snapshot
        #expect(!snapshot.isLive(apiKeyID: "key a user") && snapshot.isRevoked(tokenID: "token a user"))
        #expect(snapshot.apiKeyCount == 7 && snapshot.revokedTokenCount == 1)
        #expect(try catalog.freshlyLoadedState() == snapshot.state)
        // Once more, with a label that nobody has, and with one that SQLite would cut short.
        for label in ["user", "nobody", "use\0r"] {
            #expect(try catalog.revokeTokens(tokenID: label, tenant: tenant, actor: "root") == 0)
        }
        #expect(catalog.currentVersion == snapshot.version)
    }

    // MARK: Signing keys, root key, settings

    @Test func rotationRetiresTheOldKeyAndErasesItsPrivateHalf() throws {
        try catalog.insertSigningKey(makeSigningKey("one", createdAt: clock.now()), actor: "root")
        clock.advance(milliseconds: 5000)
        try catalog.insertSigningKey(makeSigningKey("two", createdAt: clock.now()), actor: "root")
        let snapshot = catalog.snapshot
        #expect(snapshot.signingKeys.map(\.kid) == ["two", "one"])
        #expect(snapshot.currentSigningKey?.kid == "two" && snapshot.currentSigningKey?.privatePEM == "private two")
        let old = try #require(snapshot.signingKey(kid: "one"))
        #expect(old.privatePEM == nil && old.publicPEM == "public one" && old.retiredAt == clock.now())
        #expect(throws: MartletError.alreadyExists("Signing key")) {
            try catalog.insertSigningKey(makeSigningKey("one"), actor: "root")
        }
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
        try catalog.close()
        let file = try Data(contentsOf: URL(filePath: directory.path))
        #expect(file.range(of: Data("private two".utf8)) != nil)
        #expect(file.range(of: Data("private one".utf8)) == nil)
    }

    @Test func theNewestKeySignsEvenWhenTheClockWasSetBack() throws {
        try catalog.insertSigningKey(makeSigningKey("one", createdAt: clock.now()), actor: "root")
        let earlier = clock.now().adding(milliseconds: -60_000)
        try catalog.insertSigningKey(makeSigningKey("two", createdAt: earlier), actor: "root")
        #expect(catalog.snapshot.currentSigningKey?.kid == "two")
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
    }

    @Test func theRootKeyHashIsReplaced() throws {
        try catalog.setRootKeyHash(makeHash("one"), actor: "martlet")
        try catalog.setRootKeyHash(makeHash("two"), actor: "martlet")
        #expect(catalog.snapshot.rootKeyHash == makeHash("two"))
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
        #expect(throws: MartletError.self) { try catalog.setRootKeyHash([1, 2], actor: "martlet") }
    }

    @Test func settingsAreKeptAndNotShownInTheAuditLog() throws {
        #expect(try catalog.setting("value_hash_key") == nil)
        try catalog.setSetting("value_hash_key", to: Array("sixteen bytes ok".utf8), actor: "martlet")
        try catalog.setSetting("empty", to: [], actor: "martlet")
        #expect(try catalog.setting("value_hash_key") == Array("sixteen bytes ok".utf8))
        #expect(try catalog.setting("empty") == [])
        let events = try catalog.audit(of: nil, PageRequest(limit: 2)).items
        #expect(events.map(\.subject) == ["empty", "value_hash_key"])
        #expect(events.allSatisfy { $0.detail == "{}" && $0.tenant == nil })
    }

    // MARK: Purge

    @Test func revocationsAreForgottenAMinuteAfterTheTokenHasExpired() throws {
        try catalog.insertToken(makeToken("short", tenant: tenant, lifetimeSeconds: 600), actor: "r")
        try catalog.insertToken(makeToken("long", tenant: tenant, lifetimeSeconds: 3600), actor: "r")
        for id in ["short", "long"] { try catalog.revokeToken(id: id, tenant: tenant, actor: "r") }
        let end = testClock.now().adding(milliseconds: 600_000 + 60_000)
        let version = catalog.currentVersion
        let events = try catalog.actions()
        #expect(try catalog.purge(now: end.adding(milliseconds: -1)) == PurgeResult())
        #expect(catalog.currentVersion == version)
        #expect(catalog.snapshot.isRevoked(tokenID: "short"))
        let result = try catalog.purge(now: end)
        #expect(result.tokens == 1 && result.apiKeys == 0 && result.signingKeys == 0 && !result.hasMore)
        // A token ends by itself: that is no event.
        #expect(try catalog.actions() == events)
        #expect(!catalog.snapshot.isRevoked(tokenID: "short") && catalog.snapshot.isRevoked(tokenID: "long"))
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
    }

    @Test func aRetiredSigningKeyStaysUntilTheLastTokenItMaySign() throws {
        try catalog.insertSigningKey(makeSigningKey("one", createdAt: clock.now()), actor: "r")
        let hours: Int64 = 3_600_000
        try catalog.insertToken(makeToken("t", tenant: tenant, lifetimeSeconds: 25 * 3600), actor: "r")
        clock.advance(milliseconds: 1000)
        try catalog.insertSigningKey(makeSigningKey("two", createdAt: clock.now()), actor: "r")
        let expiry = testClock.now().adding(milliseconds: 25 * hours)
        #expect(try catalog.purge(now: clock.now().adding(milliseconds: 2 * hours)).signingKeys == 0)
        #expect(try catalog.purge(now: expiry.adding(milliseconds: 59_999)).signingKeys == 0)
        let result = try catalog.purge(now: expiry.adding(milliseconds: 60_000))
        #expect(result.tokens == 1 && result.signingKeys == 1)
        #expect(catalog.snapshot.signingKeys.map(\.kid) == ["two"])
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
        // The one that signs is never purged.
        #expect(try catalog.purge(now: expiry.adding(milliseconds: 9999 * hours)).signingKeys == 0)
    }

    @Test func aRetiredSigningKeyWithoutTokensStaysForAnHour() throws {
        try catalog.insertSigningKey(makeSigningKey("one"), actor: "r")
        try catalog.insertSigningKey(makeSigningKey("two"), actor: "r")
        #expect(try catalog.purge(now: clock.now().adding(milliseconds: 3_599_999)).signingKeys == 0)
        #expect(try catalog.purge(now: clock.now().adding(milliseconds: 3_600_000)).signingKeys == 1)
        #expect(try catalog.actions().first == "catalog.purge expired")
    }

    @Test func expiredKeysStayForThirtyDaysAndUnlimitedOnesForEver() throws {
        let expiry = clock.now().adding(milliseconds: 1000)
        try catalog.insertKey(makeKey("short", tenant: tenant, expiresAt: expiry), actor: "r")
        try catalog.insertKey(makeKey("endless", tenant: tenant), actor: "r")
        let end = expiry.adding(milliseconds: 30 * 86_400_000)
        #expect(try catalog.purge(now: end.adding(milliseconds: -1)).apiKeys == 0)
        #expect(try catalog.purge(now: end).apiKeys == 1)
        #expect(try catalog.purge(now: Timestamp(milliseconds: .max)).apiKeys == 0)
        #expect(catalog.snapshot.isLive(apiKeyID: "endless") && !catalog.snapshot.isLive(apiKeyID: "short"))
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
    }
}
