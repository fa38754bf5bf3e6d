import Access
import Tenancy
import Testing

@Suite struct TokenTests {
    private let signer = TokenSigner(authority: Vectors.authority)
    private let verifier = TokenVerifier(authority: Vectors.authority)

    @Test func tokenOfAnotherImplementationVerifies() throws {
        let token = try #require(SignedToken(Vectors.token))
        #expect(try verifier.verify(token, keys: try Vectors.keys(), now: Vectors.now) == Vectors.claims())
    }

    @Test func signedHeaderAndClaimsAreTheKnownOnes() throws {
        let token = try signer.sign(try Vectors.claims(), with: try Vectors.signingKey())
        let parts = token.split(separator: ".")
        #expect(parts.count == 3)
        #expect(Base64.decode(parts[0].utf8, .url) == Array(Vectors.header.utf8))
        #expect(Base64.decode(parts[1].utf8, .url) == Array(Vectors.payload.utf8))
        #expect(Base64.decode(parts[2].utf8, .url)?.count == 64)
    }

    @Test func expiryIsExactAndToldOnlyForAGoodSignature() throws {
        let token = try #require(SignedToken(Vectors.token))
        let keys = try Vectors.keys()
        let expiresAt = try Vectors.claims().expiresAt
        _ = try verifier.verify(token, keys: keys, now: expiresAt.adding(milliseconds: -1))
        for late in [expiresAt, expiresAt.adding(milliseconds: 1), Timestamp(milliseconds: .max)] {
            #expect(throws: MartletError.expiredCredential) { try verifier.verify(token, keys: keys, now: late) }
        }
        let forged = Forge.jwt(header: Vectors.header, payload: Vectors.payload) { _ in Array(repeating: 1, count: 64) }
        let expiredForgery = try #require(SignedToken(forged))
        #expect(throws: MartletError.invalidCredential) {
            try verifier.verify(expiredForgery, keys: keys, now: Timestamp(milliseconds: .max))
        }
    }

    @Test(arguments: 0..<15)
    func randomClaimsRoundTripInBothForms(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let key = try SigningKey.generate(now: Vectors.now)
        let issuedAt = Timestamp(seconds: Int64.random(in: 0...4_000_000_000, using: &generator))
        let claims = TokenClaims(
            id: try SecureRandom.identifier(),
            tenant: TenantID(rawValue: .random(in: .min ... .max, using: &generator)),
            tokenID: Bool.random(using: &generator) ? "é\"\\/ \(seed)" : nil,
            permissions: try #require(try Samples.set(&generator)), issuedAt: issuedAt,
            expiresAt: issuedAt.adding(milliseconds: 1000 * Int64.random(in: 1...90_000, using: &generator))
        )
        let text = try signer.sign(claims, with: key)
        for form in [text, "Bearer " + text, OuterForm.wrap(apiKey: text, endpoint: "cache.example:8080")] {
            let token = try #require(Credential.parse(form)?.token)
            #expect(token.keyID == key.kid)
            #expect(try verifier.verify(token, keys: [key.kid: key.publicKey], now: issuedAt) == claims)
        }
    }

    @Test func retiredKeysStillVerifyAndOthersDoNot() throws {
        let old = try SigningKey.generate(now: Vectors.now)
        let new = try SigningKey.generate(now: Vectors.now)
        let token = try #require(SignedToken(try signer.sign(try Vectors.claims(), with: old)))
        _ = try verifier.verify(
            token, keys: [old.kid: old.publicKey, new.kid: new.publicKey], now: Vectors.now)
        #expect(throws: MartletError.invalidCredential) {
            try verifier.verify(token, keys: [new.kid: new.publicKey], now: Vectors.now)
        }
        // Even a table that is wrong about a name does not make a signature good.
        #expect(throws: MartletError.invalidCredential) {
            try verifier.verify(token, keys: [old.kid: new.publicKey], now: Vectors.now)
        }
    }

    @Test func millisecondsDoNotReachTheClaims() throws {
        let claims = TokenClaims(
            id: try SecureRandom.identifier(), tenant: TenantID(rawValue: 1), tokenID: nil,
            permissions: .allDataReadWrite, issuedAt: Timestamp(milliseconds: 1_999),
            expiresAt: Timestamp(milliseconds: 3_999)
        )
        #expect(claims.issuedAt == Timestamp(seconds: 1))
        #expect(claims.expiresAt == Timestamp(seconds: 3))
    }

    @Test func longestTokenFitsIntoACredentialInItsOuterForm() throws {
        func claims(_ byteCount: Int) throws -> TokenClaims {
            TokenClaims(
                id: try SecureRandom.identifier(), tenant: TenantID(rawValue: .max),
                tokenID: String(repeating: "x", count: 64),
                permissions: try PermissionSet(validating: [
                    Permission(.readWrite, cache: .all, .items(.key(Array(repeating: 97, count: byteCount))))
                ]), issuedAt: Vectors.now, expiresAt: Vectors.now.adding(milliseconds: 1000)
            )
        }
        let key = try Vectors.signingKey()
        var low = 1
        var high = 8000
        while low + 1 < high {
            let middle = (low + high) / 2
            if (try? signer.sign(try claims(middle), with: key)) != nil { low = middle } else { high = middle }
        }
        let longest = try signer.sign(try claims(low), with: key)
        #expect(longest.utf8.count > TokenSigner.byteCeiling - 8)
        let outer = OuterForm.wrap(apiKey: longest, endpoint: String(repeating: "e", count: 255))
        #expect(Credential.parse(outer)?.token != nil)
        for count in [high, 65_536] {
            let tooLong = try claims(count)
            #expect(
                failure { () throws(MartletError) in _ = try signer.sign(tooLong, with: key) }?.field == "permissions")
        }
    }

    @Test func whatTheVerifierWouldRefuseIsNotSigned() throws {
        let key = try Vectors.signingKey()
        let good = try Vectors.claims()
        func claims(id: String = good.id, tokenID: String? = nil, expiresAt: Timestamp = good.expiresAt) -> TokenClaims
        {
            TokenClaims(
                id: id, tenant: good.tenant, tokenID: tokenID, permissions: good.permissions, issuedAt: good.issuedAt,
                expiresAt: expiresAt
            )
        }
        _ = try signer.sign(claims(), with: key)
        for wrong in [
            claims(id: "short"), claims(id: good.id.uppercased() + "A"), claims(tokenID: ""), claims(tokenID: "a\u{0}"),
            claims(tokenID: String(repeating: "a", count: 65)), claims(expiresAt: good.issuedAt),
        ] {
            #expect(throws: MartletError.self) { try signer.sign(wrong, with: key) }
        }
    }
}
