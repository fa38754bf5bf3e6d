import Access
import CacheService
import Catalog
import Foundation
import SwiftProtobuf
import Tenancy
import Testing
import Wire

@testable import Gateway

/// `Auth` and `Token`
struct GRPCControlCredentialTests {
    private static let allData = PermissionPermissions.explicit([.cache(), .topic()])

    @Test func keyIsHandedOutInItsInnerFormWithTheEndpointBesideIt() throws {
        let fixture = try AdminRoutesFixture()
        let acme = try fixture.makeTenant("acme")
        var request = Auth_GenerateApiTokenRequest(Self.allData, seconds: 60)
        request.tokenID = "user-42"
        request.description_p = "for the shop"
        let key: Auth_GenerateApiTokenResponse = try fixture.call(.generateApiToken, request, as: acme)
        #expect(key.endpoint == "cache.test")
        #expect(key.validUntil == 500_000_060)
        #expect(key.apiKey.hasPrefix("mk1_") && key.refreshToken.hasPrefix("mrt1_"))
        let record = try fixture.record(of: key.apiKey)
        #expect(record.tenant == acme.tenant && record.format == .v1)
        #expect(record.tokenID == "user-42" && record.description == "for the shop")
        #expect(Grant(stored: record.grant) == .permissions(.allDataReadWrite))
        // What an SDK makes of the two is a key that every door takes.
        let outer = try #require("{\"api_key\":\"\(key.apiKey)\",\"endpoint\":\"\(key.endpoint)\"}".data(using: .utf8))
        #expect(try fixture.record(of: outer.base64EncodedString()) == record)
    }

    @Test func keyThatNeverExpiresSaysZero() throws {
        let fixture = try AdminRoutesFixture()
        let key: Auth_GenerateApiTokenResponse = try fixture.call(
            .generateApiToken, Auth_GenerateApiTokenRequest(Self.allData))
        #expect(key.validUntil == 0)
        let record = try fixture.record(of: key.apiKey)
        #expect(record.expiresAt == nil && record.tokenID == nil && record.description == nil)
    }

    @Test func onlyRootMintsSuperUserKeys() throws {
        let fixture = try AdminRoutesFixture()
        let acme = try fixture.makeTenant("acme")
        let request = Auth_GenerateApiTokenRequest(.ofSuperUser)
        let key: Auth_GenerateApiTokenResponse = try fixture.call(.generateApiToken, request)
        #expect(try fixture.record(of: key.apiKey).isSuperUser)
        let refusal = try fixture.refusal(.generateApiToken, request, as: acme)
        #expect(refusal?.row.grpcStatus == 7)
        #expect(refusal?.message.contains("Insufficient permissions") == true)
        // Before anything else about the request is told.
        var wrong = Auth_GenerateApiTokenRequest()
        wrong.permissions = .ofSuperUser
        #expect(try fixture.refusal(.generateApiToken, wrong, as: acme)?.row.grpcStatus == 7)
        #expect(try fixture.refusal(.generateApiToken, wrong)?.field == "expiry")
    }

    @Test func whatAKeyMustSayIsAskedFor() throws {
        let fixture = try AdminRoutesFixture()
        var noExpiry = Auth_GenerateApiTokenRequest()
        noExpiry.permissions = Self.allData
        var noPermissions = Auth_GenerateApiTokenRequest()
        noPermissions.never = .init()
        var unset = noPermissions
        unset.permissions = PermissionPermissions()
        var label = Auth_GenerateApiTokenRequest(Self.allData)
        label.tokenID = String(repeating: "x", count: 65)
        var description = Auth_GenerateApiTokenRequest(Self.allData)
        description.description_p = String(repeating: "x", count: 1025)
        let cases: [(Auth_GenerateApiTokenRequest, String)] = [
            (noExpiry, "expiry"), (noPermissions, "permissions"), (unset, "permissions"),
            (Auth_GenerateApiTokenRequest(.explicit([])), "permissions"),
            (Auth_GenerateApiTokenRequest(Self.allData, seconds: 0), "expires.valid_for_seconds"),
            (label, "token_id"), (description, "description"),
        ]
        for (request, field) in cases {
            let refusal = try fixture.refusal(.generateApiToken, request)
            #expect(refusal?.row.grpcStatus == 3 && refusal?.field == field, "\(field)")
        }
        label.tokenID.removeLast()
        #expect(try fixture.refusal(.generateApiToken, label) == nil)
        #expect(
            try fixture.refusal(.generateApiToken, Auth_GenerateApiTokenRequest(Self.allData, seconds: .max)) == nil)
    }

    @Test func refreshTradesAKeyForOneThatLivesAsLongAgain() throws {
        let fixture = try AdminRoutesFixture()
        let permissions = PermissionPermissions.explicit([.cache(.cacheReadOnly, "shop")])
        let old: Auth_GenerateApiTokenResponse = try fixture.call(
            .generateApiToken, Auth_GenerateApiTokenRequest(permissions, seconds: 60))
        let grant = try fixture.record(of: old.apiKey).grant
        fixture.clock.advance(milliseconds: 30_000)
        var request = Auth_RefreshApiTokenRequest()
        request.apiKey = old.apiKey
        request.refreshToken = old.refreshToken
        let message: [UInt8] = try request.serializedBytes()
        let new = try Auth_RefreshApiTokenResponse(
            serializedBytes: try ControlRPCs(control: fixture.control).respond(
                to: .refreshApiToken, message: message, caller: nil))
        #expect(new.validUntil == 500_000_090 && new.endpoint == "cache.test")
        #expect(new.apiKey != old.apiKey && new.refreshToken != old.refreshToken)
        #expect(try fixture.record(of: new.apiKey).grant == grant)
        // The old pair is gone, and no other will do.
        #expect(fixture.refusal(.refreshApiToken, message, as: nil) == .invalidCredential)
        request.apiKey = new.apiKey
        #expect(try fixture.refusal(.refreshApiToken, request) == .invalidCredential)
        #expect(try fixture.refusal(.refreshApiToken, Auth_RefreshApiTokenRequest()) == .invalidCredential)
        request.refreshToken = new.refreshToken
        fixture.clock.advance(milliseconds: 61_000)
        #expect(try fixture.refusal(.refreshApiToken, request) == .expiredCredential)
    }

    @Test func tokenIsHandedOutBareWithTheEndpointBesideIt() throws {
        let fixture = try AdminRoutesFixture()
        let acme = try fixture.makeTenant("acme")
        var statement = PermissionPermissionsType.cache(.cacheReadWrite, "shop")
        statement.cachePermissions.itemSelector.keyPrefix = Data([0x63, 0x00, 0xFF])
        var request = Token_GenerateDisposableTokenRequest(.explicit([statement]), seconds: 600)
        request.tokenID = "user-42"
        let token: Token_GenerateDisposableTokenResponse = try fixture.call(
            .generateDisposableToken, request, as: acme)
        #expect(token.endpoint == "cache.test" && token.validUntil == 500_000_600)
        let parsed = try #require(SignedToken(token.apiKey))
        let current = try #require(fixture.catalog.snapshot.currentSigningKey)
        let claims = try fixture.control.service.verifier.verify(
            parsed, keys: [current.kid: try PublicSigningKey(pem: current.publicPEM)], now: fixture.clock.now())
        #expect(claims.tenant == acme.tenant && claims.tokenID == "user-42")
        #expect(
            claims.permissions.permissions == [
                Permission(
                    .readWrite, cache: .named(try CacheName("shop")), .items(.keyPrefix([0x63, 0x00, 0xFF])))
            ])
    }

    @Test func whatATokenMustSayIsAskedFor() throws {
        let fixture = try AdminRoutesFixture()
        var noExpiry = Token_GenerateDisposableTokenRequest()
        noExpiry.permissions = Self.allData
        var noPermissions = Token_GenerateDisposableTokenRequest()
        noPermissions.expires.validForSeconds = 60
        var label = Token_GenerateDisposableTokenRequest(Self.allData, seconds: 60)
        label.tokenID = String(repeating: "x", count: 65)
        let cases: [(Token_GenerateDisposableTokenRequest, String)] = [
            (noExpiry, "expires"), (noPermissions, "permissions"), (label, "token_id"),
            (Token_GenerateDisposableTokenRequest(.explicit([]), seconds: 60), "permissions"),
            (Token_GenerateDisposableTokenRequest(Self.allData, seconds: 0), "expires.valid_for_seconds"),
            (Token_GenerateDisposableTokenRequest(Self.allData, seconds: 90_001), "expires.valid_for_seconds"),
            (Token_GenerateDisposableTokenRequest(Self.allData, seconds: .max), "expires.valid_for_seconds"),
        ]
        for (request, field) in cases {
            let refusal = try fixture.refusal(.generateDisposableToken, request)
            #expect(refusal?.row.grpcStatus == 3 && refusal?.field == field, "\(field)")
        }
        let superUser = Token_GenerateDisposableTokenRequest(.ofSuperUser, seconds: 60)
        #expect(try fixture.refusal(.generateDisposableToken, superUser)?.row.grpcStatus == 7)
        let longest = Token_GenerateDisposableTokenRequest(Self.allData, seconds: 90_000)
        #expect(try fixture.refusal(.generateDisposableToken, longest) == nil)
    }

    @Test func signingKeyIsShownOnceListedAndRevoked() throws {
        let fixture = try AdminRoutesFixture()
        let acme = try fixture.makeTenant("acme")
        var request = Control_CreateSigningKeyRequest()
        request.ttlMinutes = 30
        let key: Control_CreateSigningKeyResponse = try fixture.call(.createSigningKey, request, as: acme)
        #expect(key.expiresAt == 500_001_800)
        let jwk = try JSONParser.parse(Array(key.key.utf8), ceiling: 4096)
        #expect(jwk.object?.map(\.name) == ["kty", "crv", "x", "y", "kid", "alg", "use", "d"])
        #expect(jwk["alg"]?.string == "ES256" && jwk["use"]?.string == "sig")
        let kid = try #require(jwk["kid"]?.string)
        let record = try #require(fixture.catalog.snapshot.tenantSigningKey(kid: kid))
        #expect(record.tenant == acme.tenant && record.expiresAt == Timestamp(seconds: 500_001_800))

        let list: Control_ListSigningKeysResponse = try fixture.call(
            .listSigningKeys, Control_ListSigningKeysRequest(), as: acme)
        #expect(list.signingKey.map(\.keyID) == [kid] && list.signingKey.map(\.expiresAt) == [500_001_800])
        #expect(list.nextToken.isEmpty)
        let others: Control_ListSigningKeysResponse = try fixture.call(
            .listSigningKeys, Control_ListSigningKeysRequest())
        #expect(others.signingKey.isEmpty)

        var revoke = Control_RevokeSigningKeyRequest()
        revoke.keyID = kid
        // Another tenant's key is none that the caller has.
        #expect(try fixture.refusal(.revokeSigningKey, revoke)?.row.grpcStatus == 5)
        let _: Control_RevokeSigningKeyResponse = try fixture.call(.revokeSigningKey, revoke, as: acme)
        #expect(try fixture.refusal(.revokeSigningKey, revoke, as: acme)?.row.grpcStatus == 5)
        #expect(fixture.catalog.snapshot.tenantSigningKey(kid: kid) == nil)
    }

    @Test(arguments: [UInt32(0), 525_601, .max])
    func signingKeyLivesAtMostAYear(_ minutes: UInt32) throws {
        let fixture = try AdminRoutesFixture()
        var request = Control_CreateSigningKeyRequest()
        request.ttlMinutes = minutes
        let refusal = try fixture.refusal(.createSigningKey, request)
        #expect(refusal?.row.grpcStatus == 3 && refusal?.field == "ttl_minutes")
        request.ttlMinutes = 525_600
        #expect(try fixture.refusal(.createSigningKey, request) == nil)
    }

    @Test func signingKeysAreListedInPages() throws {
        let fixture = try AdminRoutesFixture()
        var made: [String] = []
        for _ in 0..<103 {
            made.append(try fixture.control.createTenantSigningKey(ttlMinutes: 5, caller: fixture.root).record.kid)
        }
        var request = Control_ListSigningKeysRequest()
        let first: Control_ListSigningKeysResponse = try fixture.call(.listSigningKeys, request)
        request.nextToken = first.nextToken
        let second: Control_ListSigningKeysResponse = try fixture.call(.listSigningKeys, request)
        #expect(first.signingKey.count == 100 && second.nextToken.isEmpty)
        #expect((first.signingKey + second.signingKey).map(\.keyID) == made)
        request.nextToken = "nonsense"
        #expect(try fixture.refusal(.listSigningKeys, request)?.field == "next_token")
    }
}
