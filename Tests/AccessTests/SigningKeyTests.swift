import Access
import Tenancy
import Testing

@Suite struct SigningKeyTests {
    @Test func knownKeyHasTheKnownCoordinatesAndThumbprint() throws {
        let key = try Vectors.signingKey()
        #expect(key.kid == Vectors.kid)
        #expect(key.publicPEM == Vectors.publicPEM)
        #expect(key.privatePEM == Vectors.privatePEM)
        #expect(
            String(decoding: key.jwk.encoded(), as: UTF8.self)
                == #"{"kty":"EC","crv":"P-256","x":"\#(Vectors.x)","y":"\#(Vectors.y)","#
                + #""kid":"\#(Vectors.kid)","alg":"ES256","use":"sig"}"#)
        #expect(try PublicSigningKey(pem: Vectors.publicPEM) == key.publicKey)
    }

    @Test func shortCoordinateIsPaddedOnTheLeft() throws {
        let key = try PublicSigningKey(pem: Vectors.paddedPublicPEM)
        #expect(key.jwk["x"]?.string == Vectors.paddedX)
        #expect(key.kid == Vectors.paddedKid)
    }

    @Test func setHoldsThePublicHalvesOnly() throws {
        let keys = [try Vectors.signingKey(), try SigningKey.generate(now: Vectors.now)]
        let document = JWKS.document(keys.map(\.publicKey))
        let parsed = try JSONParser.parse(document, ceiling: 1 << 16)
        #expect(parsed["keys"]?.array == keys.map(\.jwk))
        #expect(!String(decoding: document, as: UTF8.self).contains(#""d":"#))
        #expect(String(decoding: JWKS.document([]), as: UTF8.self) == #"{"keys":[]}"#)
    }

    @Test func generatedKeysDifferAndSurviveStorage() throws {
        let first = try SigningKey.generate(now: Vectors.now)
        let second = try SigningKey.generate(now: Vectors.now)
        #expect(first.kid != second.kid)
        let stored = try SigningKey(privatePEM: first.privatePEM, createdAt: first.createdAt)
        #expect(stored.publicKey == first.publicKey)
        #expect(stored.createdAt == Vectors.now)
    }

    @Test(arguments: ["nothing", "noise", "empty armour", "public", "encrypted", "P-384", "secp256k1"])
    func whatIsNoPrivateKeyOnTheCurveIsRefused(_ name: String) throws {
        let pem = try #require(Self.keys[name])
        #expect(throws: MartletError.internalFailure("a stored signing key is not a P-256 private key")) {
            try SigningKey(privatePEM: pem, createdAt: Vectors.now)
        }
    }

    @Test(arguments: ["nothing", "noise", "empty armour", "private", "encrypted"])
    func whatIsNoPublicKeyIsRefused(_ name: String) throws {
        let pem = try #require(Self.keys[name])
        #expect(throws: MartletError.internalFailure("a stored signing key is not a P-256 public key")) {
            try PublicSigningKey(pem: pem)
        }
    }

    private static let keys = [
        "nothing": "", "noise": "x",
        "empty armour": "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        "public": Vectors.publicPEM, "private": Vectors.privatePEM, "encrypted": Vectors.encryptedPEM,
        "P-384": Vectors.p384PrivatePEM, "secp256k1": Vectors.secp256k1PrivatePEM,
    ]

    @Test func damagedKeysNeverTrap() throws {
        var generator = SeededGenerator(seed: 3)
        let original = Array(Vectors.privatePEM.utf8)
        for _ in 0..<200 {
            var changed = original
            changed[Int.random(in: changed.indices, using: &generator)] = UInt8.random(in: 32...126, using: &generator)
            _ = try? SigningKey(privatePEM: String(decoding: changed, as: UTF8.self), createdAt: Vectors.now)
        }
    }
}
