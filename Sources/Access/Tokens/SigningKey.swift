import COpenSSL
import Tenancy

/// The public half of a signing key: what verifies a token, and what the world is shown.
package struct PublicSigningKey: Hashable, Sendable {
    /// The key's id: its thumbprint (RFC 7638), so the same key has the same id everywhere and nobody can give it to
    /// another.
    package let kid: String
    /// SubjectPublicKeyInfo (RFC 5280 section 4.1).
    package let pem: String
    /// The coordinates of the point, 32 bytes each, left padded.
    let x: [UInt8]
    let y: [UInt8]

    /// - Throws: ``MartletError/internalFailure(_:)`` unless `pem` is a public key on the curve P-256.
    package init(pem: String) throws(MartletError) {
        guard let key = EllipticKey(publicPEM: pem) else {
            throw .internalFailure("a stored signing key is not a P-256 public key")
        }
        try self.init(key)
    }

    fileprivate init(_ key: borrowing EllipticKey) throws(MartletError) {
        guard let point = key.point, let pem = key.publicPEM else {
            throw .internalFailure("a signing key is not on the curve P-256")
        }
        self.pem = pem
        (x, y) = point
        kid = Self.thumbprint(x: x, y: y)
    }

    /// The key as a member of a JWK set (RFC 7517 and RFC 7518 section 6.2).
    package var jwk: JSONValue { .object(members) }

    fileprivate var members: [JSONValue.Member] {
        [
            .init("kty", .string("EC")),
            .init("crv", .string("P-256")),
            .init("x", .string(Base64.encode(x, .url))),
            .init("y", .string(Base64.encode(y, .url))),
            .init("kid", .string(kid)),
            .init("alg", .string("ES256")),
            .init("use", .string("sig")),
        ]
    }

    /// RFC 7638 section 3: SHA-256 of the required members in the order of their names.
    private static func thumbprint(x: [UInt8], y: [UInt8]) -> String {
        let required = JSONValue.members([
            "crv": .string("P-256"),
            "kty": .string("EC"),
            "x": .string(Base64.encode(x, .url)),
            "y": .string(Base64.encode(y, .url)),
        ])
        return Base64.encode(required.encoded().withUnsafeBytes { SecretHash(of: $0) }.bytes, .url)
    }
}

/// A key pair that signs tokens: ECDSA on P-256 with SHA-256, which JOSE calls ES256.
package struct SigningKey: Sendable, Redacted {
    /// What may be shown.
    package let publicKey: PublicSigningKey
    /// PKCS #8 (RFC 5958), not encrypted: whoever reads it can forge tokens of every tenant.
    package let privatePEM: String
    /// When the key was made.
    package let createdAt: Timestamp

    /// As ``PublicSigningKey/kid``.
    package var kid: String { publicKey.kid }
    /// As ``PublicSigningKey/pem``.
    package var publicPEM: String { publicKey.pem }
    /// As ``PublicSigningKey/jwk``.
    package var jwk: JSONValue { publicKey.jwk }

    /// A fresh key.
    ///
    /// - Throws: ``MartletError/internalFailure(_:)`` when libcrypto cannot make one.
    package static func generate(now: Timestamp) throws(MartletError) -> SigningKey {
        guard let key = EllipticKey.generate(), let pem = key.privatePEM else {
            throw .internalFailure("a signing key could not be made")
        }
        return SigningKey(publicKey: try PublicSigningKey(key), privatePEM: pem, createdAt: now)
    }

    private init(publicKey: PublicSigningKey, privatePEM: String, createdAt: Timestamp) {
        self.publicKey = publicKey
        self.privatePEM = privatePEM
        self.createdAt = createdAt
    }

    /// The whole key as a JWK (RFC 7518 section 6.2.2): for whom it was made, and nobody else.
    ///
    /// - Throws: ``MartletError/internalFailure(_:)`` when libcrypto cannot tell the private number.
    package func privateJWK() throws(MartletError) -> JSONValue {
        guard let number = EllipticKey(privatePEM: privatePEM)?.privateNumber else {
            throw .internalFailure("a signing key has no private half")
        }
        return .object(publicKey.members + [.init("d", .string(Base64.encode(number, .url)))])
    }

    /// A key that was stored. The public half is computed again from the private one.
    ///
    /// - Throws: ``MartletError/internalFailure(_:)`` unless `privatePEM` is an unencrypted private key on P-256.
    package init(privatePEM: String, createdAt: Timestamp) throws(MartletError) {
        guard let key = EllipticKey(privatePEM: privatePEM) else {
            throw .internalFailure("a stored signing key is not a P-256 private key")
        }
        self.init(publicKey: try PublicSigningKey(key), privatePEM: privatePEM, createdAt: createdAt)
    }
}

/// The document at `/.well-known/jwks.json` (RFC 7517 section 5).
package enum JWKS {
    /// All keys whose tokens may still live, the retired ones too.
    package static func document(_ keys: [PublicSigningKey]) -> [UInt8] {
        JSONValue.members(["keys": .array(keys.map(\.jwk))]).encoded()
    }
}
