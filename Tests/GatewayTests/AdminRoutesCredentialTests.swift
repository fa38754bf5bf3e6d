import Access
import Catalog
import Tenancy
import Testing

@testable import Gateway

/// `/v1/admin/keys`, `/tokens` and `/signing-keys`
struct AdminRoutesCredentialTests {
    private static let permission = #"{"role":"readwrite","cache":"shop","key_prefix":"cart:"}"#

    @Test(arguments: ["v1", "v2"])
    func keyIsMintedListedAndRevoked(_ format: String) throws {
        let fixture = try AdminRoutesFixture()
        let minted = try fixture.perform(
            .post, "keys",
            """
            {"format":"\(format)","permissions":[\(Self.permission)],"ttl_seconds":60,"description":"d","token_id":"t"}
            """)
        #expect(minted.status == 201)
        #expect(minted.names == ["key", "id", "expires_at", "refresh_token"])
        #expect(minted.json["expires_at"] == .integer(500_000_060))
        let id = try #require(minted.json["id"]?.string)

        let listed = try fixture.perform(.get, "keys")
        let key = try #require(listed.json["keys"]?.array?.first)
        #expect(
            key
                == .members([
                    "id": .string(id), "format": .string(format),
                    "permissions": .array([
                        .members([
                            "role": .string("readwrite"), "cache": .string("shop"), "key_prefix": .string("cart:"),
                        ])
                    ]), "token_id": .string("t"), "description": .string("d"), "created_at": .integer(500_000_000),
                    "expires_at": .integer(500_000_060),
                ]))
        #expect(!listed.text.contains(try #require(minted.json["key"]?.string)))

        #expect(try fixture.perform(.delete, "keys/\(id)").status == 204)
        #expect(try fixture.perform(.delete, "keys/\(id)").status == 404)
        #expect(try fixture.perform(.get, "keys").json["keys"] == .array([]))
    }

    @Test func keyWithoutTTLNeverExpires() throws {
        let fixture = try AdminRoutesFixture()
        for ttl in ["", #","ttl_seconds":null"#] {
            let minted = try fixture.perform(
                .post, "keys", #"{"format":"v1","permissions":"super_user"\#(ttl)}"#)
            #expect(minted.status == 201)
            #expect(minted.json["expires_at"] == .null)
        }
        #expect(try fixture.perform(.get, "keys").each("keys", "permissions") == ["super_user", "super_user"])
    }

    @Test func onlyRootMintsSuperUserKeys() throws {
        let fixture = try AdminRoutesFixture()
        let acme = try fixture.makeTenant("acme")
        let body = #"{"format":"v1","permissions":"super_user"}"#
        let denied = try fixture.perform(.post, "keys", body, as: acme)
        #expect(denied.status == 403)
        #expect(denied.text.contains("Insufficient permissions"))
        #expect(try fixture.perform(.post, "keys?tenant=acme", body).status == 201)
        #expect(
            try fixture.perform(.post, "keys", #"{"format":"v1","permissions":[\#(Self.permission)]}"#, as: acme)
                .status == 201)
    }

    @Test func keysAreListedPageByPage() throws {
        let fixture = try AdminRoutesFixture()
        for description in ["1", "2", "3"] {
            _ = try fixture.perform(
                .post, "keys", #"{"format":"v2","permissions":"super_user","description":"\#(description)"}"#)
        }
        let first = try fixture.perform(.get, "keys?limit=2")
        #expect(first.each("keys", "description") == ["1", "2"])
        let token = try #require(first.json["next_token"]?.string)
        #expect(try fixture.perform(.get, "keys?next_token=\(token)").each("keys", "description") == ["3"])
    }

    @Test(arguments: [
        ("", "format"),
        (#"{"permissions":"super_user"}"#, "format"),
        (#"{"format":"v3","permissions":"super_user"}"#, "format"),
        (#"{"format":1,"permissions":"super_user"}"#, "format"),
        (#"{"format":"v1"}"#, "permissions"),
        (#"{"format":"v1","permissions":null}"#, "permissions"),
        (#"{"format":"v1","permissions":"root"}"#, "permissions"),
        (#"{"format":"v1","permissions":[]}"#, "permissions"),
        (#"{"format":"v1","permissions":[1]}"#, "permissions[0]"),
        (
            #"{"format":"v1","permissions":[{"role":"readonly","cache":"*"},{"role":"x","cache":"*"}]}"#,
            "permissions[1].role"
        ),
        (#"{"format":"v1","permissions":[{"role":"readonly","cache":"*","keys":"a"}]}"#, "permissions[0].keys"),
        (#"{"format":"v1","permissions":[{"role":"readonly"}]}"#, "permissions[0].cache"),
        (#"{"format":"v1","permissions":[{"role":"readonly","cache":"a/b"}]}"#, "permissions[0].cache"),
        (#"{"format":"v1","permissions":"super_user","ttl_seconds":0}"#, "ttl_seconds"),
        (#"{"format":"v1","permissions":"super_user","ttl_seconds":-1}"#, "ttl_seconds"),
        (#"{"format":"v1","permissions":"super_user","ttl_seconds":1.5}"#, "ttl_seconds"),
        (#"{"format":"v1","permissions":"super_user","ttl_seconds":"60"}"#, "ttl_seconds"),
        (#"{"format":"v1","permissions":"super_user","ttl_seconds":9223372036854775807}"#, "ttl_seconds"),
        (#"{"format":"v1","permissions":"super_user","ttl_seconds":9223372036854775808}"#, "ttl_seconds"),
        (#"{"format":"v1","permissions":"super_user","token_id":""}"#, "token_id"),
        (#"{"format":"v1","permissions":"super_user","description":7}"#, "description"),
        (#"{"format":"v1","permissions":"super_user","expiry":7}"#, "expiry"),
    ])
    func wrongFieldOfAKeyIsNamed(_ body: String, _ field: String) throws {
        let fixture = try AdminRoutesFixture()
        let answer = try fixture.perform(.post, "keys", body)
        #expect(answer.status == 400)
        #expect(answer.field == field)
        #expect(try fixture.perform(.get, "keys").json["keys"] == .array([]))
    }

    @Test func tokenIsMintedAndRevoked() throws {
        let fixture = try AdminRoutesFixture()
        let minted = try fixture.perform(
            .post, "tokens", #"{"permissions":[\#(Self.permission)],"ttl_seconds":600,"token_id":"user-42"}"#)
        #expect(minted.status == 201)
        #expect(minted.names == ["token", "id", "expires_at"])
        #expect(minted.json["expires_at"] == .integer(500_000_600))
        let id = try #require(minted.json["id"]?.string)
        guard case .token = Credential.parse(try #require(minted.json["token"]?.string)) else {
            Issue.record("the token is not one")
            return
        }
        #expect(!fixture.catalog.snapshot.isRevoked(tokenID: id))
        #expect(try fixture.perform(.delete, "tokens/\(id)").status == 204)
        #expect(fixture.catalog.snapshot.isRevoked(tokenID: id))
        #expect(try fixture.perform(.delete, "tokens/\(id)").status == 204)
        #expect(try fixture.perform(.delete, "tokens/nonsense").status == 404)
    }

    @Test func tokensAreRevokedByTheirLabel() throws {
        let fixture = try AdminRoutesFixture()
        let body = #"{"permissions":[\#(Self.permission)],"ttl_seconds":600,"token_id":"user-42"}"#
        let ids = try (0..<2).map { _ in try #require(fixture.perform(.post, "tokens", body).json["id"]?.string) }
        #expect(try fixture.perform(.delete, "tokens?token_id=user-43").status == 204)
        for id in ids { #expect(!fixture.catalog.snapshot.isRevoked(tokenID: id)) }
        #expect(try fixture.perform(.delete, "tokens?token_id=user-42").status == 204)
        for id in ids { #expect(fixture.catalog.snapshot.isRevoked(tokenID: id)) }
        // Without a label it is not all of them.
        for target in ["tokens", "tokens?token_id=", "tokens?token_id=a&token_id=b"] {
            let answer = try fixture.perform(.delete, target)
            #expect(answer.status == 400)
            #expect(answer.field == "token_id")
        }
    }

    @Test func superUserRevokesNothingOfAnotherTenant() throws {
        let fixture = try AdminRoutesFixture()
        let acme = try fixture.makeTenant("acme")
        let body = #"{"permissions":[\#(Self.permission)],"ttl_seconds":600,"token_id":"user-42"}"#
        let id = try #require(try fixture.perform(.post, "tokens", body).json["id"]?.string)
        #expect(try fixture.perform(.delete, "tokens/\(id)", as: acme).status == 404)
        #expect(try fixture.perform(.delete, "tokens/\(id)?tenant=default", as: acme).status == 403)
        #expect(try fixture.perform(.delete, "tokens?token_id=user-42", as: acme).status == 204)
        #expect(try fixture.perform(.post, "tokens?tenant=default", body, as: acme).status == 403)
        #expect(!fixture.catalog.snapshot.isRevoked(tokenID: id))
    }

    @Test(arguments: [
        ("", "permissions"),
        (#"{"permissions":"super_user","ttl_seconds":60}"#, "permissions"),
        (#"{"permissions":[{"role":"readonly","cache":"*"}]}"#, "ttl_seconds"),
        (#"{"permissions":[{"role":"readonly","cache":"*"}],"ttl_seconds":null}"#, "ttl_seconds"),
        (#"{"permissions":[{"role":"readonly","cache":"*"}],"ttl_seconds":0}"#, "ttl_seconds"),
        (#"{"permissions":[{"role":"readonly","cache":"*"}],"ttl_seconds":90001}"#, "ttl_seconds"),
        (#"{"permissions":[{"role":"readonly","cache":"*"}],"ttl_seconds":1,"format":"v1"}"#, "format"),
        (
            #"{"permissions":[{"role":"readonly","cache":"*"},{"role":"readwrite","cache":"*"}],"ttl_seconds":1}"#,
            "permissions[1]"
        ),
    ])
    func wrongFieldOfATokenIsNamed(_ body: String, _ field: String) throws {
        let fixture = try AdminRoutesFixture()
        let answer = try fixture.perform(.post, "tokens", body)
        #expect(answer.status == 400)
        #expect(answer.field == field)
    }

    @Test func signingKeysAreRotatedAndListed() throws {
        let fixture = try AdminRoutesFixture()
        let rotated = try fixture.perform(.post, "signing-keys/rotate")
        #expect(rotated.status == 201)
        #expect(rotated.names == ["kid", "algorithm", "created_at", "retired_at"])
        let first = try fixture.perform(.get, "signing-keys?limit=1")
        #expect(first.status == 200)
        #expect(first.each("signing_keys", "kid") == [rotated.json["kid"]?.string])
        #expect(!first.text.contains("PRIVATE"))
        let token = try #require(first.json["next_token"]?.string)
        let second = try fixture.perform(.get, "signing-keys?next_token=\(token)")
        #expect(second.json["signing_keys"]?.array?.first?["retired_at"] == .integer(500_000_000))
        #expect(second.json["next_token"] == .null)
        #expect(try fixture.perform(.get, "signing-keys?next_token=x").field == "next_token")

        let acme = try fixture.makeTenant("acme")
        #expect(try fixture.perform(.get, "signing-keys", as: acme).status == 200)
        #expect(try fixture.perform(.post, "signing-keys/rotate", as: acme).status == 403)
    }
}
