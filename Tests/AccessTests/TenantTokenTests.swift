import Access
import Tenancy
import Testing

/// Tokens that a tenant signs itself, good ones and what an attacker, or another tenant, would try.
@Suite struct TenantTokenTests {
    private let verifier = TokenVerifier(authority: Vectors.authority)
    private static let payload = #"{"exp":1700000600,"cache":"shop","key":"cart:7","method":["get"]}"#

    private func key(_ expiresAt: Timestamp = Vectors.now.adding(milliseconds: 3_600_000)) throws -> TenantSigningKey {
        TenantSigningKey(
            publicKey: try PublicSigningKey(pem: Vectors.publicPEM), tenant: TenantID(rawValue: 7), expiresAt: expiresAt
        )
    }

    private func signed(header: String = Vectors.header, _ payload: String) throws -> String {
        try Forge.jwt(header: header, payload: payload) { try Forge.es256($0) }
    }

    private func verified(_ text: String, at now: Timestamp = Vectors.now) throws -> TenantTokenClaims {
        guard let token = Credential.parse(text)?.token else { throw MartletError.invalidCredential }
        return try verifier.verify(token, key: try key(), now: now)
    }

    private func refusal(_ text: String, at now: Timestamp = Vectors.now) throws -> MartletError? {
        do {
            _ = try verified(text, at: now)
            return nil
        } catch {
            return try #require(error as? MartletError)
        }
    }

    @Test func whatAGoodTokenSaysIsWhatItGives() throws {
        let shop = try named("shop")
        let key = ItemSelector.key(Array("cart:7".utf8))
        let cases: [(String, Permission)] = [
            (Self.payload, Permission(.readOnly, cache: shop, .items(key))),
            (#"{"exp":1700000600,"cache":"shop"}"#, Permission(.readWrite, cache: shop, .items(.all))),
            (
                #"{"cache":"shop","exp":1700000600,"iat":1699999999,"method":["set"]}"#,
                Permission(.writeOnly, cache: shop, .items(.all))
            ),
            (
                #"{"exp":1700000600,"cache":"shop","key":"cart:7","method":["set","get"]}"#,
                Permission(.readWrite, cache: shop, .items(key))
            ),
            (
                #"{"exp":1700000600,"cache":"shop","method":["get","set"],"key":"\u00e4\u0007"}"#,
                Permission(.readWrite, cache: shop, .items(.key([0xC3, 0xA4, 7])))
            ),
        ]
        for (payload, permission) in cases {
            let claims = try verified(try signed(payload))
            #expect(claims.permissions.permissions == [permission], "\(payload)")
            #expect(claims.expiresAt == Timestamp(seconds: 1_700_000_600))
        }
    }

    @Test func itsHolderIsACallerOfTheKeysTenantAndEndsWithTheKey() throws {
        let claims = try verified(try signed(Self.payload))
        let long = Caller.token(claims, signedBy: try key())
        #expect(long.kind == .token && long.tenant == TenantID(rawValue: 7) && long.signingKeyID == Vectors.kid)
        #expect(long.tokenID == nil && long.expiresAt == claims.expiresAt)
        #expect(long.grant == .permissions(claims.permissions))
        let keyEnd = Vectors.now.adding(milliseconds: 60_000)
        #expect(Caller.token(claims, signedBy: try key(keyEnd)).expiresAt == keyEnd)
        // Topics and the control plane are out of reach.
        let shop = try CacheName("shop")
        Array("cart:7".utf8).withUnsafeBytes { bytes in
            #expect(long.grant.allows(.get, cache: shop, key: bytes))
            for operation in [CacheOperation.set, .publish, .subscribe, .delete] {
                #expect(!long.grant.allows(operation, cache: shop, key: bytes))
            }
        }
        for operation in ControlOperation.allCases {
            #expect(failure { () throws(MartletError) in try long.require(operation, in: long.tenant) } != nil)
        }
    }

    @Test func tokenEndsAtItsExpiryOrItsKeys() throws {
        let text = try signed(Self.payload)
        let end = Timestamp(seconds: 1_700_000_600)
        #expect(try refusal(text, at: end.adding(milliseconds: -1)) == nil)
        #expect(try refusal(text, at: end) == .expiredCredential)
        let far = try signed(#"{"exp":9000000000,"cache":"shop"}"#)
        let keyEnd = Vectors.now.adding(milliseconds: 3_600_000)
        #expect(try refusal(far, at: keyEnd.adding(milliseconds: -1)) == nil)
        #expect(try refusal(far, at: keyEnd) == .expiredCredential)
        // What is not signed is not told whether it has expired.
        let forged = Forge.jwt(header: Vectors.header, payload: Self.payload) { _ in Array(repeating: 1, count: 64) }
        #expect(try refusal(forged, at: end) == .invalidCredential)
    }

    /// Well signed, but with claims that are not taken.
    @Test(arguments: [
        "", "{}", "null", "[]", "not json",
        #"{"cache":"shop"}"#,
        #"{"exp":1700000600}"#,
        #"{"exp":"1700000600","cache":"shop"}"#,
        #"{"exp":1700000600.5,"cache":"shop"}"#,
        #"{"exp":17e8,"cache":"shop"}"#,
        #"{"exp":0,"cache":"shop"}"#,
        #"{"exp":-1,"cache":"shop"}"#,
        #"{"exp":9223372036854775807,"cache":"shop"}"#,
        #"{"exp":99999999999999999999,"cache":"shop"}"#,
        #"{"exp":null,"cache":"shop"}"#,
        #"{"exp":1700000600,"exp":1700000600,"cache":"shop"}"#,
        #"{"exp":1700000600,"cache":"*"}"#,
        #"{"exp":1700000600,"cache":""}"#,
        #"{"exp":1700000600,"cache":" "}"#,
        #"{"exp":1700000600,"cache":"a/b"}"#,
        #"{"exp":1700000600,"cache":["shop"]}"#,
        #"{"exp":1700000600,"cache":null}"#,
        #"{"exp":1700000600,"cache":"shop","key":""}"#,
        #"{"exp":1700000600,"cache":"shop","key":"a\u0000"}"#,
        #"{"exp":1700000600,"cache":"shop","key":7}"#,
        #"{"exp":1700000600,"cache":"shop","key":null}"#,
        #"{"exp":1700000600,"cache":"shop","key":["a"]}"#,
        #"{"exp":1700000600,"cache":"shop","key_prefix":"a"}"#,
        #"{"exp":1700000600,"cache":"shop","method":"get"}"#,
        #"{"exp":1700000600,"cache":"shop","method":[]}"#,
        #"{"exp":1700000600,"cache":"shop","method":null}"#,
        #"{"exp":1700000600,"cache":"shop","method":["delete"]}"#,
        #"{"exp":1700000600,"cache":"shop","method":["get","get"]}"#,
        #"{"exp":1700000600,"cache":"shop","method":["GET"]}"#,
        #"{"exp":1700000600,"cache":"shop","ttl":60}"#,
        #"{"exp":1700000600,"cache":"shop","ttl":null}"#,
        #"{"exp":1700000600,"cache":"shop","iat":"1"}"#,
        #"{"exp":1700000600,"cache":"shop","nbf":1}"#,
        #"{"exp":1700000600,"cache":"shop","sub":"8"}"#,
        #"{"exp":1700000600,"cache":"shop","permissions":[["rw","*"]]}"#,
        #"{"exp":1700000600,"cache":"shop","tenant":"default"}"#,
    ])
    func wellSignedTokenWithOtherClaimsIsRefused(_ payload: String) throws {
        #expect(try refusal(try signed(payload)) == .invalidCredential)
    }

    /// A tenant cannot sign what Martlet would: the claims of a token of the installation, for whatever tenant, mean
    /// nothing under a tenant's key; nor those of a tenant under a key of the installation.
    @Test func neitherKindPassesForTheOther() throws {
        #expect(try refusal(Vectors.token) == .invalidCredential)
        let token = try #require(SignedToken(try signed(Self.payload)))
        #expect(
            failure { () throws(MartletError) in
                _ = try verifier.verify(
                    token, keys: [Vectors.kid: try PublicSigningKey(pem: Vectors.publicPEM)], now: Vectors.now)
            } == .invalidCredential)
        // What says that it is an API key is looked up by hash, and never verified.
        guard case .apiKey = Credential.parse(try signed(#"{"t":"g","exp":1700000600,"cache":"shop"}"#)) else {
            Issue.record("taken for a token")
            return
        }
    }

    @Test(arguments: [
        #"{"alg":"none","kid":"KID","typ":"JWT"}"#, #"{"alg":"HS256","kid":"KID","typ":"JWT"}"#,
        #"{"alg":"ES384","kid":"KID","typ":"JWT"}"#, #"{"alg":"ES256","typ":"JWT"}"#, #"{"alg":"ES256","kid":"KID"}"#,
        #"{"alg":"ES256","kid":"KID","typ":"JWT","crit":["exp"]}"#,
        #"{"alg":"ES256","kid":"KID","typ":"JWT","jwk":{"kty":"EC"}}"#,
        #"{"alg":"ES256","kid":"oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-V","typ":"JWT"}"#,
    ])
    func otherHeaderIsRefused(_ template: String) throws {
        let header = template.replacing("KID", with: Vectors.kid)
        #expect(try refusal(try signed(header: header, Self.payload)) == .invalidCredential)
    }

    @Test func publicKeyAsHMACSecretIsRefused() throws {
        for algorithm in ["HS256", "ES256"] {
            let header = #"{"alg":"\#(algorithm)","kid":"\#(Vectors.kid)","typ":"JWT"}"#
            for copies in [1, 2] {
                let token = Forge.jwt(header: header, payload: Self.payload) { text in
                    Array(
                        repeatElement(Forge.hs256(text, secret: Array(Vectors.publicPEM.utf8)), count: copies).joined())
                }
                #expect(try refusal(token) == .invalidCredential)
            }
        }
    }

    @Test func signatureOfAnotherKeyOrOfOtherClaimsIsRefused() throws {
        let stranger = try SigningKey.generate(now: Vectors.now)
        let foreign = try Forge.jwt(header: Vectors.header, payload: Self.payload) {
            try Forge.es256($0, privatePEM: stranger.privatePEM)
        }
        #expect(try refusal(foreign) == .invalidCredential)
        let parts = try signed(Self.payload).split(separator: ".")
        for (old, new) in [("cart:7", "cart:8"), ("shop", "other"), ("1700000600", "1800000600"), ("get", "set")] {
            let payload = Forge.part(Self.payload.replacing(old, with: new))
            #expect(try refusal("\(parts[0]).\(payload).\(parts[2])") == .invalidCredential)
        }
    }

    @Test func everyCutAndManyMutationsAreRefused() throws {
        let text = try signed(Self.payload)
        let bytes = Array(text.utf8)
        for end in bytes.indices {
            #expect(try refusal(String(decoding: bytes[..<end], as: UTF8.self)) == .invalidCredential)
        }
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<300 {
            var altered = bytes
            let place = Int.random(in: altered.indices, using: &generator)
            altered[place] ^= UInt8.random(in: 1...127, using: &generator)
            #expect(try refusal(String(decoding: altered, as: UTF8.self)) == .invalidCredential)
        }
    }

    /// RFC 7515 appendix A.3 has the private number of the key as well.
    @Test func privateJWKIsTheWholeKey() throws {
        let jwk = try Vectors.signingKey().privateJWK()
        #expect(
            jwk
                == .members([
                    "kty": .string("EC"), "crv": .string("P-256"), "x": .string(Vectors.x), "y": .string(Vectors.y),
                    "kid": .string(Vectors.kid), "alg": .string("ES256"), "use": .string("sig"),
                    "d": .string("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"),
                ]))
    }

    @Test func signingKeyLivesUpToAYear() throws {
        let now = Vectors.now
        func expiry(_ minutes: Int64) throws(MartletError) -> Timestamp {
            try MintingRules.signingKeyExpiry(minutes: minutes, now: now)
        }
        #expect(try expiry(1) == now.adding(milliseconds: 60_000))
        #expect(try expiry(525_600) == now.adding(milliseconds: 31_536_000_000))
        for minutes in [0, -1, 525_601, Int64.max, .min] {
            #expect(failure { () throws(MartletError) in _ = try expiry(minutes) }?.field == "ttl_minutes")
        }
    }
}
